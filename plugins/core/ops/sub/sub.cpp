// y[i] = a - b with broadcasting; torch.sub. Kernels: common/binary.hpp.
#include "common/binary.hpp"

using namespace orrery;

const orr_operator* orr_op_sub() {
    static const Operator op = core::binary_operator<core::Binary::sub>("orr.sub/1", "y = a - b, broadcasting; torch.sub");
    return op.table();
}
