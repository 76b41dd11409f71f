// y[i] = a / b with broadcasting; torch.div (true division). Kernels: common/binary.hpp, binary_vulkan.hpp.
#include "common/binary.hpp"
#include "common/binary_vulkan.hpp"
#include "div_shaders.hpp"

using namespace orrery;

const orr_operator* orr_op_div() {
    static const Operator op = core::binary_operator<core::Binary::div>("orr.div/1", "y = a / b, broadcasting; torch.div (true division)", core::kBinaryVulkan<shaders::binary_div>);
    return op.table();
}
