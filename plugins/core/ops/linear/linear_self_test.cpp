// The self-test of a device's kernel: the same product of fewer rows and columns, its weights of the node's types.
#include "ops/linear/linear.hpp"
#include "vulkan_linear/product.hpp"

namespace orrery::core {
namespace {
constexpr int64_t kRows = 150, kColumns = 512, kOutputs = 160;  // more rows than any tile has
}

bool linear_self_test(const orr_prepare* node, const vk::LargeTest& large, orr_self_test* test) {
    const bool transposed = LinearAttrs(node->attrs).transposed;
    const orr_tensor &x = *node->inputs[kLinearX], &w = *node->inputs[kLinearWeight];
    const int64_t rows = std::min(row_count(x), large.rows ? large.rows : kRows);
    const int64_t columns = small_extent(x.shape[x.rank - 1], large.rows ? large.columns : kColumns, 256);
    const int64_t outputs = small_extent(w.shape[transposed ? 1 : 0], large.rows ? large.outputs : kOutputs, 32);
    orr_test_input& small = *test->inputs[kLinearX];
    keep_rows(&x, &small, rows);
    small.shape[x.rank - 1] = columns;
    int64_t* const weight = test->inputs[kLinearWeight]->shape;
    weight[transposed ? 0 : 1] = columns;
    weight[transposed ? 1 : 0] = outputs;
    if (const orr_tensor* bias = linear_input(node, kLinearBias); bias) test->inputs[kLinearBias]->shape[0] = outputs;
    if (const orr_tensor* residual = linear_input(node, kLinearResidual)) {
        keep_rows(residual, test->inputs[kLinearResidual], rows);
        test->inputs[kLinearResidual]->shape[residual->rank - 1] = outputs;
    }
    return true;
}

}  // namespace orrery::core
