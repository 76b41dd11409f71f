// Rotary position embedding of one pair of elements. Su et al. 2021, arXiv:2104.09864
#include "common/trig.glsl"

// Elements of pair i.
uvec2 pair_at(uint i, uint pairs, bool interleaved) { return interleaved ? uvec2(2 * i, 2 * i + 1) : uvec2(i, i + pairs); }
vec2 pair_angle(int position, float frequency, float scale) { return scale * cos_sin(float(position) * frequency); }
vec2 turn_pair(vec2 x, vec2 c) { return vec2(x.x * c.x - x.y * c.y, x.y * c.x + x.x * c.y); }
