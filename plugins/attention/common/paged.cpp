#include "common/paged.hpp"

namespace orrery::attention {

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

}  // namespace orrery::attention
