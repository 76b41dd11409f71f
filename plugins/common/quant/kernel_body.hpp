// Kernel source shared by all instruction sets. The including file opens an unnamed namespace, defines the vector operations and the tile
// shape, then includes this. Everything here has internal linkage, so that no function compiled with one file's flags is used by another.
//
// One output (t, n), default numerics, blocks b in order:
//   acc = fma(scale[n,b] * float(dot(codes w, codes x) - zero * sum x) - min[n,b] * sum x, scale x[t,b], acc)
// with 16-column halves where the type has them. The direct kernels (few tokens, codes unpacked in registers) and the strip kernels (codes
// unpacked once per 512 columns to a buffer in L1, then all tokens) do these same operations in this same order, so they give the same bits.

#include "kernel_unpack.hpp"

constexpr int kStripBlocks = 16;  // 512 columns
constexpr int kStripTiles = 2;
constexpr int kMaxTokens = 8;  // bound of kStripTokens and kDirectTokens

ORR_INLINE int least(int64_t a, int64_t b) { return static_cast<int>(a < b ? a : b); }

ORR_INLINE VF load_some(const float* src, int64_t count) {
    if (count >= kLanes) return load_f(src);
    alignas(64) float lanes[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) lanes[i] = src[i];
    return load_f(lanes);
}

ORR_INLINE void store_some(float* dst, int64_t count, VF value) {
    if (count >= kLanes) return store_f(dst, value);
    alignas(64) float lanes[kLanes];
    store_f(lanes, value);
    for (int64_t i = 0; i < count; ++i) dst[i] = lanes[i];
}

ORR_INLINE int64_t source_row(const ProductCall& call, int64_t token) { return call.row_index ? call.row_index[token] : token; }

template <bool kWide>
ORR_INLINE VI dot(VI acc, VI codes, VI x) {
    if constexpr (kWide) return dot_wide(acc, codes, x);
    else return dot_small(acc, codes, x);
}

// Terms that depend on the token alone: -zero * sum and sum, for `subs` consecutive sub-blocks.
template <int kSubs, bool kMin, int kZero>
ORR_INLINE void token_terms(const int32_t* sums, int subs, int32_t* offsets, float* totals) {
    for (int i = 0; i < subs; ++i) offsets[i] = -kZero * sums[i];
    if constexpr (kMin) {
        for (int i = 0; i < subs; ++i) totals[i] = static_cast<float>(sums[i]);
    }
}

// Adds one sub-block to the block's value f.
template <bool kFirst, bool kMin>
ORR_INLINE VF add_sub_block(VF f, VI product, const float* scale, const float* min, const float* total) {
    f = kFirst ? mul(to_float(product), load_f(scale)) : fma(to_float(product), load_f(scale), f);
    if constexpr (kMin) f = fnma(load_f(min), splat_f(total), f);
    return f;
}

// ---- direct: one tile, kTokens tokens, codes unpacked in registers ----

template <Format kFormat, int kTokens>
ORR_NOINLINE void direct_tile(const QuantCall& call, int64_t tile, int64_t token) {
    constexpr FormatSpec kSpec = spec_of(kFormat);
    constexpr int kSubs = kSpec.subs;
    constexpr bool kWide = is_wide(kSpec);
    constexpr int kCodeBytes = block_code_bytes(kSpec);
    const int64_t blocks = call.cols / kBlock, stored = call.stored_cols / kBlock;
    const uint8_t* src = call.packed + tile * tile_bytes(kSpec, call.stored_cols);
    const VI book = book_table<kFormat>();
    const int8_t* x[kTokens];
    const float* x_scale[kTokens];
    const int32_t* x_sums[kTokens];
    VF acc[kTokens][kVectors];
    for (int t = 0; t < kTokens; ++t) {
        const int64_t row = source_row(call, token + t);
        x[t] = call.codes + row * call.cols;
        x_scale[t] = call.scales + row * blocks;
        x_sums[t] = kSubs == 2 ? call.halves + row * blocks * 2 : call.sums + row * blocks;
        for (int v = 0; v < kVectors; ++v) acc[t][v] = zero_f();
    }
    alignas(64) float scales[kSuperBlocks * kSubs * kTileRows];
    alignas(64) float mins[kSpec.has_min ? kSuperBlocks * kSubs * kTileRows : 1];
    alignas(64) int32_t offsets[kTokens][kSuperBlocks * kSubs];
    alignas(64) float totals[kTokens][kSuperBlocks * kSubs];
    for (int64_t first = 0; first < blocks; first += kSuperBlocks) {
        const int count = least(blocks - first, kSuperBlocks);
        decode_scales<kFormat>(src, count, scales, mins);
        for (int t = 0; t < kTokens; ++t) {
            token_terms<kSubs, kSpec.has_min, dot_zero<kFormat>()>(x_sums[t] + first * kSubs, count * kSubs, offsets[t], totals[t]);
        }
        const uint8_t* planes = src + scale_area(kSpec.scales, least(stored - first, kSuperBlocks));
        for (int b = 0; b < count; ++b, planes += kCodeBytes) {
            for (int i = 0; i < kCodeBytes; i += 64) prefetch(planes + kPrefetchBytes + i);
            for (int v = 0; v < kVectors; ++v) {
                VI codes[8];
                block_codes<kFormat>(planes, v, book, codes);
                const float* scale = scales + b * kSubs * kTileRows + v * kLanes;
                const float* min = kSpec.has_min ? mins + b * kSubs * kTileRows + v * kLanes : nullptr;
                for (int t = 0; t < kTokens; ++t) {
                    const int8_t* xb = x[t] + (first + b) * kBlock;
                    VF f;
                    if constexpr (kSubs == 1) {
                        VI even = splat_i32(offsets[t][b]);
                        VI odd = zero_i();
                        for (int g = 0; g < 8; g += 2) {
                            even = dot<kWide>(even, codes[g], splat_4(xb + 4 * g));
                            odd = dot<kWide>(odd, codes[g + 1], splat_4(xb + 4 * g + 4));
                        }
                        f = add_sub_block<true, kSpec.has_min>(zero_f(), add_i32(even, odd), scale, min, &totals[t][b]);
                    } else {
                        VI low = splat_i32(offsets[t][2 * b]);
                        VI high = splat_i32(offsets[t][2 * b + 1]);
                        for (int g = 0; g < 4; ++g) {
                            low = dot<kWide>(low, codes[g], splat_4(xb + 4 * g));
                            high = dot<kWide>(high, codes[g + 4], splat_4(xb + 4 * g + 16));
                        }
                        f = add_sub_block<true, kSpec.has_min>(zero_f(), low, scale, min, &totals[t][2 * b]);
                        f = add_sub_block<false, kSpec.has_min>(f, high, scale + kTileRows, kSpec.has_min ? min + kTileRows : nullptr,
                                                                &totals[t][2 * b + 1]);
                    }
                    acc[t][v] = fma(f, splat_f(x_scale[t] + first + b), acc[t][v]);
                }
            }
        }
        src = planes;
    }
    for (int t = 0; t < kTokens; ++t) {
        for (int v = 0; v < kVectors; ++v) {
            const int64_t n = tile * kTileRows + v * kLanes;
            const int64_t lanes = call.rows - n;
            if (call.bias && lanes > 0) acc[t][v] = add(acc[t][v], load_some(call.bias + n, lanes));
            store_some(call.dst + (token + t) * call.dst_stride + n, lanes, acc[t][v]);
        }
    }
}

// ---- strip: up to two tiles x 512 columns unpacked, all tokens over it ----

struct Strip {
    alignas(64) uint8_t codes[kStripTiles][kStripBlocks * kBlockCodes];
    alignas(64) float scales[kStripTiles][kStripBlocks * 2 * kTileRows];
    alignas(64) float mins[kStripTiles][kStripBlocks * 2 * kTileRows];
};

struct StripCall {
    const uint8_t* codes[2];  // of each vector
    const float* scales[2];
    const float* mins[2];
    int blocks;
    const int8_t* x[kMaxTokens];
    const int8_t* next[kMaxTokens];  // the following group of tokens, to prefetch
    const float* x_scale[kMaxTokens];
    const int32_t* x_sums[kMaxTokens];
    float* dst[kMaxTokens];
    int64_t lanes;      // valid outputs from dst[t] on
    const float* bias;  // not null: add it (last columns)
    bool first;         // start from zero, else from dst
};

template <int kSubs, bool kMin, bool kWide, int kZero, int kRows, int kTokens>
ORR_NOINLINE void strip_tile(const StripCall& call) {
    alignas(64) int32_t offsets[kTokens][kStripBlocks * kSubs];
    alignas(64) float totals[kTokens][kStripBlocks * kSubs];
    VF acc[kTokens][kRows];
    for (int t = 0; t < kTokens; ++t) {
        token_terms<kSubs, kMin, kZero>(call.x_sums[t], call.blocks * kSubs, offsets[t], totals[t]);
        for (int v = 0; v < kRows; ++v) acc[t][v] = call.first ? zero_f() : load_some(call.dst[t] + v * kLanes, call.lanes - v * kLanes);
    }
    const uint8_t* codes[kRows];
    for (int v = 0; v < kRows; ++v) codes[v] = call.codes[v];
    for (int b = 0; b < call.blocks; ++b) {
        VF f[kTokens][kRows];
        ORR_UNROLL
        for (int s = 0; s < kSubs; ++s) {
            VI product[kTokens][kRows];
            for (int t = 0; t < kTokens; ++t) {
                for (int v = 0; v < kRows; ++v) product[t][v] = splat_i32(offsets[t][b * kSubs + s]);
            }
            ORR_UNROLL
            for (int g = s * 8 / kSubs; g < (s + 1) * 8 / kSubs; ++g) {
                VI w[kRows];
                for (int v = 0; v < kRows; ++v) w[v] = load_bytes(codes[v] + g * kGroupBytes);
                for (int t = 0; t < kTokens; ++t) {
                    const VI x = splat_4(call.x[t] + b * kBlock + g * 4);
                    for (int v = 0; v < kRows; ++v) product[t][v] = dot<kWide>(product[t][v], w[v], x);
                }
            }
            const int at = (b * kSubs + s) * kTileRows;
            for (int t = 0; t < kTokens; ++t) {
                for (int v = 0; v < kRows; ++v) {
                    const float* min = kMin ? call.mins[v] + at : nullptr;
                    const float* total = &totals[t][b * kSubs + s];
                    if (s == 0) f[t][v] = add_sub_block<true, kMin>(zero_f(), product[t][v], call.scales[v] + at, min, total);
                    else f[t][v] = add_sub_block<false, kMin>(f[t][v], product[t][v], call.scales[v] + at, min, total);
                }
            }
        }
        for (int t = 0; t < kTokens; ++t) {
            const VF x_scale = splat_f(call.x_scale[t] + b);
            for (int v = 0; v < kRows; ++v) acc[t][v] = fma(f[t][v], x_scale, acc[t][v]);
        }
        if (b % 2 == 0) {
            for (int t = 0; t < kTokens; ++t) prefetch(call.next[t] + b * kBlock);
        }
        for (int v = 0; v < kRows; ++v) codes[v] += kBlockCodes;
    }
    for (int t = 0; t < kTokens; ++t) {
        for (int v = 0; v < kRows; ++v) {
            const int64_t lanes = call.lanes - v * kLanes;
            if (call.bias && lanes > 0) acc[t][v] = add(acc[t][v], load_some(call.bias + v * kLanes, lanes));
            store_some(call.dst[t] + v * kLanes, lanes, acc[t][v]);
        }
    }
}

template <int kSubs, bool kMin, bool kWide, int kZero, int kRows>
ORR_INLINE void strip_tokens(const StripCall& call, int tokens) {
    constexpr int kMost = kSubs == 2 ? kStripTokens2 : kStripTokens;
    static_assert(kMost <= 6, "add the cases");
    switch (tokens) {
        case 1: return strip_tile<kSubs, kMin, kWide, kZero, kRows, 1>(call);
        case 2: return strip_tile<kSubs, kMin, kWide, kZero, kRows, kMost < 2 ? 1 : 2>(call);
        case 3: return strip_tile<kSubs, kMin, kWide, kZero, kRows, kMost < 3 ? 1 : 3>(call);
        case 4: return strip_tile<kSubs, kMin, kWide, kZero, kRows, kMost < 4 ? 1 : 4>(call);
        case 5: return strip_tile<kSubs, kMin, kWide, kZero, kRows, kMost < 5 ? 1 : 5>(call);
        case 6: return strip_tile<kSubs, kMin, kWide, kZero, kRows, kMost < 6 ? 1 : 6>(call);
    }
}

// Unpacks `blocks` blocks (whole super-blocks, or the last short one) of a tile from src, where the tile has `stored` of them.
template <Format kFormat>
ORR_NOINLINE void fill_strip(const uint8_t* src, int blocks, int64_t stored, uint8_t* codes, float* scales, float* mins) {
    constexpr FormatSpec kSpec = spec_of(kFormat);
    const VI book = book_table<kFormat>();
    for (int first = 0; first < blocks; first += kSuperBlocks) {
        const int count = least(blocks - first, kSuperBlocks);
        const int at = first * kSpec.subs * kTileRows;
        decode_scales<kFormat>(src, count, scales + at, mins + at);
        src += scale_area(kSpec.scales, least(stored - first, kSuperBlocks));
        for (int b = 0; b < count; ++b, src += block_code_bytes(kSpec), codes += kBlockCodes) {
            for (int i = 0; i < block_code_bytes(kSpec); i += 64) prefetch(src + kPrefetchBytes + i);
            for (int v = 0; v < kVectors; ++v) {
                VI groups[8];
                block_codes<kFormat>(src, v, book, groups);
                for (int g = 0; g < 8; ++g) store_bytes(codes + g * kGroupBytes + v * kVectorBytes, groups[g]);
            }
        }
    }
}

// All tokens over one filled strip; tiles: 1 or 2 of them, the first being `tile`.
template <Format kFormat>
ORR_INLINE void run_strip(const QuantCall& call, const Strip& strip, int64_t tile, int tiles, int64_t first, int blocks, bool last) {
    constexpr FormatSpec kSpec = spec_of(kFormat);
    constexpr int kStep = kSpec.subs == 2 ? kStripTokens2 : kStripTokens;
    const int64_t x_blocks = call.cols / kBlock;
    const int32_t* sums = kSpec.subs == 2 ? call.halves : call.sums;
    for (int64_t token = 0; token < call.tokens; token += kStep) {
        const int tokens = least(call.tokens - token, kStep);
        StripCall part;
        part.blocks = blocks;
        part.first = first == 0;
        for (int t = 0; t < tokens; ++t) {
            const int64_t row = source_row(call, token + t);
            const int64_t next = token + t + kStep < call.tokens ? source_row(call, token + t + kStep) : row;
            part.x[t] = call.codes + row * call.cols + first * kBlock;
            part.next[t] = call.codes + next * call.cols + first * kBlock;
            part.x_scale[t] = call.scales + row * x_blocks + first;
            part.x_sums[t] = sums + (row * x_blocks + first) * kSpec.subs;
        }
        for (int v = 0; v < tiles * kVectors; v += kStripRows) {
            const int64_t n = tile * kTileRows + v * kLanes;
            for (int i = 0; i < kStripRows && v + i < tiles * kVectors; ++i) {
                const int t = (v + i) / kVectors;
                const int lane = (v + i) % kVectors * kLanes;
                part.codes[i] = strip.codes[t] + lane * 4;
                part.scales[i] = strip.scales[t] + lane;
                part.mins[i] = strip.mins[t] + lane;
            }
            for (int t = 0; t < tokens; ++t) part.dst[t] = call.dst + (token + t) * call.dst_stride + n;
            part.lanes = call.rows - n;
            part.bias = last && call.bias ? call.bias + n : nullptr;
            constexpr int kZero = dot_zero<kFormat>();
            if (tiles * kVectors - v >= kStripRows) {
                strip_tokens<kSpec.subs, kSpec.has_min, is_wide(kSpec), kZero, kStripRows>(part, tokens);
            } else {
                strip_tokens<kSpec.subs, kSpec.has_min, is_wide(kSpec), kZero, 1>(part, tokens);
            }
        }
    }
}

template <Format kFormat>
void matmul_strips(const QuantCall& call) {
    constexpr FormatSpec kSpec = spec_of(kFormat);
    const int64_t blocks = call.cols / kBlock;
    const int64_t bytes = tile_bytes(kSpec, call.stored_cols);
    Strip strip;
    for (int64_t tile = call.tile_begin; tile < call.tile_end; tile += kStripTiles) {
        const int tiles = least(call.tile_end - tile, kStripTiles);
        for (int64_t first = 0; first < blocks; first += kStripBlocks) {
            const int count = least(blocks - first, kStripBlocks);
            for (int i = 0; i < tiles; ++i) {
                const uint8_t* src = call.packed + (tile + i) * bytes + first / kSuperBlocks * super_bytes(kSpec, kSuperBlocks);
                fill_strip<kFormat>(src, count, call.stored_cols / kBlock - first, strip.codes[i], strip.scales[i], strip.mins[i]);
            }
            run_strip<kFormat>(call, strip, tile, tiles, first, count, first + count == blocks);
        }
    }
}

// A tile for all tokens, kDirectTokens at a time: from the second group on it comes from cache.
template <Format kFormat>
ORR_INLINE void direct_tokens(const QuantCall& call, int64_t tile) {
    static_assert(kDirectTokens <= 4, "add the cases");
    for (int64_t token = 0; token < call.tokens; token += kDirectTokens) {
        switch (least(call.tokens - token, kDirectTokens)) {
            case 1: direct_tile<kFormat, 1>(call, tile, token); break;
            case 2: direct_tile<kFormat, kDirectTokens < 2 ? 1 : 2>(call, tile, token); break;
            case 3: direct_tile<kFormat, kDirectTokens < 3 ? 1 : 3>(call, tile, token); break;
            case 4: direct_tile<kFormat, kDirectTokens < 4 ? 1 : 4>(call, tile, token); break;
        }
    }
}

template <Format kFormat>
void matmul_format(const QuantCall& call) {
    if (call.tokens > kDirectMost) return matmul_strips<kFormat>(call);
    for (int64_t tile = call.tile_begin; tile < call.tile_end; ++tile) direct_tokens<kFormat>(call, tile);
}

#include "kernel_float.hpp"

constexpr KernelTable kTable = {
    quantise_row_body,
    {matmul_format<Format::kQ4_0>, matmul_format<Format::kQ4_1>, matmul_format<Format::kQ5_0>, matmul_format<Format::kQ5_1>,
     matmul_format<Format::kQ8_0>, matmul_format<Format::kQ2_K>, matmul_format<Format::kQ3_K>, matmul_format<Format::kQ4_K>,
     matmul_format<Format::kQ5_K>, matmul_format<Format::kQ6_K>, matmul_format<Format::kIq4_Nl>, matmul_format<Format::kIq4_Xs>,
     matmul_format<Format::kMxfp4>},
    {float_panels<Format::kQ4_0>, float_panels<Format::kQ4_1>, float_panels<Format::kQ5_0>, float_panels<Format::kQ5_1>, float_panels<Format::kQ8_0>,
     float_panels<Format::kQ2_K>, float_panels<Format::kQ3_K>, float_panels<Format::kQ4_K>, float_panels<Format::kQ5_K>, float_panels<Format::kQ6_K>,
     float_panels<Format::kIq4_Nl>, float_panels<Format::kIq4_Xs>, float_panels<Format::kMxfp4>, float_direct<Format::kF32>,
     float_direct<Format::kF16>, float_direct<Format::kBf16>},
    float_fill};
