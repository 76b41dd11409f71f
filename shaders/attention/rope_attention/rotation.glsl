// Rotary position embedding of one pair of elements. Su et al. 2021, arXiv:2104.09864. Whoever includes this declares the constants PAIRS, INTERLEAVED,
// ROPE_SCALE and LONG_ROPE_SCALE, and the parameters freq and long_freq.
#include "common/trig.glsl"

// Elements of pair i.
uvec2 pair_at(uint i) { return INTERLEAVED != 0 ? uvec2(2 * i, 2 * i + 1) : uvec2(i, i + PAIRS); }
vec2 pair_angle(int position, float frequency, bool far) { return (far ? LONG_ROPE_SCALE : ROPE_SCALE) * cos_sin(float(position) * frequency); }
vec2 turn_pair(vec2 x, vec2 c) { return vec2(x.x * c.x - x.y * c.y, x.y * c.x + x.x * c.y); }
