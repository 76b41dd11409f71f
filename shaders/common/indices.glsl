// Indices in memory, i32 or i64; 0xffffffff for one outside [0, extent): the run fails when tell_index says so, and nothing is read there.
#ifndef ORR_INDICES_GLSL
#define ORR_INDICES_GLSL
#include "common/memory.glsl"
uint load_index(uvec2 base, uint i, bool wide, uint extent) {
    const uvec2 v = wide ? Addresses(base).v[i] : uvec2(U32(base).v[i], 0u);
    return v.y == 0u && v.x < extent ? v.x : 0xffffffffu;
}

// Number i, `apart` elements from the next, lies outside: told in orr_vulkan_fault of ext/vulkan.h, where there is one. For one invocation of each
// such number; the first of them tells, so that the text is the processor's. Those behind look back to the one before, no further.
void tell_index(uvec2 fault, uvec2 base, uint i, uint apart, bool wide, uint extent) {
    if ((fault.x | fault.y) == 0u) return;
    for (uint k = i; k-- > 0u;)
        if (load_index(base, k * apart, wide, extent) == 0xffffffffu) return;
    const uint low = wide ? Addresses(base).v[i * apart].x : U32(base).v[i * apart];
    const uint high = wide ? Addresses(base).v[i * apart].y : uint(int(low) >> 31);
    U32(fault).v[0] = 1u;
    U32(fault).v[1] = i;
    U32(fault).v[2] = low;
    U32(fault).v[3] = high;
}
#endif
