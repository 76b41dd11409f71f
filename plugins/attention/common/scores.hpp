// What operators over attention's scores share: attributes, and how many keys a sequence has.
#pragma once

#include "common/paged.hpp"

namespace orrery::attention {

struct AttentionAttrs {
    double scale, softcap;
    int64_t back, ahead;  // how far from its own position a query sees; -1: no limit

    AttentionAttrs(const orr_attrs* a, int64_t width) : scale(a->get_float(a, "scale")), softcap(a->get_float(a, "softcap")) {
        // Heads of width 0 have products of 0, whatever the scale: all keys alike, as PyTorch has it.
        if (scale == 0.0) scale = width > 0 ? 1.0 / std::sqrt(static_cast<double>(width)) : 1.0;
        const bool causal = a->get_int(a, "causal") != 0;
        const int64_t window = a->get_int(a, "window");
        back = window > 0 ? window - (causal ? 1 : 0) : -1;
        ahead = causal ? 0 : back;
    }
};

// Tokens of sequence b: of a plain tensor all of them.
inline int64_t key_count(const orr_tensor& k, int64_t b) { return is_paged(k) ? page_table(k, b).length : k.shape[1]; }
inline int64_t first_key(const orr_tensor& k, int64_t b) { return is_paged(k) ? page_table(k, b).first : 0; }

}  // namespace orrery::attention
