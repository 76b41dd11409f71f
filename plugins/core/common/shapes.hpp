// What the shape functions of this plugin share: type names, axes, broadcasting.
#pragma once

#include <string>
#include <vector>

#include "orrery/plugin.hpp"

namespace orrery::core {

// Type ids for ports.
inline constexpr const char* kNumberTypes = "f32 i32 i64";
inline constexpr const char* kPlainTypes = "f32 f16 bf16 f64 i8 u8 i16 u16 i32 u32 i64 u64 bool";

const char* type_name(uint32_t type);
// Bytes of one element of a plain scalar, 0 for other types.
uint32_t type_bytes(uint32_t type);
// The number of a plain scalar's id, ORR_TYPE_NONE for others.
uint32_t type_number(const std::string& id);

// Axis in [0, rank) from one that may count from the end; throws with both numbers.
int32_t normal_axis(int64_t axis, int32_t rank, const char* op);
// "3" or "(symbolic)", "[2, (symbolic), 64]"
std::string describe_dims(const orr_value_info& v);
// Throws unless a and b have one type.
void same_type(const orr_value_info& a, const orr_value_info& b, const char* op, const char* name_a, const char* name_b);
// NumPy's rule over any number of shapes.
std::vector<orr_dim> broadcast(const Infer& i, const std::vector<std::vector<orr_dim>>& shapes, const char* op);
// start and end of a slice after Python's rule (negative from the end, clamped); for a bound extent.
void clamp_slice(int64_t extent, int64_t* start, int64_t* end);

// The value of one entry of an attribute "a|b|c" by name; throws naming the value and what is allowed.
int32_t choose(const char* op, const char* attr, const std::string& value, const std::vector<const char*>& allowed);

}  // namespace orrery::core
