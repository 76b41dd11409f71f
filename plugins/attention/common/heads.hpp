// The float library's rope and append over tensors, for the processor's kernels.
#pragma once

#include "common/paged.hpp"
#include "common/rotation.hpp"
#include "float/norm.hpp"

namespace orrery::attention {

struct Heads {
    float* data;
    int64_t batch, token, head;  // floats between neighbours
};
inline Heads heads(const orr_tensor& t) { return {data<float>(&t), flt::stride(t, 0), flt::stride(t, 1), flt::stride(t, 2)}; }

// Bytes for positions [B, T] as the library takes them.
inline uint64_t position_bytes(const orr_tensor& positions) { return static_cast<uint64_t>(flt::round_up(elements(positions) * 4, 64)); }
inline void read_positions(const orr_tensor& positions, int32_t* table) {
    for (int64_t b = 0; b < positions.shape[0]; ++b)
        for (int64_t t = 0; t < positions.shape[1]; ++t) table[b * positions.shape[1] + t] = static_cast<int32_t>(flt::number(positions, {b, t}));
}

// Bytes that turn_heads works in.
inline uint64_t turn_bytes(const orr_prepare* p, const orr_tensor& freq) { return static_cast<uint64_t>(flt::rope_workspace_floats(freq.shape[0])) * 4 * p->threads; }
// y = x, turned.
inline void turn_heads(const orr_run* run, flt::Isa isa, const RotationAttrs& attrs, const orr_tensor& x, const Heads& y, const int32_t* positions, const orr_tensor& freq, const orr_tensor* long_freq,
                       void* workspace) {
    const Heads from = heads(x);
    const flt::RopeArgs args{x.shape[0], x.shape[1], x.shape[2], x.shape[3], freq.shape[0],
                             from.data,  from.batch, from.token, from.head,  y.data,
                             y.batch,    y.token,    y.head,     positions,  x.shape[1],
                             data<float>(&freq), static_cast<float>(attrs.scale), data<float>(long_freq), static_cast<float>(attrs.long_scale), attrs.switch_length, attrs.interleaved};
    flt::rope(isa, args, workspace, flt::parallel_of(run));
}

// x [B, T, Hkv, D], of the shape of `like`, to tokens past .. past + T of the state; views [B] to work in.
inline void append_heads(const orr_run* run, flt::Isa isa, const orr_tensor& state, const orr_tensor& like, const Heads& x, flt::PagedView* views) {
    for (int64_t b = 0; b < like.shape[0]; ++b) {
        const orr_paged& table = page_table(state, b);
        views[b] = {table.pages, table.past + like.shape[1], table.first, table.page_tokens};
    }
    flt::AppendArgs args{like.shape[0], like.shape[1], like.shape[2], like.shape[3], x.data, x.batch, x.token, x.head, views, flt::KvType::f32};
    kv_type(state, &args.type);
    flt::cache_append(isa, args, flt::parallel_of(run));
}

}  // namespace orrery::attention
