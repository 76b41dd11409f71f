// Every type against values from PyPI gguf (type_cases.txt names the version and the seed), bit for bit.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "quant/half.hpp"
#include "quant/types.hpp"

namespace orrery::quant {
namespace {

std::vector<uint8_t> from_hex(const std::string& text) {
    std::vector<uint8_t> bytes(text.size() / 2);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(std::stoi(text.substr(2 * i, 2), nullptr, 16));
    return bytes;
}

std::vector<float> to_floats(const std::vector<uint8_t>& bytes) {
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

void expect_bits(const std::string& what, const void* got, const void* want, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) {
        ASSERT_EQ(static_cast<const uint8_t*>(got)[i], static_cast<const uint8_t*>(want)[i]) << what << ", byte " << i;
    }
}

TEST(Types, AgreeWithGguf) {
    std::ifstream file(QUANT_TEST_DATA "/type_cases.txt");
    ASSERT_TRUE(file);
    size_t dequantised = 0, quantised = 0;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line[0] == '#') continue;
        std::istringstream words(line);
        std::string verb, id, src, want;
        words >> verb >> id;
        const TypeInfo* type = find_type(id);
        ASSERT_NE(type, nullptr) << id;
        if (verb == "dequantise") {
            int elems = 0, bytes = 0;
            words >> elems >> bytes >> src >> want;
            EXPECT_EQ(type->block_elems, elems) << id;
            EXPECT_EQ(type->block_bytes, bytes) << id;
            const std::vector<uint8_t> blocks = from_hex(src), expected = from_hex(want);
            std::vector<float> values(expected.size() / sizeof(float));
            type->dequantise(blocks.data(), values.data(), static_cast<int64_t>(values.size()));
            expect_bits("dequantise " + id, values.data(), expected.data(), expected.size());
            ++dequantised;
        } else {
            words >> src >> want;
            ASSERT_NE(type->quantise, nullptr) << id;
            const std::vector<float> values = to_floats(from_hex(src));
            const std::vector<uint8_t> expected = from_hex(want);
            std::vector<uint8_t> blocks(expected.size());
            type->quantise(values.data(), blocks.data(), static_cast<int64_t>(values.size()));
            expect_bits("quantise " + id, blocks.data(), expected.data(), expected.size());
            ++quantised;
        }
    }
    EXPECT_EQ(dequantised, all_types().size());
    EXPECT_EQ(quantised, 4u);
}

TEST(Types, UnknownIsNull) {
    EXPECT_EQ(find_type("q4_0 "), nullptr);
    EXPECT_EQ(find_type(""), nullptr);
}

TEST(Types, RowBytesNeedWholeBlocks) {
    EXPECT_EQ(row_bytes(*find_type("q4_k"), 512), 288);
    EXPECT_EQ(row_bytes(*find_type("q4_k"), 511), -1);
}

TEST(Half, EveryHalfSurvivesTheRoundTrip) {
    for (uint32_t half = 0; half < 0x10000; ++half) {
        const float value = f16_to_f32(static_cast<uint16_t>(half));
        if (value != value) {
            const float back = f16_to_f32(f32_to_f16(value));
            EXPECT_TRUE(back != back) << half;
        } else {
            ASSERT_EQ(f32_to_f16(value), half);
        }
    }
}

TEST(Half, TiesGoToEven) {
    for (uint32_t half = 0; half < 0x7BFF; ++half) {
        const float low = f16_to_f32(static_cast<uint16_t>(half)), high = f16_to_f32(static_cast<uint16_t>(half + 1));
        ASSERT_EQ(f32_to_f16(low + (high - low) / 2), half & 1 ? half + 1 : half);
    }
    EXPECT_EQ(f32_to_f16(65519.0f), 0x7BFF);
    EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
    EXPECT_EQ(f32_to_f16(-std::numeric_limits<float>::infinity()), 0xFC00);
}

}  // namespace
}  // namespace orrery::quant
