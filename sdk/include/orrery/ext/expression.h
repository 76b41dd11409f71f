/* Formulas of elementwise operators, told term by term: "orr.expressions/1". An operator with ORR_TRAIT_ELEMENTWISE that has
 * one joins chains on devices: the engine writes one kernel for several operators, of any plugin, and any model. An operator
 * without one runs there by its own kernels.
 *
 * Terms have one of three types: f32, word (32 bits; signed where an operation says so) and truth. An operation on floats is
 * one IEEE operation, rounded by itself, unless it says otherwise; subnormal numbers may count as 0. Devices may take x != x
 * and comparisons with NaN for anything: ask bits (ORR_DO_BITS) where NaN matters. */
#ifndef ORRERY_EXT_EXPRESSION_H
#define ORRERY_EXT_EXPRESSION_H

#include "orrery/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef uint32_t orr_term; /* 0: none */

/* Operations and what they take and give. Numbers are fixed; new ones are appended. */
enum {
    ORR_DO_ADD = 1,       /* f32 f32 -> f32 */
    ORR_DO_SUB = 2,
    ORR_DO_MUL = 3,
    ORR_DO_DIV = 4,       /* may be off by 2.5 units in the last place */
    ORR_DO_NEG = 5,       /* f32 -> f32 */
    ORR_DO_ABS = 6,
    ORR_DO_SQRT = 7,      /* may be off by a few units */
    ORR_DO_FLOOR = 8,
    ORR_DO_ROUND = 9,     /* to nearest, ties to even */
    ORR_DO_FMA = 10,      /* f32 f32 f32 -> f32: a b + c, rounded once or twice */
    ORR_DO_LESS = 11,     /* f32 f32 -> truth */
    ORR_DO_LESS_EQUAL = 12,
    ORR_DO_EQUAL = 13,
    ORR_DO_AND = 14,      /* truth truth -> truth */
    ORR_DO_OR = 15,
    ORR_DO_NOT = 16,      /* truth -> truth */
    ORR_DO_SELECT = 17,   /* truth f32 f32 -> f32: a ? b : c. Both are computed */
    ORR_DO_SELECT_WORD = 18, /* truth word word -> word */
    ORR_DO_BITS = 19,     /* f32 -> word, the same bits */
    ORR_DO_FLOAT = 20,    /* word -> f32, the same bits */
    ORR_DO_TO_INT = 21,   /* f32 -> word, signed; towards 0; anything where it does not fit */
    ORR_DO_FROM_INT = 22, /* word, signed -> f32 */
    ORR_DO_WORD_ADD = 23, /* word word -> word, modulo 2^32 */
    ORR_DO_WORD_SUB = 24,
    ORR_DO_WORD_MUL = 25,
    ORR_DO_WORD_AND = 26,
    ORR_DO_WORD_OR = 27,
    ORR_DO_WORD_XOR = 28,
    ORR_DO_SHIFT_LEFT = 29, /* by 0 to 31 */
    ORR_DO_SHIFT_RIGHT = 30,
    ORR_DO_SHIFT_RIGHT_SIGNED = 31,
    ORR_DO_WORD_LESS = 32,  /* word word -> truth, unsigned */
    ORR_DO_WORD_EQUAL = 33
};

/* An expression being told. Valid during one call of emit. */
typedef struct orr_expression orr_expression;
struct orr_expression {
    orr_header header;
    orr_term (*number)(orr_expression* x, float value);
    orr_term (*word)(orr_expression* x, uint32_t value);
    /* Terms that an operation does not take are 0. Gives 0, and so do all later calls, when types do not fit. */
    orr_term (*apply)(orr_expression* x, uint32_t operation, orr_term a, orr_term b, orr_term c);
};

typedef struct orr_formula {
    orr_header header;
    const char* op; /* id of an operator of this plugin, with ORR_TRAIT_ELEMENTWISE and one output */
    /* One element of the output in f32, out of one of each input (f32, or what the input broadcasts). 0: these attributes
     * have no formula. Any thread. */
    orr_term (*emit)(const orr_attrs* attrs, orr_expression* x, uint32_t n_inputs, const orr_term* inputs);
} orr_formula;

typedef struct orr_expressions {
    orr_header header;
    uint32_t count;
    const orr_formula* const* items;
} orr_expressions;
#define ORR_EXT_EXPRESSIONS "orr.expressions/1"

#ifdef __cplusplus
}
#endif
#endif
