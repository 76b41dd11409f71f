// The engine's own parts: symbolic dimensions, the graph's text form, memory layout, the team of threads.
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "engine/graph/dims.hpp"
#include "engine/plan/memory_layout.hpp"
#include "engine/run/model.hpp"
#include "engine/run/team.hpp"
#include "orrery/plugin.hpp"
#include "support.hpp"

namespace engine_tests {
namespace {

using orrery::DimPool;

TEST(Dims, EqualExpressionsHaveEqualHandles) {
    DimPool pool;
    const orr_dim b = pool.symbol("B"), t = pool.symbol("T");
    EXPECT_EQ(pool.symbol("B"), b);
    EXPECT_EQ(pool.add(b, t), pool.add(t, b));
    EXPECT_EQ(pool.mul(pool.add(b, 1), t), pool.add(pool.mul(b, t), t));
    EXPECT_EQ(pool.add(pool.add(t, 3), t, -1), 3);
    EXPECT_EQ(pool.mul(t, 0), 0);
    EXPECT_EQ(pool.add(2, 3), 5);
    EXPECT_EQ(pool.mul(-2, 0), 0);
    EXPECT_EQ(pool.div(7, 2), 3);
    EXPECT_EQ(pool.equal(pool.mul(t, 2), pool.add(t, t)), 1);
    EXPECT_EQ(pool.equal(t, pool.add(t, 1)), 0);
    EXPECT_EQ(pool.equal(t, b), -1);
    EXPECT_EQ(pool.symbol_name(t), "T");
    EXPECT_EQ(pool.symbol_name(pool.add(t, 1)), "");
    EXPECT_THROW(pool.div(t, 0), orrery::Error);
    EXPECT_THROW(pool.evaluate(pool.add(t, b), {{"B", 1}}), orrery::Error);
    EXPECT_THROW(pool.parse("2*"), orrery::Error);
    EXPECT_THROW(pool.parse("floor(T"), orrery::Error);
}

// Random expressions: the pool gives what integers give, and reads back what it writes.
TEST(Dims, AgreeWithIntegers) {
    std::mt19937 random(11);
    for (int round = 0; round < 2000; round++) {
        DimPool pool;
        orrery::Bindings values;
        std::vector<std::pair<orr_dim, int64_t>> known;
        for (const char* name : {"B", "T", "S"}) {
            const auto v = static_cast<int64_t>(random() % 50 + 1);
            values[name] = v;
            known.emplace_back(pool.symbol(name), v);
        }
        known.emplace_back(static_cast<orr_dim>(random() % 9 + 1), 0);
        known.back().second = known.back().first;
        for (int i = 0; i < 6; i++) {
            const auto [a, av] = known[random() % known.size()];
            const auto [b, bv] = known[random() % known.size()];
            switch (random() % 3) {
                case 0: known.emplace_back(pool.add(a, b), av + bv); break;
                case 1:
                    if (av < 100'000 && bv < 100'000) known.emplace_back(pool.mul(a, b), av * bv);
                    break;
                default: {
                    const auto d = static_cast<int64_t>(random() % 7 + 1);
                    known.emplace_back(pool.div(a, d), av / d);
                }
            }
        }
        for (const auto& [dim, value] : known) {
            const std::string text = pool.text(dim);
            ASSERT_EQ(pool.evaluate(dim, values), value) << text;
            ASSERT_EQ(pool.parse(text), dim) << text;
            DimPool other;
            const orr_dim read = other.parse(text);
            ASSERT_EQ(other.evaluate(read, values), value) << text;
        }
    }
}

// ---------------------------------------------------------------- text form

class GraphText : public testing::TestWithParam<std::string> {};

TEST_P(GraphText, ReadsBackWhatItWrites) {
    orr_engine_options options{};
    options.header = ORR_HEADER(orr_engine_options);
    const char* const folders[] = {PLUGIN_DIR, nullptr};
    options.plugin_dirs = folders;
    options.no_default_plugins = true;
    const auto engine = std::make_shared<orrery::Engine>(options);
    const std::string folder = golden_folder(GetParam()), path = folder + (GetParam().ends_with("_gguf") ? "/model.gguf" : "");
    orr_model_options m{};
    m.header = ORR_HEADER(orr_model_options);
    m.path = path.c_str();
    const auto model = std::make_shared<orrery::Model>(engine, m, orrery::Purpose::run);
    // Beside the plain graph one with nodes that may be left out, and with layers side by side.
    const auto controls = model->describe("controls", nullptr);
    const bool exits = std::any_of(controls.begin(), controls.end(), [](const auto& c) { return c["name"] == "exit_similarity"; });
    std::vector<orrery::Variant> variants(exits ? 2 : 1);
    if (exits) variants[1].controls = model->with_control(model->with_control(nullptr, "layer_plan", "\"0*2,0|0\""), "exit_similarity", "0.5");
    for (orrery::Variant& v : variants) v.make_key();
    std::vector<std::pair<std::string, const orrery::Variant*>> programs;
    for (const char* const* entry = model->info().entries; *entry; entry++)
        for (const orrery::Variant& v : variants) programs.emplace_back(*entry, &v);
    for (const auto& [entry, variant] : programs) {
        SCOPED_TRACE(entry + variant->key);
        const std::string text = orrery::graph_text(*model->program(entry, *variant), engine->registry());
        EXPECT_EQ(text.find("\nregion ") != std::string::npos, variant->controls != nullptr);
        EXPECT_EQ(text.find("] <1> (") != std::string::npos, variant->controls != nullptr);
        const orrery::Program again = orrery::parse_graph(text, engine->registry(), engine->host(), model->weights());
        EXPECT_TRUE(orrery::graph_text(again, engine->registry()) == text);
        // A text that lost a piece is refused, never misread into a crash.
        for (size_t cut = 1; cut < text.size(); cut += text.size() / 40 + 1) {
            try {
                orrery::parse_graph(text.substr(0, cut), engine->registry(), engine->host(), model->weights());
            } catch (const orrery::Error& e) {
                EXPECT_NE(std::string(e.what()), "");
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, GraphText, testing::ValuesIn(golden()), [](const auto& info) { return info.param; });

// ---------------------------------------------------------------- memory layout

TEST(Layout, LiveBuffersNeverMeet) {
    std::mt19937 random(5);
    for (int round = 0; round < 400; round++) {
        const size_t count = random() % 60 + 1, steps = random() % 40 + 1;
        std::vector<orrery::LayoutItem> items(count);
        uint64_t sum = 0;
        for (auto& item : items) {
            item.bytes = random() % 3 ? random() % 5000 : random() % 70;
            item.first = random() % steps;
            item.last = item.first + random() % (steps - item.first);
            sum += (item.bytes + 63) / 64 * 64;
        }
        const uint64_t total = orrery::lay_out(items);
        EXPECT_LE(total, sum);
        uint64_t needed = 0;  // the most that is alive in one step
        for (size_t s = 0; s < steps; s++) {
            uint64_t alive = 0;
            for (const auto& item : items)
                if (item.first <= s && s <= item.last) alive += item.bytes;
            needed = std::max(needed, alive);
        }
        EXPECT_GE(total, needed);
        for (size_t i = 0; i < count; i++) {
            const auto& a = items[i];
            ASSERT_EQ(a.offset % 64, 0u);
            ASSERT_LE(a.offset + a.bytes, total);
            for (size_t k = 0; k < i; k++) {
                const auto& b = items[k];
                if (a.last < b.first || b.last < a.first) continue;
                ASSERT_TRUE(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset) << "round " << round << ": buffers " << i << " and " << k;
            }
        }
    }
}

TEST(Layout, ReusesWhatIsFree) {
    std::vector<orrery::LayoutItem> chain(10);
    for (size_t i = 0; i < chain.size(); i++) chain[i] = {1000, i, i + 1, 0};
    EXPECT_EQ(orrery::lay_out(chain), 2048u);
}

// ---------------------------------------------------------------- team

TEST(Team, EveryChunkOnce) {
    Pool pool(3);
    const std::shared_ptr<orrery::Executor> executor = orrery::make_host_executor(*pool.table());
    struct Work {
        std::vector<std::atomic<int>> seen;
        std::atomic<uint32_t> busy[8];
        std::atomic<int> wrong{0};
    };
    for (const uint32_t threads : {1u, 2u, 4u}) {
        orrery::Team team(executor, threads);
        for (int round = 0; round < 40; round++) {
            team.begin();
            for (int job = 0; job < 60; job++) {
                Work work;
                work.seen = std::vector<std::atomic<int>>(static_cast<size_t>(job % 17));
                for (auto& b : work.busy) b = 0;
                team.parallel_for(
                    job % 17,
                    [](void* arg, int64_t chunk, uint32_t thread) {
                        auto& w = *static_cast<Work*>(arg);
                        if (w.busy[thread].fetch_add(1)) w.wrong++;  // two at once under one number
                        w.seen[static_cast<size_t>(chunk)]++;
                        w.busy[thread].fetch_sub(1);
                    },
                    &work);
                for (const auto& s : work.seen) ASSERT_EQ(s, 1);
                ASSERT_EQ(work.wrong, 0);
            }
            team.end();
        }
    }
}

// Tasks side by side have chunks of their own, at which whoever is free helps; each thread has one number in all of it.
TEST(Team, TasksWithChunks) {
    Pool pool(3);
    const std::shared_ptr<orrery::Executor> executor = orrery::make_host_executor(*pool.table());
    struct Work {
        orrery::Team* team;
        std::atomic<int> seen[7] = {};
        std::atomic<int> inside[4] = {};  // tasks or chunks of a thread, one in the other
        std::atomic<int> wrong{0};
    };
    struct Task {
        Work& work;
        int64_t number;
    };
    for (const uint32_t threads : {1u, 2u, 4u}) {
        orrery::Team team(executor, threads);
        for (int round = 0; round < 200; round++) {
            Work work{&team};
            team.begin();
            team.side_by_side(
                round % 8,
                [](void* arg, int64_t number, uint32_t thread) {
                    Task task{*static_cast<Work*>(arg), number};
                    for (int job = 0; job < 5; job++)
                        task.work.team->parallel_for(
                            11,
                            [](void* t, int64_t chunk, uint32_t index) {
                                const auto& of = *static_cast<Task*>(t);
                                if (of.work.inside[index].fetch_add(1)) of.work.wrong++;
                                if (of.number == 3 && chunk == 5) {
                                    of.work.inside[index]--;
                                    throw std::runtime_error("thrown by task 3");
                                }
                                of.work.seen[of.number]++;
                                of.work.inside[index]--;
                            },
                            &task, orrery::Team::lane_of(thread));
                    if (task.work.team->take_failure(orrery::Team::lane_of(thread)) != (number == 3 ? "thrown by task 3" : "")) task.work.wrong++;
                },
                &work);
            team.parallel_for(3, [](void* arg, int64_t, uint32_t) { static_cast<Work*>(arg)->seen[0]++; }, &work);
            team.end();
            for (int i = 0; i < 7; i++) ASSERT_EQ(work.seen[i], (i < round % 8 ? i == 3 ? 50 : 55 : 0) + (i == 0 ? 3 : 0)) << i;
            ASSERT_EQ(work.wrong, 0);
            ASSERT_FALSE(team.failed());
        }
    }
}

// An executor that has no threads of its own, and runs a job where it is submitted.
TEST(Team, HelpersMayRunAtOnce) {
    const orr_executor host = {ORR_HEADER(orr_executor), nullptr, 3, [](void*, void (*job)(void*), void* arg) { job(arg); }};
    orrery::Team team(orrery::make_host_executor(host), 4);
    for (int round = 0; round < 3; round++) {
        std::atomic<int> count{0};
        const auto add = [](void* arg, int64_t, uint32_t) { (*static_cast<std::atomic<int>*>(arg))++; };
        team.begin();
        team.parallel_for(100, add, &count);
        team.side_by_side(5, add, &count);
        team.end();
        EXPECT_EQ(count, 105);
    }
}

// Threads that never come cost speed alone.
// Threads end with their executor, also where they outnumber the processors that the process may use.
const RegisterChild executor_child("executor", [](const std::vector<std::string>&) {
    alarm(60);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(sched_getcpu()), &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) return 1;
    for (int round = 0; round < 20; round++) {
        std::atomic<int> left{8};
        const auto executor = orrery::make_tbb_executor(4);
        for (int i = 0; i < 8; i++) executor->submit([](void* n) { static_cast<std::atomic<int>*>(n)->fetch_sub(1); }, &left);
        while (left > 0) std::this_thread::yield();
    }
    return 0;
});

TEST(Executor, EndsWithManyThreadsOnOneProcessor) {
    if (kSanitizer) GTEST_SKIP() << "Debian's oneTBB is not instrumented";
    EXPECT_EQ(run_child("executor", {}), 0);
}

TEST(Team, HelpersMayNeverStart) {
    static std::vector<std::pair<void (*)(void*), void*>> kept;
    kept.clear();
    const orr_executor host = {ORR_HEADER(orr_executor), nullptr, 3, [](void*, void (*job)(void*), void* arg) { kept.emplace_back(job, arg); }};
    {
        orrery::Team team(orrery::make_host_executor(host), 4);
        for (int round = 0; round < 3; round++) {
            std::atomic<int> count{0};
            team.begin();
            team.parallel_for(100, [](void* arg, int64_t, uint32_t) { (*static_cast<std::atomic<int>*>(arg))++; }, &count);
            team.end();
            EXPECT_EQ(count, 100);
        }
    }
    EXPECT_LE(kept.size(), 3u) << "jobs that wait are counted";
    for (const auto& [job, arg] : kept) job(arg);  // late, when the team is gone
}

}  // namespace
}  // namespace engine_tests
