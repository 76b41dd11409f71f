// Symbolic dimensions: polynomials over symbols (B, T …) and floor divisions, kept in a normal form so that equal
// expressions have equal handles.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "orrery/plugin.h"

namespace orrery {

using Bindings = std::map<std::string, int64_t>;

// Handles are negative orr_dim values of one pool; constants are themselves.
class DimPool {
  public:
    DimPool();
    DimPool(const DimPool&) = delete;
    DimPool& operator=(const DimPool&) = delete;

    std::shared_ptr<DimPool> clone() const;  // its handles mean the same

    orr_dim symbol(const std::string& name);
    orr_dim add(orr_dim a, orr_dim b, int64_t factor = 1);  // a + factor * b
    orr_dim mul(orr_dim a, orr_dim b);
    orr_dim div(orr_dim a, orr_dim b);  // floor; throws on division by a constant that is not positive
    // 1 equal, 0 different, -1 depends on the binding.
    int32_t equal(orr_dim a, orr_dim b);
    // Throws Error naming the symbol that has no value.
    int64_t evaluate(orr_dim d, const Bindings& bindings) const;
    bool depends(orr_dim d, const std::string& symbol) const;
    std::string text(orr_dim d) const;  // "2*T + 1"
    // Reads what text() writes. Throws Error(ORR_CORRUPT).
    orr_dim parse(const std::string& text);
    // The name when d is a plain symbol, else "".
    std::string symbol_name(orr_dim d) const;
    const orr_dims* table() const { return &table_.base; }
    // The pool behind a table made by any pool.
    static DimPool& from(const orr_dims* table);

  private:
    struct Atom {  // a symbol, or floor(num / den)
        std::string name;
        orr_dim num = 0, den = 0;
    };
    using Monomial = std::vector<int>;             // sorted atom indices
    using Terms = std::map<Monomial, int64_t>;     // no zero coefficients
    Terms terms(orr_dim d) const;
    orr_dim intern(Terms terms);
    int atom(const Atom& a);
    std::string terms_text(const Terms& t) const;

    struct Table {
        orr_dims base;
        DimPool* pool;
    } table_;
    std::vector<Atom> atoms_;
    std::vector<Terms> exprs_;
    std::map<Terms, int> index_;
    std::unordered_map<std::string, int> atom_index_;
};

}  // namespace orrery
