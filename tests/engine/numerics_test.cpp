// What may change the bits of a result, and what may not: threads, executors, batches, chunks, instruction sets, cache
// types, rewrites, definitions.
#include <set>

#include "support.hpp"

namespace engine_tests {
namespace {

constexpr int32_t kVocabulary = 41;

const char* const kModels[] = {"llama", "llama_gguf", "gemma3", "qwen3_moe", "mistral_window", "gpt2", "mamba"};

class Numerics : public testing::TestWithParam<const char*> {
  protected:
    // Logits of a prompt and of some steps behind it.
    std::vector<Tensor> story(const Session& s) const {
        std::vector<Tensor> out = {feed(s, prompt_, "forward")};
        for (const int32_t id : steps_) out.push_back(feed(s, {id}));
        return out;
    }
    static void expect_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
        for (size_t i = 0; i < a.size(); i++) EXPECT_SAME_BITS(a[i], b[i]) << "run " << i;
    }
    static void expect_close(const std::vector<Tensor>& a, const std::vector<Tensor>& b, double tolerance) {
        for (size_t i = 0; i < a.size(); i++) EXPECT_LE(difference(a[i], b[i]), tolerance) << "run " << i;
    }
    Model model_ = open_golden(GetParam());
    std::vector<int32_t> prompt_ = some_ids(26, kVocabulary, 4), steps_ = some_ids(4, kVocabulary, 5);
};

TEST_P(Numerics, ThreadsGiveTheSameBits) {
    for (const uint32_t numerics : {ORR_NUMERICS_EXACT, ORR_NUMERICS_DEFAULT}) {
        const auto want = story(make_session(model_, [&](orr_session_options& o) { o.numerics = numerics; }));
        for (const uint32_t threads : {2u, 3u}) expect_same(story(make_session(model_, [&](orr_session_options& o) { o.numerics = numerics, o.threads = threads; })), want);
    }
}

TEST_P(Numerics, TheHostsThreadsGiveTheSameBits) {
    const auto want = story(make_session(model_, [](orr_session_options& o) { o.threads = 2; }));
    Pool pool(2);
    {
        const Engine engine = make_engine([&](orr_engine_options& o) { o.executor = pool.table(); });
        expect_same(story(make_session(open_golden(GetParam(), engine.get()), [](orr_session_options& o) { o.threads = 3; })), want);
    }
    EXPECT_GT(pool.submitted(), 0u) << "the host's threads were not asked";
}

TEST_P(Numerics, PartsGiveTheWhole) {
    const Session whole = make_session(model_), parts = make_session(model_), tokens = make_session(model_);
    const Tensor want = feed(whole, prompt_, "forward");
    for (const size_t size : {size_t{11}, size_t{1}}) {
        const Session& s = size == 1 ? tokens : parts;
        for (size_t at = 0; at < prompt_.size(); at += size) {
            const size_t end = std::min(at + size, prompt_.size());
            const Tensor got = feed(s, part(prompt_, at, end), "forward"), piece = want.cut(1, static_cast<int64_t>(at), static_cast<int64_t>(end));
            EXPECT_LE(difference(got, piece), 2e-5) << "tokens from " << at;
        }
    }
}

TEST_P(Numerics, SessionsInABatchGiveTheirOwnBits) {
    // Three pasts of different lengths, stepped together and alone.
    std::vector<Session> together, alone;
    for (uint32_t i = 0; i < 3; i++)
        for (auto* list : {&together, &alone}) {
            list->push_back(make_session(model_));
            feed(list->back(), some_ids(5 + 11 * i, kVocabulary, i));
        }
    for (size_t step = 0; step < 3; step++) {
        std::vector<int32_t> ids;
        for (size_t i = 0; i < 3; i++) ids.push_back(steps_[(i + step) % steps_.size()]);
        Tensor input = ids_tensor(ids);
        input.shape = {3, 1};
        const orr_named_tensor in = named("input_ids", input);
        const orr_named_tensor* ins[] = {&in};
        orr_session* raw[] = {together[0].get(), together[1].get(), together[2].get()};
        check(orr_session_run_batch(3, raw, "next", 1, ins, 0, nullptr));
        orr_named_tensor logits{};
        logits.header = ORR_HEADER(orr_named_tensor);
        check(orr_session_output(together[0].get(), "logits", &logits));
        ASSERT_EQ(logits.shape[0], 3);
        const auto* bytes = static_cast<const char*>(logits.data);
        const size_t row = logits.size_bytes / 3;
        for (size_t i = 0; i < 3; i++) {
            const Tensor own = feed(alone[i], {ids[i]});
            EXPECT_TRUE(own.bytes == std::vector<char>(bytes + i * row, bytes + (i + 1) * row)) << "session " << i << ", step " << step;
            EXPECT_EQ(orr_session_position(together[i].get()), orr_session_position(alone[i].get()));
        }
    }
}

TEST_P(Numerics, RewritesAndDefinitionsAgree) {
    const auto want = story(make_session(model_));
    expect_close(story(make_session(model_, [](orr_session_options& o) { o.no_rewrites = true; })), want, 1e-5);
    const Session reference = make_session(model_, [](orr_session_options& o) { o.reference_kernels = true; });
    expect_close(story(reference), want, 5e-5);
    for (const auto& step : description(reference, "plan", "steps", "next"))
        if (step.contains("kernel")) EXPECT_EQ(step["kernel"], "reference") << step;
}

TEST_P(Numerics, CacheTypes) {
    const auto want = story(make_session(model_));
    const std::vector<std::pair<const char*, double>> types = {{"f32", 0}, {"f16", 2e-2}, {"bf16", 1e-1}};
    for (const auto& [type, tolerance] : types) {
        const char* name = type;
        const Session s = make_session(model_, [&](orr_session_options& o) { o.cache_type = name; });
        expect_close(story(s), want, tolerance);
        if (std::string(GetParam()) == "mamba") continue;  // recurrent states keep their own type
        for (const auto& state : description(s, "states", "states")) EXPECT_EQ(state["type"], name);
    }
}

// Each instruction set of this processor: the kernels that run are of that set, and near the definitions.
TEST_P(Numerics, ForcedInstructionSets) {
    orr_text* text = nullptr;
    check(orr_engine_describe(shared_engine(), "capabilities", &text));
    const Json sets = Json::parse(orr_text_data(text))["instruction_sets"];
    orr_text_release(text);
    const std::map<std::string, uint32_t> numbers = {{"generic", ORR_ISA_GENERIC}, {"sse4", ORR_ISA_SSE4},     {"avx2", ORR_ISA_AVX2},
                                                     {"avx_vnni", ORR_ISA_AVX_VNNI}, {"avx512", ORR_ISA_AVX512}, {"avx512_vnni", ORR_ISA_AVX512_VNNI},
                                                     {"avx512_bf16", ORR_ISA_AVX512_BF16}, {"neon", ORR_ISA_NEON}};
    const auto want = story(make_session(model_, [](orr_session_options& o) { o.reference_kernels = true; }));
    for (size_t i = 0; i < sets.size(); i++) {
        const std::string set = sets[i];
        SCOPED_TRACE(set);
        std::set<std::string> allowed;  // this set and those below it
        for (size_t k = 0; k <= i; k++) allowed.insert(sets[k].get<std::string>());
        const Session s = make_session(model_, [&](orr_session_options& o) { o.isa = numbers.at(set); });
        expect_close(story(s), want, 5e-5);
        size_t counted = 0, best = 0;
        for (const auto& step : description(s, "plan", "steps", "next")) {
            if (!step.contains("variant")) continue;
            std::string variant = step["variant"];
            if (variant == "scalar") variant = "generic";
            if (!numbers.contains(variant)) continue;
            counted++;
            best += variant == set;
            EXPECT_TRUE(allowed.contains(variant)) << step;
        }
        EXPECT_GT(counted, 5u) << "kernels do not say which instruction set they use";
        // Sanitized builds hold two sets of kernels.
        const bool built = set == "generic" || set == "avx2" || (!kSanitizer && (set == "sse4" || set == "avx512"));
        if (built) EXPECT_GT(best, 0u) << "no kernel uses the set";
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, Numerics, testing::ValuesIn(kModels), [](const auto& info) { return std::string(info.param); });

TEST(Numerics, AnInstructionSetThatTheProcessorLacks) {
    const Model model = open_golden("llama");
    expect_failure([&] { make_session(model, [](orr_session_options& o) { o.isa = ORR_ISA_NEON; }); }, ORR_UNSUPPORTED, {"neon"});
    expect_failure([&] { make_session(model, [](orr_session_options& o) { o.isa = 99; }); }, ORR_UNSUPPORTED, {});
    expect_failure([&] { make_session(model, [](orr_session_options& o) { o.numerics = 9; }); }, ORR_INVALID_ARGUMENT, {"9"});
    expect_failure([&] { make_session(model, [](orr_session_options& o) { o.cache_type = "f17"; }); }, ORR_NOT_FOUND, {"f17"});
}

// A cache of 8-bit blocks needs heads of whole blocks of 32.
TEST(Numerics, QuantisedCache) {
    const Model narrow = open_golden("llama");
    const Session refused = make_session(narrow, [](orr_session_options& o) { o.cache_type = "q8_0"; });
    expect_failure([&] { feed(refused, {1, 2}); }, ORR_UNSUPPORTED, {"q8_0", "6", "32"});

    Checkpoint wide = Checkpoint::golden("llama", {{"head_dim", 32}});
    std::mt19937 random(7);
    std::normal_distribution<float> normal(0, 0.2f);
    for (auto& [name, t] : wide.tensors)
        for (const char* which : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
            if (name.find(which) == std::string::npos) continue;
            const int64_t heads = std::string(which) == "q_proj" || std::string(which) == "o_proj" ? 4 : 2;
            t.shape = std::string(which) == "o_proj" ? std::vector<int64_t>{24, heads * 32} : std::vector<int64_t>{heads * 32, 24};
            std::vector<float> values(static_cast<size_t>(heads * 32 * 24));
            for (auto& v : values) v = normal(random);
            t.bytes.assign(reinterpret_cast<const char*>(values.data()), reinterpret_cast<const char*>(values.data() + values.size()));
        }
    const Model model = wide.open();
    const auto ids = some_ids(100, kVocabulary);
    const Session exact = make_session(model), quantised = make_session(model, [](orr_session_options& o) { o.cache_type = "q8_0"; });
    const Tensor want = feed(exact, ids, "forward"), got = feed(quantised, ids, "forward");
    EXPECT_LE(difference(got, want), 5e-2);
    EXPECT_FALSE(got.bytes == want.bytes);
    for (const auto& state : description(quantised, "states", "states")) EXPECT_EQ(state["type"], "q8_0");
    // Fork, rollback, save and load work for it as for any other type.
    const std::string file = scratch("q8_0");
    check(orr_session_save(quantised.get(), file.c_str()));
    const Session forked = fork(quantised), loaded = make_session(model, [](orr_session_options& o) { o.cache_type = "q8_0"; });
    check(orr_session_load(loaded.get(), file.c_str()));
    const Tensor next = feed(quantised, {3});
    EXPECT_SAME_BITS(feed(forked, {3}), next);
    EXPECT_SAME_BITS(feed(loaded, {3}), next);
    check(orr_session_rollback(quantised.get(), 100));
    EXPECT_SAME_BITS(feed(quantised, {3}), next);
}

// bf16 weights meet activations rounded to bf16 where the processor multiplies them, in fast numerics alone.
TEST(Bf16, ProductsOfFastNumerics) {
    const Model model = open_golden("llama_bf16_llama3");
    const std::vector<int32_t> ids = some_ids(26, kVocabulary, 4);
    const auto used = [&](const Session& s) {
        int count = 0;
        for (const auto& step : description(s, "plan", "steps", "forward")) count += step.value("variant", "") == "avx512_bf16";
        return count;
    };
    const auto with = [&](uint32_t numerics, uint32_t threads) {
        return make_session(model, [&](orr_session_options& o) { o.numerics = numerics, o.threads = threads; });
    };
    const Session fast = with(ORR_NUMERICS_FAST, 1), more = with(ORR_NUMERICS_FAST, 3), exact = with(ORR_NUMERICS_EXACT, 1), usual = with(ORR_NUMERICS_DEFAULT, 1);
    const Tensor got = feed(fast, ids, "forward");
    EXPECT_SAME_BITS(feed(more, ids, "forward"), got);
    EXPECT_LE(difference(got, feed(exact, ids, "forward")), 5e-2);  // bf16 has 8 significant bits
    feed(usual, ids, "forward");
    EXPECT_EQ(used(exact), 0);
    EXPECT_EQ(used(usual), 0);
    const Session narrow = make_session(model, [](orr_session_options& o) { o.numerics = ORR_NUMERICS_FAST, o.isa = ORR_ISA_GENERIC; });
    feed(narrow, ids, "forward");
    EXPECT_EQ(used(narrow), 0);
    orr_session* best = nullptr;
    orr_session_options options{};
    options.header = ORR_HEADER(orr_session_options);
    options.isa = ORR_ISA_AVX512_BF16;
    const bool here = orr_session_create(model.get(), &options, &best) == ORR_OK;
    orr_session_release(best);
    if (here && !kSanitizer) EXPECT_GE(used(fast), 7) << "products of two layers and the head";
}

}  // namespace
}  // namespace engine_tests
