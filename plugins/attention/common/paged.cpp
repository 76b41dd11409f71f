#include "common/paged.hpp"

namespace orrery::attention {
namespace {

// The 16-bit pattern whose value is nearest to x, ties to the even pattern; beyond the last finite one by half a step: infinity.
template <float (*Value)(uint16_t)>
uint16_t nearest(double x, uint16_t infinity) {
    const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
    const double magnitude = std::fabs(x);
    if (x != x) return static_cast<uint16_t>(infinity | (infinity == 0x7c00 ? 0x200 : 0x40) | sign);
    uint16_t low = 0, high = infinity;  // value(low) <= magnitude; patterns rise with value
    if (std::isinf(magnitude)) return static_cast<uint16_t>(sign | infinity);
    while (high - low > 1) {
        const auto middle = static_cast<uint16_t>((low + high) / 2);
        (static_cast<double>(Value(middle)) <= magnitude ? low : high) = middle;
    }
    const double below = Value(low), step = low > 0 ? below - Value(static_cast<uint16_t>(low - 1)) : Value(1);
    // the step upwards; past the largest finite number it would be what the exponent's spacing gives
    const double above = high == infinity ? below + step : static_cast<double>(Value(high));
    const double middle = (below + above) / 2;
    const bool up = magnitude > middle || (magnitude == middle && (low & 1));
    return static_cast<uint16_t>(sign | (up ? high : low));
}

void write_block(const double* x, char* block) {  // of 32
    float top = 0;
    for (int j = 0; j < 32; ++j) top = std::fmax(top, static_cast<float>(std::fabs(x[j])));
    const float d = top / 127.0f, inverse = d == 0.0f ? 0.0f : 1.0f / d;
    const uint16_t scale = nearest<flt::half_value>(d, 0x7c00);
    std::memcpy(block, &scale, 2);
    for (int j = 0; j < 32; ++j) {
        const float q = std::round(static_cast<float>(x[j]) * inverse);
        block[2 + j] = static_cast<char>(static_cast<int8_t>(q == q ? std::fmin(std::fmax(q, -127.0f), 127.0f) : 0.0f));
    }
}

}  // namespace

double paged_number(const orr_tensor& t, const orr_paged& table, int64_t s, int64_t h, int64_t d) {
    const int64_t width = t.shape[3], row = h * table.page_tokens + s % table.page_tokens;
    const char* page = static_cast<const char*>(table.pages[s / table.page_tokens]);
    flt::KvType type;
    if (!kv_type(t, &type)) throw Error(ORR_UNSUPPORTED, std::string("a cache of ") + t.type_id + "; known are " + kCacheTypes);
    if (type != flt::KvType::q8_0) {
        const int64_t bytes = type == flt::KvType::f32 ? 4 : 2;
        const uint32_t number = type == flt::KvType::f32 ? ORR_TYPE_F32 : type == flt::KvType::f16 ? ORR_TYPE_F16 : ORR_TYPE_BF16;
        return flt::number_at(number, page + (row * width + d) * bytes);
    }
    // blocks of 32: an f16 scale, then 32 signed bytes
    const char* block = page + (row * width + d) / 32 * 34;
    return flt::number_at(ORR_TYPE_F16, block) * flt::number_at(ORR_TYPE_I8, block + 2 + d % 32);
}

void check_pages(const char* op, const orr_tensor& state, int64_t tokens) {
    for (int64_t b = 0; b < state.shape[0]; ++b) {
        const orr_paged& table = page_table(state, b);
        if (table.length < table.past + tokens)
            throw Error(ORR_INVALID_ARGUMENT, std::string(op) + ": sequence " + std::to_string(b) + " holds " + std::to_string(table.past) + " tokens and gets " +
                                                  std::to_string(tokens) + ", its table ends at " + std::to_string(table.length));
    }
}

void store_row(const orr_tensor& state, int64_t b, int64_t token, int64_t h, const double* x) {
    const orr_paged& table = page_table(state, b);
    char* page = static_cast<char*>(table.pages[token / table.page_tokens]);
    if (page == nullptr) return;  // behind the window already
    flt::KvType type = flt::KvType::f32;
    kv_type(state, &type);
    const int64_t width = state.shape[3];
    char* row = page + (h * table.page_tokens + token % table.page_tokens) * static_cast<int64_t>(flt::kv_row_bytes(type, width));
    for (int64_t d = 0; d < width; ++d) {
        if (type == flt::KvType::f32) {
            const auto f = static_cast<float>(x[d]);
            std::memcpy(row + d * 4, &f, 4);
        } else if (type != flt::KvType::q8_0) {
            const uint16_t bits = type == flt::KvType::f16 ? nearest<flt::half_value>(x[d], 0x7c00) : nearest<flt::brain_value>(x[d], 0x7f80);
            std::memcpy(row + d * 2, &bits, 2);
        } else if (d % 32 == 0) {
            write_block(x + d, row + d / 32 * 34);
        }
    }
}

}  // namespace orrery::attention
