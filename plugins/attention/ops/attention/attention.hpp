// The kernels of orr.attention/1.
#pragma once

#include "common/paged.hpp"

namespace orrery::attention {

enum : uint32_t { kQuery, kKey, kValue, kBias, kKeyMask };
bool attention_self_test(const orr_prepare* node, uint32_t i, orr_self_test* test);
extern const KernelDef kAttentionVulkan;
extern const KernelDef kAttentionCpu;
extern const KernelDef kAttentionReference;

struct AttentionAttrs {
    double scale, softcap;
    int64_t back, ahead;  // how far from its own position a query sees; -1: no limit

    AttentionAttrs(const orr_attrs* a, int64_t width) : scale(a->get_float(a, "scale")), softcap(a->get_float(a, "softcap")) {
        if (scale == 0.0) scale = 1.0 / std::sqrt(static_cast<double>(width));
        const bool causal = a->get_int(a, "causal") != 0;
        const int64_t window = a->get_int(a, "window");
        back = window > 0 ? window - (causal ? 1 : 0) : -1;
        ahead = causal ? 0 : back;
    }
};

// Tokens of sequence b: of a plain tensor all of them.
inline int64_t key_count(const orr_tensor& k, int64_t b) { return is_paged(k) ? page_table(k, b).length : k.shape[1]; }
inline int64_t first_key(const orr_tensor& k, int64_t b) { return is_paged(k) ? page_table(k, b).first : 0; }
// Throws when a sequence is longer than the plan was made for, or keys and values disagree.
void check_lengths(const orr_tensor& q, const orr_tensor& k, const orr_tensor& v);

}  // namespace orrery::attention
