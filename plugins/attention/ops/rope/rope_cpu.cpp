// Cosines and sines of a token once, in f32 as upstream computes them (position times inv_freq in f32), then all its heads.
#include "float/norm.hpp"
#include "ops/rope/rope.hpp"

namespace orrery::attention {
namespace {

struct Plan {
    flt::Isa isa;
    uint64_t position_bytes;
};

bool supports(const orr_prepare* p, char* reason, size_t size) {
    if (!flt::takes_rows(p->inputs[kRopeX], "x", reason, size) || !flt::takes_rows(p->outputs[0], "y", reason, size)) return false;
    return flt::takes_rows(p->inputs[kRopeFreq], "inv_freq", reason, size) && flt::takes_rows(flt::input(p, kRopeLongFreq), "long_inv_freq", reason, size);
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        Plan* plan = flt::make_plan<Plan>(p);
        if (plan == nullptr) return ORR_OUT_OF_MEMORY;
        plan->position_bytes = static_cast<uint64_t>(flt::round_up(elements(*p->inputs[kRopePositions]) * 4, 64));
        p->workspace(p, plan->position_bytes + static_cast<uint64_t>(flt::rope_workspace_floats(p->inputs[kRopeFreq]->shape[0])) * 4 * p->threads);
        return ORR_OK;
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const orr_tensor &x = *run->inputs[kRopeX], &positions = *run->inputs[kRopePositions], &freq = *run->inputs[kRopeFreq], &y = *run->outputs[0];
        auto* table = static_cast<int32_t*>(run->workspace);
        for (int64_t b = 0; b < x.shape[0]; ++b)
            for (int64_t t = 0; t < x.shape[1]; ++t) table[b * x.shape[1] + t] = static_cast<int32_t>(flt::number(positions, {b, t}));
        const orr_attrs* attrs = run->attrs;
        const orr_tensor* far = flt::input(run, kRopeLongFreq);
        const flt::RopeArgs args{x.shape[0],         x.shape[1],          x.shape[2],         x.shape[3],           freq.shape[0],
                                 data<float>(&x),    flt::stride(x, 0),   flt::stride(x, 1),  flt::stride(x, 2),    data<float>(&y),
                                 flt::stride(y, 0),  flt::stride(y, 1),   flt::stride(y, 2),  table,                x.shape[1],
                                 data<float>(&freq), static_cast<float>(attrs->get_float(attrs, "scale")), data<float>(far), static_cast<float>(attrs->get_float(attrs, "long_scale")),
                                 attrs->get_int(attrs, "switch_length"), attrs->get_int(attrs, "interleaved") != 0};
        flt::rope(plan.isa, args, static_cast<char*>(run->workspace) + plan.position_bytes, flt::parallel_of(run));
    });
}

}  // namespace

const KernelDef kRopeCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::attention
