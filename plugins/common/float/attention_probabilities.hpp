// What attention weighs its values by, as a whole: for those who want to look at it.
#pragma once

#include "float/attention.hpp"

namespace orrery::flt {

// dst[b, h, t, s] = p[s] / sum_s p[s] with p and everything else as attention() has it; 0 for keys that are not seen. A row that sees no
// key, or -inf alone, weighs all keys alike. Of the arguments v and value_width are not read; dst_batch, dst_head and dst_token are floats
// between rows of `keys` elements.
size_t attention_probabilities_workspace_bytes(const AttentionArgs& args, int threads);
void attention_probabilities(Isa isa, const AttentionArgs& args, void* workspace, const Parallel& parallel);

}  // namespace orrery::flt
