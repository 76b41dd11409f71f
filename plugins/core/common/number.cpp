#include "common/number.hpp"

#include <cmath>
#include <limits>

namespace orrery::core {
namespace {

template <class T>
bool store(T value, void* dst) {
    std::memcpy(dst, &value, sizeof(T));
    return true;
}

template <class T>
T saturate(double v) {
    if (std::isnan(v)) return 0;
    if (v <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
    if (v >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
    return static_cast<T>(v);
}

float narrow(double v) {
    constexpr double kLargest = std::numeric_limits<float>::max();
    if (std::fabs(v) > kLargest) return std::copysign(std::numeric_limits<float>::infinity(), static_cast<float>(v > 0 ? 1 : -1));
    return static_cast<float>(v);
}

}  // namespace

bool encode(uint32_t type, double value, void* dst) {
    switch (type) {
        case ORR_TYPE_F32: return store(narrow(value), dst);
        case ORR_TYPE_F16: return store(to_f16(narrow(value)).bits, dst);
        case ORR_TYPE_BF16: return store(to_bf16(narrow(value)).bits, dst);
        case ORR_TYPE_F64: return store(value, dst);
        case ORR_TYPE_I8: return store(saturate<int8_t>(value), dst);
        case ORR_TYPE_U8: return store(saturate<uint8_t>(value), dst);
        case ORR_TYPE_I16: return store(saturate<int16_t>(value), dst);
        case ORR_TYPE_U16: return store(saturate<uint16_t>(value), dst);
        case ORR_TYPE_I32: return store(saturate<int32_t>(value), dst);
        case ORR_TYPE_U32: return store(saturate<uint32_t>(value), dst);
        case ORR_TYPE_I64: return store(saturate<int64_t>(value), dst);
        case ORR_TYPE_U64: return store(saturate<uint64_t>(value), dst);
        case ORR_TYPE_BOOL: return store(static_cast<uint8_t>(value != 0), dst);
        default: return false;
    }
}

}  // namespace orrery::core
