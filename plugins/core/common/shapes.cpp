#include "common/shapes.hpp"

#include <algorithm>


namespace orrery::core {
namespace {
struct TypeRow {
    const char* name;
    uint32_t bytes;
};
// By ORR_TYPE_* number.
constexpr TypeRow kTypes[] = {{"none", 0}, {"f32", 4}, {"f16", 2}, {"bf16", 2}, {"f64", 8}, {"i8", 1},   {"u8", 1},
                              {"i16", 2},  {"i32", 4}, {"i64", 8}, {"bool", 1}, {"u16", 2}, {"u32", 4}, {"u64", 8}};
constexpr uint32_t kTypeCount = sizeof kTypes / sizeof *kTypes;
}  // namespace

const char* type_name(uint32_t type) { return type < kTypeCount ? kTypes[type].name : "a block type"; }
uint32_t type_bytes(uint32_t type) { return type < kTypeCount ? kTypes[type].bytes : 0; }
uint32_t type_number(const std::string& id) {
    for (uint32_t n = 1; n < kTypeCount; n++)
        if (id == kTypes[n].name) return n;
    return ORR_TYPE_NONE;
}

int32_t normal_axis(int64_t axis, int32_t rank, const char* op) {
    if (axis < -rank || axis >= rank)
        throw Error(ORR_INVALID_ARGUMENT, std::string(op) + ": axis " + std::to_string(axis) + " of a tensor of rank " + std::to_string(rank));
    return static_cast<int32_t>(axis < 0 ? axis + rank : axis);
}

std::string describe_dims(const orr_value_info& v) {
    std::string out = "[";
    for (int32_t n = 0; n < v.rank; n++) out += (n ? ", " : "") + Infer::text(v.dims[n]);
    return out + "]";
}

void same_type(const orr_value_info& a, const orr_value_info& b, const char* op, const char* name_a, const char* name_b) {
    if (a.type != b.type)
        throw Error(ORR_INVALID_ARGUMENT,
                    std::string(op) + ": " + name_a + " is " + type_name(a.type) + ", " + name_b + " is " + type_name(b.type));
}

std::vector<orr_dim> broadcast(const Infer& i, const std::vector<std::vector<orr_dim>>& shapes, const char* op) {
    size_t rank = 0;
    for (const auto& s : shapes) rank = std::max(rank, s.size());
    std::vector<orr_dim> out(rank, 1);
    for (const auto& s : shapes) {
        for (size_t k = 0; k < s.size(); k++) {
            const size_t axis = rank - s.size() + k;
            if (s[k] == 1) continue;
            if (out[axis] == 1) {
                out[axis] = s[k];
                continue;
            }
            i.same(out[axis], s[k], std::string(op) + ": axis " + std::to_string(axis) + " does not broadcast");
            if (out[axis] < 0 && s[k] >= 0) out[axis] = s[k];
        }
    }
    return out;
}

void clamp_slice(int64_t extent, int64_t* start, int64_t* end) {
    const auto place = [&](int64_t at) {
        if (at < 0) at = at < -extent ? 0 : at + extent;
        return std::min(at, extent);
    };
    *start = place(*start);
    *end = std::max(*start, place(*end));
}

int32_t choose(const char* op, const char* attr, const std::string& value, const std::vector<const char*>& allowed) {
    std::string list;
    for (size_t n = 0; n < allowed.size(); n++) {
        if (value == allowed[n]) return static_cast<int32_t>(n);
        list += (n ? ", " : "") + std::string(allowed[n]);
    }
    throw Error(ORR_INVALID_ARGUMENT, std::string(op) + ": " + attr + " is \"" + value + "\"; it takes " + list);
}

}  // namespace orrery::core
