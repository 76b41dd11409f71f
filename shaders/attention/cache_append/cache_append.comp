// Device half of plugins/attention/ops/cache_append/cache_append_vulkan.cpp
// state[b, past_b + t, h, d] = x[b, t, h, d], rounded to the state's type
// An invocation writes a word: one element, or two of 16 bits. NARROW writes 16 bits at a time: rows of odd widths share words, and q8_0
// blocks (f16 scale, 32 signed bytes) begin at odd multiples of 2 bytes; there an invocation writes two elements, 16 of them a block.
#version 460
#extension GL_GOOGLE_include_directive : require
#ifdef NARROW
#extension GL_EXT_shader_16bit_storage : require
#endif
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/kv_store.glsl"
#include "attention/cache_append/params.h"


void main() {
    const uint each = type == ORR_F32 ? D : (D + 1) / 2;
    const uint at = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 256 + gl_LocalInvocationID.x;
    const uint h = at / each % H, t = at / each / H % T, b = at / each / H / T;
    const uint d = at % each * (type == ORR_F32 ? 1 : 2);
    bool live = b < B;
    uvec2 row = uvec2(0);
    float first = 0, second = 0;
    if (live) {
        const Paged cache = state.v[b];
        const uint token = cache.past + t, from = b * x_batch + t * x_token + h * x_head + d;
        row = cache_row(cache, token, h, D, type);
        live = token < cache.tokens && row != uvec2(0);  // a page behind the window is gone
        first = x.v[from];
        if (type != ORR_F32 && d + 1 < D) second = x.v[from + 1];
    }
#ifdef NARROW
    if (type == ORR_Q8_0) {
        store_block(live, row, d, first, second);
        return;
    }
#endif
    if (live) store_elements(row, d, D, type, first, second);
}
