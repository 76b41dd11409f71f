#include "types.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace orrery::conformance {
namespace {

// Nearest, ties to even, in double arithmetic: independent of what plugins do.
uint16_t half_of(double v) {
    const uint16_t sign = std::signbit(v) ? 0x8000 : 0;
    if (std::isnan(v)) return sign | 0x7e00;
    const double a = std::fabs(v);
    if (a >= 65520.0) return sign | 0x7c00;
    if (a == 0) return sign;
    const int e = std::max(std::ilogb(a), -14);
    return static_cast<uint16_t>(sign + ((e + 14) << 10) + static_cast<int>(std::nearbyint(std::ldexp(a, 10 - e))));
}
double half_value(uint16_t h) {
    const int e = h >> 10 & 31, m = h & 1023;
    const double a = e == 31 ? (m ? NAN : INFINITY) : e == 0 ? std::ldexp(m, -24) : std::ldexp(1024 + m, e - 25);
    return h & 0x8000 ? -a : a;
}
uint16_t brain_of(double v) {
    const uint32_t u = std::bit_cast<uint32_t>(static_cast<float>(v));
    if (std::isnan(v)) return static_cast<uint16_t>(u >> 16 | 0x40);
    return static_cast<uint16_t>((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

template <class T, class V>
void put(std::vector<uint8_t>& out, V v) {
    const T value = static_cast<T>(v);
    const auto* p = reinterpret_cast<const uint8_t*>(&value);
    out.insert(out.end(), p, p + sizeof(T));
}
template <class T>
double take(const uint8_t* p, int64_t n) {
    T v;
    std::memcpy(&v, p + n * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return static_cast<double>(v);
}

template <class V>
void put_number(std::vector<uint8_t>& out, uint32_t type, V v) {
    switch (type) {
        case ORR_TYPE_F32: return put<float>(out, v);
        case ORR_TYPE_F16: return put<uint16_t>(out, half_of(static_cast<double>(v)));
        case ORR_TYPE_BF16: return put<uint16_t>(out, brain_of(static_cast<double>(v)));
        case ORR_TYPE_F64: return put<double>(out, v);
        case ORR_TYPE_I8: return put<int8_t>(out, v);
        case ORR_TYPE_U8: return put<uint8_t>(out, v);
        case ORR_TYPE_I16: return put<int16_t>(out, v);
        case ORR_TYPE_U16: return put<uint16_t>(out, v);
        case ORR_TYPE_I32: return put<int32_t>(out, v);
        case ORR_TYPE_U32: return put<uint32_t>(out, v);
        case ORR_TYPE_I64: return put<int64_t>(out, v);
        case ORR_TYPE_U64: return put<uint64_t>(out, v);
        default: return put<uint8_t>(out, v != 0);
    }
}

double take_number(const uint8_t* p, uint32_t type, int64_t n) {
    switch (type) {
        case ORR_TYPE_F32: return take<float>(p, n);
        case ORR_TYPE_F16: return half_value(static_cast<uint16_t>(take<uint16_t>(p, n)));
        case ORR_TYPE_BF16: return std::bit_cast<float>(static_cast<uint32_t>(take<uint16_t>(p, n)) << 16);
        case ORR_TYPE_F64: return take<double>(p, n);
        case ORR_TYPE_I8: return take<int8_t>(p, n);
        case ORR_TYPE_I16: return take<int16_t>(p, n);
        case ORR_TYPE_U16: return take<uint16_t>(p, n);
        case ORR_TYPE_I32: return take<int32_t>(p, n);
        case ORR_TYPE_U32: return take<uint32_t>(p, n);
        case ORR_TYPE_I64: return take<int64_t>(p, n);
        case ORR_TYPE_U64: return take<uint64_t>(p, n);
        default: return take<uint8_t>(p, n);
    }
}

}  // namespace

Types::Types() {
    const struct {
        const char* id;
        uint32_t number, bytes;
    } plain[] = {{"f32", 1, 4}, {"f16", 2, 2}, {"bf16", 3, 2}, {"f64", 4, 8},   {"i8", 5, 1},   {"u8", 6, 1},  {"i16", 7, 2},
                 {"i32", 8, 4}, {"i64", 9, 8}, {"bool", 10, 1}, {"u16", 11, 2}, {"u32", 12, 4}, {"u64", 13, 8}};
    for (const auto& p : plain) items_.push_back({p.id, p.number, 1, p.bytes, nullptr});
}

void Types::add(const orr_types* table) {
    for (uint32_t n = 0; table && n < table->count; n++) {
        const orr_type& t = *table->items[n];
        bool known = false;
        for (const Type& have : items_) known = known || have.id == t.id;
        if (!known) items_.push_back({t.id, ORR_TYPE_FIRST_BLOCK + static_cast<uint32_t>(items_.size()), t.block_elems, t.block_bytes, &t});
    }
}

const Type& Types::get(const std::string& id) const {
    for (const Type& t : items_)
        if (t.id == id) return t;
    throw std::runtime_error("no plugin given brings the type \"" + id + "\" (--types PLUGIN.so)");
}

const Type& Types::get(uint32_t number) const {
    for (const Type& t : items_)
        if (t.number == number) return t;
    throw std::runtime_error("no type has the number " + std::to_string(number));
}

std::vector<uint8_t> encode(const Type& t, const std::vector<double>& values) {
    std::vector<uint8_t> out;
    if (t.block) {
        if (!t.block->quantise) throw std::runtime_error(t.id + " has no quantise; the case must give bytes");
        if (values.size() % t.block_elems) throw std::runtime_error(t.id + ": " + std::to_string(values.size()) + " values are not whole blocks");
        const std::vector<float> src(values.begin(), values.end());
        out.resize(values.size() / t.block_elems * t.block_bytes);
        t.block->quantise(src.data(), out.data(), static_cast<int64_t>(src.size()));
        return out;
    }
    out.reserve(values.size() * t.block_bytes);
    for (const double v : values) put_number(out, t.number, v);
    return out;
}

std::vector<uint8_t> encode_integers(const Type& t, const std::vector<int64_t>& values) {
    std::vector<uint8_t> out;
    out.reserve(values.size() * t.block_bytes);
    for (const int64_t v : values) put_number(out, t.number, v);
    return out;
}

std::vector<double> decode(const Type& t, const uint8_t* bytes, int64_t elems) {
    std::vector<double> out(static_cast<size_t>(elems));
    if (t.block) {
        std::vector<float> values(static_cast<size_t>(elems));
        t.block->dequantise(bytes, values.data(), elems);
        out.assign(values.begin(), values.end());
        return out;
    }
    for (int64_t n = 0; n < elems; n++) out[static_cast<size_t>(n)] = take_number(bytes, t.number, n);
    return out;
}

}  // namespace orrery::conformance
