#include "linear/work.hpp"

#include <algorithm>

namespace orrery::linear {
namespace {

constexpr int64_t kStep = 2;               // tiles that the kernels take together
constexpr int64_t kFewTokens = 8;          // up to here the weights' bytes decide, from here on the arithmetic
constexpr int64_t kStreamBytes = 64 << 10;  // least weight bytes of a chunk when few tokens stream them
constexpr int64_t kTokenStep = 48;         // a multiple of every kernel's token group

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace

Chunk Split::chunk(int64_t index) const {
    const int64_t tile = index / token_chunks * tile_step;
    const int64_t token = index % token_chunks * token_step;
    return {tile, std::min(tile + tile_step, tiles), token, std::min(token + token_step, tokens)};
}

Split split_product(int64_t tiles, int64_t tokens, int64_t tile_bytes, uint32_t threads, int64_t most_tokens) {
    Split split{tiles, tokens, 0, tokens, 0, 0};
    const int64_t wanted = threads <= 1 ? 1 : 4 * static_cast<int64_t>(threads);
    split.tile_step = std::max(kStep, ceil_div(tiles, wanted));
    if (tokens <= kFewTokens) {
        split.tile_step = std::max(split.tile_step, ceil_div(kStreamBytes, std::max<int64_t>(tile_bytes, 1)));
    } else {
        split.tile_step = std::min<int64_t>(split.tile_step, 16);
    }
    split.tile_step = round_up(split.tile_step, kStep);
    split.tile_chunks = std::max<int64_t>(1, ceil_div(tiles, split.tile_step));
    if (tokens > kTokenStep && split.tile_chunks < wanted) {
        split.token_step = round_up(ceil_div(tokens, ceil_div(wanted, split.tile_chunks)), kTokenStep);
    }
    if (most_tokens > 0 && tokens > kFewTokens) split.token_step = std::min(split.token_step, std::max(kTokenStep, most_tokens / kTokenStep * kTokenStep));
    split.token_step = std::max<int64_t>(1, split.token_step);
    split.token_chunks = std::max<int64_t>(1, ceil_div(tokens, split.token_step));
    return split;
}

}  // namespace orrery::linear
