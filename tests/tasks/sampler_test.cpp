// Sampler against transformers' logits processors (sampler.cases, see make_sampler_cases.py) and hand-derived cases.
#include "plugins/language/tasks/text_generation/sampler.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

namespace orrery::text_generation {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

SamplerOptions plain() {
    SamplerOptions o;
    o.temperature = 1;
    o.top_k = 0;
    o.top_p = 1;
    return o;
}

// How often each id is drawn from the same logits by one generator.
std::map<int32_t, int> draws(const SamplerOptions& o, const std::vector<float>& logits, int n) {
    Sampler sampler(o, static_cast<int64_t>(logits.size()), 0);
    std::map<int32_t, int> counts;
    for (int i = 0; i < n; i++) {
        std::vector<float> row = logits;
        counts[sampler.sample(row.data())]++;
    }
    return counts;
}

TEST(SplitMix, GivesThePublishedSequence) {
    // rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64, seed 1234567
    SplitMix64 random(1234567);
    for (const uint64_t want : {6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u, 16408922859458223821u})
        EXPECT_EQ(random.next(), want);
}

TEST(Sampler, DrawsWhatTransformersLeaves) {
    std::ifstream file(CASES_DIR "/sampler.cases");
    ASSERT_TRUE(file);
    int cases = 0;
    for (std::string line; std::getline(file, line);) {
        if (line.empty() || line[0] == '#') continue;
        const auto c = nlohmann::json::parse(line);
        const auto& given = c["options"];
        SamplerOptions o;
        o.temperature = given["temperature"];
        o.top_k = given["top_k"];
        o.top_p = given["top_p"];
        o.min_p = given["min_p"];
        o.repetition_penalty = given["repetition_penalty"];
        o.presence_penalty = given["presence_penalty"];
        o.frequency_penalty = given["frequency_penalty"];
        o.seed = c["seed"];
        if (given.contains("logit_bias"))
            for (const auto& [id, bias] : given["logit_bias"].items()) o.logit_bias.emplace_back(std::stoi(id), bias.get<float>());
        std::vector<float> logits = c["logits"];
        Sampler sampler(o, static_cast<int64_t>(logits.size()), 0);
        for (const int32_t id : c["prompt"]) sampler.accept(id, false);
        for (const int32_t id : c["answer"]) sampler.accept(id, true);
        EXPECT_EQ(sampler.sample(logits.data()), c["id"].get<int32_t>()) << line.substr(line.find("\"options\""));
        cases++;
    }
    EXPECT_GT(cases, 100);
}

TEST(Sampler, GreedyTakesTheFirstOfEquals) {
    SamplerOptions o = plain();
    o.temperature = 0;
    std::vector<float> logits = {1, 5, 5, 2};
    EXPECT_EQ(Sampler(o, 4, 0).sample(logits.data()), 1);
}

TEST(Sampler, FrequenciesFollowTheProbabilities) {
    // logits ln 1, ln 2, ln 5: probabilities 1/8, 2/8, 5/8
    const auto counts = draws(plain(), {0.0f, std::log(2.0f), std::log(5.0f)}, 80000);
    EXPECT_NEAR(counts.at(0), 10000, 400);
    EXPECT_NEAR(counts.at(1), 20000, 500);
    EXPECT_NEAR(counts.at(2), 50000, 600);
}

TEST(Sampler, TopPKeepsTheRunThatReachesIt) {
    // Probabilities 0.5, 0.3, 0.2: top_p 0.5 is reached by the first alone, 0.51 needs two, 0.81 all three.
    const std::vector<float> logits = {std::log(2.0f), std::log(5.0f), std::log(3.0f)};
    SamplerOptions o = plain();
    o.top_p = 0.49;
    EXPECT_EQ(draws(o, logits, 1000).size(), 1u);
    o.top_p = 0.51;
    const auto two = draws(o, logits, 1000);
    EXPECT_EQ(two.size(), 2u);
    EXPECT_EQ(two.count(0), 0u);
    o.top_p = 0.81;
    EXPECT_EQ(draws(o, logits, 1000).size(), 3u);
    o.top_p = 0;
    EXPECT_EQ(draws(o, logits, 100).size(), 1u);
}

TEST(Sampler, TopPReachesOverSeveralSortedBlocks) {
    // 5,000 equal logits: 0.5 keeps the 2,500 smallest ids, far beyond one block.
    SamplerOptions o = plain();
    o.top_p = 0.5;
    const auto counts = draws(o, std::vector<float>(5000, 1.0f), 2000);
    EXPECT_LT(counts.rbegin()->first, 2500);
    EXPECT_GT(counts.rbegin()->first, 2400);
    EXPECT_GT(counts.size(), 1200u);
}

TEST(Sampler, TopKKeepsSmallIdsOfEquals) {
    SamplerOptions o = plain();
    o.top_k = 2;
    const auto counts = draws(o, {1, 3, 3, 3, 0}, 1000);
    EXPECT_EQ(counts.size(), 2u);
    EXPECT_EQ(counts.count(1), 1u);
    EXPECT_EQ(counts.count(2), 1u);
}

TEST(Sampler, TopKOfAllIsNoTopK) {
    SamplerOptions all = plain(), k = plain();
    k.top_k = 5;
    EXPECT_EQ(draws(all, {1, 3, 2, 3, 0}, 500), draws(k, {1, 3, 2, 3, 0}, 500));
}

TEST(Sampler, SameSeedSameIds) {
    SamplerOptions o = plain();
    std::vector<float> logits(50);
    for (size_t i = 0; i < logits.size(); i++) logits[i] = static_cast<float>(i % 7);
    const auto sequence = [&](uint64_t seed) {
        o.seed = seed;
        Sampler s(o, 50, 0);
        std::vector<int32_t> ids;
        for (int i = 0; i < 20; i++) {
            std::vector<float> row = logits;
            ids.push_back(s.sample(row.data()));
        }
        return ids;
    };
    EXPECT_EQ(sequence(9), sequence(9));
    EXPECT_NE(sequence(9), sequence(10));
}

TEST(Sampler, OddLogits) {
    const SamplerOptions o = plain();
    std::vector<float> none = {-kInf, NAN, -kInf};
    EXPECT_EQ(Sampler(o, 3, 0).sample(none.data()), -1);
    std::vector<float> certain = {1, kInf, 2};
    EXPECT_EQ(Sampler(o, 3, 0).sample(certain.data()), 1);
    for (int i = 0; i < 100; i++) EXPECT_EQ(draws(o, {NAN, 1, -kInf}, 10).size(), 1u);
    SamplerOptions cold = plain();
    cold.temperature = 1e-30;
    EXPECT_EQ(draws(cold, {1, 2, 1.5f}, 100).at(1), 100);
}

TEST(Sampler, IdsOutsideAreNotCounted) {
    SamplerOptions o = plain();
    o.presence_penalty = 100;
    Sampler s(o, 2, 0);
    s.accept(-1, true);
    s.accept(2, true);
    std::vector<float> logits = {0, 10};
    EXPECT_EQ(s.sample(logits.data()), 1);
    EXPECT_EQ(logits[1], 10);
}

}  // namespace
}  // namespace orrery::text_generation
