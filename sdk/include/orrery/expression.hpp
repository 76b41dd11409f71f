// C++ wrapper of ext/expression.h: formulas written as formulas. Header-only, C++20.
//   Number f(Number x) { return x * select(x < 0.0f, x, 1.0f); }
#ifndef ORRERY_EXPRESSION_HPP
#define ORRERY_EXPRESSION_HPP

#include "orrery/ext/expression.h"

namespace orrery::expr {

struct Term {
    orr_expression* x = nullptr;
    orr_term id = 0;
};
struct Number : Term {};  // f32
struct Word : Term {};    // 32 bits
struct Truth : Term {};

template <class T>
T apply(uint32_t operation, Term a, Term b = {}, Term c = {}) {
    return T{{a.x, a.x->apply(a.x, operation, a.id, b.id, c.id)}};
}
inline Number number(const Term& like, float v) { return {{like.x, like.x->number(like.x, v)}}; }
inline Word word(const Term& like, uint32_t v) { return {{like.x, like.x->word(like.x, v)}}; }

#define ORR_EXPR_BINARY(result, type, scalar, make, sign, operation)                                         \
    inline result operator sign(type a, type b) { return apply<result>(operation, a, b); }                   \
    inline result operator sign(type a, scalar b) { return apply<result>(operation, a, make(a, b)); }        \
    inline result operator sign(scalar a, type b) { return apply<result>(operation, make(b, a), b); }
ORR_EXPR_BINARY(Number, Number, float, number, +, ORR_DO_ADD)
ORR_EXPR_BINARY(Number, Number, float, number, -, ORR_DO_SUB)
ORR_EXPR_BINARY(Number, Number, float, number, *, ORR_DO_MUL)
ORR_EXPR_BINARY(Number, Number, float, number, /, ORR_DO_DIV)
ORR_EXPR_BINARY(Truth, Number, float, number, <, ORR_DO_LESS)
ORR_EXPR_BINARY(Truth, Number, float, number, <=, ORR_DO_LESS_EQUAL)
ORR_EXPR_BINARY(Truth, Number, float, number, ==, ORR_DO_EQUAL)
ORR_EXPR_BINARY(Word, Word, uint32_t, word, +, ORR_DO_WORD_ADD)
ORR_EXPR_BINARY(Word, Word, uint32_t, word, -, ORR_DO_WORD_SUB)
ORR_EXPR_BINARY(Word, Word, uint32_t, word, *, ORR_DO_WORD_MUL)
ORR_EXPR_BINARY(Word, Word, uint32_t, word, &, ORR_DO_WORD_AND)
ORR_EXPR_BINARY(Word, Word, uint32_t, word, |, ORR_DO_WORD_OR)
ORR_EXPR_BINARY(Word, Word, uint32_t, word, ^, ORR_DO_WORD_XOR)
ORR_EXPR_BINARY(Word, Word, uint32_t, word, <<, ORR_DO_SHIFT_LEFT)
ORR_EXPR_BINARY(Word, Word, uint32_t, word, >>, ORR_DO_SHIFT_RIGHT)
ORR_EXPR_BINARY(Truth, Word, uint32_t, word, <, ORR_DO_WORD_LESS)
ORR_EXPR_BINARY(Truth, Word, uint32_t, word, ==, ORR_DO_WORD_EQUAL)
#undef ORR_EXPR_BINARY
inline Truth operator>(Number a, float b) { return number(a, b) < a; }
inline Truth operator>(Number a, Number b) { return b < a; }
inline Truth operator&(Truth a, Truth b) { return apply<Truth>(ORR_DO_AND, a, b); }
inline Truth operator|(Truth a, Truth b) { return apply<Truth>(ORR_DO_OR, a, b); }
inline Truth operator!(Truth a) { return apply<Truth>(ORR_DO_NOT, a); }
inline Number operator-(Number a) { return apply<Number>(ORR_DO_NEG, a); }
inline Number abs(Number a) { return apply<Number>(ORR_DO_ABS, a); }
inline Number sqrt(Number a) { return apply<Number>(ORR_DO_SQRT, a); }
inline Number floor(Number a) { return apply<Number>(ORR_DO_FLOOR, a); }
inline Number round(Number a) { return apply<Number>(ORR_DO_ROUND, a); }
inline Word bits(Number a) { return apply<Word>(ORR_DO_BITS, a); }
inline Number from_bits(Word a) { return apply<Number>(ORR_DO_FLOAT, a); }
inline Word to_int(Number a) { return apply<Word>(ORR_DO_TO_INT, a); }
inline Number from_int(Word a) { return apply<Number>(ORR_DO_FROM_INT, a); }
inline Word shift_signed(Word a, uint32_t by) { return apply<Word>(ORR_DO_SHIFT_RIGHT_SIGNED, a, word(a, by)); }
inline Number select(Truth c, Number a, Number b) { return apply<Number>(ORR_DO_SELECT, c, a, b); }
inline Number select(Truth c, Number a, float b) { return select(c, a, number(c, b)); }
inline Number select(Truth c, float a, Number b) { return select(c, number(c, a), b); }
inline Word select(Truth c, Word a, Word b) { return apply<Word>(ORR_DO_SELECT_WORD, c, a, b); }

// A function of one input, or of two, as orr_formula.emit.
template <Number (*F)(Number, const orr_attrs*)>
orr_term emit_unary(const orr_attrs* attrs, orr_expression* x, uint32_t n, const orr_term* inputs) {
    return n == 1 ? F(Number{{x, inputs[0]}}, attrs).id : 0;
}
template <Number (*F)(Number, Number)>
orr_term emit_binary(const orr_attrs*, orr_expression* x, uint32_t n, const orr_term* inputs) {
    return n == 2 ? F(Number{{x, inputs[0]}}, Number{{x, inputs[1]}}).id : 0;
}

}  // namespace orrery::expr
#endif
