// Indices in memory, i32 or i64; 0xffffffff for one outside [0, extent): a shader cannot fail, so what is read there is 0.
#ifndef ORR_INDICES_GLSL
#define ORR_INDICES_GLSL
#include "common/memory.glsl"
uint load_index(uvec2 base, uint i, bool wide, uint extent) {
    const uvec2 v = wide ? Addresses(base).v[i] : uvec2(U32(base).v[i], 0u);
    return v.y == 0u && v.x < extent ? v.x : 0xffffffffu;
}
#endif
