// y[i] = a - b with broadcasting; torch.sub. Kernels: common/binary.hpp, binary_vulkan.hpp.
#include "common/binary.hpp"
#include "common/binary_vulkan.hpp"
#include "sub_shaders.hpp"

using namespace orrery;

const orr_operator* orr_op_sub() {
    static const Operator op = core::binary_operator<core::Binary::sub>("orr.sub/1", "y = a - b, broadcasting; torch.sub", core::kBinaryVulkan<shaders::binary_sub>);
    return op.table();
}
