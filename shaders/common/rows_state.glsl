// A recurrent state: layout "rows", an array of the rows' addresses, or rows one after another.
#ifndef ORR_ROWS_STATE_GLSL
#define ORR_ROWS_STATE_GLSL
#include "common/memory.glsl"

uvec2 state_row(uvec2 state, bool rows, uint b, uint elements) {
    return rows ? Addresses(state).v[b] : address_plus(state, b * elements * 4);
}
#endif
