// Rows of x to their pages; f16 and bf16 round to nearest even, q8_0 as the GGUF type does.
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
        auto* views = static_cast<flt::PagedView*>(run->workspace);
        for (int64_t b = 0; b < x.shape[0]; ++b) {
            const orr_paged& table = page_table(state, b);
            views[b] = {table.pages, table.past + x.shape[1], table.first, table.page_tokens};
        }
        flt::AppendArgs args{x.shape[0], x.shape[1], x.shape[2], x.shape[3], data<float>(&x), flt::stride(x, 0), flt::stride(x, 1), flt::stride(x, 2), views, flt::KvType::f32};
        kv_type(state, &args.type);
        flt::cache_append(static_cast<const flt::IsaPlan*>(run->data)->isa, args, flt::parallel_of(run));
    });
}

}  // namespace

const KernelDef kCacheAppendCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::attention
