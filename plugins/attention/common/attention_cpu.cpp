// Tiles of keys with a running maximum; the T x S scores never exist as a whole. All heads of a group share a packed tile of keys;
// with 8 query tokens or fewer, runs of 512 keys go to different threads and are merged in order. f32 throughout.
#include "common/attention.hpp"
#include "float/attention.hpp"

namespace orrery::attention {
namespace {

// Bytes of the workspace, in this order, the kernel's last.
struct Parts {
    uint64_t views, mask;

    explicit Parts(const AttentionOperands& o)
        : views(is_paged(*o.k) ? static_cast<uint64_t>(flt::round_up(2 * o.q->shape[0] * static_cast<int64_t>(sizeof(flt::PagedView)), 64)) : 0),
          mask(o.key_mask ? static_cast<uint64_t>(flt::round_up(o.q->shape[0] * o.k->shape[1], 64)) : 0) {}
};

bool takes_cache(const orr_tensor& t, const char* name, char* reason, size_t size) {
    return is_paged(t) ? takes_pages(t, name, reason, size) : flt::takes_rows(&t, name, reason, size);
}

// Shapes, strides and attributes; pointers stay null.
flt::AttentionArgs arguments(const orr_attrs* attrs, const AttentionOperands& o) {
    const orr_tensor &q = *o.q, &k = *o.k, &v = *o.v, &y = *o.y;
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

flt::PagedView* write_views(const orr_tensor& t, flt::PagedView* views) {
    for (int64_t b = 0; b < t.shape[0]; ++b) {
        const orr_paged& table = page_table(t, b);
        views[b] = {table.pages, table.length, table.first, table.page_tokens};
    }
    return views;
}

}  // namespace

bool takes_attention_cpu(const AttentionOperands& o, char* reason, size_t size) {
    if (!flt::takes_rows(o.q, "q", reason, size) || !flt::takes_rows(o.bias, "bias", reason, size)) return false;
    if (!takes_cache(*o.k, "k", reason, size) || !takes_cache(*o.v, "v", reason, size)) return false;
    if (is_paged(*o.k) != is_paged(*o.v)) return refuse(reason, size, "of k and v only one is paged");
    return flt::takes_rows(o.y, "y", reason, size);
}

uint64_t attention_cpu_bytes(const orr_prepare* p, const AttentionOperands& o) {
    const Parts parts(o);
    return parts.views + parts.mask + flt::attention_workspace_bytes(arguments(p->attrs, o), static_cast<int>(p->threads));
}

void attention_cpu(const orr_run* run, flt::Isa isa, const AttentionOperands& o, void* workspace) {
    const Parts parts(o);
    const orr_tensor &q = *o.q, &k = *o.k, &v = *o.v;
    flt::AttentionArgs args = arguments(run->attrs, o);
    args.q = data<float>(&q);
    args.dst = data<float>(o.y);
    if (is_paged(k)) {
        auto* views = static_cast<flt::PagedView*>(workspace);
        args.k.views = write_views(k, views);
        args.v.views = write_views(v, views + q.shape[0]);
    } else {
        args.k.data = data<float>(&k);
        args.v.data = data<float>(&v);
    }
    if (o.bias) {
        args.bias = data<float>(o.bias);
        args.bias_batches = o.bias->shape[0], args.bias_batch = flt::stride(*o.bias, 0), args.bias_token = flt::stride(*o.bias, 2);
        args.bias_head = o.bias->shape[1] == 1 ? 0 : flt::stride(*o.bias, 1);
    }
    char* const mask = static_cast<char*>(workspace) + parts.views;
    if (o.key_mask) {
        auto* bytes = reinterpret_cast<uint8_t*>(mask);
        for (int64_t b = 0; b < q.shape[0]; ++b)
            for (int64_t s = 0; s < k.shape[1]; ++s) bytes[b * k.shape[1] + s] = s >= o.key_mask->shape[1] || flt::number(*o.key_mask, {b, s}) != 0.0;
        args.key_mask = bytes;
        args.mask_batch = k.shape[1];
    }
    flt::attention(isa, args, mask + parts.mask, flt::parallel_of(run));
}

}  // namespace orrery::attention
