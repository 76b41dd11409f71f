// Tiles of query rows against packed tiles of keys, then each row by itself. f32 throughout.
#include "float/attention_probabilities.hpp"

#include "ops/attention_probabilities/attention_probabilities.hpp"

namespace orrery::attention {
namespace {

struct Plan {
    flt::Isa isa;
    uint64_t views_bytes, mask_bytes;  // parts of the workspace, in this order, the kernel's last
};

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& k = *p->inputs[kWeighedKey];
    if (!flt::takes_rows(p->inputs[kWeighedQuery], "q", reason, size) || !flt::takes_rows(flt::input(p, kWeighedBias), "bias", reason, size)) return false;
    if (!(is_paged(k) ? takes_pages(k, "k", reason, size) : flt::takes_rows(&k, "k", reason, size))) return false;
    return flt::takes_rows(p->outputs[0], "y", reason, size);
}

// Shapes, strides and attributes; pointers stay null.
flt::AttentionArgs arguments(const orr_attrs* attrs, const orr_tensor& q, const orr_tensor& k, const orr_tensor& y) {
    const AttentionAttrs given(attrs, q.shape[3]);
    flt::AttentionArgs a{};
    a.batch = q.shape[0], a.tokens = q.shape[1], a.keys = k.shape[1], a.heads = q.shape[2], a.kv_heads = k.shape[2], a.width = q.shape[3];
    a.q_batch = flt::stride(q, 0), a.q_token = flt::stride(q, 1), a.q_head = flt::stride(q, 2);
    a.dst_batch = flt::stride(y, 0), a.dst_head = flt::stride(y, 1), a.dst_token = flt::stride(y, 2);
    a.scale = static_cast<float>(given.scale), a.softcap = static_cast<float>(given.softcap), a.back = given.back, a.ahead = given.ahead;
    if (is_paged(k)) kv_type(k, &a.k.type);
    else a.k.batch = flt::stride(k, 0), a.k.token = flt::stride(k, 1), a.k.head = flt::stride(k, 2);
    return a;
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        Plan* plan = flt::make_plan<Plan>(p);
        if (plan == nullptr) return ORR_OUT_OF_MEMORY;
        const orr_tensor &q = *p->inputs[kWeighedQuery], &k = *p->inputs[kWeighedKey];
        plan->views_bytes = is_paged(k) ? static_cast<uint64_t>(flt::round_up(q.shape[0] * static_cast<int64_t>(sizeof(flt::PagedView)), 64)) : 0;
        plan->mask_bytes = flt::input(p, kWeighedMask) != nullptr ? static_cast<uint64_t>(flt::round_up(q.shape[0] * k.shape[1], 64)) : 0;
        const flt::AttentionArgs args = arguments(p->attrs, q, k, *p->outputs[0]);
        p->workspace(p, plan->views_bytes + plan->mask_bytes + flt::attention_probabilities_workspace_bytes(args, static_cast<int>(p->threads)));
        return ORR_OK;
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const orr_tensor &q = *run->inputs[kWeighedQuery], &k = *run->inputs[kWeighedKey], &y = *run->outputs[0];
        flt::AttentionArgs args = arguments(run->attrs, q, k, y);
        auto* workspace = static_cast<char*>(run->workspace);
        args.q = data<float>(&q);
        args.dst = data<float>(&y);
        check_keys(q, k);
        if (is_paged(k)) {
            auto* views = reinterpret_cast<flt::PagedView*>(workspace);
            for (int64_t b = 0; b < k.shape[0]; ++b) {
                const orr_paged& table = page_table(k, b);
                views[b] = {table.pages, table.length, table.first, table.page_tokens};
            }
            args.k.views = views;
        } else {
            args.k.data = data<float>(&k);
        }
        if (const orr_tensor* bias = flt::input(run, kWeighedBias)) {
            args.bias = data<float>(bias);
            args.bias_batches = bias->shape[0], args.bias_batch = flt::stride(*bias, 0), args.bias_token = flt::stride(*bias, 2);
            args.bias_head = bias->shape[1] == 1 ? 0 : flt::stride(*bias, 1);
        }
        if (const orr_tensor* mask = flt::input(run, kWeighedMask)) {
            auto* bytes = reinterpret_cast<uint8_t*>(workspace + plan.views_bytes);
            for (int64_t b = 0; b < q.shape[0]; ++b)
                for (int64_t s = 0; s < k.shape[1]; ++s) bytes[b * k.shape[1] + s] = s >= mask->shape[1] || flt::number(*mask, {b, s}) != 0.0;
            args.key_mask = bytes;
            args.mask_batch = k.shape[1];
        }
        flt::attention_probabilities(plan.isa, args, workspace + plan.views_bytes + plan.mask_bytes, flt::parallel_of(run));
    });
}

}  // namespace

const KernelDef kProbabilitiesCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::attention
