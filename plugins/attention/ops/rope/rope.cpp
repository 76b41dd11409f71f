// y[.., i] = x[.., i] c_i - x[.., j] s_i,  y[.., j] = x[.., j] c_i + x[.., i] s_i  for the R / 2 pairs (i, j)
// c_i = scale cos(p inv_freq[i]), s_i = scale sin(p inv_freq[i]), p the token's position; elements from R on pass through
// x, y [B, T, H, D] f32    positions [B, T] i32 | i64    inv_freq [R / 2] f32
// Su et al. 2021, arXiv:2104.09864; two tables: Ding et al. 2024 (LongRoPE), arXiv:2402.13753
#include "ops/rope/rope.hpp"

#include "common/rotation.hpp"

namespace orrery::attention {
namespace {

void infer_rope(const Infer& i) {
    check_rotation(i, "orr.rope/1: ", kRopeX, "x", {kRopePositions, kRopeFreq, kRopeLongFreq});
    i.out(0, ORR_TYPE_F32, Infer::dims(i.in(kRopeX)));
}

}  // namespace
}  // namespace orrery::attention

const orr_operator* orr_op_rope() {
    using namespace orrery;
    static const Operator op = [](Operator&& o) -> Operator& {
        attention::declare_rotation_ports(o.input("x", "f32", "[B, T, H, D]")).output("y", "[B, T, H, D]").token_axis(1);
        attention::declare_rotation_attrs(o).infer(infer_guard<attention::infer_rope>);
        return o.kernel(attention::kRopeVulkan).kernel(attention::kRopeCpu).kernel(attention::kRopeReference);
    }(Operator("orr.rope/1", "rotary position embedding; arXiv:2104.09864"));
    return op.table();
}
