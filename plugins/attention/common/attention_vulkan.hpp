// The device kernel of attention over given operands, and its parts for kernels that do more in one dispatch.
#pragma once

#include <vector>

#include "attention/attention/params.h"
#include "common/attention.hpp"
#include "common/vulkan.hpp"

namespace orrery::attention {

// As in shaders/attention/attention/keys.glsl.
enum : uint32_t { kPaged = 1, kWideK = 2, kWideV = 4, kBiased = 8 };
constexpr int64_t kSplitTokens = 8;  // with more query tokens, tiles read the cache less often
constexpr uint32_t kSplitRows = 8;

struct AttentionShape {
    uint32_t batch, tokens, keys, heads, kv_heads, group, width, value_width;
    uint32_t rows, chunk, chunks, split_rows;
    bool split;

    explicit AttentionShape(const AttentionOperands& o) {
        const orr_tensor &q = *o.q, &k = *o.k, &v = *o.v;
        const auto n = [](int64_t x) { return static_cast<uint32_t>(x); };
        batch = n(q.shape[0]), tokens = n(q.shape[1]), heads = n(q.shape[2]), width = n(q.shape[3]);
        keys = n(k.shape[1]), kv_heads = n(k.shape[2]), value_width = n(v.shape[3]);
        group = heads / kv_heads, rows = tokens * group;
        split = q.shape[1] <= kSplitTokens;
        // Of the capacity alone: 128 chunks at most, so that merging stays small beside reading.
        chunk = 64 * std::max<uint32_t>(1, n(vk::divide_up(keys, 64 * 128)));
        chunks = n(vk::divide_up(keys, chunk));
        split_rows = std::min(rows, kSplitRows);
    }
    uint64_t partials() const { return static_cast<uint64_t>(batch) * kv_heads * rows * chunks; }
    uint64_t work_bytes() const { return split ? (partials() + 1) / 2 * 16 + partials() * vk::divide_up(value_width, 4) * 16 : 0; }
    // As the plain shaders declare it; those with subgroups need less.
    uint64_t shared_bytes() const {
        if (!split) return 30 * 1024;
        return split_rows * (vk::divide_up(width, 4) * 16 + 1024 + 256 + 12) + 4096;
    }
};

// Whether split attention with subgroups (split_subgroup.glsl) takes this cache there.
bool takes_subgroups(const orr_vulkan_device& d, const orr_tensor& k, const orr_tensor& v);
// Its workgroups for the same rows, and the constants that shaders of attention begin with.
uint32_t split_slots(const orr_vulkan_device& d, const AttentionShape& s);
std::vector<uint32_t> attention_constants(const orr_run* run, const AttentionOperands& o);

// What prepare chose, for run.
struct AttentionPlan {
    const orr_vulkan_shader* tiles;  // of many query tokens
};

bool takes_attention_vulkan(const orr_prepare* p, const AttentionOperands& o, char* reason, size_t size);
// Names the variant; needs AttentionShape::work_bytes() of workspace.
AttentionPlan prepare_attention_vulkan(orr_prepare* p, const AttentionOperands& o);
// q, work: addresses of the queries, which need not be where o.q is, and of the workspace.
shaders::AttentionParams attention_parameters(const AttentionOperands& o, uint64_t q, uint64_t work);
[[nodiscard]] orr_status attention_vulkan(const orr_run* run, const AttentionPlan& plan, const AttentionOperands& o, uint64_t q, uint64_t work);

}  // namespace orrery::attention
