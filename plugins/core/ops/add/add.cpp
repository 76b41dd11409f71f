// y[i] = a + b with broadcasting; torch.add. Kernels: common/binary.hpp, binary_vulkan.hpp.
#include "common/binary.hpp"
#include "common/binary_vulkan.hpp"
#include "add_shaders.hpp"

using namespace orrery;

const orr_operator* orr_op_add() {
    static const Operator op = core::binary_operator<core::Binary::add>("orr.add/1", "y = a + b, broadcasting; torch.add", core::kBinaryVulkan<shaders::binary_add>);
    return op.table();
}
