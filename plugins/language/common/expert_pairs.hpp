// Pairs of a row and an expert, sorted by expert: an expert in use streams its weights once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "linear/work.hpp"

namespace orrery::language {

constexpr int64_t kMostTiles = 32;  // tiles of a chunk

// Pairs of one turn, sorted by expert.
struct Pairs {
    int32_t* row;     // [pairs] row of x of sorted pair p, relative to the turn
    int32_t* place;   // [pairs] sorted place of a pair
    int32_t* expert;  // [active]
    int32_t* begin;   // [active + 1] first sorted pair of expert[i]
    int32_t* count;   // [experts]
    int64_t active;
};

inline Pairs lists_of(void* memory, int64_t pairs, int64_t experts) {
    int32_t* at = static_cast<int32_t*>(memory);
    return {at, at + pairs, at + 2 * pairs, at + 2 * pairs + experts, at + 2 * pairs + 2 * experts + 1, 0};
}

inline int64_t list_bytes(int64_t pairs, int64_t experts) { return (2 * pairs + 3 * experts + 1) * static_cast<int64_t>(sizeof(int32_t)); }

// Counting sort.
inline void sort_pairs(const int32_t* ids, int64_t count, int64_t pairs_per_row, int64_t experts, Pairs* pairs) {
    std::fill_n(pairs->count, experts, 0);
    for (int64_t i = 0; i < count; ++i) ++pairs->count[ids[i]];
    int32_t at = 0;
    for (int64_t e = 0; e < experts; ++e) {
        if (pairs->count[e] == 0) continue;
        pairs->expert[pairs->active] = static_cast<int32_t>(e);
        pairs->begin[pairs->active++] = at;
        const int32_t mine = pairs->count[e];
        pairs->count[e] = at;  // from here on: the next free place
        at += mine;
    }
    pairs->begin[pairs->active] = at;
    for (int64_t i = 0; i < count; ++i) {
        const int32_t place = pairs->count[ids[i]]++;
        pairs->row[place] = static_cast<int32_t>(i / pairs_per_row);
        pairs->place[i] = place;
    }
}

// Tiles per chunk, so that all active experts together give every thread several chunks.
inline int64_t tile_step(int64_t tiles, int64_t active, uint32_t threads) {
    const int64_t parts = (4 * static_cast<int64_t>(threads) + active - 1) / active;
    const int64_t step = (tiles + parts - 1) / parts;
    return std::min(kMostTiles, (step + 1) / 2 * 2);
}

// body(expert, first pair, end pair, first tile, end tile, thread) over the active experts.
template <class Body>
void for_experts(const orr_run* run, const Pairs& pairs, int64_t tiles, bool small, const Body& body) {
    const int64_t step = tile_step(tiles, pairs.active, run->threads);
    const int64_t parts = (tiles + step - 1) / step;
    linear::for_chunks(run, pairs.active * parts, small, [&](int64_t index, uint32_t thread) {
        const int64_t i = index / parts, tile = index % parts * step;
        body(pairs.expert[i], pairs.begin[i], pairs.begin[i + 1], tile, std::min(tile + step, tiles), thread);
    });
}

}  // namespace orrery::language
