// How guesses of what work costs are corrected by what it took, upwards at once and downwards after a while.
#include <thread>

#include "engine/backend/vulkan/pace.hpp"
#include "support.hpp"

namespace engine_tests {
namespace {

using orrery::vulkan::Pace;
constexpr uint64_t kMs = 1'000'000, kBound = 100 * kMs;

void watch(Pace& pace, uint32_t times, uint64_t guessed_ns, uint64_t took_ns) {
    for (uint32_t i = 0; i < times; i++) pace.watch(guessed_ns, took_ns);
}

TEST(Pace, RisesAtOnce) {
    Pace pace(kBound);
    EXPECT_EQ(pace.scale(), 1);
    pace.learn(10 * kMs, 200 * kMs);
    EXPECT_EQ(pace.scale(), 20);
    pace.learn(100 * kMs, 200 * kMs);
    EXPECT_EQ(pace.scale(), 20);
    pace.learn(0, UINT64_MAX);
    EXPECT_EQ(pace.scale(), 1e4);
}

TEST(Pace, FallsToTheSlowestOfManyFastSubmissions) {
    Pace pace(kBound);
    pace.learn(10 * kMs, 1000 * kMs);
    ASSERT_EQ(pace.scale(), 100);
    // 50 ms were expected of each; 2 ms and 7 ms it took, of which 1 ms for starting.
    watch(pace, Pace::kCalm - 2, kMs / 2, 2 * kMs);
    pace.watch(kMs / 2, 7 * kMs);
    EXPECT_EQ(pace.scale(), 100);
    pace.watch(kMs / 2, 2 * kMs);
    EXPECT_EQ(pace.scale(), 12);
    // Never below what was guessed.
    watch(pace, Pace::kCalm, 5 * kMs, kMs);
    EXPECT_EQ(pace.scale(), 1);
    watch(pace, Pace::kCalm, 5 * kMs, kMs);
    EXPECT_EQ(pace.scale(), 1);
}

TEST(Pace, StaysWhereWorkIsSlow) {
    Pace pace(kBound);
    pace.learn(10 * kMs, 1000 * kMs);
    // One in 256 that is slow is enough, and so is another that is too long.
    for (int i = 0; i < 8; i++) {
        watch(pace, Pace::kCalm - 1, kMs / 2, 2 * kMs);
        pace.watch(kMs / 2, 30 * kMs);
    }
    EXPECT_EQ(pace.scale(), 100);
    watch(pace, Pace::kCalm - 1, kMs / 2, 2 * kMs);
    pace.learn(kMs, 101 * kMs);
    watch(pace, Pace::kCalm - 1, kMs / 2, 2 * kMs);
    EXPECT_EQ(pace.scale(), 101);
    // What is short anyway tells nothing.
    watch(pace, 1, kMs / 2, 30 * kMs);
    watch(pace, 10 * Pace::kCalm, kMs / 100, kMs);
    EXPECT_EQ(pace.scale(), 101);
}

TEST(Pace, OfManyThreads) {
    Pace pace(kBound);
    pace.learn(10 * kMs, 1000 * kMs);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) threads.emplace_back([&] { watch(pace, Pace::kCalm / 4, kMs / 2, 2 * kMs); });
    for (auto& t : threads) t.join();
    EXPECT_EQ(pace.scale(), 2);
}

}  // namespace
}  // namespace engine_tests
