// How a kernel gets its threads: from the caller, chunk by chunk.
#pragma once

#include <cstdint>

namespace orrery::flt {

// run calls fn(arg, chunk, thread) once for each chunk in [0, chunks), in any order, with thread in [0, threads) naming the
// workspace slice that no other running call uses, and returns when all are done. Chunks never depend on each other.
struct Parallel {
    void (*run)(void* self, int64_t chunks, void (*fn)(void* arg, int64_t chunk, int thread), void* arg);
    void* self;
    int threads;
};

// The calling thread alone.
inline Parallel serial() {
    return {[](void*, int64_t chunks, void (*fn)(void*, int64_t, int), void* arg) {
                for (int64_t i = 0; i < chunks; ++i) fn(arg, i, 0);
            },
            nullptr, 1};
}

// body(chunk, thread)
template <typename Body>
void parallel_for(const Parallel& parallel, int64_t chunks, const Body& body) {
    if (chunks == 1) return body(int64_t{0}, 0);
    parallel.run(
        parallel.self, chunks,
        [](void* arg, int64_t chunk, int thread) { (*static_cast<const Body*>(arg))(chunk, thread); },
        const_cast<void*>(static_cast<const void*>(&body)));
}

// [begin, end) of part `index` of `parts` near-equal parts of `total`.
struct Range {
    int64_t begin, end;
};
inline Range part_of(int64_t total, int64_t parts, int64_t index) { return {total * index / parts, total * (index + 1) / parts}; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace orrery::flt
