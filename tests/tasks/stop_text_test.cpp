// Stop strings: nothing of one is ever given out, however the pieces fall.
#include "plugins/language/tasks/text_generation/stop_text.hpp"

#include <gtest/gtest.h>

namespace orrery::text_generation {
namespace {

TEST(StopText, WithoutStopsEverythingPasses) {
    StopText s({});
    std::string text;
    s.put("ab", text);
    s.put("c", text);
    EXPECT_EQ(text, "abc");
    EXPECT_FALSE(s.stopped());
}

TEST(StopText, HoldsBackWhatMayBecomeOne) {
    StopText s({"STOP"});
    std::string text;
    s.put("aS", text);
    EXPECT_EQ(text, "a");
    s.put("T", text);
    EXPECT_EQ(text, "a");
    s.put("x", text);  // "STx" is none
    EXPECT_EQ(text, "aSTx");
    s.put("STO", text);
    EXPECT_EQ(text, "aSTx");
    s.finish(text);
    EXPECT_EQ(text, "aSTxSTO");
}

TEST(StopText, CutsAtTheFirst) {
    StopText s({"END", "b"});
    std::string text;
    s.put("aaENDb", text);
    EXPECT_TRUE(s.stopped());
    EXPECT_EQ(text, "aa");
    s.put("more", text);
    s.finish(text);
    EXPECT_EQ(text, "aa");
}

TEST(StopText, OverlapsWithItself) {
    StopText s({"aab"});
    std::string text;
    for (const char* c : {"a", "a", "a", "a", "b"}) s.put(c, text);
    EXPECT_TRUE(s.stopped());
    EXPECT_EQ(text, "aa");
}

// Every cut of a text into pieces gives the same.
TEST(StopText, CutsOfThePiecesDoNotMatter) {
    const std::string whole = "xabcabdabcdabcabd!yz";
    for (const std::string stop : {"abcabd!", "abd", "zz", "x", "yz"}) {
        const size_t at = whole.find(stop);
        const std::string want = whole.substr(0, at);
        for (size_t step = 1; step <= whole.size(); step++) {
            StopText s({stop});
            std::string text;
            for (size_t i = 0; i < whole.size(); i += step) {
                s.put(std::string_view(whole).substr(i, step), text);
                ASSERT_EQ(want.compare(0, text.size(), text), 0) << "gave out more than " << want;
            }
            s.finish(text);
            EXPECT_EQ(text, want) << stop << " in steps of " << step;
            EXPECT_EQ(s.stopped(), at != std::string::npos);
        }
    }
}

}  // namespace
}  // namespace orrery::text_generation
