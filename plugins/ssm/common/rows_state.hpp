// Recurrent states: one contiguous f32 row per sequence (layout "rows").
#pragma once

#include <string>

#include "float_abi/float_abi.hpp"

namespace orrery::ssm {

inline bool is_rows(const orr_tensor& t) { return t.layout != nullptr && std::string_view(t.layout) == ORR_LAYOUT_ROWS; }
// Row b of a state; a plain tensor serves as well.
inline float* state_row(const orr_tensor& t, int64_t b) {
    return is_rows(t) ? static_cast<float*>(static_cast<void* const*>(t.data)[b]) : reinterpret_cast<float*>(static_cast<char*>(t.data) + b * t.stride_bytes[0]);
}
inline bool takes_state(const orr_tensor& t, const char* name, char* reason, size_t size) {
    if (t.type != ORR_TYPE_F32) return refuse(reason, size, std::string(name) + " is " + t.type_id + ", not f32");
    return is_rows(t) || (flt::is_plain(t) && is_contiguous(t)) || refuse(reason, size, std::string(name) + " is neither rows nor contiguous");
}

}  // namespace orrery::ssm
