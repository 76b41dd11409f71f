// One workgroup a query row: its products with all keys it sees, the largest, the sum, then the quotients, in place.
#include "attention/attention_probabilities/params.h"
#include "attention_probabilities_shaders.hpp"
#include "common/vulkan.hpp"
#include "ops/attention_probabilities/attention_probabilities.hpp"

#include <bit>

namespace orrery::attention {
namespace {

// As in shaders/common/attention_score.glsl.
enum : uint32_t { kPaged = 1, kWideK = 2, kBiased = 8 };
constexpr int64_t kWidest = 1024;  // heads, as the shader keeps a query

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor &q = *p->inputs[kWeighedQuery], &k = *p->inputs[kWeighedKey];
    const orr_tensor* mask = vk::input(p, kWeighedMask);
    if (!takes_rows(&q, "q", reason, size) || !takes_rows(vk::input(p, kWeighedBias), "bias", reason, size)) return false;
    if (!(is_paged(k) ? takes_pages(k, "k", reason, size) : takes_rows(&k, "k", reason, size))) return false;
    if (mask && !takes_rows(mask, "key_mask", reason, size)) return false;
    if (!is_contiguous(*p->outputs[0])) return refuse(reason, size, "y has gaps");
    if (!takes_size(p->outputs[0], "y", reason, size)) return false;
    if (q.shape[3] == 0) return refuse(reason, size, "heads of width 0");
    if (q.shape[3] > kWidest) return refuse(reason, size, "heads are " + std::to_string(q.shape[3]) + " wide, the shader takes " + std::to_string(kWidest));
    return vk::can_run(vk::device(p), shaders::attention_probabilities, reason, size);
}

orr_status run(const orr_run* run) {
    const orr_tensor &q = *run->inputs[kWeighedQuery], &k = *run->inputs[kWeighedKey], &y = *run->outputs[0];
    const orr_tensor *bias = vk::input(run, kWeighedBias), *mask = vk::input(run, kWeighedMask);
    if (elements(y) == 0) return ORR_OK;
    const AttentionAttrs given(run->attrs, q.shape[3]);
    const auto n = [](int64_t x) { return static_cast<uint32_t>(x); };
    shaders::AttentionProbabilitiesParams p{};
    p.q = vk::address(&q);
    p.k = vk::address(&k);
    p.y = vk::address(&y);
    p.T = n(q.shape[1]), p.S = n(k.shape[1]);
    p.q_batch = stride(q, 0), p.q_token = stride(q, 1), p.q_head = stride(q, 2);
    if (!is_paged(k)) p.k_batch = stride(k, 0), p.k_token = stride(k, 1), p.k_head = stride(k, 2);
    if (bias) {
        p.bias = vk::address(bias);
        p.bias_batch = stride(*bias, 0), p.bias_head = stride(*bias, 1), p.bias_token = stride(*bias, 2);
    }
    if (mask) {
        p.mask = vk::address(mask);
        p.mask_batch = stride(*mask, 0) * std::max<uint32_t>(1, mask->block_bytes / 4);
        p.mask_keys = n(mask->shape[1]);
    }
    const auto bits = [](double x) { return std::bit_cast<uint32_t>(static_cast<float>(x)); };
    const auto reach = [](int64_t x) { return static_cast<uint32_t>(std::min<int64_t>(x, INT32_MAX / 2)); };
    const std::initializer_list<uint32_t> constants = {n(q.shape[3]),
                                                       n(q.shape[2] / k.shape[2]),
                                                       cache_type(k),
                                                       (is_paged(k) ? kPaged : 0) | (wide(k) ? kWideK : 0) | (bias ? kBiased : 0),
                                                       bits(given.scale),
                                                       bits(given.softcap),
                                                       reach(given.back),
                                                       reach(given.ahead),
                                                       bias ? n(bias->shape[0]) : 1,
                                                       mask ? mask->type : 0u,
                                                       n(q.shape[0]),
                                                       n(q.shape[2])};
    return vk::dispatch(run, shaders::attention_probabilities, constants, p, vk::groups(static_cast<uint64_t>(q.shape[0]) * p.T * n(q.shape[2])));
}

}  // namespace

// One sequence of fewer tokens and keys; widths, heads, types and attributes are the node's.
bool probabilities_self_test(const orr_prepare* node, uint32_t i, orr_self_test* test) {
    constexpr int64_t kTokens = 5, kKeys = 300;  // more keys than a workgroup has invocations
    if (i > 0) return false;
    const orr_tensor &q = *node->inputs[kWeighedQuery], &k = *node->inputs[kWeighedKey];
    const int64_t group = q.shape[2] / k.shape[2], heads = std::min<int64_t>(k.shape[2], 2);
    const int64_t tokens = std::min(q.shape[1], kTokens), keys = is_paged(k) ? kKeys : std::max(std::min(k.shape[1], kKeys), tokens);  // a cache of any capacity: one test
    int64_t* const query = test->inputs[kWeighedQuery]->shape;
    query[0] = 1, query[1] = tokens, query[2] = group * heads;
    orr_test_input& cache = *test->inputs[kWeighedKey];
    cache.shape[0] = 1, cache.shape[1] = keys, cache.shape[2] = heads;
    if (is_paged(k)) {
        cache.length = std::max(tokens, keys - 3);
        cache.past = cache.length - tokens;
    }
    if (vk::input(node, kWeighedBias)) {
        int64_t* const bias = test->inputs[kWeighedBias]->shape;
        bias[0] = 1, bias[1] = std::min(bias[1], query[2]), bias[2] = tokens, bias[3] = keys;
    }
    if (vk::input(node, kWeighedMask)) {
        orr_test_input& mask = *test->inputs[kWeighedMask];
        mask.shape[0] = 1, mask.shape[1] = std::min(mask.shape[1], keys);
        mask.low = 0;
    }
    return true;
}

const KernelDef kProbabilitiesVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run, probabilities_self_test};

}  // namespace orrery::attention
