#include "common/conv_op.hpp"

#include "float/gemm.hpp"

namespace orrery::core {
namespace {

constexpr int64_t kPanel = 16;

// One panel of 16 output channels, from weights of any plain float type: layout flt::kPackedLayout.
void pack_panel(const orr_tensor* src, void* dst, int64_t chunk) {
    const int64_t taps = elements(*src, 1), n0 = chunk * kPanel, columns = std::min(kPanel, src->shape[0] - n0);
    float* panel = static_cast<float*>(dst) + n0 * taps;
    for (int64_t k = 0; k < taps; ++k)
        for (int64_t j = 0; j < kPanel; ++j)
            panel[k * kPanel + j] =
                j < columns ? static_cast<float>(flt::number_at(src->type, static_cast<const char*>(src->data) + (n0 + j) * src->stride_bytes[0] + k * src->block_bytes)) : 0.0f;
}

// At the first run: while a plan is made the weight has no data, and its own prepack would not know the groups.
void pack_grouped(const orr_run* run, ConvPlan& plan) {
    const orr_tensor& w = *run->inputs[1];
    std::vector<float> plain(static_cast<size_t>(elements(w)));
    for (size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<float>(flt::number_at(w.type, static_cast<const char*>(w.data) + i * w.block_bytes));
    flt::conv_pack(plan.isa, plan.args, plain.data(), plan.packed, flt::serial());
    plan.packed_now = true;
}

}  // namespace

bool supports_conv(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor &x = *p->inputs[0], &w = *p->inputs[1];
    if (!flt::takes_rows(&x, "x", reason, size) || !flt::takes_rows(p->outputs[0], "y", reason, size)) return false;
    if (!(w.flags & ORR_TENSOR_CONSTANT)) return refuse(reason, size, "w is not constant");
    return (flt::is_plain(w) && is_contiguous(w)) || refuse(reason, size, "w is not contiguous");
}

orr_status prepare_conv(orr_prepare* p, ConvReader reader) {
    return guard(p->host, [&]() -> orr_status {
        ConvPlan* plan = flt::make_plan<ConvPlan>(p);
        if (plan == nullptr) return ORR_OUT_OF_MEMORY;
        const orr_tensor& w = *p->inputs[1];
        plan->args = reader(p->attrs, *p->inputs[0], w, *p->outputs[0]);
        plan->bias_bytes = flt::floats_bytes(flt::input(p, 2));
        p->workspace(p, plan->bias_bytes + flt::conv_workspace_bytes(plan->args, static_cast<int>(p->threads)));
        if (plan->args.groups > 1) {
            plan->packed = static_cast<float*>(p->plan_memory(p, flt::conv_packed_bytes(plan->args)));
            return plan->packed ? ORR_OK : ORR_OUT_OF_MEMORY;
        }
        const orr_pack pack = {ORR_HEADER(orr_pack), flt::kPackedLayout, flt::gemm_packed_bytes(w.shape[0], elements(w, 1)), 64, flt::ceil_div(w.shape[0], kPanel), pack_panel};
        return p->prepack(p, 1, &pack);
    });
}

orr_status run_conv(const orr_run* run) {
    return guard(run->host, [&] {
        ConvPlan& plan = *static_cast<ConvPlan*>(run->data);
        if (plan.packed && !plan.packed_now) pack_grouped(run, plan);
        flt::ConvArgs args = plan.args;
        auto* workspace = static_cast<char*>(run->workspace);
        args.x = data<float>(run->inputs[0]);
        args.w = plan.packed != nullptr ? plan.packed : data<float>(run->inputs[1]);
        args.bias = flt::floats(flt::input(run, 2), reinterpret_cast<float*>(workspace));
        args.y = data<float>(run->outputs[0]);
        flt::conv(plan.isa, args, workspace + plan.bias_bytes, flt::parallel_of(run));
    });
}

orr_status run_conv_reference(const orr_run* run, ConvReader reader) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &w = *run->inputs[1], &y = *run->outputs[0];
        const orr_tensor* bias = flt::input(run, 2);
        const flt::ConvArgs a = reader(run->attrs, x, w, y);
        const int64_t last = w.rank - 1;
        for (int64_t b = 0; b < a.batch; ++b)
            for (int64_t o = 0; o < a.out_channels; ++o)
                for (int64_t i = 0; i < a.out_height(); ++i)
                    for (int64_t j = 0; j < a.out_width(); ++j) {
                        double sum = bias ? flt::number(*bias, o) : 0.0;
                        const int64_t c0 = o / a.group_out() * a.group_in();
                        for (int64_t c = 0; c < a.group_in(); ++c)
                            for (int64_t u = 0; u < a.kernel_h; ++u)
                                for (int64_t v = 0; v < a.kernel_w; ++v) {
                                    const int64_t row = i * a.stride_h + u * a.dilation_h - a.pad_h, col = j * a.stride_w + v * a.dilation_w - a.pad_w;
                                    if (row < 0 || row >= a.height || col < 0 || col >= a.width) continue;
                                    const char* at_w = data<char>(&w) + o * w.stride_bytes[0] + c * w.stride_bytes[1] + (w.rank == 4 ? u * w.stride_bytes[2] : 0) + v * w.stride_bytes[last];
                                    const char* at_x = data<char>(&x) + 4 * (b * a.x_batch + (c0 + c) * a.x_channel + row * a.x_row + col * a.x_col);
                                    sum += flt::number_at(w.type, at_w) * flt::number_at(ORR_TYPE_F32, at_x);
                                }
                        data<float>(&y)[b * a.y_batch + o * a.y_channel + i * a.y_row + j * a.y_col] = static_cast<float>(flt::activate(a.activation, sum));
                    }
    });
}

orr_dim conv_extent(const Infer& i, orr_dim extent, orr_dim kernel, int64_t stride, int64_t padding, int64_t dilation, const char* op) {
    if (stride < 1 || dilation < 1 || padding < 0)
        throw Error(ORR_INVALID_ARGUMENT, std::string(op) + ": stride " + std::to_string(stride) + ", dilation " + std::to_string(dilation) + " and padding " +
                                              std::to_string(padding) + ", wanted at least 1, 1 and 0");
    // Step by step: a negative orr_dim would be a handle.
    const orr_dim reach = i.add(i.mul(dilation, i.sub(kernel, 1)), 1), padded = i.add(extent, 2 * padding);
    if (padded >= 0 && reach >= 0 && padded < reach)
        throw Error(ORR_INVALID_ARGUMENT, std::string(op) + ": the kernel spans " + std::to_string(reach) + " elements, the padded input has " + std::to_string(padded));
    return i.add(i.div(i.sub(padded, reach), stride), 1);
}

void check_conv(const Infer& i, orr_dim channels, int64_t groups, const char* op) {
    const orr_value_info& w = i.in(1);
    const std::string name = op;
    if (groups < 1) throw Error(ORR_INVALID_ARGUMENT, name + ": groups is " + std::to_string(groups) + ", wanted 1 or more");
    for (int32_t axis = 0; axis < w.rank; ++axis)
        if (w.dims[axis] == 0) throw Error(ORR_INVALID_ARGUMENT, name + ": axis " + std::to_string(axis) + " of w is 0, wanted 1 or more");
    if (w.dims[0] >= 0 && w.dims[0] % groups != 0) throw Error(ORR_INVALID_ARGUMENT, name + ": " + std::to_string(w.dims[0]) + " output channels in " + std::to_string(groups) + " groups");
    i.same(channels, i.mul(w.dims[1], groups), name + ": channels of x against w's times groups");
    if (i.has(2)) {
        i.rank(2, 1, (name + ": bias").c_str());
        i.same(i.in(2).dims[0], w.dims[0], name + ": elements of bias against output channels");
    }
    flt::activation_of(i.attr_string("activation"), op);
}

}  // namespace orrery::core
