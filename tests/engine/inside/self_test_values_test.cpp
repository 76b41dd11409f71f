// Numbers that self-tests fill tensors with: of every type of the plugins, the same every time, of about the size that is asked for.
#include <cmath>

#include "engine/plan/self_test_values.hpp"
#include "engine/run/engine.hpp"
#include "support.hpp"

namespace engine_tests {
namespace {

std::vector<float> numbers(const orrery::TypeInfo& type, const std::vector<char>& bytes, int64_t n) {
    std::vector<float> out(static_cast<size_t>(n));
    type.type->dequantise(bytes.data(), out.data(), n);
    return out;
}

TEST(SelfTestValues, OfEveryBlockType) {
    orr_engine_options options{};
    options.header = ORR_HEADER(orr_engine_options);
    static const char* const folders[] = {PLUGIN_DIR, nullptr};
    options.plugin_dirs = folders;
    options.no_default_plugins = true;
    const auto engine = std::make_shared<orrery::Engine>(options);
    constexpr int64_t kElems = 512 * 40;
    for (const char* id : {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4"}) {
        const orrery::TypeInfo& type = engine->registry().find_type(id);
        std::vector<char> a(type.row_bytes(kElems, id)), b = a, c = a;
        ASSERT_TRUE(orrery::TestNumbers(3).fill(type, kElems, -1, 1, a.data())) << id;
        ASSERT_TRUE(orrery::TestNumbers(3).fill(type, kElems, -1, 1, b.data())) << id;
        ASSERT_TRUE(orrery::TestNumbers(4).fill(type, kElems, -1, 1, c.data())) << id;
        EXPECT_EQ(a, b) << id;
        EXPECT_NE(a, c) << id;
        double square = 0;
        for (const float v : numbers(type, a, kElems)) square += static_cast<double>(v) * v / kElems;
        EXPECT_GT(std::sqrt(square), 0.15) << id;
        EXPECT_LT(std::sqrt(square), 1.0) << id;
    }
}

TEST(SelfTestValues, WholeNumbersIncludeBothEnds) {
    orrery::TypeInfo type;
    type.number = ORR_TYPE_I32, type.id = "i32", type.block_bytes = 4;
    std::vector<int32_t> got(1000);
    ASSERT_TRUE(orrery::TestNumbers(1).fill(type, 1000, -2, 3, got.data()));
    EXPECT_EQ(*std::min_element(got.begin(), got.end()), -2);
    EXPECT_EQ(*std::max_element(got.begin(), got.end()), 3);
}

}  // namespace
}  // namespace engine_tests
