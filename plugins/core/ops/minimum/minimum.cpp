// y[i] = min(a, b), NaN if either is with broadcasting; torch.minimum. Kernels: common/binary.hpp.
#include "common/binary.hpp"

using namespace orrery;

const orr_operator* orr_op_minimum() {
    static const Operator op = core::binary_operator<core::Binary::minimum>("orr.minimum/1", "y = min(a, b), NaN if either is, broadcasting; torch.minimum");
    return op.table();
}
