// Sixteen channels at a time in vector lanes, f32, taps in rising order.
#include "float/scan.hpp"

#include "ops/causal_conv1d/causal_conv1d.hpp"

namespace orrery::ssm {
namespace {

struct Plan {
    flt::Isa isa;
    uint64_t args_bytes, weight_bytes, bias_bytes;  // parts of the workspace, in this order, the kernel's last
};

int64_t taps(const orr_tensor& w) { return w.shape[w.rank - 1]; }
bool is_f32(const orr_tensor& t) { return t.type == ORR_TYPE_F32; }

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& w = *p->inputs[kConvWeight];
    if (!flt::is_plain(w) || !is_contiguous(w)) return refuse(reason, size, "w is not contiguous");
    return flt::takes_rows(p->inputs[kConvX], "x", reason, size) && flt::takes_rows(p->outputs[0], "y", reason, size) &&
           takes_state(*p->inputs[kConvState], "state", reason, size) && takes_state(*p->outputs[1], "new_state", reason, size);
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        Plan* plan = flt::make_plan<Plan>(p);
        if (plan == nullptr) return ORR_OUT_OF_MEMORY;
        const orr_tensor &x = *p->inputs[kConvX], &w = *p->inputs[kConvWeight];
        plan->args_bytes = static_cast<uint64_t>(flt::round_up(x.shape[0] * static_cast<int64_t>(sizeof(flt::CausalConvArgs)), 64));
        plan->weight_bytes = is_f32(w) ? 0 : static_cast<uint64_t>(flt::round_up(elements(w) * 4, 64));
        plan->bias_bytes = flt::floats_bytes(flt::input(p, kConvBias));
        p->workspace(p, plan->args_bytes + plan->weight_bytes + plan->bias_bytes + flt::causal_conv_workspace_bytes(taps(w), static_cast<int>(p->threads)));
        return ORR_OK;
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const orr_tensor &x = *run->inputs[kConvX], &w = *run->inputs[kConvWeight], &y = *run->outputs[0];
        auto* workspace = static_cast<char*>(run->workspace);
        auto* args = reinterpret_cast<flt::CausalConvArgs*>(workspace);
        workspace += plan.args_bytes;
        const auto* weights = data<float>(&w);
        if (!is_f32(w)) {
            auto* wide = reinterpret_cast<float*>(workspace);
            for (int64_t i = 0; i < elements(w); ++i) wide[i] = static_cast<float>(flt::number_at(w.type, data<char>(&w) + i * w.block_bytes));
            weights = wide;
        }
        workspace += plan.weight_bytes;
        const float* bias = flt::floats(flt::input(run, kConvBias), reinterpret_cast<float*>(workspace));
        workspace += plan.bias_bytes;
        const bool silu = wants_silu(run->attrs->get_string(run->attrs, "activation"));
        for (int64_t b = 0; b < x.shape[0]; ++b)
            args[b] = {x.shape[1], x.shape[2], taps(w), data<float>(&x) + b * flt::stride(x, 0), flt::stride(x, 1), weights, bias, state_row(*run->inputs[kConvState], b),
                       data<float>(&y) + b * flt::stride(y, 0), flt::stride(y, 1), state_row(*run->outputs[1], b), silu};
        flt::causal_conv(plan.isa, args, x.shape[0], workspace, flt::parallel_of(run));
    });
}

}  // namespace

const KernelDef kCausalConv1dCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::ssm
