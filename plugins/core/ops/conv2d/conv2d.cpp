// y[b, o, i, j] = activation(bias[o] + sum_{c, u, v} w[o, c, u, v] x[b, c, i s + u d - p, j s + v d - p]), as torch.nn.functional.conv2d
// x [B, C, H, W] f32    w [O, C / groups, kh, kw] f32 | f16 | bf16    bias [O]    y [B, O, H', W'] or [B, H' W', O] f32
#include "ops/conv2d/conv2d.hpp"

namespace orrery::core {
namespace {

struct Pair {
    int64_t h, w;
};
Pair pair_of(const orr_attrs* attrs, const char* name) {
    const int64_t* v = nullptr;
    const size_t n = attrs->get_ints(attrs, name, &v);
    return n == 0 ? Pair{0, 0} : Pair{v[0], v[n - 1]};
}
Pair checked_pair(const Infer& i, const char* name) {
    const std::vector<int64_t> v = i.attr_ints(name);
    if (v.size() != 1 && v.size() != 2) throw Error(ORR_INVALID_ARGUMENT, std::string("orr.conv2d/1: ") + name + " has " + std::to_string(v.size()) + " numbers, wanted 1 or 2");
    return {v.front(), v.back()};
}
bool gives_tokens(const std::string& layout) {
    if (layout != "nchw" && layout != "tokens") throw Error(ORR_INVALID_ARGUMENT, "orr.conv2d/1: layout_out is \"" + layout + "\", known are nchw, tokens");
    return layout == "tokens";
}

void infer_conv2d(const Infer& i) {
    const char* op = "orr.conv2d/1";
    i.rank(0, 4, "orr.conv2d/1: x");
    i.rank(1, 4, "orr.conv2d/1: w");
    const orr_value_info &x = i.in(0), &w = i.in(1);
    check_conv(i, x.dims[1], i.attr_int("groups"), op);
    const Pair stride = checked_pair(i, "stride"), padding = checked_pair(i, "padding"), dilation = checked_pair(i, "dilation");
    const orr_dim h = conv_extent(i, x.dims[2], w.dims[2], stride.h, padding.h, dilation.h, op), v = conv_extent(i, x.dims[3], w.dims[3], stride.w, padding.w, dilation.w, op);
    if (gives_tokens(i.attr_string("layout_out"))) i.out(0, ORR_TYPE_F32, {x.dims[0], i.mul(h, v), w.dims[0]});
    else i.out(0, ORR_TYPE_F32, {x.dims[0], w.dims[0], h, v});
}

uint64_t flops(const orr_prepare* p) { return 2ull * static_cast<uint64_t>(elements(*p->outputs[0])) * static_cast<uint64_t>(elements(*p->inputs[1], 1)); }

}  // namespace

flt::ConvArgs read_conv2d(const orr_attrs* attrs, const orr_tensor& x, const orr_tensor& w, const orr_tensor& y) {
    flt::ConvArgs a{};
    a.batch = x.shape[0], a.channels = x.shape[1], a.height = x.shape[2], a.width = x.shape[3];
    a.out_channels = w.shape[0], a.kernel_h = w.shape[2], a.kernel_w = w.shape[3];
    const Pair stride = pair_of(attrs, "stride"), padding = pair_of(attrs, "padding"), dilation = pair_of(attrs, "dilation");
    a.stride_h = stride.h, a.stride_w = stride.w, a.pad_h = padding.h, a.pad_w = padding.w, a.dilation_h = dilation.h, a.dilation_w = dilation.w;
    a.groups = attrs->get_int(attrs, "groups");
    a.activation = flt::activation_of(attrs->get_string(attrs, "activation"), "orr.conv2d/1");
    a.x_batch = flt::stride(x, 0), a.x_channel = flt::stride(x, 1), a.x_row = flt::stride(x, 2), a.x_col = flt::stride(x, 3);
    a.y_batch = flt::stride(y, 0);
    if (gives_tokens(attrs->get_string(attrs, "layout_out"))) {
        a.y_col = flt::stride(y, 1), a.y_channel = flt::stride(y, 2);
    } else {
        a.y_channel = flt::stride(y, 1), a.y_col = flt::stride(y, 3);
    }
    a.y_row = a.y_col * a.out_width();
    return a;
}

}  // namespace orrery::core

const orr_operator* orr_op_conv2d() {
    using namespace orrery;
    static const Operator op = Operator("orr.conv2d/1", "2-D convolution (cross-correlation); torch.nn.functional.conv2d")
                                   .input("x", "f32", "[B, C, H, W]")
                                   .input("w", "f32 f16 bf16", "[O, C / groups, kh, kw]", ORR_PORT_WEIGHT)
                                   .input("bias", "f32 f16 bf16", "[O]", ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT)
                                   .output("y", "[B, O, H', W'], or [B, H' W', O] where layout_out is tokens")
                                   .attr("stride", ORR_ATTR_INTS, "[1,1]", "rows, columns; one number serves both", "[1, inf)", 1, 2)
                                   .attr("padding", ORR_ATTR_INTS, "[0,0]", "zeros on each side of rows, columns", "[0, inf)", 1, 2)
                                   .attr("dilation", ORR_ATTR_INTS, "[1,1]", "step between taps", "[1, inf)", 1, 2)
                                   .attr("groups", ORR_ATTR_INT, "1", "independent groups of channels", "[1, inf)")
                                   .attr("activation", ORR_ATTR_STRING, "\"none\"", "of the sum; gelu is the exact one, with erf", flt::kActivationWords)
                                   .attr("layout_out", ORR_ATTR_STRING, "\"nchw\"", "axes of y: [B, O, H', W'] or [B, H' W', O]", "nchw|tokens")
                                   .infer(infer_guard<core::infer_conv2d>)
                                   .flops(core::flops)
                                   .kernel(core::kConv2dVulkan)
                                   .kernel(core::kConv2dCpu)
                                   .kernel(core::kConv2dReference);
    return op.table();
}
