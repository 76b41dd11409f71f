// The formula of a chain of elementwise operators as a list of terms, each behind those that it is made of.
#pragma once
#include <compare>
#include <cstdint>
#include <map>
#include <vector>

#include "orrery/ext/expression.h"

namespace orrery {

enum class TermType : uint8_t { none, number, word, truth };

struct Expression {
    static constexpr uint32_t kInput = 0, kConstant = UINT32_MAX;  // beside ORR_DO_*
    struct Term {
        uint32_t operation;
        TermType type;
        uint32_t args[3];  // ids; of an input its number, of a constant its bits
        auto operator<=>(const Term&) const = default;
    };
    std::vector<Term> terms;  // id - 1
    uint32_t inputs = 0;
    uint32_t result = 0;
    const Term& term(uint32_t id) const { return terms[id - 1]; }
};

// What an operation takes and gives; count 0: there is no such operation.
struct OperationTypes {
    uint32_t count = 0;
    TermType args[3] = {}, result = TermType::none;
};
OperationTypes operation_types(uint32_t operation);

// Hears formulas. Equal terms get one id.
class ExpressionBuilder {
  public:
    ExpressionBuilder();
    ExpressionBuilder(const ExpressionBuilder&) = delete;
    ExpressionBuilder& operator=(const ExpressionBuilder&) = delete;

    uint32_t input(uint32_t number);
    // The result of a formula over these terms; 0 when it has none for the attributes, or told nonsense.
    uint32_t tell(const orr_formula& formula, const orr_attrs* attrs, const std::vector<uint32_t>& inputs);
    Expression take(uint32_t result);
    size_t size() const { return expression_.terms.size(); }

  private:
    struct Table {
        orr_expression base;
        ExpressionBuilder* self;
    } table_;
    static orr_term constant(orr_expression* x, TermType type, uint32_t bits) noexcept;
    uint32_t add(const Expression::Term& term);
    uint32_t apply(uint32_t operation, const uint32_t (&args)[3]);
    Expression expression_;
    std::map<Expression::Term, uint32_t> known_;
    bool failed_ = false;
};

}  // namespace orrery
