// The definition, element by element, rounding by search over neighbours rather than by bit tricks.
#include "ops/cache_append/cache_append.hpp"

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

void write_block(const double (&x)[32], char* block) {
    float top = 0;
    for (const double v : x) top = std::fmax(top, static_cast<float>(std::fabs(v)));
    const float d = top / 127.0f, inverse = d == 0.0f ? 0.0f : 1.0f / d;
    const uint16_t scale = nearest<flt::half_value>(d, 0x7c00);
    std::memcpy(block, &scale, 2);
    for (int j = 0; j < 32; ++j) {
        const float q = std::round(static_cast<float>(x[j]) * inverse);
        block[2 + j] = static_cast<char>(static_cast<int8_t>(q == q ? std::fmin(std::fmax(q, -127.0f), 127.0f) : 0.0f));
    }
}

void write_row(flt::KvType type, const orr_tensor& x, flt::Index at, char* row) {
    for (int64_t d = 0; d < x.shape[3]; ++d) {
        at[3] = d;
        const double value = flt::number(x, at);
        if (type == flt::KvType::f32) {
            const auto f = static_cast<float>(value);
            std::memcpy(row + d * 4, &f, 4);
        } else if (type != flt::KvType::q8_0) {
            const uint16_t bits = type == flt::KvType::f16 ? nearest<flt::half_value>(value, 0x7c00) : nearest<flt::brain_value>(value, 0x7f80);
            std::memcpy(row + d * 2, &bits, 2);
        } else if (d % 32 == 0) {
            double block[32];
            for (int64_t j = 0; j < 32; ++j) {
                at[3] = d + j;
                block[j] = flt::number(x, at);
            }
            write_block(block, row + d / 32 * 34);
        }
    }
}

bool supports(const orr_prepare* p, char* reason, size_t size) { return takes_pages(*p->inputs[0], "state", reason, size); }

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &state = *run->inputs[0], &x = *run->inputs[1];
        check_pages(state, x);
        flt::KvType type = flt::KvType::f32;
        kv_type(state, &type);
        const auto row_bytes = static_cast<int64_t>(flt::kv_row_bytes(type, x.shape[3]));
        for (int64_t b = 0; b < x.shape[0]; ++b)
            for (int64_t t = 0; t < x.shape[1]; ++t)
                for (int64_t h = 0; h < x.shape[2]; ++h) {
                    const orr_paged& table = page_table(state, b);
                    const int64_t token = table.past + t;
                    char* page = static_cast<char*>(table.pages[token / table.page_tokens]);
                    if (page == nullptr) continue;  // behind the window already
                    write_row(type, x, {b, t, h, 0}, page + (h * table.page_tokens + token % table.page_tokens) * row_bytes);
                }
    });
}

}  // namespace

const KernelDef kCacheAppendReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, nullptr, run};

}  // namespace orrery::attention
