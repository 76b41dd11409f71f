// Device half of plugins/core/ops/pad/pad_vulkan.cpp
// y = x with elements added at both ends of its axes; elements of ORR_UNIT bytes, bits as they are.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint axes = 5;
layout(constant_id = 1) const uint mode = 0;  // constant, reflect, replicate
#include "common/strided.glsl"
#include "core/pad/params.h"

void main() {
    const uint i = flat_index();
    if (i >= n) return;
    uint from = 0, rest = i;
    bool inside = true;
    for (uint k = 0; k < axes; k++) {
        int at = int(rest % extent[k]) - int(before[k]);
        rest /= extent[k];
        const int most = int(extent_x[k]) - 1;
        if (at < 0 || at > most) {
            if (mode == 0) {
                inside = false;
                at = 0;
            } else if (mode == 1) {
                at = at < 0 ? -at : 2 * most - at;
            } else {
                at = at < 0 ? 0 : most;
            }
        }
        from += uint(at) * stride_x[k];
    }
    if (inside) Unit(y).v[i] = Unit(x).v[from];
#if ORR_UNIT == 8
    else Unit(y).v[i] = uvec2(constant[0], constant[1]);
#elif ORR_UNIT == 4
    else Unit(y).v[i] = constant[0];
#elif ORR_UNIT == 2
    else Unit(y).v[i] = uint16_t(constant[0]);
#else
    else Unit(y).v[i] = uint8_t(constant[0]);
#endif
}
