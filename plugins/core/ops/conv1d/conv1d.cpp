// y[b, o, i] = activation(bias[o] + sum_{c, v} w[o, c, v] x[b, c, i s + v d - p]), as torch.nn.functional.conv1d
// x [B, C, L] or [B, L, C] f32    w [O, C / groups, k] f32 | f16 | bf16    bias [O]    y [B, O, L'] or [B, L', O] f32
#include "ops/conv1d/conv1d.hpp"

namespace orrery::core {
namespace {

// Whether channels come last.
bool channels_last(const std::string& layout, const char* name) {
    if (layout != "ncl" && layout != "nlc") throw Error(ORR_INVALID_ARGUMENT, std::string("orr.conv1d/1: ") + name + " is \"" + layout + "\", known are ncl, nlc");
    return layout == "nlc";
}

void infer_conv1d(const Infer& i) {
    const char* op = "orr.conv1d/1";
    i.rank(0, 3, "orr.conv1d/1: x");
    i.rank(1, 3, "orr.conv1d/1: w");
    const orr_value_info &x = i.in(0), &w = i.in(1);
    const bool last_in = channels_last(i.attr_string("layout_in"), "layout_in"), last_out = channels_last(i.attr_string("layout_out"), "layout_out");
    check_conv(i, x.dims[last_in ? 2 : 1], i.attr_int("groups"), op);
    const orr_dim length = conv_extent(i, x.dims[last_in ? 1 : 2], w.dims[2], i.attr_int("stride"), i.attr_int("padding"), i.attr_int("dilation"), op);
    if (last_out) i.out(0, ORR_TYPE_F32, {x.dims[0], length, w.dims[0]});
    else i.out(0, ORR_TYPE_F32, {x.dims[0], w.dims[0], length});
}

uint64_t flops(const orr_prepare* p) { return 2ull * static_cast<uint64_t>(elements(*p->outputs[0])) * static_cast<uint64_t>(elements(*p->inputs[1], 1)); }

}  // namespace

flt::ConvArgs read_conv1d(const orr_attrs* attrs, const orr_tensor& x, const orr_tensor& w, const orr_tensor& y) {
    const int32_t x_l = channels_last(attrs->get_string(attrs, "layout_in"), "layout_in") ? 1 : 2;
    const int32_t y_l = channels_last(attrs->get_string(attrs, "layout_out"), "layout_out") ? 1 : 2;
    flt::ConvArgs a{};
    a.batch = x.shape[0], a.channels = x.shape[3 - x_l], a.height = 1, a.width = x.shape[x_l];
    a.out_channels = w.shape[0], a.kernel_h = 1, a.kernel_w = w.shape[2];
    a.stride_h = 1, a.stride_w = attrs->get_int(attrs, "stride"), a.pad_w = attrs->get_int(attrs, "padding");
    a.dilation_h = 1, a.dilation_w = attrs->get_int(attrs, "dilation"), a.groups = attrs->get_int(attrs, "groups");
    a.activation = flt::activation_of(attrs->get_string(attrs, "activation"), "orr.conv1d/1");
    a.x_batch = flt::stride(x, 0), a.x_channel = flt::stride(x, 3 - x_l), a.x_col = flt::stride(x, x_l), a.x_row = 0;
    a.y_batch = flt::stride(y, 0), a.y_channel = flt::stride(y, 3 - y_l), a.y_col = flt::stride(y, y_l);
    a.y_row = a.y_col * a.out_width();
    return a;
}

}  // namespace orrery::core

const orr_operator* orr_op_conv1d() {
    using namespace orrery;
    static const Operator op = Operator("orr.conv1d/1", "1-D convolution (cross-correlation); torch.nn.functional.conv1d")
                                   .input("x", "f32", "[B, C, L], or [B, L, C] where layout_in is nlc")
                                   .input("w", "f32 f16 bf16", "[O, C / groups, k]", ORR_PORT_WEIGHT)
                                   .input("bias", "f32 f16 bf16", "[O]", ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT)
                                   .output("y", "[B, O, L'], or [B, L', O] where layout_out is nlc")
                                   .attr("stride", ORR_ATTR_INT, "1", "elements between outputs", "[1, inf)")
                                   .attr("padding", ORR_ATTR_INT, "0", "zeros on each side", "[0, inf)")
                                   .attr("dilation", ORR_ATTR_INT, "1", "step between taps", "[1, inf)")
                                   .attr("groups", ORR_ATTR_INT, "1", "independent groups of channels", "[1, inf)")
                                   .attr("activation", ORR_ATTR_STRING, "\"none\"", "of the sum; gelu is the exact one, with erf", flt::kActivationWords)
                                   .attr("layout_in", ORR_ATTR_STRING, "\"ncl\"", "axes of x", "ncl|nlc")
                                   .attr("layout_out", ORR_ATTR_STRING, "\"ncl\"", "axes of y", "ncl|nlc")
                                   .infer(infer_guard<core::infer_conv1d>)
                                   .flops(core::flops)
                                   .kernel(core::kConv1dVulkan)
                                   .kernel(core::kConv1dCpu)
                                   .kernel(core::kConv1dReference);
    return op.table();
}
