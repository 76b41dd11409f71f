// Constants and positions of append.comp and append_quads.comp.
layout(constant_id = 0) const uint D = 64;
layout(constant_id = 1) const uint Dv = 64;
layout(constant_id = 2) const uint PAIRS = 32;
layout(constant_id = 3) const uint K_TYPE = 1;  // ORR_TYPE_* or ORR_Q8_0
layout(constant_id = 4) const uint V_TYPE = 1;
layout(constant_id = 5) const uint INTERLEAVED = 0;
layout(constant_id = 6) const int SWITCH_LENGTH = 0;
layout(constant_id = 7) const float ROPE_SCALE = 1;
layout(constant_id = 8) const float LONG_ROPE_SCALE = 1;
#include "attention/rope/rotation.glsl"

int position(uint b, uint t) { return positions.v[b * position_batch + t * position_token]; }

// Whether a position of the sequence asks for the frequencies of long texts. All of the group must come.
bool beyond_switch(uint b) {
    if (SWITCH_LENGTH <= 0) return false;
    float most = -1;
    for (uint n = gl_LocalInvocationID.x; n < T; n += ORR_GROUP) most = max(most, float(position(b, n)));
    return int(group_max(most)) >= SWITCH_LENGTH;
}
