// Part of kernel_body.hpp: f32 activations, and the quantiser of activations.
//
// One output (t, n): acc = fma(w[n,k], x[t,k], acc), k in order, for every number of tokens.

enum class Element : uint8_t { kF32, kF16, kBf16 };

template <Element kElement>
constexpr int element_bytes() {
    return kElement == Element::kF32 ? 4 : 2;
}

template <Element kElement>
ORR_INLINE VF load_weight(const uint8_t* src) {
    if constexpr (kElement == Element::kF32) return load_f(reinterpret_cast<const float*>(src));
    else if constexpr (kElement == Element::kF16) return load_f16(src);
    else return load_bf16(src);
}

struct FloatPart {
    const uint8_t* w[2];  // of each vector; column stride 16 elements
    int count;            // columns
    const float* x[kMaxTokens];
    float* dst[kMaxTokens];
    int64_t lanes;
    const float* bias;
    bool first;
};

template <Element kElement, int kRows, int kTokens>
ORR_NOINLINE void float_tile(const FloatPart& call) {
    constexpr int kStride = kTileRows * element_bytes<kElement>();
    VF acc[kTokens][kRows];
    for (int t = 0; t < kTokens; ++t) {
        for (int v = 0; v < kRows; ++v) acc[t][v] = call.first ? zero_f() : load_some(call.dst[t] + v * kLanes, call.lanes - v * kLanes);
    }
    for (int k = 0; k < call.count; ++k) {
        VF w[kRows];
        for (int v = 0; v < kRows; ++v) w[v] = load_weight<kElement>(call.w[v] + static_cast<int64_t>(k) * kStride);
        for (int t = 0; t < kTokens; ++t) {
            const VF x = splat_f(call.x[t] + k);
            for (int v = 0; v < kRows; ++v) acc[t][v] = fma(w[v], x, acc[t][v]);
        }
        if (kTokens == 1 && k % 2 == 0) {
            for (int v = 0; v < kRows; ++v) prefetch(call.w[v] + static_cast<int64_t>(k) * kStride + kPrefetchBytes);
        }
    }
    for (int t = 0; t < kTokens; ++t) {
        for (int v = 0; v < kRows; ++v) {
            const int64_t lanes = call.lanes - v * kLanes;
            if (call.bias && lanes > 0) acc[t][v] = add(acc[t][v], load_some(call.bias + v * kLanes, lanes));
            store_some(call.dst[t] + v * kLanes, lanes, acc[t][v]);
        }
    }
}

template <Element kElement, int kRows>
ORR_INLINE void float_tokens(const FloatPart& call, int tokens) {
    static_assert(kFloatTokens == 6 || kFloatTokens == 4, "add the cases");
    switch (tokens) {
        case 1: return float_tile<kElement, kRows, 1>(call);
        case 2: return float_tile<kElement, kRows, 2>(call);
        case 3: return float_tile<kElement, kRows, 3>(call);
        case 4: return float_tile<kElement, kRows, 4>(call);
        case 5: return float_tile<kElement, kRows, kFloatTokens < 5 ? 1 : 5>(call);
        case 6: return float_tile<kElement, kRows, kFloatTokens < 6 ? 1 : 6>(call);
    }
}

// All tokens over columns [first, first + count) of one or two tiles; w[i]: the first of these columns in tile + i.
template <Element kElement>
ORR_INLINE void run_panel(const FloatCall& call, const uint8_t* const* w, int64_t tile, int tiles, int64_t first, int count) {
    for (int64_t token = 0; token < call.tokens; token += kFloatTokens) {
        const int tokens = least(call.tokens - token, kFloatTokens);
        FloatPart part;
        part.count = count;
        part.first = first == 0;
        for (int t = 0; t < tokens; ++t) part.x[t] = call.x + source_row(call, token + t) * call.x_stride + first;
        for (int v = 0; v < tiles * kVectors; v += kStripRows) {
            const int64_t n = tile * kTileRows + v * kLanes;
            for (int i = 0; i < kStripRows && v + i < tiles * kVectors; ++i) {
                part.w[i] = w[(v + i) / kVectors] + (v + i) % kVectors * kLanes * element_bytes<kElement>();
            }
            for (int t = 0; t < tokens; ++t) part.dst[t] = call.dst + (token + t) * call.dst_stride + n;
            part.lanes = call.rows - n;
            part.bias = first + count == call.cols && call.bias ? call.bias + n : nullptr;
            if (tiles * kVectors - v >= kStripRows) float_tokens<kElement, kStripRows>(part, tokens);
            else float_tokens<kElement, 1>(part, tokens);
        }
    }
}

// Float weights, used where they lie.
template <Format kFormat>
void float_direct(const FloatCall& call) {
    constexpr Element kElement = kFormat == Format::kF32 ? Element::kF32 : kFormat == Format::kF16 ? Element::kF16 : Element::kBf16;
    const int64_t bytes = tile_bytes(spec_of(kFormat), call.stored_cols);
    // A single token streams each tile once; more tokens share columns that stay in L1.
    const int64_t step = call.tokens <= kFloatTokens ? call.cols : kPanelCols;
    for (int64_t tile = call.tile_begin; tile < call.tile_end; tile += kStripTiles) {
        const int tiles = least(call.tile_end - tile, kStripTiles);
        for (int64_t first = 0; first < call.cols; first += step) {
            const uint8_t* w[kStripTiles];
            for (int i = 0; i < tiles; ++i) w[i] = call.packed + (tile + i) * bytes + first * kTileRows * element_bytes<kElement>();
            run_panel<kElement>(call, w, tile, tiles, first, least(call.cols - first, step));
        }
    }
}

// Quantised weights, expanded to f32 panels of 256 columns.
template <Format kFormat>
void float_panels(const FloatCall& call) {
    constexpr FormatSpec kSpec = spec_of(kFormat);
    static_assert(kPanelCols == kSuperBlocks * kBlock);
    const int64_t blocks = call.cols / kBlock, stored = call.stored_cols / kBlock;
    const int64_t bytes = tile_bytes(kSpec, call.stored_cols);
    const VI book = book_table<kFormat>();
    alignas(64) float panel[kStripTiles][kPanelCols * kTileRows];
    alignas(64) float scales[kSuperBlocks * 2 * kTileRows];
    alignas(64) float mins[kSuperBlocks * 2 * kTileRows];
    for (int64_t tile = call.tile_begin; tile < call.tile_end; tile += kStripTiles) {
        const int tiles = least(call.tile_end - tile, kStripTiles);
        for (int64_t first = 0; first < blocks; first += kSuperBlocks) {
            const int count = least(blocks - first, kSuperBlocks);
            const uint8_t* w[kStripTiles];
            for (int i = 0; i < tiles; ++i) {
                const uint8_t* src = call.packed + (tile + i) * bytes + first / kSuperBlocks * super_bytes(kSpec, kSuperBlocks);
                decode_scales<kFormat>(src, count, scales, mins);
                const uint8_t* planes = src + scale_area(kSpec.scales, least(stored - first, kSuperBlocks));
                for (int b = 0; b < count; ++b) {
                    const int at = b * kSpec.subs * kTileRows;
                    panel_block<kFormat>(planes + b * block_code_bytes(kSpec), book, scales + at, mins + at, panel[i] + b * kBlock * kTileRows);
                }
                w[i] = reinterpret_cast<const uint8_t*>(panel[i]);
            }
            run_panel<Element::kF32>(call, w, tile, tiles, first * kBlock, count * kBlock);
        }
    }
}

// Weights that the caller expands.
void float_fill(const FloatCall& call) {
    alignas(64) float panel[kStripTiles][kPanelCols * kTileRows];
    for (int64_t tile = call.tile_begin; tile < call.tile_end; tile += kStripTiles) {
        const int tiles = least(call.tile_end - tile, kStripTiles);
        for (int64_t first = 0; first < call.cols; first += kPanelCols) {
            const int count = least(call.cols - first, kPanelCols);
            const uint8_t* w[kStripTiles];
            for (int i = 0; i < tiles; ++i) {
                call.fill(call.context, tile + i, first, count, panel[i]);
                w[i] = reinterpret_cast<const uint8_t*>(panel[i]);
            }
            run_panel<Element::kF32>(call, w, tile, tiles, first, count);
        }
    }
}

// Blocks of 32: scale = max |x| / 127, codes = round to nearest even (x / scale). The maximum is taken over the bit patterns, so that a NaN or an
// infinity wins and ends up in the scale. Below kTiny the reciprocal would overflow: such a block is zero.
void quantise_row_body(const float* src, int64_t blocks, int8_t* codes, float* scales, int32_t* sums, int32_t* halves) {
    constexpr float kTiny = 1e-35f;
    for (int64_t b = 0; b < blocks; ++b, src += kBlock, codes += kBlock) {
        const float peak = peak_magnitude_32(src);
        const float inverse = peak >= kTiny ? 127.0f / peak : 0.0f;
        scales[b] = peak >= kTiny || peak != peak ? peak / 127.0f : 0.0f;
        round_to_int8_32(src, inverse, codes);
        int low = 0, high = 0;
        for (int i = 0; i < 16; ++i) low += codes[i];
        for (int i = 16; i < 32; ++i) high += codes[i];
        halves[2 * b] = low;
        halves[2 * b + 1] = high;
        sums[b] = low + high;
    }
}
