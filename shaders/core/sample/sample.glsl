// What the passes of orr.sample/1 share: plugins/common/sampling/sampling.cpp in words of 32 bits, bit for bit.
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/memory.glsl"
#include "common/wide.glsl"
#include "core/sample/params.h"
#include "core/sample/work.h"

const uint INF_BITS = 0x7f800000u, SIGN = 0x80000000u, TOP_KEY = INF_BITS | SIGN;
// ln(2)^k / k! * 2^32, k = 1 … 9: the series of 2^-f
const uint SERIES[9] = uint[9](2977044472u, 1031764991u, 238388332u, 41309550u, 5726720u, 661577u, 65510u, 5676u, 437u);
const uint LOG2E = 3098164009u;  // log2(e) * 2^31

#define ROW gl_WorkGroupID.y
#define LANE gl_LocalInvocationID.x
uint word_of(uint at) { return work.v[ROW * words + at]; }
void set_word(uint at, uint value) { work.v[ROW * words + at] = value; }
uint logit_bits(uint i) { return logits.v[ROW * row_stride + i]; }
uint parameter(uint i) { return parameters.v[ROW * 4u + i]; }

uint high_of(uint a, uint b) {
    uint high, low;
    umulExtended(a, b, high, low);
    return high;
}
// a word times 64 bits, the lower 64 bits of it
uvec2 wide_times(uint a, uvec2 b) { return wide_mul(uvec2(a, 0u), b); }

uint key_of(uint bits) {
    if ((bits & ~SIGN) > INF_BITS || bits == (INF_BITS | SIGN)) return 0u;
    if (bits == SIGN) bits = 0u;
    return (bits & SIGN) != 0u ? ~bits : bits | SIGN;
}
float logit_of(uint key) { return uintBitsToFloat((key & SIGN) != 0u ? key ^ SIGN : ~key); }

bool draws() {
    if (sampled == 0u) return false;
    const uint bits = parameter(0);
    return bits > 0u && bits <= INF_BITS;
}
float rate_of_row() {
    const uint bits = clamp(parameter(0), 63u << 23, 191u << 23);
    const uint mantissa = (bits & 0x7fffffu) | 0x800000u;
    uint rest = 0u, quotient = 0u;
    for (int i = 47; i >= 0; i--) {
        rest = rest << 1 | (i >= 16 ? LOG2E >> (i - 16) & 1u : 0u);
        quotient <<= 1;
        if (rest >= mantissa) {
            rest -= mantissa;
            quotient |= 1u;
        }
    }
    int power = -24 - (int(bits >> 23) - 127);
    if (quotient >= 0x1000000u) {
        quotient >>= 1;
        power++;
    }
    return uintBitsToFloat(uint(power + 150) << 23 | (quotient & 0x7fffffu));
}
uvec2 weight_of(float top, float logit, float rate) {
    precise float distance = top - logit;
    precise float y = distance * rate;
    if (!(y < 41.0)) return uvec2(0u);
    const uint fixed_y = uint(y * 16777216.0), fraction = fixed_y << 8, n = fixed_y >> 24;
    uint h = SERIES[8];
    for (int k = 7; k >= 0; k--) h = SERIES[k] - high_of(fraction, h);
    const uint less = high_of(fraction, h);  // 2^32 - less, times 2^8, over 2^n
    const uvec2 r = less == 0u ? uvec2(0u, 1u) : uvec2(0u - less, 0u);
    if (n < 8u) return uvec2(r.x << (8u - n), r.y << (8u - n) | r.x >> (24u + n));
    if (n == 8u) return r;
    if (n == 40u) return uvec2(r.y, 0u);
    return uvec2(r.x >> (n - 8u) | r.y << (40u - n), r.y >> (n - 8u));
}
// Whether top-p leaves anything out, and its share of 2^32.
bool has_share() {
    const uint bits = parameter(2);
    return (bits & SIGN) != 0u ? (bits & ~SIGN) <= INF_BITS : bits < 0x3f800000u;
}
uint share_of_row() {
    const uint bits = parameter(2);
    return (bits & SIGN) != 0u ? 0u : uint(uintBitsToFloat(bits) * 4294967296.0);
}
uvec2 wanted_of(uint share, uvec2 sum) {
    uint high, low;
    umulExtended(share, sum.x, high, low);
    uvec2 wanted;
    umulExtended(share, sum.y, wanted.y, wanted.x);
    wanted = wide_add(wanted, uvec2(high, 0u));
    return low != 0u ? wide_add(wanted, uvec2(1u, 0u)) : wanted;
}
uvec2 floor_of_row() {
    const uint bits = parameter(3);
    if (bits == 0u || bits > INF_BITS) return uvec2(0u);
    if (bits >= 0x3f800000u) return uvec2(0u, 256u);
    precise float high = uintBitsToFloat(bits) * 256.0;
    precise float rest = high - floor(high);
    return uvec2(uint(rest * 4294967296.0), uint(high));
}
uvec2 target_of(uvec2 r, uvec2 s) {
    uvec2 middle, other, top;
    umulExtended(r.y, s.x, middle.y, middle.x);
    middle = wide_add(middle, uvec2(high_of(r.x, s.x), 0u));
    umulExtended(r.x, s.y, other.y, other.x);
    other = wide_add(other, uvec2(middle.x, 0u));
    umulExtended(r.y, s.y, top.y, top.x);
    return wide_add(wide_add(top, uvec2(middle.y, 0u)), uvec2(other.y, 0u));
}
// How many top-k keeps; 0: all
uint count_of_row() {
    const float k = uintBitsToFloat(parameter(1));
    return k >= 1.0 && k < float(n) ? uint(k) : 0u;
}

// ---- over the workgroup; must be reached by all of it

shared uint scan_[ORR_GROUP];
shared uvec2 wide_scan_[ORR_GROUP];

// The sum up to this lane; scan_[255] holds all until the next scan.
uint scan_add(uint value) {
    barrier();
    scan_[LANE] = value;
    barrier();
    for (uint step = 1u; step < ORR_GROUP; step <<= 1) {
        const uint other = LANE >= step ? scan_[LANE - step] : 0u;
        barrier();
        scan_[LANE] += other;
        barrier();
    }
    return scan_[LANE];
}
uvec2 scan_wide(uvec2 value) {
    barrier();
    wide_scan_[LANE] = value;
    barrier();
    for (uint step = 1u; step < ORR_GROUP; step <<= 1) {
        const uvec2 other = LANE >= step ? wide_scan_[LANE - step] : uvec2(0u);
        barrier();
        wide_scan_[LANE] = wide_add(wide_scan_[LANE], other);
        barrier();
    }
    return wide_scan_[LANE];
}
// Key and id of the row's largest logit, the first of equals; key 0: there is none.
uvec2 top_of_row() {
    uvec2 best = uvec2(0u);
    for (uint c = LANE; c < chunks; c += ORR_GROUP) {
        const uint key = word_of(SAMPLE_TOPS + 2u * c);
        if (key > best.x) best = uvec2(key, word_of(SAMPLE_TOPS + 2u * c + 1u));
    }
    barrier();
    wide_scan_[LANE] = best;
    barrier();
    for (uint step = ORR_GROUP / 2u; step > 0u; step >>= 1) {
        if (LANE < step) {
            const uvec2 a = wide_scan_[LANE], b = wide_scan_[LANE + step];
            if (b.x > a.x || (b.x == a.x && b.y < a.y)) wide_scan_[LANE] = b;
        }
        barrier();
    }
    best = wide_scan_[0];
    barrier();
    return best;
}
