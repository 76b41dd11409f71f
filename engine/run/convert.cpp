#include "engine/run/convert.hpp"

#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

#include "engine/run/options.hpp"
#include "engine/weights/weights.hpp"
#include "orrery/ext/vulkan.h"
#include "orrery/plugin.hpp"

namespace orrery {
namespace {

uint64_t type_bytes(uint32_t type) {
    switch (type) {
        case ORR_TYPE_F64:
        case ORR_TYPE_I64:
        case ORR_TYPE_U64: return 8;
        case ORR_TYPE_F32:
        case ORR_TYPE_I32:
        case ORR_TYPE_U32: return 4;
        case ORR_TYPE_F16:
        case ORR_TYPE_BF16:
        case ORR_TYPE_I16:
        case ORR_TYPE_U16: return 2;
        case ORR_TYPE_I8:
        case ORR_TYPE_U8:
        case ORR_TYPE_BOOL: return 1;
        default: return 0;
    }
}

bool is_float(uint32_t type) { return type == ORR_TYPE_F32 || type == ORR_TYPE_F16 || type == ORR_TYPE_BF16 || type == ORR_TYPE_F64; }

template <class T>
int64_t load_int(const void* data, int64_t i, const char* name) {
    T v;
    std::memcpy(&v, static_cast<const char*>(data) + i * static_cast<int64_t>(sizeof v), sizeof v);
    if constexpr (std::is_same_v<T, uint64_t>)
        if (v > static_cast<uint64_t>(INT64_MAX)) throw Error(ORR_INVALID_ARGUMENT, std::string("input ") + name + ": element " + std::to_string(i) + " is " + std::to_string(v) + ", too large");
    return static_cast<int64_t>(v);
}

int64_t load_int(uint32_t type, const void* data, int64_t i, const char* name) {
    switch (type) {
        case ORR_TYPE_I64: return load_int<int64_t>(data, i, name);
        case ORR_TYPE_U64: return load_int<uint64_t>(data, i, name);
        case ORR_TYPE_I32: return load_int<int32_t>(data, i, name);
        case ORR_TYPE_U32: return load_int<uint32_t>(data, i, name);
        case ORR_TYPE_I16: return load_int<int16_t>(data, i, name);
        case ORR_TYPE_U16: return load_int<uint16_t>(data, i, name);
        case ORR_TYPE_I8: return load_int<int8_t>(data, i, name);
        default: return load_int<uint8_t>(data, i, name);
    }
}

template <class T>
void store_int(void* data, int64_t i, int64_t v, const char* name) {
    if (v < static_cast<int64_t>(std::numeric_limits<T>::min()) || v > static_cast<int64_t>(std::min<uint64_t>(std::numeric_limits<T>::max(), INT64_MAX)))
        throw Error(ORR_INVALID_ARGUMENT, std::string("input ") + name + ": element " + std::to_string(i) + " is " + std::to_string(v) + ", which does not fit");
    const T t = static_cast<T>(v);
    std::memcpy(static_cast<char*>(data) + i * static_cast<int64_t>(sizeof t), &t, sizeof t);
}

}  // namespace

void check_named_tensor(const orr_named_tensor* t, uint32_t index) {
    const auto fail = [&](const std::string& why) { throw Error(ORR_INVALID_ARGUMENT, "input " + (t && t->name ? t->name : std::to_string(index)) + ": " + why); };
    if (!t) fail("is NULL");
    if (t->header.struct_size < Members<orr_named_tensor>::kLeast) whole_members<orr_named_tensor>(t->header.struct_size, ("input " + std::to_string(index) + ": orr_named_tensor").c_str());
    if (!t->name) fail("has no name");
    if (t->rank < 0 || t->rank > ORR_MAX_RANK) fail("has rank " + std::to_string(t->rank) + ", at most 8 is possible");
    uint64_t bytes = type_bytes(t->type);
    if (bytes == 0) fail("element type " + std::to_string(t->type) + " is not a plain type");
    for (int32_t i = 0; i < t->rank; i++) {
        if (t->shape[i] < 0) fail("axis " + std::to_string(i) + " is " + std::to_string(t->shape[i]));
        if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(t->shape[i]), &bytes)) fail("its shape overflows");
    }
    if (t->size_bytes != bytes) fail("size_bytes is " + std::to_string(t->size_bytes) + ", its shape and type take " + std::to_string(bytes));
    const bool in_buffer = named_buffer(*t) != nullptr;
    if (in_buffer && t->data) fail("both data and buffer are given");
    if (bytes && !t->data && !in_buffer) fail("data is NULL");
}

void convert_plain(const orr_named_tensor& src, const orr_tensor& dst) {
    const int64_t n = elements(dst);
    if (src.type == dst.type) {
        if (src.size_bytes) std::memcpy(dst.data, src.data, src.size_bytes);
        return;
    }
    if (is_float(src.type) != is_float(dst.type))
        throw Error(ORR_INVALID_ARGUMENT, std::string("input ") + src.name + ": element type number " + std::to_string(src.type) + " was given, " + dst.type_id + " is wanted");
    if (is_float(dst.type)) {
        if (dst.type != ORR_TYPE_F32) throw Error(ORR_UNSUPPORTED, std::string("input ") + src.name + ": the model wants " + dst.type_id);
        orr_tensor from{};
        from.rank = 1;
        from.shape[0] = n;
        from.stride_bytes[0] = static_cast<int64_t>(type_bytes(src.type));
        from.data = const_cast<void*>(src.data);
        TypeInfo info;
        info.number = src.type;
        convert_to_f32(from, info, static_cast<float*>(dst.data));
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = load_int(src.type, src.data, i, src.name);
        switch (dst.type) {
            case ORR_TYPE_I32: store_int<int32_t>(dst.data, i, v, src.name); break;
            case ORR_TYPE_I64: store_int<int64_t>(dst.data, i, v, src.name); break;
            case ORR_TYPE_BOOL: store_int<uint8_t>(dst.data, i, v != 0, src.name); break;
            case ORR_TYPE_U8: store_int<uint8_t>(dst.data, i, v, src.name); break;
            default: throw Error(ORR_UNSUPPORTED, std::string("input ") + src.name + ": the model wants " + dst.type_id);
        }
    }
}

void fill_plain(const orr_tensor& dst, int64_t n, int value) {
    std::memset(dst.data, 0, dst.size_bytes);
    if (value == 0) return;
    for (int64_t i = 0; i < n; i++) {
        char* at = static_cast<char*>(dst.data) + i * dst.block_bytes;
        if (dst.type == ORR_TYPE_F32) {
            const float one = 1.f;
            std::memcpy(at, &one, sizeof one);
        } else {
            *at = 1;  // little-endian integers
        }
    }
}

}  // namespace orrery
