// y[i] = max(a, b), NaN if either is with broadcasting; torch.maximum. Kernels: common/binary.hpp.
#include "common/binary.hpp"

using namespace orrery;

const orr_operator* orr_op_maximum() {
    static const Operator op = core::binary_operator<core::Binary::maximum>("orr.maximum/1", "y = max(a, b), NaN if either is, broadcasting; torch.maximum");
    return op.table();
}
