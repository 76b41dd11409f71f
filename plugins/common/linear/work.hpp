// Splitting a product of T tokens by N rows into chunks for the threads. A chunk is a range of weight tiles for a range of tokens; bits never
// depend on the split.
#pragma once

#include <cstdint>

#include "orrery/plugin.hpp"

namespace orrery::linear {

struct Chunk {
    int64_t tile_begin, tile_end, token_begin, token_end;
};

struct Split {
    int64_t tiles, tokens;
    int64_t tile_step, token_step;  // of a chunk
    int64_t tile_chunks, token_chunks;

    int64_t chunks() const { return tile_chunks * token_chunks; }
    Chunk chunk(int64_t index) const;
};

// tile_bytes: packed bytes of a weight tile. most_tokens: bound of a chunk's tokens (scratch), 0 for none.
Split split_product(int64_t tiles, int64_t tokens, int64_t tile_bytes, uint32_t threads, int64_t most_tokens = 0);

// Runs body(chunk, thread) for chunks 0 … count - 1; on the calling thread alone where there is little to do.
template <class Body>
void for_chunks(const orr_run* run, int64_t count, bool small, Body&& body) {
    if (count == 1 || small || run->threads == 1) {
        for (int64_t i = 0; i < count; ++i) body(i, 0u);
    } else {
        parallel_for(run, count, body);
    }
}

}  // namespace orrery::linear
