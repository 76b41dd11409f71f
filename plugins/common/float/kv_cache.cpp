#include "float/kv_cache.hpp"

#include "float/attention_kernels.hpp"

namespace orrery::flt {

void cache_append(Isa isa, const AppendArgs& args, const Parallel& parallel) {
    const AttentionKernels& kernels = attention_kernels(isa);
    const int64_t row_bytes = static_cast<int64_t>(kv_row_bytes(args.type, args.width));
    const auto append = [&](int64_t row, int) {
        const int64_t b = row / args.tokens, t = row % args.tokens;
        const PagedView& view = args.views[b];
        const int64_t token = view.length - args.tokens + t, page = token / view.page_tokens, slot = token % view.page_tokens;
        auto* base = static_cast<unsigned char*>(view.pages[page]);
        if (base == nullptr) return;  // already behind the window
        for (int64_t h = 0; h < args.heads; ++h)
            kernels.store(args.type, args.x + b * args.x_batch + t * args.x_token + h * args.x_head, base + (h * view.page_tokens + slot) * row_bytes, args.width);
    };
    const int64_t rows = args.batch * args.tokens;
    constexpr int64_t kSmall = 32768;
    if (rows * args.heads * args.width <= kSmall) {
        for (int64_t row = 0; row < rows; ++row) append(row, 0);
    } else {
        parallel_for(parallel, rows, append);
    }
}

}  // namespace orrery::flt
