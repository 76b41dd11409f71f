// Rows of x to their pages; f16 and bf16 round to nearest even, q8_0 as the GGUF type does.
#include "common/heads.hpp"
#include "ops/cache_append/cache_append.hpp"

namespace orrery::attention {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    return takes_pages(*p->inputs[0], "state", reason, size) && flt::takes_rows(p->inputs[1], "x", reason, size);
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        p->workspace(p, static_cast<uint64_t>(p->inputs[1]->shape[0]) * sizeof(flt::PagedView));
        return flt::make_plan(p) == nullptr ? ORR_OUT_OF_MEMORY : ORR_OK;
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &state = *run->inputs[0], &x = *run->inputs[1];
        check_pages("orr.cache_append/1", state, x.shape[1]);
        append_heads(run, static_cast<const flt::IsaPlan*>(run->data)->isa, state, x, heads(x), static_cast<flt::PagedView*>(run->workspace));
    });
}

}  // namespace

const KernelDef kCacheAppendCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::attention
