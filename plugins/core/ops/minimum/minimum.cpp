// y[i] = min(a, b), NaN if either is with broadcasting; torch.minimum. Kernels: common/binary.hpp, binary_vulkan.hpp.
#include "common/binary.hpp"
#include "common/binary_vulkan.hpp"
#include "minimum_shaders.hpp"

using namespace orrery;

const orr_operator* orr_op_minimum() {
    static const Operator op = core::binary_operator<core::Binary::minimum>("orr.minimum/1", "y = min(a, b), NaN if either is, broadcasting; torch.minimum", core::kBinaryVulkan<shaders::binary_minimum>);
    return op.table();
}
