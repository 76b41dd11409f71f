#include "engine/graph/dims.hpp"

#include <algorithm>
#include <cctype>

#include "orrery/plugin.hpp"

namespace orrery {
namespace {

int64_t checked_mul(int64_t a, int64_t b) {
    int64_t r = 0;
    if (__builtin_mul_overflow(a, b, &r)) throw Error(ORR_INVALID_ARGUMENT, "dimension overflow: " + std::to_string(a) + " * " + std::to_string(b));
    return r;
}
int64_t checked_add(int64_t a, int64_t b) {
    int64_t r = 0;
    if (__builtin_add_overflow(a, b, &r)) throw Error(ORR_INVALID_ARGUMENT, "dimension overflow: " + std::to_string(a) + " + " + std::to_string(b));
    return r;
}
int64_t floor_div(int64_t a, int64_t b) {
    const int64_t q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
}

// Table calls must not throw: a failure gives a dimension that fails later with a message.
template <class Fn>
orr_dim quiet(Fn&& fn) noexcept {
    try {
        return fn();
    } catch (...) {
        return INT64_MIN;
    }
}

}  // namespace

DimPool::DimPool() {
    table_.pool = this;
    table_.base = {ORR_HEADER(orr_dims),
                   [](const orr_dims* d, orr_dim a, orr_dim b) { return quiet([&] { return from(d).add(a, b); }); },
                   [](const orr_dims* d, orr_dim a, orr_dim b) { return quiet([&] { return from(d).add(a, b, -1); }); },
                   [](const orr_dims* d, orr_dim a, orr_dim b) { return quiet([&] { return from(d).mul(a, b); }); },
                   [](const orr_dims* d, orr_dim a, orr_dim b) { return quiet([&] { return from(d).div(a, b); }); },
                   [](const orr_dims* d, orr_dim a, orr_dim b) -> int32_t {
                       try {
                           return from(d).equal(a, b);
                       } catch (...) {
                           return -1;
                       }
                   }};
}

DimPool& DimPool::from(const orr_dims* table) { return *reinterpret_cast<const Table*>(table)->pool; }

int DimPool::atom(const Atom& a) {
    const std::string key = a.name.empty() ? std::to_string(a.num) + "//" + std::to_string(a.den) : a.name;
    const auto [it, fresh] = atom_index_.emplace(key, static_cast<int>(atoms_.size()));
    if (fresh) atoms_.push_back(a);
    return it->second;
}

DimPool::Terms DimPool::terms(orr_dim d) const {
    if (d >= 0) return d == 0 ? Terms{} : Terms{{{}, d}};
    if (d == INT64_MIN || -d > static_cast<int64_t>(exprs_.size())) throw Error(ORR_INVALID_ARGUMENT, "not a dimension of this graph");
    return exprs_[static_cast<size_t>(-d - 1)];
}

orr_dim DimPool::intern(Terms t) {
    if (t.empty()) return 0;
    if (t.size() == 1 && t.begin()->first.empty() && t.begin()->second > 0) return t.begin()->second;
    const auto it = index_.find(t);
    if (it != index_.end()) return -(it->second + 1);
    const int id = static_cast<int>(exprs_.size());
    exprs_.push_back(t);
    index_.emplace(std::move(t), id);
    return -(id + 1);
}

std::shared_ptr<DimPool> DimPool::clone() const {
    auto copy = std::make_shared<DimPool>();
    copy->atoms_ = atoms_;
    copy->exprs_ = exprs_;
    copy->index_ = index_;
    copy->atom_index_ = atom_index_;
    return copy;
}

orr_dim DimPool::symbol(const std::string& name) { return intern({{{atom({name, 0, 0})}, 1}}); }

orr_dim DimPool::add(orr_dim a, orr_dim b, int64_t factor) {
    Terms sum = terms(a);
    for (const auto& [m, c] : terms(b)) {
        int64_t& slot = sum[m];
        slot = checked_add(slot, checked_mul(c, factor));
        if (slot == 0) sum.erase(m);
    }
    return intern(std::move(sum));
}

orr_dim DimPool::mul(orr_dim a, orr_dim b) {
    Terms product;
    for (const auto& [ma, ca] : terms(a))
        for (const auto& [mb, cb] : terms(b)) {
            Monomial m = ma;
            m.insert(m.end(), mb.begin(), mb.end());
            std::sort(m.begin(), m.end());
            int64_t& slot = product[m];
            slot = checked_add(slot, checked_mul(ca, cb));
            if (slot == 0) product.erase(m);
        }
    return intern(std::move(product));
}

orr_dim DimPool::div(orr_dim a, orr_dim b) {
    const Terms num = terms(a), den = terms(b);
    if (den.empty() || (den.size() == 1 && den.begin()->first.empty() && den.begin()->second < 0))
        throw Error(ORR_INVALID_ARGUMENT, "division of a dimension by " + text(b));
    if (a == b) return 1;
    // An exact quotient by a single term: every term of the numerator is a multiple.
    if (den.size() == 1) {
        const auto& [dm, dc] = *den.begin();
        Terms quotient;
        bool exact = true;
        for (const auto& [m, c] : num) {
            Monomial rest = m;
            for (const int x : dm) {
                const auto it = std::find(rest.begin(), rest.end(), x);
                if (it == rest.end()) {
                    exact = false;
                    break;
                }
                rest.erase(it);
            }
            if (!exact || c % dc != 0) {
                exact = false;
                break;
            }
            quotient[rest] = c / dc;
        }
        if (exact) return intern(std::move(quotient));
        if (dm.empty() && num.size() == 1 && num.begin()->first.empty()) return floor_div(num.begin()->second, dc);
    }
    return intern({{{atom({"", a, b})}, 1}});
}

int32_t DimPool::equal(orr_dim a, orr_dim b) {
    if (a == b) return 1;
    const orr_dim difference = add(a, b, -1);
    if (difference == 0) return 1;
    const Terms t = terms(difference);
    return t.size() == 1 && t.begin()->first.empty() ? 0 : -1;
}

bool DimPool::depends(orr_dim d, const std::string& symbol) const {
    if (d >= 0) return false;
    for (const auto& [monomial, factor] : terms(d))
        for (const int i : monomial) {
            const Atom& a = atoms_[static_cast<size_t>(i)];
            if (a.name.empty() ? depends(a.num, symbol) || depends(a.den, symbol) : a.name == symbol) return true;
        }
    return false;
}

int64_t DimPool::evaluate(orr_dim d, const Bindings& bindings) const {
    if (d >= 0) return d;
    int64_t sum = 0;
    for (const auto& [m, c] : terms(d)) {
        int64_t product = c;
        for (const int i : m) {
            const Atom& a = atoms_[static_cast<size_t>(i)];
            if (!a.name.empty()) {
                const auto it = bindings.find(a.name);
                if (it == bindings.end()) throw Error(ORR_INVALID_ARGUMENT, "dimension " + a.name + " is not bound by any input");
                product = checked_mul(product, it->second);
            } else {
                const int64_t den = evaluate(a.den, bindings);
                if (den <= 0) throw Error(ORR_INVALID_ARGUMENT, "dimension " + text(a.den) + " is " + std::to_string(den) + " and divides");
                product = checked_mul(product, floor_div(evaluate(a.num, bindings), den));
            }
        }
        sum = checked_add(sum, product);
    }
    return sum;
}

std::string DimPool::terms_text(const Terms& t) const {
    if (t.empty()) return "0";
    std::string out;
    // Terms with symbols first, the constant last.
    auto append = [&](const Monomial& m, int64_t c) {
        std::string one;
        const int64_t magnitude = c < 0 ? -c : c;
        if (m.empty() || magnitude != 1) one = std::to_string(magnitude);
        for (const int i : m) {
            const Atom& a = atoms_[static_cast<size_t>(i)];
            if (!one.empty()) one += "*";
            one += a.name.empty() ? "((" + text(a.num) + ")/(" + text(a.den) + "))" : a.name;
        }
        if (out.empty())
            out = (c < 0 ? "-" : "") + one;
        else
            out += (c < 0 ? "-" : "+") + one;
    };
    for (const auto& [m, c] : t)
        if (!m.empty()) append(m, c);
    for (const auto& [m, c] : t)
        if (m.empty()) append(m, c);
    return out;
}

std::string DimPool::text(orr_dim d) const { return d >= 0 ? std::to_string(d) : terms_text(terms(d)); }

std::string DimPool::symbol_name(orr_dim d) const {
    if (d >= 0) return "";
    const Terms t = terms(d);
    if (t.size() != 1 || t.begin()->second != 1 || t.begin()->first.size() != 1) return "";
    return atoms_[static_cast<size_t>(t.begin()->first[0])].name;
}

namespace {
// expr := ['-'] term (('+'|'-') term)* ; term := factor ('*' factor)* ; factor := number | name | '(' expr ')' | '((' expr ')/(' expr '))'
class Parser {
  public:
    Parser(DimPool& pool, const std::string& text) : pool_(pool), text_(text) {}
    orr_dim all() {
        const orr_dim d = expr(0);
        if (at_ != text_.size()) fail();
        return d;
    }

  private:
    [[noreturn]] void fail() const { throw Error(ORR_CORRUPT, "dimension \"" + text_ + "\" is not understood at character " + std::to_string(at_)); }
    bool take(char c) {
        if (at_ < text_.size() && text_[at_] == c) return ++at_, true;
        return false;
    }
    orr_dim expr(int depth) {
        if (depth > 64) fail();
        const bool negative = take('-');
        orr_dim sum = term(depth);
        if (negative) sum = pool_.add(0, sum, -1);
        for (;;) {
            if (take('+'))
                sum = pool_.add(sum, term(depth));
            else if (take('-'))
                sum = pool_.add(sum, term(depth), -1);
            else
                return sum;
        }
    }
    orr_dim term(int depth) {
        orr_dim product = factor(depth);
        for (;;) {
            if (take('*'))
                product = pool_.mul(product, factor(depth));
            else if (take('/'))
                product = pool_.div(product, factor(depth));
            else
                return product;
        }
    }
    orr_dim factor(int depth) {
        if (take('(')) {
            const orr_dim d = expr(depth + 1);
            if (!take(')')) fail();
            return d;
        }
        size_t end = at_;
        while (end < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[end])) || text_[end] == '_')) end++;
        if (end == at_) fail();
        const std::string word = text_.substr(at_, end - at_);
        at_ = end;
        if (!std::isdigit(static_cast<unsigned char>(word[0]))) return pool_.symbol(word);
        if (word.size() > 18 || word.find_first_not_of("0123456789") != std::string::npos) fail();
        return std::stoll(word);
    }
    DimPool& pool_;
    const std::string& text_;
    size_t at_ = 0;
};
}  // namespace

orr_dim DimPool::parse(const std::string& text) { return Parser(*this, text).all(); }

}  // namespace orrery
