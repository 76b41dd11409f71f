/* What a session's taps can do with a named value, told as small graphs: "orr.taps/1". The engine weaves them in behind the
 * node that makes the value, before rewrites and kernels are chosen, so that they run wherever the model does and a model
 * without taps pays nothing. */
#ifndef ORRERY_EXT_TAPS_H
#define ORRERY_EXT_TAPS_H

#include "orrery/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ORR_TAP_MOST_OUTPUTS 4

/* Where a tap is put. Values are 0 where there is none. */
typedef struct orr_tap_point {
    orr_header header;
    orr_value value;    /* the named value, f32 */
    int32_t token_axis; /* its axis of tokens, -1: it has none */
    /* An edit's tokens: bool of the value's rank, [B, T, 1 …] or a form that broadcasts to it. 0: everywhere. */
    orr_value rows;
    orr_value factor;   /* f32 [1] (NEEDS_FACTOR) */
    orr_value operand;  /* f32, broadcasts to the value (NEEDS_OPERAND) */
    int64_t count;      /* NEEDS_COUNT */
} orr_tap_point;

enum {
    ORR_TAP_EDIT = 1,          /* gives one value of the same shape, which the rest of the model sees instead; else what is given is read */
    ORR_TAP_NEEDS_FACTOR = 2,
    ORR_TAP_NEEDS_OPERAND = 4,
    ORR_TAP_NEEDS_COUNT = 8,
    ORR_TAP_NEEDS_TOKENS = 16  /* takes only values with an axis of tokens */
};

typedef struct orr_tap_kind {
    orr_header header;
    const char* id;      /* "zero"; "mean" */
    const char* summary; /* for people: what it does, with its formula */
    uint32_t flags;      /* ORR_TAP_* */
    /* Of what it reads; NULL-terminated, at most ORR_TAP_MOST_OUTPUTS. NULL: one, without a name of its own. */
    const char* const* outputs;
    /* Builds it: outs[0 …]. Failures are the builder's. */
    void (*build)(orr_builder* b, const orr_tap_point* point, orr_value* outs);
} orr_tap_kind;

typedef struct orr_taps {
    orr_header header;
    uint32_t count;
    const orr_tap_kind* const* items;
} orr_taps;
#define ORR_EXT_TAPS "orr.taps/1"

#ifdef __cplusplus
}
#endif
#endif
