// Cosines and sines of a token once, in f32 as upstream computes them (position times inv_freq in f32), then all its heads.
#include "common/heads.hpp"
#include "ops/rope/rope.hpp"

namespace orrery::attention {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    if (!flt::takes_rows(p->inputs[kRopeX], "x", reason, size) || !flt::takes_rows(p->outputs[0], "y", reason, size)) return false;
    return flt::takes_rows(p->inputs[kRopeFreq], "inv_freq", reason, size) && flt::takes_rows(flt::input(p, kRopeLongFreq), "long_inv_freq", reason, size);
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        p->workspace(p, position_bytes(*p->inputs[kRopePositions]) + turn_bytes(p, *p->inputs[kRopeFreq]));
        return flt::make_plan(p) == nullptr ? ORR_OUT_OF_MEMORY : ORR_OK;
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor& positions = *run->inputs[kRopePositions];
        auto* table = static_cast<int32_t*>(run->workspace);
        read_positions(positions, table);
        turn_heads(run, static_cast<const flt::IsaPlan*>(run->data)->isa, RotationAttrs(run->attrs), *run->inputs[kRopeX], heads(*run->outputs[0]), table, *run->inputs[kRopeFreq],
                   flt::input(run, kRopeLongFreq), static_cast<char*>(run->workspace) + position_bytes(positions));
    });
}

}  // namespace

const KernelDef kRopeCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::attention
