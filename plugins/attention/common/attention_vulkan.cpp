// y[b, t, h] = sum_s p_s v[b, s, h / G] / sum_s p_s, scores and attributes as the definition has them
// Few query tokens: the cache in chunks, shared out among workgroups, then merged in order: by the last workgroup (split_subgroup.comp), or by a second
// dispatch (split.comp, merge.comp). Lengths are read from memory: chunks past a sequence's end leave at once. More: tiles of 64 query rows over all
// keys (tiles.comp); with numerics that allow it, on cooperative matrices (matrix_fragments.comp, matrix.comp: products of f16). Else f32 throughout.
#include "common/attention_vulkan.hpp"

#include <bit>

#include "attention_shaders.hpp"

namespace orrery::attention {
namespace {

constexpr int64_t kSubgroupWidth = 256, kSubgroupSoftwareWidth = 32;
constexpr uint64_t kSplitGroups = 3;  // workgroups of split_subgroup for each of the device's cores

// The shaders of split attention: those with subgroups, which merge themselves, first.
struct Split {
    const char* name;
    const orr_vulkan_shader& split;
};
constexpr Split kSplits[] = {{"split_32", shaders::attention_split_32}, {"split_8", shaders::attention_split_8}, {"split", shaders::attention_split}};

// Those of attention in tiles of 64 query rows.
struct TileForm {
    const char* name;
    const orr_vulkan_shader& shader;
};
constexpr TileForm kTileForms[] = {{"matrix_fragments", shaders::attention_matrix_fragments}, {"matrix", shaders::attention_matrix}, {"tiles", shaders::attention_tiles}};

bool takes_cache(const orr_tensor& t, const char* name, char* reason, size_t size) {
    return is_paged(t) ? takes_pages(t, name, reason, size) : takes_rows(&t, name, reason, size);
}

const Split& pick_split(const orr_vulkan_device& d, const orr_tensor& k, const orr_tensor& v) {
    for (const Split& s : kSplits)
        if (s.split.subgroup == 0 || (takes_subgroups(d, k, v) && vk::can_run(d, s.split, nullptr, 0))) return s;
    return kSplits[2];
}

// Cooperative matrices, where they are there and rounding to f16 is allowed; else tiles of f32.
const TileForm& pick_tiles(const orr_prepare* p, const orr_tensor& k, const orr_tensor& v) {
    const orr_vulkan_device& d = vk::device(p);
    const auto takes = [](const orr_tensor& t) { return t.shape[3] % 16 == 0 && t.shape[3] <= 128 && wide(t); };
    if (p->numerics == ORR_NUMERICS_EXACT || !takes(k) || !takes(v)) return kTileForms[2];
    const auto n = [](int64_t x) { return static_cast<uint64_t>(x); };
    const uint64_t shared[] = {2 * 32 * 16 * ((n(k.shape[3]) / 8 + 3) / 8 * 8 + 4 + (n(v.shape[3]) / 8 | 1)),
                               64 * (n(std::max(k.shape[3], v.shape[3])) / 4 + 2) * 8 + 4 * 16 * (36 * 4 + 10 * 8) + 4096};  // as the shaders declare
    for (const uint32_t i : {0u, 1u})
        if (shared[i] <= d.shared_bytes && vk::can_run(d, kTileForms[i].shader, nullptr, 0)) return kTileForms[i];
    return kTileForms[2];
}

}  // namespace

// Shaders with subgroups are unrolled over rows and widths: a processor's compiler takes 10 s for wide
// heads, and what it makes is no faster than the plain one.
bool takes_subgroups(const orr_vulkan_device& d, const orr_tensor& k, const orr_tensor& v) {
    const int64_t widest = d.software ? kSubgroupSoftwareWidth : kSubgroupWidth;
    const auto takes = [&](const orr_tensor& t) { return t.shape[3] % 8 == 0 && t.shape[3] <= widest && wide(t); };
    return takes(k) && takes(v);
}

uint32_t split_slots(const orr_vulkan_device& d, const AttentionShape& s) {
    const uint64_t tiles = static_cast<uint64_t>(s.batch) * s.kv_heads * vk::divide_up(s.rows, s.split_rows);
    return static_cast<uint32_t>(std::clamp<uint64_t>(vk::divide_up(kSplitGroups * std::max(d.cores, 1u), tiles), 1, s.chunks));
}

std::vector<uint32_t> attention_constants(const orr_run* run, const AttentionOperands& o) {
    const orr_tensor &k = *o.k, &v = *o.v, *bias = o.bias, *mask = o.key_mask;
    const AttentionShape s(o);
    const AttentionAttrs given(run->attrs, s.width);
    const auto bits = [](double x) { return std::bit_cast<uint32_t>(static_cast<float>(x)); };
    const auto reach = [](int64_t x) { return static_cast<uint32_t>(std::min<int64_t>(x, INT32_MAX / 2)); };
    const uint32_t flags = (is_paged(k) ? kPaged : 0) | (wide(k) ? kWideK : 0) | (wide(v) ? kWideV : 0) | (bias ? kBiased : 0);
    return {s.width,
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
            split_slots(vk::device(run), s)};
}

bool takes_attention_vulkan(const orr_prepare* p, const AttentionOperands& o, char* reason, size_t size) {
    const orr_tensor &q = *o.q, &k = *o.k, &v = *o.v;
    if (!takes_rows(&q, "q", reason, size) || !takes_rows(o.bias, "bias", reason, size)) return false;
    if (!takes_cache(k, "k", reason, size) || !takes_cache(v, "v", reason, size)) return false;
    if (is_paged(k) != is_paged(v)) return refuse(reason, size, "of k and v only one is paged");
    if (!takes_rows(o.key_mask, "key_mask", reason, size)) return false;
    if (!is_contiguous(*o.y)) return refuse(reason, size, "y has gaps");
    if (!takes_size(o.y, "y", reason, size)) return false;
    if (q.shape[3] == 0 || v.shape[3] == 0) return refuse(reason, size, "heads of width 0");
    if (v.shape[3] > 512) return refuse(reason, size, "values are " + std::to_string(v.shape[3]) + " wide, the shaders take 512");
    const AttentionShape s(o);
    const orr_vulkan_device& d = vk::device(p);
    if (s.shared_bytes() > d.shared_bytes)
        return refuse(reason, size,
                      "needs " + std::to_string(s.shared_bytes()) + " bytes of shared memory, the device has " + std::to_string(d.shared_bytes));
    if (s.work_bytes() >> 32)
        return refuse(reason, size, "needs " + std::to_string(s.work_bytes()) + " bytes of workspace, the shader reaches 4 GiB");
    return vk::can_run(d, s.split ? shaders::attention_split : shaders::attention_tiles, reason, size);
}

AttentionPlan prepare_attention_vulkan(orr_prepare* p, const AttentionOperands& o) {
    if (AttentionShape(o).split) {
        p->variant(p, pick_split(vk::device(p), *o.k, *o.v).name);
        return {nullptr};
    }
    const TileForm& form = pick_tiles(p, *o.k, *o.v);
    p->variant(p, form.name);
    return {&form.shader};
}

shaders::AttentionParams attention_parameters(const AttentionOperands& o, uint64_t query, uint64_t work) {
    const orr_tensor &q = *o.q, &k = *o.k, &v = *o.v;
    shaders::AttentionParams p{};
    p.q = query;
    p.k = vk::address(&k);
    p.v = vk::address(&v);
    p.y = vk::address(o.y);
    p.work = work;
    const AttentionShape s(o);
    p.T = s.tokens, p.S = s.keys;
    p.q_batch = stride(q, 0), p.q_token = stride(q, 1), p.q_head = stride(q, 2);
    if (!is_paged(k)) {
        p.k_batch = stride(k, 0), p.k_token = stride(k, 1), p.k_head = stride(k, 2);
        p.v_batch = stride(v, 0), p.v_token = stride(v, 1), p.v_head = stride(v, 2);
    }
    if (o.bias) {
        p.bias = vk::address(o.bias);
        p.bias_batch = stride(*o.bias, 0), p.bias_head = stride(*o.bias, 1), p.bias_token = stride(*o.bias, 2);
    }
    if (const orr_tensor* mask = o.key_mask) {
        p.mask = vk::address(mask);
        p.mask_batch = stride(*mask, 0) * std::max<uint32_t>(1, mask->block_bytes / 4);
        p.mask_keys = static_cast<uint32_t>(mask->shape[1]);
    }
    return p;
}

orr_status attention_vulkan(const orr_run* run, const AttentionPlan& plan, const AttentionOperands& o, uint64_t q, uint64_t work) {
    const AttentionShape s(o);
    if (elements(*o.y) == 0) return ORR_OK;
    shaders::AttentionParams p = attention_parameters(o, q, work);
    const std::vector<uint32_t> constants = attention_constants(run, o);
    const uint64_t heads = static_cast<uint64_t>(s.batch) * s.kv_heads, tiles = heads * vk::divide_up(s.rows, s.split_rows);
    if (!s.split)
        return vk::dispatch(run, *plan.tiles, constants, p, vk::groups(heads * vk::divide_up(s.rows, 64)));
    const Split& with = pick_split(vk::device(run), *o.k, *o.v);
    const bool merges = with.split.subgroup != 0;
    if (merges) p.arrived = vk::recorder(run).zeros(&vk::recorder(run), static_cast<uint32_t>(tiles));
    const orr_status status = vk::dispatch(run, with.split, constants, p, vk::groups(tiles * (merges ? split_slots(vk::device(run), s) : s.chunks)));
    if (status != ORR_OK || merges) return status;
    vk::recorder(run).barrier(&vk::recorder(run));
    return vk::dispatch(run, shaders::attention_merge, constants, p, vk::groups(heads * s.rows));
}

}  // namespace orrery::attention
