// Tensors larger than 128 MiB, the most that some drivers (lavapipe is one) let a storage buffer's binding reach: a weight that is
// looked up and multiplied by.
#include <cmath>
#include <fstream>

#include "support.hpp"

namespace engine_tests {
namespace {

constexpr int64_t kReach = 128 << 20, kVocabulary = 2'860'000, kWidth = 24;
static_assert(kVocabulary * kWidth * 2 > kReach + (1 << 20));

// f16, each element between 1/16 and 1/8 or minus that; no two rows are alike.
Tensor some_halves() {
    uint64_t seed = 1;
    Tensor t;
    t.type = ORR_TYPE_F16;
    t.shape = {kVocabulary, kWidth};
    t.bytes.resize(static_cast<size_t>(kVocabulary * kWidth * 2));
    for (size_t i = 0; i < t.bytes.size(); i += 8) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        const uint64_t bits = ((seed >> 3 ^ seed >> 29) & 0x83ff83ff83ff83ffu) | 0x2c002c002c002c00u;
        std::memcpy(t.bytes.data() + i, &bits, 8);
    }
    return t;
}

Model open(const std::string& folder, const char* device) {
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    options.path = folder.c_str();
    options.device = device;
    orr_model* model = nullptr;
    check(orr_model_open(shared_engine(), &options, &model));
    return Model(model);
}

TEST(VulkanLarge, TensorsBeyondTheReachOfABinding) {
    if (kThreadSanitizer) GTEST_SKIP() << "drivers are not instrumented";
    if (!has_vulkan()) GTEST_SKIP() << "no Vulkan device";

    const std::string folder = scratch("vulkan_large");
    std::filesystem::create_directories(folder);
    {
        Checkpoint c = Checkpoint::golden("llama", {{"vocab_size", kVocabulary}, {"num_hidden_layers", 1}, {"tie_word_embeddings", true}});
        for (auto it = c.tensors.begin(); it != c.tensors.end();) it = it->first.find("layers.1.") != std::string::npos ? c.tensors.erase(it) : std::next(it);
        c.tensors["model.embed_tokens.weight"] = some_halves();
        c.tensors.erase("lm_head.weight");
        std::ofstream(folder + "/config.json") << c.config.dump();
        std::ofstream(folder + "/model.safetensors", std::ios::binary) << c.safetensors();
    }
    // Looked up past the mark; multiplied by on both sides of it.
    constexpr int32_t kMark = kReach / (kWidth * 2);
    const std::vector<int32_t> ids = {kMark + 1, kVocabulary - 1};

    const Model model = open(folder, "vulkan"), plain = open(folder, "cpu");
    const Session there = make_session(model), here = make_session(plain, [](orr_session_options& o) { o.threads = 2; });
    const Tensor got = feed(there, ids), want = feed(here, ids);
    ASSERT_EQ(got.shape, (std::vector<int64_t>{1, kVocabulary}));
    ASSERT_EQ(got.bytes.size(), want.bytes.size());
    const auto at = [](const Tensor& t, size_t i) {
        float x = 0;
        std::memcpy(&x, t.bytes.data() + i * 4, 4);
        return x;
    };
    const size_t n = got.bytes.size() / 4;
    double square = 0, most = 0;
    size_t worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double w = at(want, i), off = std::fabs(static_cast<double>(at(got, i)) - w);
        square += w * w / static_cast<double>(n);
        if (!(off <= most)) most = off, worst = i;  // NaN too
    }
    EXPECT_LE(most, 1e-4 * std::sqrt(square)) << "row " << worst << ": " << at(got, worst) << ", the processor says " << at(want, worst);
    const Json steps = description(there, "plan", "steps", "next");
    for (const Json& step : steps) EXPECT_EQ(step["device"], "vulkan:0") << step.dump();
}

}  // namespace
}  // namespace engine_tests
