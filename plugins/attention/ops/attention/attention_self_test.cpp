// The self-test of a device's kernel: one sequence of fewer tokens and keys, and one or two key heads; widths, types and attributes are the node's.
#include "ops/attention/attention.hpp"

namespace orrery::attention {
namespace {
constexpr int64_t kTokens = 70, kKeys = 200;  // several chunks and tiles, the last of each not full
}

bool attention_self_test(const orr_prepare* node, uint32_t i, orr_self_test* test) {
    if (i > 0) return false;
    const orr_tensor &q = *node->inputs[kQuery], &k = *node->inputs[kKey];
    const int64_t group = q.shape[2] / k.shape[2], heads = std::min<int64_t>(k.shape[2], q.shape[1] <= 8 ? 2 : 1);
    const int64_t tokens = std::min(q.shape[1], kTokens), keys = is_paged(k) ? kKeys : std::max(std::min(k.shape[1], kKeys), std::min(k.shape[1], tokens));  // a cache of any capacity: one test
    int64_t* const query = test->inputs[kQuery]->shape;
    query[0] = 1, query[1] = tokens, query[2] = group * heads;
    for (const uint32_t n : {kKey, kValue}) {
        orr_test_input& cache = *test->inputs[n];
        cache.shape[0] = 1, cache.shape[1] = keys, cache.shape[2] = heads;
        if (!is_paged(*node->inputs[n])) continue;
        cache.length = std::max(tokens, keys - 5);
        cache.past = cache.length - tokens;
    }
    if (kBias < node->n_inputs && node->inputs[kBias]) {
        int64_t* const bias = test->inputs[kBias]->shape;
        bias[0] = 1, bias[1] = std::min(bias[1], query[2]), bias[2] = tokens, bias[3] = keys;
    }
    if (kKeyMask < node->n_inputs && node->inputs[kKeyMask]) {
        orr_test_input& mask = *test->inputs[kKeyMask];
        mask.shape[0] = 1, mask.shape[1] = std::min(mask.shape[1], keys);
        mask.low = 0;
    }
    return true;
}

}  // namespace orrery::attention
