// y[i] = a * b with broadcasting; torch.mul. Kernels: common/binary.hpp, binary_vulkan.hpp.
#include "common/binary.hpp"
#include "common/binary_vulkan.hpp"
#include "mul_shaders.hpp"

using namespace orrery;

const orr_operator* orr_op_mul() {
    static const Operator op = core::binary_operator<core::Binary::mul>("orr.mul/1", "y = a * b, broadcasting; torch.mul", core::kBinaryVulkan<shaders::binary_mul>);
    return op.table();
}
