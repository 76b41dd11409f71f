// Every weight type x every instruction set of this machine x sizes that straddle tiles, blocks and token groups.
#include "quant/matmul.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "quant/half.hpp"

namespace orrery::quant {
namespace {

constexpr float kGuard = -12345.5f;

std::vector<Isa> isas() {
    std::vector<Isa> result;
    for (int i = 0; i < kIsaCount; ++i) {
        if (isa_supported(static_cast<Isa>(i))) result.push_back(static_cast<Isa>(i));
    }
    return result;
}

struct Buffer {
    explicit Buffer(int64_t bytes) : storage(static_cast<size_t>(bytes) + 64) {}
    uint8_t* data() { return reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(storage.data()) + 63) & ~uintptr_t{63}); }
    std::vector<uint8_t> storage;
};

// Random blocks with f16 fields of moderate size, so that a double-precision product says something.
std::vector<uint8_t> random_source(const TypeInfo& type, int64_t rows, int64_t cols, uint32_t seed) {
    static const std::vector<std::pair<std::string, std::vector<int>>> kHalves = {
        {"q4_0", {0}}, {"q4_1", {0, 2}}, {"q5_0", {0}},     {"q5_1", {0, 2}}, {"q8_0", {0}},   {"q2_k", {80, 82}}, {"q3_k", {108}},
        {"q4_k", {0, 2}}, {"q5_k", {0, 2}}, {"q6_k", {208}}, {"iq4_nl", {0}},  {"iq4_xs", {0}}, {"f16", {0}}};
    std::mt19937 random(seed);
    const int64_t blocks = rows * cols / type.block_elems;
    std::vector<uint8_t> src(static_cast<size_t>(blocks * type.block_bytes));
    std::normal_distribution<float> normal;
    if (std::string(type.id) == "f32" || std::string(type.id) == "bf16") {
        std::vector<float> values(static_cast<size_t>(rows * cols));
        for (float& value : values) value = normal(random);
        type.quantise(values.data(), src.data(), rows * cols);
        return src;
    }
    for (uint8_t& byte : src) byte = static_cast<uint8_t>(random());
    for (int64_t b = 0; b < blocks; ++b) {
        uint8_t* block = src.data() + b * type.block_bytes;
        for (const auto& [id, fields] : kHalves) {
            if (id != type.id) continue;
            for (const int field : fields) {
                const uint16_t half = f32_to_f16(normal(random));
                std::memcpy(block + field, &half, 2);
            }
        }
        if (std::string(type.id) == "mxfp4") block[0] = static_cast<uint8_t>(120 + random() % 12);
    }
    return src;
}

std::vector<float> random_rows(int64_t rows, int64_t cols, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> x(static_cast<size_t>(rows * cols));
    for (float& value : x) value = normal(random);
    return x;
}

// One packed matrix with its dequantised values.
struct Weights {
    Weights(const char* id, int64_t rows, int64_t cols, uint32_t seed)
        : type(*find_type(id)),
          format(*find_weight_format(id)),
          rows(rows),
          cols(cols),
          src(random_source(type, rows, cols, seed)),
          values(static_cast<size_t>(rows * cols)),
          packed(format.packed_bytes(rows, cols)) {
        type.dequantise(src.data(), values.data(), rows * cols);
        format.pack(src.data(), rows, cols, 0, format.tiles(rows), packed.data());
    }
    const TypeInfo& type;
    const WeightFormat& format;
    int64_t rows, cols;
    std::vector<uint8_t> src;
    std::vector<float> values;
    Buffer packed;
};

struct Activations {
    Activations(int64_t tokens, int64_t cols, uint32_t seed, Isa isa)
        : tokens(tokens), cols(cols), x(random_rows(tokens, cols, seed)), buffer(QuantisedRows::bytes(tokens, cols)) {
        q = QuantisedRows::view(buffer.data(), tokens, cols);
        if (cols % kBlock == 0) EXPECT_EQ(quantise_rows(x.data(), cols, 0, tokens, q, isa), isa);
    }
    int64_t tokens, cols;
    std::vector<float> x;
    Buffer buffer;
    QuantisedRows q;
};

enum class Path { kQuantised, kF32, kSource };

// Runs a product into a guarded buffer and returns it; checks the guards and the kernel that ran.
std::vector<float> run(Path path, Weights& w, const Activations& a, Isa isa, int64_t tokens, const int32_t* index = nullptr,
                       const std::vector<int64_t>& cuts = {}, const float* bias = nullptr) {
    const int64_t stride = w.rows + 3;
    std::vector<float> y(static_cast<size_t>(stride * tokens), kGuard);
    Product p{&w.format, w.packed.data(), w.rows, w.cols, tokens, index, y.data(), stride, bias};
    std::vector<int64_t> edges = {0};
    edges.insert(edges.end(), cuts.begin(), cuts.end());
    edges.push_back(WeightFormat::tiles(w.rows));
    for (size_t i = 0; i + 1 < edges.size(); ++i) {
        Isa ran = Isa::kScalar;
        if (path == Path::kQuantised) ran = matmul(p, a.q, edges[i], edges[i + 1], isa);
        if (path == Path::kF32) ran = matmul_f32(p, a.x.data(), a.cols, edges[i], edges[i + 1], isa);
        if (path == Path::kSource) ran = matmul_f32_source(p, w.type, w.src.data(), a.x.data(), a.cols, edges[i], edges[i + 1], isa);
        EXPECT_EQ(ran, isa);
    }
    std::vector<float> result;
    for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t n = 0; n < stride; ++n) {
            if (n < w.rows) result.push_back(y[static_cast<size_t>(t * stride + n)]);
            else EXPECT_EQ(y[static_cast<size_t>(t * stride + n)], kGuard) << "written past row " << t;
        }
    }
    return result;
}

void expect_product(const std::vector<float>& y, const Weights& w, const Activations& a, int64_t tokens, bool quantised, const std::string& what) {
    for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t n = 0; n < w.rows; ++n) {
            double sum = 0, size = 0;
            for (int64_t k = 0; k < w.cols; ++k) {
                const double x = quantised ? static_cast<double>(a.q.scales[(t * w.cols + k) / kBlock]) * a.q.codes[t * w.cols + k]
                                           : a.x[static_cast<size_t>(t * w.cols + k)];
                const double term = x * w.values[static_cast<size_t>(n * w.cols + k)];
                sum += term;
                size += std::fabs(term);
            }
            // Rounding of at most a few hundred f32 operations, against the size of the terms; minima and codes cancel inside a block.
            ASSERT_NEAR(y[static_cast<size_t>(t * w.rows + n)], sum, 2e-6 * size + 1e-6) << what << " t " << t << " n " << n;
        }
    }
}

class EveryType : public testing::TestWithParam<int> {
  protected:
    const FormatSpec& spec() const { return kSpecs[GetParam()]; }
    const char* id() const { return spec().type; }
    bool quantised() const { return GetParam() < kQuantisedFormats; }
    std::vector<int64_t> columns() const {
        if (quantised()) {
            const int64_t block = spec().source_elems;
            return block == 256 ? std::vector<int64_t>{256, 512, 768, 1024} : std::vector<int64_t>{32, 64, 96, 128, 288, 544, 800};
        }
        return {1, 31, 32, 33, 255, 256, 257, 600};
    }
};

TEST_P(EveryType, ProductsAgreeWithDoublePrecision) {
    for (const int64_t cols : columns()) {
        for (const int64_t rows : {1, 15, 16, 17, 33}) {
            Weights w(id(), rows, cols, static_cast<uint32_t>(rows * 1000 + cols));
            for (const Isa isa : isas()) {
                for (const int64_t tokens : {1, 2, 3, 4, 5, 7, 8, 9, 33}) {
                    const Activations a(tokens, cols, static_cast<uint32_t>(tokens), isa);
                    const std::string what = std::string(id()) + " " + isa_name(isa) + " N " + std::to_string(rows) + " K " + std::to_string(cols);
                    if (quantised()) expect_product(run(Path::kQuantised, w, a, isa, tokens), w, a, tokens, true, what);
                    const std::vector<float> exact = run(Path::kF32, w, a, isa, tokens);
                    expect_product(exact, w, a, tokens, false, what + " f32");
                    EXPECT_EQ(exact, run(Path::kSource, w, a, isa, tokens)) << what << " source";
                }
            }
        }
    }
}

TEST_P(EveryType, BitsDoNotDependOnTokensRangesOrGathering) {
    const int64_t cols = quantised() ? 1280 : 700, rows = 100, most = 40;
    Weights w(id(), rows, cols, 5);
    for (const Isa isa : isas()) {
        const Activations a(most, cols, 6, isa);
        for (const Path path : {Path::kQuantised, Path::kF32, Path::kSource}) {
            if (path == Path::kQuantised && !quantised()) continue;
            const std::vector<float> all = run(path, w, a, isa, most);
            for (const int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 8, 13, 39}) {
                const std::vector<float> some = run(path, w, a, isa, tokens, nullptr, {1, 2, 5});
                EXPECT_EQ(std::memcmp(some.data(), all.data(), some.size() * sizeof(float)), 0) << isa_name(isa) << " " << tokens << " tokens";
            }
            const std::vector<int32_t> index = {39, 0, 7, 7, 12};
            const std::vector<float> gathered = run(path, w, a, isa, 5, index.data());
            for (size_t t = 0; t < index.size(); ++t) {
                EXPECT_EQ(std::memcmp(&gathered[t * rows], &all[static_cast<size_t>(index[t]) * rows], rows * sizeof(float)), 0) << isa_name(isa);
            }
        }
    }
}

// Some rows and the first columns of a packed matrix: as if they had been packed by themselves.
TEST_P(EveryType, PartsOfAPackedMatrix) {
    const int64_t block = spec().source_elems, rows = 70, first_tile = 1, part_rows = 37, most = 9;
    const std::vector<int64_t> wholes = block == 256 ? std::vector<int64_t>{1024} : quantised() ? std::vector<int64_t>{1024, 800} : std::vector<int64_t>{700};
    for (const int64_t cols : wholes) {
        Weights whole(id(), rows, cols, 31);
        for (const int64_t part_cols : block == 256 ? std::vector<int64_t>{256, 768} : quantised() ? std::vector<int64_t>{32, 256, 544, 608, 768, 800} : std::vector<int64_t>{1, 255, 513}) {
            Weights part(id(), part_rows, part_cols, 32);
            const int64_t whole_bytes = row_bytes(whole.type, cols), part_bytes = row_bytes(whole.type, part_cols);
            for (int64_t r = 0; r < part_rows; ++r) std::memcpy(&part.src[static_cast<size_t>(r * part_bytes)], &whole.src[static_cast<size_t>((r + first_tile * kTileRows) * whole_bytes)], static_cast<size_t>(part_bytes));
            part.format.pack(part.src.data(), part_rows, part_cols, 0, part.format.tiles(part_rows), part.packed.data());
            const std::vector<float> bias = random_rows(1, part_rows, 33);
            for (const Isa isa : isas()) {
                for (const int64_t tokens : {int64_t{1}, int64_t{3}, most}) {
                    const Activations a(tokens, part_cols, 34, isa);
                    for (const Path path : {Path::kQuantised, Path::kF32}) {
                        if (path == Path::kQuantised && !quantised()) continue;
                        const std::vector<float> want = run(path, part, a, isa, tokens, nullptr, {}, bias.data());
                        std::vector<float> got(want.size(), kGuard);
                        Product p{&whole.format, whole.packed.data() + first_tile * whole.format.packed_bytes(kTileRows, cols), part_rows, part_cols, tokens, nullptr, got.data(), part_rows, bias.data(), cols};
                        if (path == Path::kQuantised) matmul(p, a.q, 0, WeightFormat::tiles(part_rows), isa);
                        else matmul_f32(p, a.x.data(), part_cols, 0, WeightFormat::tiles(part_rows), isa);
                        ASSERT_EQ(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0) << id() << " " << isa_name(isa) << " " << part_cols << " of " << cols << ", " << tokens << " tokens";
                    }
                }
            }
        }
    }
}

TEST_P(EveryType, BiasIsAddedOnce) {
    const int64_t cols = 1024, rows = 21;
    Weights w(id(), rows, cols, 8);
    const std::vector<float> bias = random_rows(1, rows, 9);
    for (const Isa isa : isas()) {
        for (const int64_t tokens : {1, 9}) {
            const Activations a(tokens, cols, 10, isa);
            for (const Path path : {Path::kQuantised, Path::kF32, Path::kSource}) {
                if (path == Path::kQuantised && !quantised()) continue;
                const std::vector<float> plain = run(path, w, a, isa, tokens);
                const std::vector<float> biased = run(path, w, a, isa, tokens, nullptr, {}, bias.data());
                for (size_t i = 0; i < plain.size(); ++i) ASSERT_EQ(biased[i], plain[i] + bias[i % rows]) << isa_name(isa);
            }
        }
    }
}

TEST_P(EveryType, PackedRowsComeBackBitForBit) {
    for (const int64_t cols : columns()) {
        Weights w(id(), 19, cols, 11);
        std::vector<float> row(static_cast<size_t>(cols));
        for (int64_t r = 0; r < w.rows; ++r) {
            w.format.unpack_row(w.packed.data(), cols, r, row.data());
            ASSERT_EQ(std::memcmp(row.data(), &w.values[static_cast<size_t>(r * cols)], row.size() * sizeof(float)), 0) << id() << " row " << r;
        }
    }
}

TEST_P(EveryType, PackingIsNoLargerThanTheFile) {
    const WeightFormat& format = *find_weight_format(id());
    const int64_t file = row_bytes(*find_type(id()), 2048) * 64;
    EXPECT_LE(format.packed_bytes(64, 2048), file + file / 50) << id();
    EXPECT_EQ(format.packed_bytes(-1, 2048), -1);
    if (quantised()) EXPECT_EQ(format.packed_bytes(64, 2047), -1);
}

TEST_P(EveryType, NotFiniteActivationsAreSeen) {
    const int64_t cols = 512;
    Weights w(id(), 16, cols, 12);
    for (const Isa isa : isas()) {
        for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
            Activations a(2, cols, 13, isa);
            a.x[cols + 77] = bad;
            quantise_rows(a.x.data(), cols, 0, 2, a.q, isa);
            const Path path = quantised() ? Path::kQuantised : Path::kF32;
            const std::vector<float> y = run(path, w, a, isa, 2);
            for (int64_t n = 0; n < 16; ++n) {
                EXPECT_TRUE(std::isfinite(y[static_cast<size_t>(n)]));
                EXPECT_FALSE(std::isfinite(y[static_cast<size_t>(16 + n)])) << isa_name(isa);
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, EveryType, testing::Range(0, kFormatCount),
                         [](const testing::TestParamInfo<int>& info) { return std::string(kSpecs[info.param].type); });

// bf16 x bf16 in f32: against f64 products of the rounded activations; one token, ranges and gathering give the same bits.
TEST(Bf16Dot, AgreesWithDoublePrecisionOfRoundedActivations) {
    if (!bf16_dot_supported()) GTEST_SKIP() << "this processor has no AVX512_BF16";
    const TypeInfo& bf16 = *find_type("bf16");
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 2}, {16, 32}, {17, 34}, {33, 510}, {48, 1026}, {50, 514}}) {
        Weights w("bf16", rows, cols, 7);
        for (const int64_t tokens : {1, 2, 5, 6, 7, 13}) {
            const std::vector<float> x = random_rows(tokens, cols, 11), bias = random_rows(1, rows, 13);
            std::vector<uint16_t> narrow(x.size());
            std::vector<float> rounded(x.size());
            bf16.quantise(x.data(), narrow.data(), tokens * cols);
            bf16.dequantise(narrow.data(), rounded.data(), tokens * cols);
            std::vector<float> got(static_cast<size_t>(tokens * rows), kGuard), again(got.size());
            Product product;
            product.format = &w.format, product.packed = w.packed.data(), product.rows = rows, product.cols = cols, product.tokens = tokens;
            product.dst = got.data(), product.dst_stride = rows, product.bias = bias.data();
            matmul_bf16(product, x.data(), cols, 0, w.format.tiles(rows));
            for (int64_t t = 0; t < tokens; ++t)
                for (int64_t n = 0; n < rows; ++n) {
                    double want = bias[static_cast<size_t>(n)], size = std::fabs(want);
                    for (int64_t k = 0; k < cols; ++k) {
                        const double term = static_cast<double>(w.values[static_cast<size_t>(n * cols + k)]) * rounded[static_cast<size_t>(t * cols + k)];
                        want += term, size += std::fabs(term);
                    }
                    ASSERT_NEAR(got[static_cast<size_t>(t * rows + n)], want, size * 1e-6) << rows << "x" << cols << " token " << t << " row " << n;
                }
            for (int64_t t = tokens; t-- > 0;)  // token by token, tile by tile, through an index
                for (int64_t tile = 0; tile < w.format.tiles(rows); ++tile) {
                    const auto row = static_cast<int32_t>(t);
                    product.tokens = 1, product.dst = again.data() + t * rows, product.row_index = &row;
                    matmul_bf16(product, x.data(), cols, tile, tile + 1);
                }
            EXPECT_EQ(std::memcmp(got.data(), again.data(), got.size() * 4), 0);
        }
    }
}

TEST(QuantiseRows, CodesAndSums) {
    for (const Isa isa : isas()) {
        Activations a(3, 96, 14, isa);
        for (int i = 32; i < 64; ++i) a.x[static_cast<size_t>(i)] = 0.0f;
        for (int i = 64; i < 96; ++i) a.x[static_cast<size_t>(i)] = 1e-38f;
        quantise_rows(a.x.data(), 96, 0, 3, a.q, isa);
        EXPECT_EQ(a.q.scales[1], 0.0f);
        EXPECT_EQ(a.q.scales[2], 0.0f);
        for (int b = 0; b < 9; ++b) {
            int sum = 0, low = 0;
            for (int i = 0; i < 32; ++i) {
                const int code = a.q.codes[b * 32 + i];
                sum += code;
                if (i < 16) low += code;
                EXPECT_LE(std::abs(code), 127);
                if (b != 2) EXPECT_LE(std::fabs(code * a.q.scales[b] - a.x[static_cast<size_t>(b * 32 + i)]), 0.5001f * a.q.scales[b]);
            }
            EXPECT_EQ(a.q.sums[b], sum);
            EXPECT_EQ(a.q.halves[2 * b], low);
            EXPECT_EQ(a.q.halves[2 * b + 1], sum - low);
        }
    }
}

TEST(Isa, NamesAndBest) {
    EXPECT_TRUE(isa_supported(Isa::kScalar));
    EXPECT_TRUE(isa_supported(best_isa()));
    for (int i = 0; i < kIsaCount; ++i) {
        Isa isa = Isa::kScalar;
        EXPECT_TRUE(isa_from_name(isa_name(static_cast<Isa>(i)), &isa));
        EXPECT_EQ(isa, static_cast<Isa>(i));
    }
    Isa isa = Isa::kAvx2;
    EXPECT_FALSE(isa_from_name("avx1024", &isa));
    EXPECT_EQ(isa, Isa::kAvx2);
}

}  // namespace
}  // namespace orrery::quant
