// y[.., i] = x[.., i] c_i - x[.., j] s_i,  y[.., j] = x[.., j] c_i + x[.., i] s_i  for the R / 2 pairs (i, j)
// c_i = scale cos(p inv_freq[i]), s_i = scale sin(p inv_freq[i]), p the token's position; elements from R on pass through
// x, y [B, T, H, D] f32    positions [B, T] i32 | i64    inv_freq [R / 2] f32
// Su et al. 2021, arXiv:2104.09864; two tables: Ding et al. 2024 (LongRoPE), arXiv:2402.13753
#include "ops/rope/rope.hpp"

namespace orrery::attention {
namespace {

void infer_rope(const Infer& i) {
    const std::string op = "orr.rope/1: ";
    i.rank(kRopeX, 4, "orr.rope/1: x");
    i.rank(kRopePositions, 2, "orr.rope/1: positions");
    i.rank(kRopeFreq, 1, "orr.rope/1: inv_freq");
    const orr_value_info &x = i.in(kRopeX), &positions = i.in(kRopePositions), &freq = i.in(kRopeFreq);
    i.same(x.dims[0], positions.dims[0], op + "batch of x against positions");
    i.same(x.dims[1], positions.dims[1], op + "tokens of x against positions");
    if (freq.dims[0] >= 0 && x.dims[3] >= 0 && 2 * freq.dims[0] > x.dims[3])
        throw Error(ORR_INVALID_ARGUMENT, op + "inv_freq turns " + std::to_string(2 * freq.dims[0]) + " elements, heads have " + std::to_string(x.dims[3]));
    if (i.has(kRopeLongFreq)) {
        i.rank(kRopeLongFreq, 1, "orr.rope/1: long_inv_freq");
        i.same(i.in(kRopeLongFreq).dims[0], freq.dims[0], op + "elements of long_inv_freq against inv_freq");
    } else if (i.attr_int("switch_length") > 0) {
        throw Error(ORR_INVALID_ARGUMENT, op + "switch_length is " + std::to_string(i.attr_int("switch_length")) + " and long_inv_freq is absent");
    }
    i.out(0, ORR_TYPE_F32, Infer::dims(x));
}

}  // namespace
}  // namespace orrery::attention

const orr_operator* orr_op_rope() {
    using namespace orrery;
    static const Operator op = Operator("orr.rope/1", "rotary position embedding; arXiv:2104.09864")
                                   .input("x", "f32", "[B, T, H, D]")
                                   .input("positions", "i32 i64", "[B, T]")
                                   .input("inv_freq", "f32", "[R / 2], R <= D")
                                   .input("long_inv_freq", "f32", "[R / 2], for sequences longer than switch_length", ORR_PORT_OPTIONAL)
                                   .output("y", "[B, T, H, D]")
                                   .token_axis(1)
                                   .attr("interleaved", ORR_ATTR_BOOL, "false", "pairs are (2i, 2i + 1); else (i, i + R / 2)")
                                   .attr("scale", ORR_ATTR_FLOAT, "1", "factor of cosines and sines")
                                   .attr("switch_length", ORR_ATTR_INT, "0", "tokens; a sequence whose largest position + 1 exceeds it takes the long table; 0: never", "[0, inf)")
                                   .attr("long_scale", ORR_ATTR_FLOAT, "1", "scale with the long table")
                                   .infer(infer_guard<attention::infer_rope>)
                                   .kernel(attention::kRopeVulkan)
                                   .kernel(attention::kRopeCpu)
                                   .kernel(attention::kRopeReference);
    return op.table();
}
