// Sixteen channels at a time in vector lanes, all in f32; the sum over n is one chain, so nothing depends on threads or on how T is cut.
#include "float/scan.hpp"

#include "ops/selective_scan/selective_scan.hpp"

namespace orrery::ssm {
namespace {

struct Plan {
    flt::Isa isa;
    uint64_t args_bytes, d_bytes, bias_bytes;  // parts of the workspace, in this order, the kernel's last
};

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& a = *p->inputs[kScanA];
    if (!flt::is_plain(a) || !is_contiguous(a)) return refuse(reason, size, "A is not contiguous");
    constexpr std::pair<uint32_t, const char*> kRows[] = {{kScanU, "u"}, {kScanDelta, "delta"}, {kScanB, "B"}, {kScanC, "C"}, {kScanZ, "z"}};
    for (const auto& [port, name] : kRows)
        if (!flt::takes_rows(p->inputs[port], name, reason, size)) return false;
    return flt::takes_rows(p->outputs[0], "y", reason, size) && takes_state(*p->inputs[kScanState], "state", reason, size) &&
           takes_state(*p->outputs[1], "new_state", reason, size);
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        Plan* plan = flt::make_plan<Plan>(p);
        if (plan == nullptr) return ORR_OUT_OF_MEMORY;
        plan->args_bytes = static_cast<uint64_t>(flt::round_up(p->inputs[kScanU]->shape[0] * static_cast<int64_t>(sizeof(flt::ScanArgs)), 64));
        plan->d_bytes = flt::floats_bytes(p->inputs[kScanD]);
        plan->bias_bytes = flt::floats_bytes(p->inputs[kScanDeltaBias]);
        p->workspace(p, plan->args_bytes + plan->d_bytes + plan->bias_bytes + flt::scan_workspace_bytes(p->inputs[kScanA]->shape[1], static_cast<int>(p->threads)));
        return ORR_OK;
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const orr_tensor &u = *run->inputs[kScanU], &delta = *run->inputs[kScanDelta], &b = *run->inputs[kScanB], &c = *run->inputs[kScanC], &y = *run->outputs[0];
        const orr_tensor* z = run->inputs[kScanZ];
        auto* workspace = static_cast<char*>(run->workspace);
        auto* args = reinterpret_cast<flt::ScanArgs*>(workspace);
        workspace += plan.args_bytes;
        const float* d = flt::floats(run->inputs[kScanD], reinterpret_cast<float*>(workspace));
        workspace += plan.d_bytes;
        const float* bias = flt::floats(run->inputs[kScanDeltaBias], reinterpret_cast<float*>(workspace));
        workspace += plan.bias_bytes;
        const auto at = [](const orr_tensor& t, int64_t sequence) { return data<float>(&t) + sequence * flt::stride(t, 0); };
        for (int64_t s = 0; s < u.shape[0]; ++s) {
            flt::ScanArgs& a = args[s];
            a = {};
            a.tokens = u.shape[1], a.channels = u.shape[2], a.states = run->inputs[kScanA]->shape[1];
            a.u = at(u, s), a.delta = at(delta, s), a.a = data<float>(run->inputs[kScanA]), a.b = at(b, s), a.c = at(c, s), a.d = d, a.delta_bias = bias;
            a.u_token = flt::stride(u, 1), a.delta_token = flt::stride(delta, 1), a.b_token = flt::stride(b, 1), a.c_token = flt::stride(c, 1);
            if (z != nullptr) a.z = at(*z, s), a.z_token = flt::stride(*z, 1);
            a.state = state_row(*run->inputs[kScanState], s), a.new_state = state_row(*run->outputs[1], s);
            a.y = at(y, s), a.y_token = flt::stride(y, 1);
            a.softplus = run->attrs->get_int(run->attrs, "delta_softplus") != 0;
        }
        flt::selective_scan(plan.isa, args, u.shape[0], workspace, flt::parallel_of(run));
    });
}

}  // namespace

const KernelDef kSelectiveScanCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::ssm
