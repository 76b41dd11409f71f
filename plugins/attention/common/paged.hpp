// A session's append state as these operators read and write it.
#pragma once

#include <string>

#include "float/kv_cache.hpp"
#include "float_abi/float_abi.hpp"

namespace orrery::attention {

inline constexpr const char* kCacheTypes = "f32 f16 bf16 q8_0";

inline bool is_paged(const orr_tensor& t) { return t.layout != nullptr && std::string_view(t.layout) == ORR_LAYOUT_PAGED; }
inline const orr_paged& page_table(const orr_tensor& t, int64_t b) { return *static_cast<const orr_paged* const*>(t.data)[b]; }

// The cache type of a tensor, or false where it is none.
inline bool kv_type(const orr_tensor& t, flt::KvType* type) {
    const std::string_view id = t.type_id == nullptr ? "" : t.type_id;
    if (id == "f32") *type = flt::KvType::f32;
    else if (id == "f16") *type = flt::KvType::f16;
    else if (id == "bf16") *type = flt::KvType::bf16;
    else if (id == "q8_0") *type = flt::KvType::q8_0;
    else return false;
    return true;
}

// For supports(): a paged state [B, S, Hkv, D] of a type that the kernels know.
inline bool takes_pages(const orr_tensor& t, const char* name, char* reason, size_t size) {
    flt::KvType type;
    if (!is_paged(t)) return refuse(reason, size, std::string(name) + " has layout \"" + t.layout + "\", not paged");
    if (!kv_type(t, &type)) return refuse(reason, size, std::string(name) + " is " + t.type_id + ", known are " + kCacheTypes);
    if (type == flt::KvType::q8_0 && t.shape[3] % 32 != 0) return refuse(reason, size, std::string(name) + " is " + std::to_string(t.shape[3]) + " wide, q8_0 takes multiples of 32");
    return true;
}

// Element d of token s and head h of one sequence, for references.
double paged_number(const orr_tensor& t, const orr_paged& table, int64_t s, int64_t h, int64_t d);
// Writes x [D], rounded to the state's type; nothing where the page is gone. For references.
void store_row(const orr_tensor& state, int64_t b, int64_t token, int64_t h, const double* x);
// Throws unless tokens past .. past + T of every sequence have a page; op: who asks.
void check_pages(const char* op, const orr_tensor& state, int64_t tokens);

}  // namespace orrery::attention
