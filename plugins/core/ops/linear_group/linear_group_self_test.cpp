// The self-test of a device's kernel: the same products of fewer rows and columns, their weights of the node's types.
#include "ops/linear_group/linear_group.hpp"
#include "vulkan_linear/product.hpp"

namespace orrery::core {
namespace {
constexpr int64_t kRows = 150, kColumns = 512, kOutputs = 160;  // more rows than any tile has
}

bool linear_group_self_test(const orr_prepare* node, const vk::LargeTest& large, orr_self_test* test) {
    const orr_tensor& x = *node->inputs[0];
    const int64_t columns = small_extent(x.shape[x.rank - 1], large.rows ? large.columns : kColumns, 256);
    const int64_t rows = std::min(row_count(x), large.rows ? large.rows : kRows);
    const int64_t most = large.rows ? large.outputs : kOutputs;
    keep_rows(&x, test->inputs[0], rows);
    test->inputs[0]->shape[x.rank - 1] = columns;
    if (GroupNorm(node).weight) test->inputs[kGroupNorm]->shape[0] = columns;
    for (uint32_t part = 0; part < group_parts(node->n_inputs); ++part) {
        const uint32_t w = group_weight(part);
        const int64_t outputs = small_extent(node->inputs[w]->shape[0], most, 32);
        test->inputs[w]->shape[0] = outputs;
        test->inputs[w]->shape[1] = columns;
        if (group_bias(node, part)) test->inputs[w + 1]->shape[0] = outputs;
    }
    return true;
}

}  // namespace orrery::core
