// The self-test of a device's kernel: the same products of fewer rows and columns, their weights of the node's types.
#include "ops/linear_group/linear_group.hpp"

namespace orrery::core {
namespace {
constexpr int64_t kRows = 150, kColumns = 512, kOutputs = 160;  // more rows than any tile has
}

bool linear_group_self_test(const orr_prepare* node, uint32_t i, orr_self_test* test) {
    if (i > 0) return false;
    const orr_tensor& x = *node->inputs[0];
    const int64_t columns = small_extent(x.shape[x.rank - 1], kColumns, 256);
    keep_rows(&x, test->inputs[0], std::min(row_count(x), kRows));
    test->inputs[0]->shape[x.rank - 1] = columns;
    for (uint32_t part = 0; part < group_parts(node->n_inputs); ++part) {
        const uint32_t w = group_weight(part);
        const int64_t outputs = small_extent(node->inputs[w]->shape[0], kOutputs, 32);
        test->inputs[w]->shape[0] = outputs;
        test->inputs[w]->shape[1] = columns;
        if (group_bias(node, part)) test->inputs[w + 1]->shape[0] = outputs;
    }
    return true;
}

}  // namespace orrery::core
