// Packed weight layout "rows16/1", the same for every instruction set. Plain data only: this header is included by the kernel files,
// which are compiled with their own instruction set flags: functions are static, so that no copy compiled with those flags is shared.
//
// A matrix [N, K] is cut into tiles of 16 rows, streamed one after another. Float types: tile = K x 16 elements, k-major.
// Quantised types: tile = super-blocks of 256 columns (the last may be shorter, in units of 32), each:
//
//   scale area, padded to 64 bytes        see ScaleKind
//   per block of 32 columns, the planes that the type has, in this order:
//     nibble  256 bytes   vector j (64 bytes): low nibbles group j, high nibbles group j + 4
//     pair    128 bytes   vector h: bits 2i hold group 4h + i
//     bit      64 bytes   bit g holds group g
//     byte    512 bytes   vector g holds group g, value + 128
//
// A group is 4 consecutive columns of 16 rows: byte r * 4 + i = row r, column 4 g + i. So one 64-byte vector meets one 32-bit broadcast of
// four int8 activations in a dot-product instruction. Scales lie beside the codes in the order that a decode step streams them.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace orrery::quant {

inline constexpr int kTileRows = 16;
inline constexpr int kBlock = 32;        // columns per activation block
inline constexpr int kSuperBlocks = 8;   // blocks per super-block
inline constexpr int kGroupBytes = 64;   // 16 rows x 4 columns
inline constexpr int kBlockCodes = 512;  // unpacked codes of one tile and block

enum class ScaleKind : uint8_t {
    kNone,    // float types
    kF16,     // per block 16 f16
    kF16Min,  // per block 16 f16 scales, 16 f16 additive minima
    kE8m0,    // per block 16 exponents
    kQ2K,     // d[16] dmin[16] f16, then 16 x 16 bytes: scale | min << 4
    kQ3K,     // d[16] f16, 32 unused, then 6-bit scales: 8 x 16 nibble pairs (i, i + 8), 4 x 16 high pairs (i, i + 4, i + 8, i + 12)
    kQ45K,    // d[16] dmin[16] f16; 4 x 16 nibble pairs (i, i + 4) of scales, the same of mins, 4 x 16 high pairs (s i, s i + 4, m i, m i + 4)
    kQ6K,     // d[16] f16, 32 unused, then 16 x 16 int8
    kIq4Xs,   // d[16] f16; 2 x 16 high pairs (i, i + 2, i + 4, i + 6); 4 x 16 nibble pairs (i, i + 4)
};

enum class Book : uint8_t { kLinear, kIq4, kMxfp4 };

struct FormatSpec {
    const char* type;
    int16_t source_elems;  // elements and bytes of one block in the file
    int16_t source_bytes;
    bool nibble, pair, bit, byte;
    ScaleKind scales;
    Book book;
    int16_t zero;  // weight = scale * (code - zero) - min; for byte planes and code books zero is applied to the stored value + 128
    int8_t subs;   // scales per block of 32: 1 or 2
    bool has_min;
};

enum class Format : uint8_t { kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K, kIq4_Nl, kIq4_Xs, kMxfp4, kF32, kF16, kBf16 };
inline constexpr int kFormatCount = 16;
inline constexpr int kQuantisedFormats = 13;  // the first ones of Format

inline constexpr FormatSpec kSpecs[kFormatCount] = {
    {"q4_0", 32, 18, true, false, false, false, ScaleKind::kF16, Book::kLinear, 8, 1, false},
    {"q4_1", 32, 20, true, false, false, false, ScaleKind::kF16Min, Book::kLinear, 0, 1, true},
    {"q5_0", 32, 22, true, false, true, false, ScaleKind::kF16, Book::kLinear, 16, 1, false},
    {"q5_1", 32, 24, true, false, true, false, ScaleKind::kF16Min, Book::kLinear, 0, 1, true},
    {"q8_0", 32, 34, false, false, false, true, ScaleKind::kF16, Book::kLinear, 0, 1, false},
    {"q2_k", 256, 84, false, true, false, false, ScaleKind::kQ2K, Book::kLinear, 0, 2, true},
    {"q3_k", 256, 110, false, true, true, false, ScaleKind::kQ3K, Book::kLinear, 4, 2, false},
    {"q4_k", 256, 144, true, false, false, false, ScaleKind::kQ45K, Book::kLinear, 0, 1, true},
    {"q5_k", 256, 176, true, false, true, false, ScaleKind::kQ45K, Book::kLinear, 0, 1, true},
    {"q6_k", 256, 210, true, true, false, false, ScaleKind::kQ6K, Book::kLinear, 32, 2, false},
    {"iq4_nl", 32, 18, true, false, false, false, ScaleKind::kF16, Book::kIq4, 0, 1, false},
    {"iq4_xs", 256, 136, true, false, false, false, ScaleKind::kIq4Xs, Book::kIq4, 0, 1, false},
    {"mxfp4", 32, 17, true, false, false, false, ScaleKind::kE8m0, Book::kMxfp4, 0, 1, false},
    {"f32", 1, 4, false, false, false, false, ScaleKind::kNone, Book::kLinear, 0, 1, false},
    {"f16", 1, 2, false, false, false, false, ScaleKind::kNone, Book::kLinear, 0, 1, false},
    {"bf16", 1, 2, false, false, false, false, ScaleKind::kNone, Book::kLinear, 0, 1, false},
};

static constexpr const FormatSpec& spec_of(Format format) { return kSpecs[static_cast<int>(format)]; }

// Codes whose value needs all eight bits: kept as value + 128.
static constexpr bool is_wide(const FormatSpec& spec) { return spec.byte || spec.book != Book::kLinear; }

static constexpr int round_up(int value, int step) { return (value + step - 1) / step * step; }

// Scale area of a super-block with this many blocks (8, or fewer in the last one of a 32-element type).
static constexpr int scale_area(ScaleKind kind, int blocks) {
    switch (kind) {
        case ScaleKind::kNone: return 0;
        case ScaleKind::kF16: return round_up(blocks * 32, 64);
        case ScaleKind::kF16Min: return blocks * 64;
        case ScaleKind::kE8m0: return round_up(blocks * 16, 64);
        case ScaleKind::kQ2K: return 320;
        case ScaleKind::kQ3K: return 256;
        case ScaleKind::kQ45K: return 256;
        case ScaleKind::kQ6K: return 320;
        case ScaleKind::kIq4Xs: return 128;
    }
    return 0;
}

static constexpr int block_code_bytes(const FormatSpec& spec) {
    return (spec.nibble ? 256 : 0) + (spec.pair ? 128 : 0) + (spec.bit ? 64 : 0) + (spec.byte ? 512 : 0);
}

static constexpr int64_t super_bytes(const FormatSpec& spec, int blocks) {
    return scale_area(spec.scales, blocks) + static_cast<int64_t>(blocks) * block_code_bytes(spec);
}

static constexpr int64_t tile_bytes(const FormatSpec& spec, int64_t cols) {
    if (spec.scales == ScaleKind::kNone) return (cols * kTileRows * spec.source_bytes + 63) / 64 * 64;
    const int64_t blocks = cols / kBlock;
    const int tail = static_cast<int>(blocks % kSuperBlocks);
    return blocks / kSuperBlocks * super_bytes(spec, kSuperBlocks) + (tail ? super_bytes(spec, tail) : 0);
}

}  // namespace orrery::quant
