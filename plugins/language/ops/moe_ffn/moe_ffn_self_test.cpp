// The self-test of a device's kernel: fewer tokens, experts, columns and features, the weights of the node's types.
#include <algorithm>

#include "ops/moe_ffn/moe_ffn.hpp"

namespace orrery::language {
namespace {
constexpr int64_t kTokens = 40, kExperts = 6, kColumns = 512, kFeatures = 256;
}

bool moe_ffn_self_test(const orr_prepare* node, uint32_t i, orr_self_test* test) {
    if (i > 0) return false;
    const orr_tensor &x = *node->inputs[kMoeX], &ids = *node->inputs[kMoeIds], &gate = *node->inputs[kMoeGate];
    // Kernels choose by the tokens of one sequence.
    const int64_t tokens = x.rank > 1 ? std::min(x.shape[x.rank - 2], kTokens) : 1;
    const int64_t experts = std::min(gate.shape[0], std::max(kExperts, ids.shape[ids.rank - 1]));
    const int64_t columns = small_extent(gate.shape[2], kColumns, 256), features = small_extent(gate.shape[1], kFeatures, 256);
    for (const uint32_t n : {kMoeX, kMoeIds, kMoeWeights}) keep_rows(node->inputs[n], test->inputs[n], tokens);
    test->inputs[kMoeX]->shape[x.rank - 1] = columns;
    test->inputs[kMoeIds]->low = 0, test->inputs[kMoeIds]->high = static_cast<double>(experts - 1);
    for (const uint32_t n : {kMoeGate, kMoeUp, kMoeDown}) {
        int64_t* const shape = test->inputs[n]->shape;
        shape[0] = experts;
        shape[1] = n == kMoeDown ? columns : features;
        shape[2] = n == kMoeDown ? features : columns;
    }
    return true;
}

}  // namespace orrery::language
