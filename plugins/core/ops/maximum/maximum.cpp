// y[i] = max(a, b), NaN if either is with broadcasting; torch.maximum. Kernels: common/binary.hpp, binary_vulkan.hpp.
#include "common/binary.hpp"
#include "common/binary_vulkan.hpp"
#include "maximum_shaders.hpp"

using namespace orrery;

const orr_operator* orr_op_maximum() {
    static const Operator op = core::binary_operator<core::Binary::maximum>("orr.maximum/1", "y = max(a, b), NaN if either is, broadcasting; torch.maximum", core::kBinaryVulkan<shaders::binary_maximum>);
    return op.table();
}
