// y[b, t, h] = sum_s p_s v[b, s, h / G] / sum_s p_s, scores and attributes as the definition has them
// Few query tokens: the cache in chunks, shared out among workgroups, then merged in order: by the last workgroup (split_subgroup.comp), or by a second
// dispatch (split.comp, merge.comp). Lengths are read from memory: chunks past a sequence's end leave at once. More: tiles of 64 query rows over all
// keys (tiles.comp); with numerics that allow it, on cooperative matrices (matrix.comp: products of f16). Else f32 throughout.
#include <bit>

#include "attention/attention/params.h"
#include "attention_shaders.hpp"
#include "common/vulkan.hpp"
#include "ops/attention/attention.hpp"

namespace orrery::attention {
namespace {

// As in shaders/attention/attention/keys.glsl.
enum : uint32_t { kPaged = 1, kWideK = 2, kWideV = 4, kBiased = 8 };
constexpr int64_t kSplitTokens = 8;  // with more query tokens, tiles read the cache less often
constexpr uint32_t kSplitRows = 8;
constexpr uint64_t kSplitGroups = 3;  // workgroups of split_subgroup for each of the device's cores
constexpr int64_t kSubgroupWidth = 256, kSubgroupSoftwareWidth = 32;

struct Shape {
    uint32_t batch, tokens, keys, heads, kv_heads, group, width, value_width;
    uint32_t rows, chunk, chunks, split_rows;
    bool split;

    Shape(const orr_tensor& q, const orr_tensor& k, const orr_tensor& v) {
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

// The shaders of split attention: those with subgroups, which merge themselves, first.
struct Split {
    const char* name;
    const orr_vulkan_shader& split;
};
constexpr Split kSplits[] = {{"split_32", shaders::attention_split_32}, {"split_8", shaders::attention_split_8}, {"split", shaders::attention_split}};

bool takes_cache(const orr_tensor& t, const char* name, char* reason, size_t size) {
    return is_paged(t) ? takes_pages(t, name, reason, size) : takes_rows(&t, name, reason, size);
}

// Shaders with subgroups are unrolled over rows and widths: a processor's compiler takes 10 s for wide
// heads, and what it makes is no faster than the plain one.
const Split& pick_split(const orr_vulkan_device& d, const orr_tensor& k, const orr_tensor& v) {
    const int64_t widest = d.software ? kSubgroupSoftwareWidth : kSubgroupWidth;
    const auto takes = [&](const orr_tensor& t) { return t.shape[3] % 8 == 0 && t.shape[3] <= widest && wide(t); };
    for (const Split& s : kSplits)
        if (s.split.subgroup == 0 || (takes(k) && takes(v) && vk::can_run(d, s.split, nullptr, 0))) return s;
    return kSplits[2];
}

struct Plan {
    bool matrix;
};

// Cooperative matrices, where they are there and rounding to f16 is allowed.
bool takes_matrix(const orr_prepare* p) {
    const orr_tensor &k = *p->inputs[kKey], &v = *p->inputs[kValue];
    const orr_vulkan_device& d = vk::device(p);
    const auto takes = [](const orr_tensor& t) { return t.shape[3] % 16 == 0 && t.shape[3] <= 128 && wide(t); };
    const uint64_t pitch = static_cast<uint64_t>(std::max(k.shape[3], v.shape[3])) / 4 + 2,
                   shared = 64 * pitch * 8 + 4 * 16 * (36 * 4 + 10 * 8) + 4096;  // as the shader declares
    return p->numerics != ORR_NUMERICS_EXACT && takes(k) && takes(v) && shared <= d.shared_bytes &&
           vk::can_run(d, shaders::attention_matrix, nullptr, 0);
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor &q = *p->inputs[kQuery], &k = *p->inputs[kKey], &v = *p->inputs[kValue];
    const orr_tensor* mask = vk::input(p, kKeyMask);
    if (!takes_rows(&q, "q", reason, size) || !takes_rows(vk::input(p, kBias), "bias", reason, size)) return false;
    if (!takes_cache(k, "k", reason, size) || !takes_cache(v, "v", reason, size)) return false;
    if (is_paged(k) != is_paged(v)) return refuse(reason, size, "of k and v only one is paged");
    if (mask && !takes_rows(mask, "key_mask", reason, size)) return false;
    if (!is_contiguous(*p->outputs[0])) return refuse(reason, size, "y has gaps");
    if (!takes_size(p->outputs[0], "y", reason, size)) return false;
    if (q.shape[3] == 0 || v.shape[3] == 0) return refuse(reason, size, "heads of width 0");
    if (v.shape[3] > 512) return refuse(reason, size, "values are " + std::to_string(v.shape[3]) + " wide, the shaders take 512");
    const Shape s(q, k, v);
    const orr_vulkan_device& d = vk::device(p);
    if (s.shared_bytes() > d.shared_bytes)
        return refuse(reason, size,
                      "needs " + std::to_string(s.shared_bytes()) + " bytes of shared memory, the device has " + std::to_string(d.shared_bytes));
    if (s.work_bytes() >> 32)
        return refuse(reason, size, "needs " + std::to_string(s.work_bytes()) + " bytes of workspace, the shader reaches 4 GiB");
    return vk::can_run(d, s.split ? shaders::attention_split : shaders::attention_tiles, reason, size);
}

orr_status prepare(orr_prepare* p) {
    const Shape s(*p->inputs[kQuery], *p->inputs[kKey], *p->inputs[kValue]);
    auto* plan = static_cast<Plan*>(p->plan_memory(p, sizeof(Plan)));
    if (!plan) return ORR_OUT_OF_MEMORY;
    plan->matrix = !s.split && takes_matrix(p);
    p->variant(p, s.split ? pick_split(vk::device(p), *p->inputs[kKey], *p->inputs[kValue]).name : plan->matrix ? "matrix" : "tiles");
    p->workspace(p, s.work_bytes());
    return ORR_OK;
}

shaders::AttentionParams parameters(const orr_run* run, const Shape& s) {
    const orr_tensor &q = *run->inputs[kQuery], &k = *run->inputs[kKey], &v = *run->inputs[kValue];
    shaders::AttentionParams p{};
    p.q = vk::address(&q);
    p.k = vk::address(&k);
    p.v = vk::address(&v);
    p.y = vk::address(run->outputs[0]);
    p.work = vk::recorder(run).workspace;
    p.T = s.tokens, p.S = s.keys;
    p.q_batch = stride(q, 0), p.q_token = stride(q, 1), p.q_head = stride(q, 2);
    if (!is_paged(k)) {
        p.k_batch = stride(k, 0), p.k_token = stride(k, 1), p.k_head = stride(k, 2);
        p.v_batch = stride(v, 0), p.v_token = stride(v, 1), p.v_head = stride(v, 2);
    }
    if (const orr_tensor* bias = vk::input(run, kBias)) {
        p.bias = vk::address(bias);
        p.bias_batch = stride(*bias, 0), p.bias_head = stride(*bias, 1), p.bias_token = stride(*bias, 2);
    }
    if (const orr_tensor* mask = vk::input(run, kKeyMask)) {
        p.mask = vk::address(mask);
        p.mask_batch = stride(*mask, 0) * std::max<uint32_t>(1, mask->block_bytes / 4);
        p.mask_keys = static_cast<uint32_t>(mask->shape[1]);
    }
    return p;
}

orr_status run(const orr_run* run) {
    const orr_tensor &q = *run->inputs[kQuery], &k = *run->inputs[kKey], &v = *run->inputs[kValue];
    const orr_tensor *bias = vk::input(run, kBias), *mask = vk::input(run, kKeyMask);
    const Shape s(q, k, v);
    const AttentionAttrs given(run->attrs, q.shape[3]);
    if (elements(*run->outputs[0]) == 0) return ORR_OK;
    shaders::AttentionParams p = parameters(run, s);
    const auto bits = [](double x) { return std::bit_cast<uint32_t>(static_cast<float>(x)); };
    const auto reach = [](int64_t x) { return static_cast<uint32_t>(std::min<int64_t>(x, INT32_MAX / 2)); };
    const uint32_t flags = (is_paged(k) ? kPaged : 0) | (wide(k) ? kWideK : 0) | (wide(v) ? kWideV : 0) | (bias ? kBiased : 0);
    const uint64_t heads = static_cast<uint64_t>(s.batch) * s.kv_heads, tiles = heads * vk::divide_up(s.rows, s.split_rows);
    const uint32_t slots =
        static_cast<uint32_t>(std::clamp<uint64_t>(vk::divide_up(kSplitGroups * std::max(vk::device(run).cores, 1u), tiles), 1, s.chunks));
    const std::initializer_list<uint32_t> constants = {s.width,
                                                       s.value_width,
                                                       s.group,
                                                       cache_type(k),
                                                       cache_type(v),
                                                       flags,
                                                       bits(given.scale),
                                                       bits(given.softcap),
                                                       reach(given.back),
                                                       reach(given.ahead),
                                                       s.chunk,
                                                       bias ? static_cast<uint32_t>(bias->shape[0]) : 1,
                                                       mask ? mask->type : 0u,
                                                       s.split_rows,
                                                       s.batch,
                                                       s.kv_heads,
                                                       slots};
    const bool matrix = static_cast<const Plan*>(run->data)->matrix;
    if (!s.split)
        return vk::dispatch(run, matrix ? shaders::attention_matrix : shaders::attention_tiles, constants, p,
                            vk::groups(heads * vk::divide_up(s.rows, 64)));
    const Split& with = pick_split(vk::device(run), k, v);
    const bool merges = with.split.subgroup != 0;
    if (merges) p.arrived = vk::recorder(run).zeros(&vk::recorder(run), static_cast<uint32_t>(tiles));
    const orr_status status = vk::dispatch(run, with.split, constants, p, vk::groups(tiles * (merges ? slots : s.chunks)));
    if (status != ORR_OK || merges) return status;
    vk::recorder(run).barrier(&vk::recorder(run));
    return vk::dispatch(run, shaders::attention_merge, constants, p, vk::groups(heads * s.rows));
}

}  // namespace

const KernelDef kAttentionVulkan = {"vulkan", "vulkan", 0, supports, prepare, run, attention_self_test};

}  // namespace orrery::attention
