#include "engine/plan/expression.hpp"

#include <algorithm>
#include <bit>

namespace orrery {
namespace {

constexpr size_t kMostTerms = 8192;  // beyond, drivers compile for too long

}  // namespace

OperationTypes operation_types(uint32_t operation) {
    constexpr TermType N = TermType::number, W = TermType::word, T = TermType::truth, none = TermType::none;
    switch (operation) {
        case ORR_DO_ADD:
        case ORR_DO_SUB:
        case ORR_DO_MUL:
        case ORR_DO_DIV: return {2, {N, N, none}, N};
        case ORR_DO_NEG:
        case ORR_DO_ABS:
        case ORR_DO_SQRT:
        case ORR_DO_FLOOR:
        case ORR_DO_ROUND: return {1, {N, none, none}, N};
        case ORR_DO_FMA: return {3, {N, N, N}, N};
        case ORR_DO_LESS:
        case ORR_DO_LESS_EQUAL:
        case ORR_DO_EQUAL: return {2, {N, N, none}, T};
        case ORR_DO_AND:
        case ORR_DO_OR: return {2, {T, T, none}, T};
        case ORR_DO_NOT: return {1, {T, none, none}, T};
        case ORR_DO_SELECT: return {3, {T, N, N}, N};
        case ORR_DO_SELECT_WORD: return {3, {T, W, W}, W};
        case ORR_DO_BITS:
        case ORR_DO_TO_INT: return {1, {N, none, none}, W};
        case ORR_DO_FLOAT:
        case ORR_DO_FROM_INT: return {1, {W, none, none}, N};
        case ORR_DO_WORD_ADD:
        case ORR_DO_WORD_SUB:
        case ORR_DO_WORD_MUL:
        case ORR_DO_WORD_AND:
        case ORR_DO_WORD_OR:
        case ORR_DO_WORD_XOR:
        case ORR_DO_SHIFT_LEFT:
        case ORR_DO_SHIFT_RIGHT:
        case ORR_DO_SHIFT_RIGHT_SIGNED: return {2, {W, W, none}, W};
        case ORR_DO_WORD_LESS:
        case ORR_DO_WORD_EQUAL: return {2, {W, W, none}, T};
        default: return {};
    }
}

ExpressionBuilder::ExpressionBuilder() : table_{} {
    table_.base.header = ORR_HEADER(orr_expression);
    table_.self = this;
    table_.base.number = [](orr_expression* x, float v) { return constant(x, TermType::number, std::bit_cast<uint32_t>(v)); };
    table_.base.word = [](orr_expression* x, uint32_t v) { return constant(x, TermType::word, v); };
    table_.base.apply = [](orr_expression* x, uint32_t operation, orr_term a, orr_term b, orr_term c) -> orr_term {
        ExpressionBuilder& self = *reinterpret_cast<Table*>(x)->self;
        try {
            return self.apply(operation, {a, b, c});
        } catch (...) {
            return self.failed_ = true, 0;
        }
    };
}

orr_term ExpressionBuilder::constant(orr_expression* x, TermType type, uint32_t bits) noexcept {
    ExpressionBuilder& self = *reinterpret_cast<Table*>(x)->self;
    try {
        return self.add({Expression::kConstant, type, {bits, 0, 0}});
    } catch (...) {
        return self.failed_ = true, 0;
    }
}

uint32_t ExpressionBuilder::add(const Expression::Term& term) {
    if (failed_ || expression_.terms.size() >= kMostTerms) return failed_ = true, 0;
    const auto [it, fresh] = known_.emplace(term, static_cast<uint32_t>(expression_.terms.size() + 1));
    if (fresh) expression_.terms.push_back(term);
    return it->second;
}

uint32_t ExpressionBuilder::apply(uint32_t operation, const uint32_t (&args)[3]) {
    const OperationTypes types = operation_types(operation);
    bool fits = types.count > 0;
    for (uint32_t i = 0; i < 3 && fits; i++)
        fits = i < types.count ? args[i] > 0 && args[i] <= expression_.terms.size() && expression_.term(args[i]).type == types.args[i] : args[i] == 0;
    if (!fits) return failed_ = true, 0;
    return add({operation, types.result, {args[0], args[1], args[2]}});
}

uint32_t ExpressionBuilder::input(uint32_t number) {
    expression_.inputs = std::max(expression_.inputs, number + 1);
    return add({Expression::kInput, TermType::number, {number, 0, 0}});
}

uint32_t ExpressionBuilder::tell(const orr_formula& formula, const orr_attrs* attrs, const std::vector<uint32_t>& inputs) {
    if (failed_) return 0;
    const uint32_t result = formula.emit(attrs, &table_.base, static_cast<uint32_t>(inputs.size()), inputs.data());
    if (failed_ || result == 0 || result > expression_.terms.size() || expression_.term(result).type != TermType::number) return 0;
    return result;
}

Expression ExpressionBuilder::take(uint32_t result) {
    expression_.result = result;
    return std::move(expression_);
}

}  // namespace orrery
