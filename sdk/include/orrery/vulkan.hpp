// C++ wrapper of ext/vulkan.h for kernels: what they ask of tensors and devices, and how they record. Header-only, C++20.
#ifndef ORRERY_VULKAN_HPP
#define ORRERY_VULKAN_HPP

#include <algorithm>
#include <initializer_list>
#include <span>
#include <string>

#include "orrery/ext/vulkan.h"
#include "orrery/plugin.hpp"

namespace orrery::vk {

inline const orr_vulkan_device& device(const orr_prepare* p) { return *static_cast<const orr_vulkan_device*>(p->device); }
inline const orr_vulkan_recorder& recorder(const orr_run* run) { return *static_cast<const orr_vulkan_recorder*>(run->device); }
inline const orr_vulkan_device& device(const orr_run* run) { return *recorder(run).device; }

// Whether the build holds the shader and the device can run it; else says why not and returns false.
inline bool can_run(const orr_vulkan_device& d, const orr_vulkan_shader& s, char* reason, size_t size) {
    if (!s.code) return refuse(reason, size, std::string("shader ") + s.name + " was left out of this build (ORRERY_GLSLANG)");
    if ((d.features & s.features) != s.features) return refuse(reason, size, std::string(d.name) + " lacks features that shader " + s.name + " needs");
    if (s.subgroup && (!(d.features & ORR_VULKAN_SUBGROUP_SIZE) || s.subgroup < d.subgroup_min || s.subgroup > d.subgroup_max))
        return refuse(reason, size, std::string(d.name) + " has no subgroups of " + std::to_string(s.subgroup) + ", which shader " + s.name + " needs");
    if (ORR_HAS(&d, orr_vulkan_device, refuses) && d.refuses)
        if (const char* why = d.refuses(&d, &s)) return refuse(reason, size, std::string("shader ") + s.name + ": " + why);
    return true;
}

inline uint64_t address(const orr_tensor* t) { return orr_vulkan_address(t); }
// An input or output that may be absent.
inline const orr_tensor* input(const orr_prepare* p, uint32_t i) { return i < p->n_inputs ? p->inputs[i] : nullptr; }
inline const orr_tensor* input(const orr_run* r, uint32_t i) { return i < r->n_inputs ? r->inputs[i] : nullptr; }

// Rows of a tensor that lie at equal distances, each contiguous: what most kernels take.
inline int64_t rows(const orr_tensor& t) {
    const int64_t n = t.rank ? t.shape[t.rank - 1] : 1;
    return n ? elements(t) / n : 0;
}
inline bool even_rows(const orr_tensor& t) {
    if (t.rank == 0) return true;
    if (t.block_elems == 1 && t.shape[t.rank - 1] != 1 && t.stride_bytes[t.rank - 1] != static_cast<int64_t>(t.block_bytes)) return false;
    int64_t expect = 0;
    for (int32_t a = t.rank - 2; a >= 0; a--) {
        if (t.shape[a] == 1) continue;
        if (expect && t.stride_bytes[a] != expect) return false;
        expect = t.stride_bytes[a] * t.shape[a];
    }
    return true;
}
// Bytes from one row to the next.
inline int64_t row_stride_bytes(const orr_tensor& t) {
    for (int32_t a = t.rank - 2; a >= 0; a--)
        if (t.shape[a] != 1) return t.stride_bytes[a];
    return t.rank ? t.shape[t.rank - 1] * static_cast<int64_t>(t.block_bytes) / t.block_elems : 0;
}

// Where shaders tell of what the run cannot go on with; 0 of an engine that is not told. text: see orr_vulkan_recorder.fault.
inline uint64_t fault(const orr_run* run, const std::string& text) {
    const orr_vulkan_recorder& r = recorder(run);
    return ORR_HAS(&r, orr_vulkan_recorder, fault) && r.fault ? r.fault(&r, text.c_str()) : 0;
}

struct Groups {
    uint32_t x = 1, y = 1, z = 1;
};
// n workgroups, of which the shader computes the number as gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x and leaves
// out what lies past n: more than one axis holds.
inline Groups groups(uint64_t n) {
    constexpr uint64_t kAxis = 32768;  // every device takes 65535
    if (n <= kAxis) return {static_cast<uint32_t>(n), 1, 1};
    return {static_cast<uint32_t>(kAxis), static_cast<uint32_t>((n + kAxis - 1) / kAxis), 1};
}
inline uint64_t divide_up(uint64_t n, uint64_t by) { return (n + by - 1) / by; }

// Records one dispatch. Returns what the engine says, whose text it has set already.
template <class Push>
[[nodiscard]] orr_status dispatch(const orr_run* run, const orr_vulkan_shader& shader, std::span<const uint32_t> constants, const Push& push, Groups groups) {
    static_assert(sizeof(Push) <= 128 && sizeof(Push) % 4 == 0, "devices promise 128 bytes of push constants");
    const orr_vulkan_dispatch d = {ORR_HEADER(orr_vulkan_dispatch), &shader, constants.data(), static_cast<uint32_t>(constants.size()), &push, sizeof push, {groups.x, groups.y, groups.z}};
    const orr_vulkan_recorder& r = recorder(run);
    return r.dispatch(&r, &d);
}
template <class Push>
[[nodiscard]] orr_status dispatch(const orr_run* run, const orr_vulkan_shader& shader, std::initializer_list<uint32_t> constants, const Push& push, Groups groups) {
    return dispatch(run, shader, std::span<const uint32_t>(constants.begin(), constants.size()), push, groups);
}

}  // namespace orrery::vk
#endif
