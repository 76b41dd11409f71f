// Memory: none taken in steady decode, every refusal survived, budgets.
#include <dlfcn.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

#include "adapters.hpp"

namespace {
std::atomic<bool> watching{false};
std::atomic<uint64_t> taken{0};
void note() {
    if (watching.load(std::memory_order_relaxed)) taken.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// The C library's allocator, counted: these stand before it in the whole process.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

ORR_EXPORT void* malloc(size_t bytes) {
    note();
    return __libc_malloc(bytes);
}
ORR_EXPORT void* calloc(size_t count, size_t bytes) {
    note();
    return __libc_calloc(count, bytes);
}
ORR_EXPORT void* realloc(void* memory, size_t bytes) {
    note();
    return __libc_realloc(memory, bytes);
}
ORR_EXPORT void* memalign(size_t alignment, size_t bytes) {
    note();
    return __libc_memalign(alignment, bytes);
}
ORR_EXPORT void* aligned_alloc(size_t alignment, size_t bytes) {
    note();
    return __libc_memalign(alignment, bytes);
}
ORR_EXPORT int posix_memalign(void** memory, size_t alignment, size_t bytes) {
    note();
    void* got = __libc_memalign(alignment, bytes);
    if (!got) return ENOMEM;
    *memory = got;
    return 0;
}
ORR_EXPORT void* mmap(void* address, size_t bytes, int protection, int flags, int file, off_t offset) noexcept {
    note();
    using Fn = void* (*)(void*, size_t, int, int, int, off_t);
    static const auto next = reinterpret_cast<Fn>(dlsym(RTLD_NEXT, "mmap"));
    return next(address, bytes, protection, flags, file, offset);
}
}
#endif

namespace engine_tests {
namespace {

constexpr int32_t kVocabulary = 41;

// Counts, and refuses the n-th request and all behind it while `refuse_from` is not negative.
struct HostMemory {
    std::atomic<int64_t> live{0}, calls{0}, refuse_from{-1};
    orr_allocator table{ORR_HEADER(orr_allocator), this,
                        [](void* user, size_t bytes, size_t alignment) -> void* {
                            auto& m = *static_cast<HostMemory*>(user);
                            const int64_t n = m.calls++;
                            if (m.refuse_from >= 0 && n >= m.refuse_from) return nullptr;
                            if (watching) taken++;
                            m.live += static_cast<int64_t>(bytes);
                            return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
                        },
                        [](void* user, void* memory, size_t bytes, size_t) {
                            static_cast<HostMemory*>(user)->live -= static_cast<int64_t>(bytes);
                            std::free(memory);
                        }};
};

TEST(Allocations, HooksSeeTheLibrary) {
    if (kSanitizer) GTEST_SKIP() << "the sanitizer has the hooks";
    const Model model = open_golden("llama");
    taken = 0;
    watching = true;
    const Session s = make_session(model);
    watching = false;
    EXPECT_GT(taken, 0u) << "the hooks do not see what the library takes: nothing below would fail";
    const uint64_t before = taken;
    watching = true;
    void* map = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    watching = false;
    munmap(map, 4096);
    EXPECT_EQ(taken, before + 1);
    // Its operator new too, in both libraries' eyes.
    void* (*volatile take)(size_t) = ::operator new;  // not to be folded away
    watching = true;
    void* const block = take(100);
    watching = false;
    ::operator delete(block);
    EXPECT_EQ(taken, before + 2);
}

class SteadyDecode : public testing::TestWithParam<std::tuple<const char*, uint32_t>> {
  protected:
    void SetUp() override {
        if (kSanitizer) GTEST_SKIP() << "the sanitizer has the hooks";
    }
    // The case's model, with room for the steps below, on an engine that takes from `memory`.
    struct Decoder {
        Decoder(HostMemory& memory, const ParamType& param, uint32_t numerics)
            : engine(make_engine([&](orr_engine_options& o) { o.allocator = &memory.table; })),
              checkpoint(Checkpoint::golden(std::get<0>(param), is_mamba(param) ? Json::object() : Json::object({{"max_position_embeddings", 1024}}))),
              model(checkpoint.open(engine.get())),
              session(make_session(model, [&](orr_session_options& o) { o.threads = std::get<1>(param), o.numerics = numerics, o.context = 600; })) {}
        static bool is_mamba(const ParamType& param) { return std::string_view(std::get<0>(param)) == "mamba"; }
        Engine engine;
        Checkpoint checkpoint;
        Model model;
        Session session;
    };
};

TEST_P(SteadyDecode, TakesNothing) {
    for (const char* plan : {static_cast<const char*>(nullptr), "\"0|1\""}) {
        HostMemory memory;
        {
            const Decoder decoder(memory, GetParam(), ORR_NUMERICS_DEFAULT);
            const Session& s = decoder.session;
            check(orr_session_set_control(s.get(), "layer_plan", plan));
            feed(s, some_ids(100, kVocabulary));
            int32_t id = 3;
            const Tensor tensor = ids_tensor({id});
            orr_named_tensor in = named("input_ids", tensor), out{};
            in.data = &id;
            out.header = ORR_HEADER(orr_named_tensor);
            const orr_named_tensor* ins[] = {&in};
            const auto step = [&] {
                if (orr_session_run(s.get(), "next", 1, ins, 0, nullptr) != ORR_OK || orr_session_output(s.get(), "logits", &out) != ORR_OK) return false;
                id = (id * 7 + 1) % kVocabulary;
                return true;
            };
            for (int i = 0; i < 100; i++) ASSERT_TRUE(step());
            taken = 0;
            watching = true;
            bool good = true;
            for (int i = 0; i < 300 && good; i++) good = step();  // over four page edges
            watching = false;
            EXPECT_TRUE(good) << orr_error_text();
            EXPECT_EQ(taken, 0u) << "allocations in 300 steps" << (plan ? " with layers side by side" : "");
        }
        EXPECT_EQ(memory.live, 0);
    }
}

// A whole answer: sampling, stop texts, penalties and the tokeniser's stream between the runs. Counted from the first
// page edge to the last token.
TEST_P(SteadyDecode, ATaskTakesNothing) {
    HostMemory memory;
    {
        const Decoder decoder(memory, GetParam(), ORR_NUMERICS_EXACT);
        orr_task* task = nullptr;
        check(orr_task_create(decoder.model.get(), "text_generation", decoder.session.get(), &task));
        struct Events {
            uint64_t tokens = 0;
            static bool call(void* user, const orr_event* e) {
                auto& self = *static_cast<Events*>(user);
                if (std::string_view(e->kind) != "token") return true;
                self.tokens++;
                if (self.tokens == 20) watching = true;
                if (self.tokens == 299) watching = false;
                return true;
            }
        } events;
        taken = 0;
        const orr_status status = orr_task_run(task, R"({"ids": [1, 2, 3], "max_tokens": 300, "temperature": 0.8, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.1,
            "presence_penalty": 0.1, "seed": 5, "stop": ["never said"], "ignore_eog": true})", Events::call, &events, nullptr);
        watching = false;
        orr_task_release(task);
        check(status);
        EXPECT_EQ(events.tokens, 300u);
        EXPECT_EQ(taken, 0u) << "allocations in 279 tokens";
    }
    EXPECT_EQ(memory.live, 0);
}

INSTANTIATE_TEST_SUITE_P(Cases, SteadyDecode, testing::Combine(testing::Values("llama", "gemma3", "mistral_window", "mamba", "qwen3_moe"), testing::Values(1u, 2u)),
                         [](const auto& info) { return std::string(std::get<0>(info.param)) + "_" + std::to_string(std::get<1>(info.param)); });

// ---------------------------------------------------------------- refusals

class Refusals : public testing::TestWithParam<const char*> {};

// Load, run, step, fork, step both, save, load.
Tensor whole_story(orr_engine* engine, const std::string& name) {
    const Model model = open_golden(name, engine);
    const Session s = make_session(model, [](orr_session_options& o) { o.threads = 2; });
    feed(s, some_ids(20, kVocabulary));
    const Session forked = fork(s);
    feed(forked, {1});
    const std::string file = scratch("refusals");
    check(orr_session_save(s.get(), file.c_str()));
    const Session other = make_session(model);
    check(orr_session_load(other.get(), file.c_str()));
    return feed(other, {2});
}

TEST_P(Refusals, EveryAllocationMayFail) {
    HostMemory memory;
    int64_t n = 0;
    {
        const Engine engine = make_engine([&](orr_engine_options& o) { o.allocator = &memory.table; });
        const Tensor want = whole_story(engine.get(), GetParam());
        const int64_t idle = memory.live;
        for (;; n++) {
            ASSERT_LT(n, 2000);
            memory.calls = 0;
            memory.refuse_from = n;
            try {
                const Tensor got = whole_story(engine.get(), GetParam());
                memory.refuse_from = -1;
                EXPECT_SAME_BITS(got, want);
                break;
            } catch (const Failure& failure) {
                memory.refuse_from = -1;
                ASSERT_STREQ(orr_status_name(failure.status), "ORR_OUT_OF_MEMORY") << "allocation " << n << ": " << failure.what();
                ASSERT_STRNE(failure.what(), "") << "allocation " << n;
            }
            ASSERT_EQ(memory.live, idle) << "allocation " << n << " left something behind";
        }
        EXPECT_SAME_BITS(whole_story(engine.get(), GetParam()), want) << "the engine works on";
    }
    EXPECT_GT(n, 5) << "the host's allocator was hardly asked";
    EXPECT_EQ(memory.live, 0);
}

// A session lives through refusals in the middle of its runs.
TEST_P(Refusals, ASessionLivesOn) {
    HostMemory memory;
    {
        const Engine engine = make_engine([&](orr_engine_options& o) { o.allocator = &memory.table; });
        const Model model = open_golden(GetParam(), engine.get());
        const Session s = make_session(model), fresh = make_session(model);
        const auto ids = some_ids(60, kVocabulary);
        feed(s, part(ids, 0, 30));
        feed(fresh, part(ids, 0, 30));
        orr_session_trim(s.get());
        for (int64_t n = 0;; n++) {
            ASSERT_LT(n, 200);
            memory.calls = 0;
            memory.refuse_from = n;
            bool good = true;
            Tensor got;
            try {
                got = feed(s, part(ids, 30, 60));
            } catch (const Failure& failure) {
                good = false;
                EXPECT_STREQ(orr_status_name(failure.status), "ORR_OUT_OF_MEMORY") << failure.what();
            }
            memory.refuse_from = -1;
            EXPECT_EQ(orr_session_position(s.get()), good ? 60 : 30);
            if (!good) continue;
            EXPECT_SAME_BITS(got, feed(fresh, part(ids, 30, 60)));
            break;
        }
    }
    EXPECT_EQ(memory.live, 0);
}

INSTANTIATE_TEST_SUITE_P(Cases, Refusals, testing::Values("llama", "llama_gguf", "gemma3", "mamba", "mixtral"), [](const auto& info) { return std::string(info.param); });

// Opening an adapter, setting it, running with it, with each request for memory refused in turn; the session lives on, with its adapters or without.
using Adapted = std::pair<const char*, std::string>;  // a model and its adapter
class AdaptedRefusals : public testing::TestWithParam<Adapted> {};

TEST_P(AdaptedRefusals, EveryAllocationMayFail) {
    HostMemory memory;
    int64_t n = 0, refused[3] = {0, 0, 0};  // opening, setting, running
    {
        const Engine engine = make_engine([&](orr_engine_options& o) { o.allocator = &memory.table; });
        const auto& [name, adapter] = GetParam();
        const std::string folder = golden_folder(adapter.substr(0, adapter.find('/'))) + adapter.substr(adapter.find('/'));
        const Model model = open_golden(name, engine.get());
        const Session s = make_session(model, [](orr_session_options& o) { o.threads = 2; });
        const auto ids = some_ids(20, kVocabulary);
        const Tensor plain = feed(s, ids);
        int at = 0;
        const auto story = [&] {
            at = 0;
            const Adapter a = open_adapter(model, folder);
            at = 1;
            set_adapters(s, {&a}, {0.5});
            at = 2;
            return feed(s, ids);
        };
        const auto take_off = [&] {
            check(orr_session_reset(s.get()));
            set_adapters(s, {});
            orr_session_trim(s.get());
        };
        take_off();
        const Tensor want = story();
        take_off();
        EXPECT_SAME_BITS(feed(s, ids), plain);
        take_off();
        const int64_t idle = memory.live;
        for (;; n++) {
            ASSERT_LT(n, 2000);
            memory.calls = 0;
            memory.refuse_from = n;
            bool good = true;
            Tensor got;
            try {
                got = story();
            } catch (const Failure& failure) {
                good = false;
                refused[at]++;
                EXPECT_STREQ(orr_status_name(failure.status), "ORR_OUT_OF_MEMORY") << "allocation " << n << ": " << failure.what();
                EXPECT_STRNE(failure.what(), "") << "allocation " << n;
            }
            memory.refuse_from = -1;
            if (good) {
                EXPECT_SAME_BITS(got, want);
                break;
            }
            // With the adapter that it may have, or without: the same session runs on.
            check(orr_session_reset(s.get()));
            if (at == 2) {
                EXPECT_SAME_BITS(feed(s, ids), want) << "allocation " << n;
            }
            take_off();
            EXPECT_SAME_BITS(feed(s, ids), plain) << "allocation " << n;
            take_off();
            ASSERT_EQ(memory.live, idle) << "allocation " << n << " left something behind";
        }
    }
    EXPECT_GT(refused[0], 3) << "opening hardly asked the host's allocator";
    EXPECT_GT(refused[2], 3) << "running hardly asked the host's allocator";
    EXPECT_EQ(memory.live, 0);
}

INSTANTIATE_TEST_SUITE_P(Cases, AdaptedRefusals,
                         testing::Values(Adapted{"llama", "llama/adapters/attention"}, Adapted{"llama", "llama_dora_adapters/adapters/dora"},
                                         Adapted{"llama", "llama_dora_adapters/adapters/saved"}, Adapted{"gemma3", "gemma3_tables_adapters/adapters/both"},
                                         Adapted{"mixtral", "mixtral_experts_adapters/adapters/parameters"}, Adapted{"mixtral", "mixtral_experts_adapters/adapters/modules"}),
                         [](const auto& info) {
                             std::string name = info.param.second;
                             std::replace(name.begin(), name.end(), '/', '_');
                             return name;
                         });

// ---------------------------------------------------------------- budgets

TEST(Budget, SaysWhatIsWantedAndWhatIsLeft) {
    const Engine engine = make_engine([](orr_engine_options& o) { o.memory_budget_bytes = 40'000; });
    Checkpoint checkpoint = Checkpoint::golden("llama", {{"max_position_embeddings", 8192}});
    const Model model = checkpoint.open(engine.get());
    {
        const Session s = make_session(model);
        expect_failure([&] { feed(s, {1, 2, 3}); }, ORR_OUT_OF_MEMORY, {"40000", "budget", "in use"});
        EXPECT_EQ(orr_session_position(s.get()), 0);
    }
    // A context that fits is served by the same engine.
    const Engine larger = make_engine([](orr_engine_options& o) { o.memory_budget_bytes = 2'000'000; });
    const Model fits = checkpoint.open(larger.get());
    const Session s = make_session(fits, [](orr_session_options& o) { o.context = 128; });
    feed(s, {1, 2, 3});
    orr_text* text = nullptr;
    check(orr_engine_describe(larger.get(), "capabilities", &text));
    const Json j = Json::parse(orr_text_data(text));
    orr_text_release(text);
    EXPECT_EQ(j["memory_budget_bytes"], 2'000'000);
    EXPECT_GT(j["memory_used_bytes"].get<uint64_t>(), 0u);
    EXPECT_LE(j["memory_used_bytes"].get<uint64_t>(), 2'000'000u);
}

}  // namespace
}  // namespace engine_tests
