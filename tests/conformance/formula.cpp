#include "formula.hpp"

#include <bit>
#include <cmath>

namespace orrery::conformance {
namespace {

float number(uint32_t bits) { return std::bit_cast<float>(bits); }
uint32_t bits(float v) { return std::bit_cast<uint32_t>(v); }

uint32_t to_int(float v) { return v >= -0x1p31f && v < 0x1p31f ? static_cast<uint32_t>(static_cast<int32_t>(v)) : 0; }

uint32_t apply(uint32_t operation, uint32_t a, uint32_t b, uint32_t c) {
    const float x = number(a), y = number(b);
    switch (operation) {
        case ORR_DO_ADD: return bits(x + y);
        case ORR_DO_SUB: return bits(x - y);
        case ORR_DO_MUL: return bits(x * y);
        case ORR_DO_DIV: return bits(x / y);
        case ORR_DO_NEG: return bits(-x);
        case ORR_DO_ABS: return bits(std::fabs(x));
        case ORR_DO_SQRT: return bits(std::sqrt(x));
        case ORR_DO_FLOOR: return bits(std::floor(x));
        case ORR_DO_ROUND: return bits(std::nearbyint(x));
        case ORR_DO_FMA: return bits(x * y + number(c));
        case ORR_DO_LESS: return x < y;
        case ORR_DO_LESS_EQUAL: return x <= y;
        case ORR_DO_EQUAL: return x == y;
        case ORR_DO_AND:
        case ORR_DO_WORD_AND: return a & b;
        case ORR_DO_OR:
        case ORR_DO_WORD_OR: return a | b;
        case ORR_DO_NOT: return !a;
        case ORR_DO_SELECT:
        case ORR_DO_SELECT_WORD: return a ? b : c;
        case ORR_DO_BITS:
        case ORR_DO_FLOAT: return a;
        case ORR_DO_TO_INT: return to_int(x);
        case ORR_DO_FROM_INT: return bits(static_cast<float>(static_cast<int32_t>(a)));
        case ORR_DO_WORD_ADD: return a + b;
        case ORR_DO_WORD_SUB: return a - b;
        case ORR_DO_WORD_MUL: return a * b;
        case ORR_DO_WORD_XOR: return a ^ b;
        case ORR_DO_SHIFT_LEFT: return a << (b & 31);
        case ORR_DO_SHIFT_RIGHT: return a >> (b & 31);
        case ORR_DO_SHIFT_RIGHT_SIGNED: return static_cast<uint32_t>(static_cast<int32_t>(a) >> (b & 31));
        case ORR_DO_WORD_LESS: return a < b;
        case ORR_DO_WORD_EQUAL: return a == b;
        default: return 0;
    }
}

}  // namespace

std::vector<float> evaluate(const Expression& e, const std::vector<const float*>& inputs, size_t n) {
    std::vector<float> out(n);
    std::vector<uint32_t> values(e.terms.size() + 1);
    for (size_t i = 0; i < n; i++) {
        for (uint32_t t = 1; t <= e.terms.size(); t++) {
            const Expression::Term& term = e.term(t);
            values[t] = term.operation == Expression::kInput      ? bits(inputs[term.args[0]][i])
                        : term.operation == Expression::kConstant ? term.args[0]
                                                                  : apply(term.operation, values[term.args[0]], values[term.args[1]], values[term.args[2]]);
        }
        out[i] = number(values[e.result]);
    }
    return out;
}

}  // namespace orrery::conformance
