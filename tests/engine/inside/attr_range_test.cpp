// What descriptors say of their attributes: ranges as text, values in them and outside, and what the engine tells of a value that it refuses.
#include "engine/registry/attr_range.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/graph/attrs.hpp"
#include "orrery/plugin.hpp"

namespace {

using nlohmann::json;
using orrery::AttrRange;
using orrery::Error;

orr_attr_desc desc_of(uint32_t kind, const char* range, uint32_t least = 0, uint32_t most = 0) {
    return {ORR_HEADER(orr_attr_desc), "a", kind, "0", "of a test", range, least, most};
}
bool holds(const orr_attr_desc& desc, const json& value) { return AttrRange(desc).refusal(value).empty(); }

TEST(AttrRange, Intervals) {
    const orr_attr_desc closed = desc_of(ORR_ATTR_INT, "[1, 64]"), open = desc_of(ORR_ATTR_FLOAT, "(0, inf)"), half = desc_of(ORR_ATTR_FLOAT, "[-0.5,1e-3)");
    for (const int v : {1, 2, 64}) EXPECT_TRUE(holds(closed, v)) << v;
    for (const int v : {0, 65, -1}) EXPECT_FALSE(holds(closed, v)) << v;
    EXPECT_FALSE(holds(open, 0.0));
    EXPECT_FALSE(holds(open, 0)) << "an integer for a number";
    EXPECT_TRUE(holds(open, 1e300));
    EXPECT_TRUE(holds(half, -0.5));
    EXPECT_FALSE(holds(half, 1e-3));
    EXPECT_EQ(AttrRange(closed).text, "[1, 64]");
    EXPECT_EQ(AttrRange(closed).refusal(0), "is 0, it takes [1, 64]");
    const orr_attr_desc none = desc_of(ORR_ATTR_INT, nullptr);
    EXPECT_TRUE(holds(none, INT64_MIN));
    EXPECT_EQ(AttrRange(none).text, "");
}

// Whole ends are compared exactly: as f64 the two are one number.
TEST(AttrRange, LargeIntegers) {
    const orr_attr_desc desc = desc_of(ORR_ATTR_INT, "[-9223372036854775808, 9223372036854775806]");
    EXPECT_TRUE(holds(desc, INT64_MAX - 1));
    EXPECT_TRUE(holds(desc, INT64_MIN));
    EXPECT_FALSE(holds(desc, INT64_MAX));
    EXPECT_FALSE(holds(desc_of(ORR_ATTR_INT, "[0, 1]"), UINT64_MAX)) << "beyond i64";
}

TEST(AttrRange, WordsAndLists) {
    const orr_attr_desc words = desc_of(ORR_ATTR_STRING, "none|silu"), pair = desc_of(ORR_ATTR_INTS, "[1, inf)", 1, 2), three = desc_of(ORR_ATTR_FLOATS, nullptr, 3, 3);
    EXPECT_TRUE(holds(words, "silu"));
    for (const char* v : {"", "sil", "none|silu", "Silu"}) EXPECT_FALSE(holds(words, v)) << v;
    EXPECT_EQ(AttrRange(words).refusal("gelu"), "is \"gelu\", it takes none|silu");
    EXPECT_TRUE(holds(pair, {1, 7}));
    EXPECT_FALSE(holds(pair, json::array()));
    EXPECT_FALSE(holds(pair, {1, 1, 1}));
    EXPECT_EQ(AttrRange(pair).refusal({3, 0}), "is [3,0], it takes 1 to 2 of [1, inf)");
    EXPECT_EQ(AttrRange(three).text, "3 elements");
    EXPECT_FALSE(holds(three, {1.5, 2.5}));
}

TEST(AttrRange, TextsThatAreNone) {
    for (const char* text : {"", "[1, 2", "1, 2", "[2, 1]", "[1 2]", "(1, 1]", "[a, 2]", "[inf, 2]", "[1, inf]", "[1,]", "[0.5, 1]"}) EXPECT_THROW(AttrRange(desc_of(ORR_ATTR_INT, text)), Error) << text;
    EXPECT_NO_THROW(AttrRange(desc_of(ORR_ATTR_FLOAT, "[0.5, 1]")));
    for (const char* text : {"(inf, -inf)", "(inf, 2]", "[1, -inf)", "(inf, inf)", "(-inf, -inf)"}) EXPECT_THROW(AttrRange(desc_of(ORR_ATTR_FLOAT, text)), Error) << text;
    EXPECT_NO_THROW(AttrRange(desc_of(ORR_ATTR_FLOAT, "(-inf, inf)")));
    EXPECT_THROW(AttrRange(desc_of(ORR_ATTR_BOOL, "[0, 1]")), Error);
    EXPECT_THROW(AttrRange(desc_of(ORR_ATTR_INT, nullptr, 1, 2)), Error) << "elements of what is no list";
    EXPECT_THROW(AttrRange(desc_of(ORR_ATTR_INTS, nullptr, 3, 2)), Error);
}

// A descriptor of before the member: nothing is known, nothing is refused.
TEST(AttrRange, OlderDescriptors) {
    orr_attr_desc old = desc_of(ORR_ATTR_INT, "[1, 2]");
    old.header.struct_size = offsetof(orr_attr_desc, range);
    EXPECT_TRUE(holds(old, 100));
}

TEST(AttrRange, TheEngineNamesOperatorAttributeValueAndRange) {
    const orr_attr_desc stride = desc_of(ORR_ATTR_INT, "[0, 8]");
    const orr_attr_desc* const attrs[] = {&stride};
    orr_operator op{};
    op.header = ORR_HEADER(orr_operator);
    op.id = "test.op/1";
    op.n_attrs = 1;
    op.attrs = attrs;
    const orrery::NodeAttrs taken(op, R"({"a": 8})");
    EXPECT_EQ(taken.table()->get_int(taken.table(), "a"), 8);
    try {
        orrery::NodeAttrs refused(op, R"({"a": 9})");
        FAIL() << "9 was taken";
    } catch (const Error& e) {
        EXPECT_EQ(e.code(), ORR_INVALID_ARGUMENT);
        EXPECT_STREQ(e.what(), "test.op/1: attribute a is 9, it takes [0, 8]");
    }
}

}  // namespace
