// The order of argmax and top_k: larger first, a NaN before everything, of equals the first. Values are compared as keys of two
// words that order as unsigned numbers, high word in y.
#ifndef ORR_ORDER_GLSL
#define ORR_ORDER_GLSL
#define ORR_NOWHERE 0xffffffffu

uvec2 key_of_f32(uint bits) {
    if ((bits & 0x7fffffffu) > 0x7f800000u) return uvec2(0u, 0xffffffffu);
    if (bits == 0x80000000u) bits = 0u;  // -0 equals 0
    return uvec2(0u, (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u);
}
uvec2 key_of_wide(uvec2 v) { return uvec2(v.x, v.y ^ 0x80000000u); }

// Whether a at place i stands before b at place j. ORR_NOWHERE: there is none.
bool is_before(uvec2 a, uint i, uvec2 b, uint j) {
    if (i == ORR_NOWHERE || j == ORR_NOWHERE) return i != ORR_NOWHERE;
    if (a.y != b.y) return a.y > b.y;
    if (a.x != b.x) return a.x > b.x;
    return i < j;
}

shared uvec2 orr_keys_[ORR_GROUP];
shared uint orr_places_[ORR_GROUP];

// The first of all invocations'; every invocation gets it. Must be reached by all.
void group_first(inout uvec2 key, inout uint place) {
    const uint i = gl_LocalInvocationID.x;
    orr_keys_[i] = key;
    orr_places_[i] = place;
    barrier();
    for (uint step = ORR_GROUP / 2; step > 0; step >>= 1) {
        if (i < step && is_before(orr_keys_[i + step], orr_places_[i + step], orr_keys_[i], orr_places_[i])) {
            orr_keys_[i] = orr_keys_[i + step];
            orr_places_[i] = orr_places_[i + step];
        }
        barrier();
    }
    key = orr_keys_[0];
    place = orr_places_[0];
    barrier();
}
#endif
