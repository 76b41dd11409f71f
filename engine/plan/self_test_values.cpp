#include "engine/plan/self_test_values.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "orrery/plugin.hpp"

namespace orrery {
namespace {

uint16_t half_of(float v) {
    const auto sign = static_cast<uint16_t>(std::signbit(v) ? 0x8000 : 0);
    const double a = std::min(std::fabs(static_cast<double>(v)), 65504.0);
    if (a == 0) return sign;
    const int e = std::max(std::ilogb(a), -14);
    return static_cast<uint16_t>(sign + ((e + 14) << 10) + static_cast<int>(std::nearbyint(std::ldexp(a, 10 - e))));
}

uint16_t brain_of(float v) {
    const uint32_t u = std::bit_cast<uint32_t>(v);
    return static_cast<uint16_t>((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

template <class T>
void put(void* dst, int64_t i, double v) {
    const T value = static_cast<T>(v);
    std::memcpy(static_cast<char*>(dst) + i * static_cast<int64_t>(sizeof value), &value, sizeof value);
}

bool is_whole(uint32_t type) { return type != ORR_TYPE_F32 && type != ORR_TYPE_F16 && type != ORR_TYPE_BF16 && type != ORR_TYPE_F64; }

void put_number(uint32_t type, void* dst, int64_t i, double v) {
    switch (type) {
        case ORR_TYPE_F32: return put<float>(dst, i, v);
        case ORR_TYPE_F16: return put<uint16_t>(dst, i, half_of(static_cast<float>(v)));
        case ORR_TYPE_BF16: return put<uint16_t>(dst, i, brain_of(static_cast<float>(v)));
        case ORR_TYPE_F64: return put<double>(dst, i, v);
        case ORR_TYPE_I8: return put<int8_t>(dst, i, v);
        case ORR_TYPE_U8: return put<uint8_t>(dst, i, v);
        case ORR_TYPE_I16: return put<int16_t>(dst, i, v);
        case ORR_TYPE_U16: return put<uint16_t>(dst, i, v);
        case ORR_TYPE_I32: return put<int32_t>(dst, i, v);
        case ORR_TYPE_U32: return put<uint32_t>(dst, i, v);
        case ORR_TYPE_I64: return put<int64_t>(dst, i, v);
        case ORR_TYPE_U64: return put<uint64_t>(dst, i, v);
        default: return put<uint8_t>(dst, i, v != 0);
    }
}

}  // namespace

uint64_t TestNumbers::next() {  // splitmix64, Steele et al. 2014
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double TestNumbers::between(double low, double high) { return low + (high - low) * static_cast<double>(next() >> 11) * 0x1p-53; }

bool TestNumbers::fill(const TypeInfo& type, int64_t n, double low, double high, void* dst) {
    if (type.type) {
        if (!type.type->quantise) return fill_blocks(type, n / type.block_elems, low, high, static_cast<uint8_t*>(dst));
        std::vector<float> values(static_cast<size_t>(n));
        for (float& v : values) v = static_cast<float>(between(low, high));
        type.type->quantise(values.data(), dst, n);
        return true;
    }
    const bool whole = is_whole(type.number);
    for (int64_t i = 0; i < n; i++) put_number(type.number, dst, i, whole ? std::floor(between(low, high + 1)) : between(low, high));
    return true;
}

// Any bytes are a block; of random ones those are taken whose numbers have about the size that is wanted.
bool TestNumbers::fill_blocks(const TypeInfo& type, int64_t blocks, double low, double high, uint8_t* dst) {
    constexpr int64_t kDistinct = 48;
    constexpr int kTries = 200'000;
    const double top = std::max(std::fabs(low), std::fabs(high)), least = top / 6, most = top;
    std::vector<uint8_t> found, block((type.block_bytes + 7) / 8 * 8);
    std::vector<float> values(type.block_elems);
    const int64_t wanted = std::min(blocks, kDistinct);
    int64_t count = 0;
    for (int tries = 0; count < wanted && tries < kTries; tries++) {
        for (size_t i = 0; i < block.size(); i += 8) {
            const uint64_t bits = next();
            std::memcpy(block.data() + i, &bits, 8);
        }
        type.type->dequantise(block.data(), values.data(), type.block_elems);
        double sum = 0;
        for (const float v : values) sum += static_cast<double>(v) * v;
        const double rms = std::sqrt(sum / type.block_elems);
        if (!(rms >= least && rms <= most)) continue;  // and not NaN
        found.insert(found.end(), block.begin(), block.begin() + type.block_bytes);
        count++;
    }
    if (wanted > 0 && count == 0) return false;
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t from = b < count ? b : static_cast<int64_t>(next() % static_cast<uint64_t>(count));
        std::memcpy(dst + b * type.block_bytes, found.data() + from * type.block_bytes, type.block_bytes);
    }
    return true;
}

}  // namespace orrery
