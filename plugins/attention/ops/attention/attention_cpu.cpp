// Tiles of keys with a running maximum; the T x S scores never exist as a whole. All heads of a group share a packed tile of keys;
// with 8 query tokens or fewer, runs of 512 keys go to different threads and are merged in order. f32 throughout.
#include "float/attention.hpp"

#include "ops/attention/attention.hpp"

namespace orrery::attention {
namespace {

struct Plan {
    flt::Isa isa;
    uint64_t views_bytes, mask_bytes;  // parts of the workspace, in this order, the kernel's last
};

bool takes_cache(const orr_tensor& t, const char* name, char* reason, size_t size) {
    return is_paged(t) ? takes_pages(t, name, reason, size) : flt::takes_rows(&t, name, reason, size);
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor &k = *p->inputs[kKey], &v = *p->inputs[kValue];
    if (!flt::takes_rows(p->inputs[kQuery], "q", reason, size) || !flt::takes_rows(flt::input(p, kBias), "bias", reason, size)) return false;
    if (!takes_cache(k, "k", reason, size) || !takes_cache(v, "v", reason, size)) return false;
    if (is_paged(k) != is_paged(v)) return refuse(reason, size, "of k and v only one is paged");
    return flt::takes_rows(p->outputs[0], "y", reason, size);
}

// Shapes, strides and attributes; pointers stay null.
flt::AttentionArgs arguments(const orr_attrs* attrs, const orr_tensor& q, const orr_tensor& k, const orr_tensor& v, const orr_tensor& y) {
    const AttentionAttrs given(attrs, q.shape[3]);
    flt::AttentionArgs a{};
    a.batch = q.shape[0], a.tokens = q.shape[1], a.keys = k.shape[1], a.heads = q.shape[2], a.kv_heads = k.shape[2], a.width = q.shape[3], a.value_width = v.shape[3];
    a.q_batch = flt::stride(q, 0), a.q_token = flt::stride(q, 1), a.q_head = flt::stride(q, 2);
    a.dst_batch = flt::stride(y, 0), a.dst_token = flt::stride(y, 1), a.dst_head = flt::stride(y, 2);
    a.scale = static_cast<float>(given.scale), a.softcap = static_cast<float>(given.softcap), a.back = given.back, a.ahead = given.ahead;
    for (auto [source, t] : {std::pair{&a.k, &k}, std::pair{&a.v, &v}}) {
        if (is_paged(*t)) kv_type(*t, &source->type);
        else source->batch = flt::stride(*t, 0), source->token = flt::stride(*t, 1), source->head = flt::stride(*t, 2);
    }
    return a;
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        Plan* plan = flt::make_plan<Plan>(p);
        if (plan == nullptr) return ORR_OUT_OF_MEMORY;
        const orr_tensor &q = *p->inputs[kQuery], &k = *p->inputs[kKey];
        const flt::AttentionArgs args = arguments(p->attrs, q, k, *p->inputs[kValue], *p->outputs[0]);
        plan->views_bytes = is_paged(k) ? static_cast<uint64_t>(flt::round_up(2 * q.shape[0] * static_cast<int64_t>(sizeof(flt::PagedView)), 64)) : 0;
        plan->mask_bytes = flt::input(p, kKeyMask) != nullptr ? static_cast<uint64_t>(flt::round_up(q.shape[0] * k.shape[1], 64)) : 0;
        p->workspace(p, plan->views_bytes + plan->mask_bytes + flt::attention_workspace_bytes(args, static_cast<int>(p->threads)));
        return ORR_OK;
    });
}

flt::PagedView* write_views(const orr_tensor& t, flt::PagedView* views) {
    for (int64_t b = 0; b < t.shape[0]; ++b) {
        const orr_paged& table = page_table(t, b);
        views[b] = {table.pages, table.length, table.first, table.page_tokens};
    }
    return views;
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const orr_tensor &q = *run->inputs[kQuery], &k = *run->inputs[kKey], &v = *run->inputs[kValue], &y = *run->outputs[0];
        flt::AttentionArgs args = arguments(run->attrs, q, k, v, y);
        auto* workspace = static_cast<char*>(run->workspace);
        args.q = data<float>(&q);
        args.dst = data<float>(&y);
        check_lengths(q, k, v);
        if (is_paged(k)) {
            auto* views = reinterpret_cast<flt::PagedView*>(workspace);
            args.k.views = write_views(k, views);
            args.v.views = write_views(v, views + q.shape[0]);
        } else {
            args.k.data = data<float>(&k);
            args.v.data = data<float>(&v);
        }
        if (const orr_tensor* bias = flt::input(run, kBias)) {
            args.bias = data<float>(bias);
            args.bias_batches = bias->shape[0], args.bias_batch = flt::stride(*bias, 0), args.bias_token = flt::stride(*bias, 2);
            args.bias_head = bias->shape[1] == 1 ? 0 : flt::stride(*bias, 1);
        }
        if (const orr_tensor* mask = flt::input(run, kKeyMask)) {
            auto* bytes = reinterpret_cast<uint8_t*>(workspace + plan.views_bytes);
            for (int64_t b = 0; b < q.shape[0]; ++b)
                for (int64_t s = 0; s < k.shape[1]; ++s) bytes[b * k.shape[1] + s] = s >= mask->shape[1] || flt::number(*mask, {b, s}) != 0.0;
            args.key_mask = bytes;
            args.mask_batch = k.shape[1];
        }
        flt::attention(plan.isa, args, workspace + plan.views_bytes + plan.mask_bytes, flt::parallel_of(run));
    });
}

}  // namespace

const KernelDef kAttentionCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::attention
