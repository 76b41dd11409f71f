// Ways of running: in the background, by ticks, paused, by priority, cancelled; many sessions, threads and engines; any
// order of release.
#include <atomic>
#include <chrono>

#include "support.hpp"

namespace engine_tests {
namespace {

constexpr int32_t kVocabulary = 41;
using Clock = std::chrono::steady_clock;

// A request that stays: input_ids to the entry "next".
struct Request {
    explicit Request(const std::vector<int32_t>& ids) : tensor(ids_tensor(ids)), input(named("input_ids", tensor)) {}
    Tensor tensor;
    orr_named_tensor input;
    const orr_named_tensor* pointers[1] = {&input};
    orr_status start(const Session& s) const { return orr_session_start(s.get(), "next", 1, pointers, 0, nullptr); }
    orr_status begin(const Session& s) const { return orr_session_begin(s.get(), "next", 1, pointers, 0, nullptr); }
};

Tensor logits_of(const Session& s) {
    orr_named_tensor t{};
    t.header = ORR_HEADER(orr_named_tensor);
    check(orr_session_output(s.get(), "logits", &t));
    const char* bytes = static_cast<const char*>(t.data);
    return {t.type, {t.shape, t.shape + t.rank}, {bytes, bytes + t.size_bytes}};
}

bool wait(const Session& s, uint64_t ns = UINT64_MAX) {
    bool done = false;
    check(orr_session_wait(s.get(), ns, &done));
    return done;
}

// A progress callback: counts its calls, may cancel from one on, may hold the run until let go. Calls while a plan is made are counted apart.
struct Progress {
    std::atomic<int> calls{0}, plan_calls{0};
    std::atomic<int> cancel_at{-1}, cancel_plan_at{-1};
    std::atomic<bool> hold{false}, hold_plan{false};
    std::atomic<double> last{0};
    static bool call(void* user, double fraction, const char* what) {
        auto& p = *static_cast<Progress*>(user);
        if (std::string(what) == "planning") {
            const int n = p.plan_calls++;
            while (p.hold_plan) std::this_thread::yield();
            return p.cancel_plan_at < 0 || n < p.cancel_plan_at;
        }
        const int n = p.calls++;
        p.last = fraction;
        while (p.hold) std::this_thread::yield();
        return p.cancel_at < 0 || n < p.cancel_at;
    }
};

class Runs : public testing::Test {
  protected:
    Checkpoint checkpoint_ = Checkpoint::golden("llama", {{"max_position_embeddings", 8192}});
    Model model_ = checkpoint_.open();
    std::vector<int32_t> ids_ = some_ids(40, kVocabulary), next_ = {7};
    Session session(Progress* progress = nullptr, int32_t priority = 0) const {
        return make_session(model_, [&](orr_session_options& o) {
            o.threads = 2;
            o.priority = priority;
            if (progress) o.progress = Progress::call, o.progress_user = progress;
        });
    }
    Tensor want() const { return feed(session(), ids_); }
};

TEST_F(Runs, InTheBackground) {
    const Session s = session();
    const Request request(ids_);
    check(request.start(s));
    EXPECT_TRUE(wait(s));
    bool done = false;
    check(orr_session_poll(s.get(), &done));
    EXPECT_TRUE(done);
    EXPECT_SAME_BITS(logits_of(s), want());
    EXPECT_EQ(orr_session_position(s.get()), 40);
}

// Started again as soon as the last one has ended, many times over.
TEST_F(Runs, OneBehindTheOther) {
    const Session s = session();
    const Request request({5});
    for (int i = 0; i < 300; i++) {
        check(request.start(s));
        ASSERT_TRUE(wait(s));
    }
    EXPECT_EQ(orr_session_position(s.get()), 300);
}

TEST_F(Runs, WithoutARun) {
    const Session s = session();
    bool done = true;
    expect_failure([&] { check(orr_session_poll(s.get(), &done)); }, ORR_INVALID_ARGUMENT, {"no run"});
    expect_failure([&] { check(orr_session_step(s.get(), 0, &done)); }, ORR_INVALID_ARGUMENT, {"no run"});
    EXPECT_TRUE(done) << "an out-parameter was touched on failure";
    orr_session_cancel(s.get());
    feed(s, ids_);  // a cancel without a run does nothing
    orr_named_tensor t{};
    t.header = ORR_HEADER(orr_named_tensor);
    const Session fresh = session();
    expect_failure([&] { check(orr_session_output(fresh.get(), "logits", &t)); }, ORR_NOT_FOUND, {"no result"});
    EXPECT_EQ(orr_session_output_name(fresh.get(), 0), nullptr);
}

TEST_F(Runs, BusyWhileOneIsUnderWay) {
    Progress progress;
    progress.hold = true;
    const Session s = session(&progress);
    const Request request(ids_);
    check(request.start(s));
    while (progress.calls == 0) std::this_thread::yield();
    bool done = true;
    check(orr_session_poll(s.get(), &done));
    EXPECT_FALSE(done);
    EXPECT_FALSE(wait(s, 1'000'000));
    orr_session* forked = nullptr;
    orr_text* text = nullptr;
    orr_named_tensor t{};
    t.header = ORR_HEADER(orr_named_tensor);
    const std::string file = scratch("busy");
    for (const auto& call : std::vector<std::function<orr_status()>>{
             [&] { return request.start(s); }, [&] { return request.begin(s); },
             [&] { return orr_session_run(s.get(), "next", 1, request.pointers, 0, nullptr); }, [&] { return orr_session_fork(s.get(), &forked); },
             [&] { return orr_session_mark(s.get()); }, [&] { return orr_session_rollback(s.get(), 0); }, [&] { return orr_session_reset(s.get()); },
             [&] { return orr_session_save(s.get(), file.c_str()); }, [&] { return orr_session_load(s.get(), file.c_str()); },
             [&] { return orr_session_trim(s.get()); }, [&] { return orr_session_warm_up(s.get(), nullptr, 1); },
             [&] { return orr_session_output(s.get(), "logits", &t); }, [&] { return orr_session_describe(s.get(), "plan", nullptr, &text); }})
        EXPECT_STREQ(orr_status_name(call()), "ORR_BUSY");
    EXPECT_EQ(forked, nullptr);
    EXPECT_EQ(text, nullptr);
    progress.hold = false;
    EXPECT_TRUE(wait(s));
    EXPECT_SAME_BITS(logits_of(s), want());
}

TEST_F(Runs, ByTicks) {
    Progress progress;
    const Session s = session(&progress);
    const Request request(ids_);
    check(request.begin(s));
    bool done = false;
    int ticks = 0;
    while (!done) {
        EXPECT_EQ(orr_session_position(s.get()), 0);
        check(orr_session_step(s.get(), 1, &done));
        ticks++;
    }
    EXPECT_GT(ticks, 10) << "each tick works on one node at least, and on no more than its budget allows";
    EXPECT_SAME_BITS(logits_of(s), want());
    check(Request(next_).begin(s));
    check(orr_session_step(s.get(), 0, &done));
    EXPECT_TRUE(done);
    const Session whole = session();
    feed(whole, ids_);
    EXPECT_SAME_BITS(logits_of(s), feed(whole, next_));
}

TEST_F(Runs, PausedAndResumed) {
    Progress progress;
    const Session s = session(&progress);
    orr_session_pause(s.get(), true);
    const Request request(ids_);
    check(request.start(s));
    EXPECT_FALSE(wait(s, 30'000'000));
    EXPECT_EQ(progress.calls, 0);
    orr_session_pause(s.get(), false);
    EXPECT_TRUE(wait(s));
    EXPECT_SAME_BITS(logits_of(s), want());
    // A paused run can be cancelled.
    orr_session_pause(s.get(), true);
    check(Request(next_).start(s));
    orr_session_cancel(s.get());
    expect_failure([&] { wait(s); }, ORR_CANCELLED, {"cancelled"});
    orr_session_pause(s.get(), false);
    EXPECT_EQ(orr_session_position(s.get()), 40);
}

TEST_F(Runs, TheMostUrgentFirst) {
    Progress gate;
    gate.hold = true;
    const Session first = session(&gate, 100);
    const Request request(ids_);
    check(request.start(first));
    while (gate.calls == 0) std::this_thread::yield();  // the engine's thread is held here
    static std::mutex mutex;
    static std::vector<int> order;
    order.clear();
    struct Watch {
        int number;
        static bool call(void* user, double, const char* what) {
            if (std::string(what) == "planning") return true;
            const std::lock_guard lock(mutex);
            const int n = static_cast<Watch*>(user)->number;
            if (std::find(order.begin(), order.end(), n) == order.end()) order.push_back(n);
            return true;
        }
    } watches[4] = {{0}, {1}, {2}, {3}};
    std::vector<Session> sessions;
    for (int i = 0; i < 4; i++) {
        sessions.push_back(make_session(model_, [&](orr_session_options& o) { o.priority = i, o.progress = Watch::call, o.progress_user = &watches[i]; }));
        check(request.start(sessions.back()));
    }
    orr_session_set_priority(sessions[0].get(), 50);
    gate.hold = false;
    for (const auto& s : sessions) wait(s);
    wait(first);
    EXPECT_EQ(order, (std::vector<int>{0, 3, 2, 1}));
}

TEST_F(Runs, ProgressIsTold) {
    Progress progress;
    const Session s = session(&progress);
    feed(s, ids_);
    EXPECT_GT(progress.calls, 10);
    EXPECT_GT(progress.last, 0.5);
    EXPECT_LE(progress.last, 1.0);
}

// The callback says no: nothing more of that run is done, and the session is as it was.
TEST_F(Runs, CancelledByProgress) {
    Progress progress;
    const Session s = session(&progress);
    feed(s, ids_);
    const int whole = progress.calls;
    for (const int at : {0, 1, whole / 2, whole - 1}) {
        SCOPED_TRACE(at);
        progress.calls = 0;
        progress.cancel_at = at;
        expect_failure([&] { feed(s, ids_); }, ORR_CANCELLED, {"cancelled"});
        EXPECT_EQ(progress.calls, at + 1) << "nodes ran after the cancel";
        EXPECT_EQ(orr_session_position(s.get()), 40);
    }
    progress.cancel_at = -1;
    const Session fresh = session();
    feed(fresh, ids_);
    EXPECT_SAME_BITS(feed(s, next_), feed(fresh, next_));
}

TEST_F(Runs, CancelOfRecurrentStates) {
    Progress progress;
    const Model model = open_golden("mamba");
    const Session s = make_session(model, [&](orr_session_options& o) { o.progress = Progress::call, o.progress_user = &progress; });
    feed(s, ids_);
    progress.calls = 0, progress.cancel_at = 8;
    expect_failure([&] { feed(s, ids_); }, ORR_CANCELLED, {});
    progress.cancel_at = -1;
    const Session fresh = make_session(model);
    feed(fresh, ids_);
    EXPECT_SAME_BITS(feed(s, next_), feed(fresh, next_));
}

TEST_F(Runs, CancelTakesEffectAtOnceInALongPrefill) {
    const Session s = session();
    feed(s, ids_);
    const Request request(some_ids(4000, kVocabulary));
    std::vector<double> waits;
    for (int i = 0; i < 5; i++) {
        check(request.start(s));
        std::this_thread::sleep_for(std::chrono::milliseconds(2 + 3 * i));
        const auto at = Clock::now();
        orr_session_cancel(s.get());
        bool done = false;
        const orr_status status = orr_session_wait(s.get(), UINT64_MAX, &done);
        waits.push_back(std::chrono::duration<double>(Clock::now() - at).count());
        ASSERT_TRUE(status == ORR_CANCELLED || status == ORR_OK);
        if (status == ORR_OK) check(orr_session_rollback(s.get(), 40));
    }
    EXPECT_LT(*std::min_element(waits.begin(), waits.end()), kSanitizer ? 2.0 : 0.1);  // the best of five: others may use the processor
    EXPECT_EQ(orr_session_position(s.get()), 40);
    const Session fresh = session();
    feed(fresh, ids_);
    EXPECT_SAME_BITS(feed(s, next_), feed(fresh, next_));
}

TEST_F(Runs, CancelFromAnotherThread) {
    Progress progress;
    progress.hold = true;
    const Session s = session(&progress);
    std::thread other([&] {
        while (progress.calls == 0) std::this_thread::yield();
        orr_session_cancel(s.get());
        progress.hold = false;
    });
    expect_failure([&] { feed(s, ids_); }, ORR_CANCELLED, {});
    other.join();
    EXPECT_EQ(progress.calls, 1) << "nodes ran after the cancel";
}

// The first plan repacks weights: seconds for a large model.
TEST_F(Runs, CancelWhileThePlanIsMade) {
    Progress progress;
    const Session s = session(&progress);
    progress.cancel_plan_at = 5;
    expect_failure([&] { feed(s, ids_); }, ORR_CANCELLED, {"cancelled", "plan"});
    EXPECT_EQ(progress.plan_calls, 6) << "nodes were planned after the cancel";
    progress.cancel_plan_at = -1;
    progress.plan_calls = 0;
    progress.hold_plan = true;
    std::thread other([&] {
        while (progress.plan_calls == 0) std::this_thread::yield();
        orr_session_cancel(s.get());
        progress.hold_plan = false;
    });
    expect_failure([&] { feed(s, ids_); }, ORR_CANCELLED, {"plan"});
    other.join();
    EXPECT_EQ(progress.plan_calls, 1) << "nodes were planned after the cancel";
    EXPECT_EQ(progress.calls, 0) << "nodes ran after the cancel";
    EXPECT_EQ(orr_session_position(s.get()), 0);
    EXPECT_SAME_BITS(feed(s, ids_), feed(session(), ids_));
}

TEST_F(Runs, AFailedBeginLeavesTheLastResult) {
    const Session s = session();
    const Tensor got = feed(s, ids_);
    expect_failure([&] { feed(s, some_ids(8192, kVocabulary)); }, ORR_LIMIT, {"8232", "8192", "40"});
    EXPECT_SAME_BITS(logits_of(s), got);
}

// ---------------------------------------------------------------- many at once

TEST_F(Runs, ManySessionsFromManyThreads) {
    std::vector<Tensor> want;
    for (uint32_t i = 0; i < 4; i++) want.push_back(feed(session(), some_ids(20 + 7 * i, kVocabulary, i)));
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 4; t++)
        threads.emplace_back([&, t] {
            for (uint32_t round = 0; round < 6; round++) {
                const uint32_t i = (t + round) % 4;
                const Session s = session();
                if (round % 2) {
                    if (feed(s, some_ids(20 + 7 * i, kVocabulary, i)).bytes != want[i].bytes) wrong++;
                } else {
                    const Request request(some_ids(20 + 7 * i, kVocabulary, i));
                    check(request.start(s));
                    wait(s);
                    if (logits_of(s).bytes != want[i].bytes) wrong++;
                }
            }
        });
    for (auto& t : threads) t.join();
    EXPECT_EQ(wrong, 0);
}

TEST_F(Runs, ManyModelsFromManyThreads) {
    std::atomic<int> wrong{0};
    const Engine engine = make_engine();
    std::vector<std::thread> threads;
    for (const char* name : {"llama", "gemma3", "mamba", "llama"})
        threads.emplace_back([&, name] {
            const Model model = open_golden(name, engine.get());
            const Tensor got = feed(make_session(model), ids_), again = feed(make_session(model), ids_);
            if (got.bytes != again.bytes) wrong++;
        });
    for (auto& t : threads) t.join();
    EXPECT_EQ(wrong, 0);
}

TEST_F(Runs, TwoEngines) {
    Engine a = make_engine(), b = make_engine();
    const Model in_a = open_golden("llama", a.get()), in_b = open_golden("llama", b.get());
    const Tensor first = feed(make_session(in_a), ids_);
    a.reset();
    EXPECT_SAME_BITS(feed(make_session(in_b), ids_), first);
    EXPECT_SAME_BITS(feed(make_session(in_a), ids_), first) << "a model keeps its engine";
}

TEST_F(Runs, ReleasedInAnyOrder) {
    for (const auto& order : {std::vector<int>{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 3, 2}, {2, 0, 1, 3}}) {
        Engine engine = make_engine();
        Model model = open_golden("llama", engine.get());
        Session s = make_session(model), forked;
        feed(s, ids_);
        forked = fork(s);
        for (const int which : order) {
            if (which == 0) engine.reset();
            if (which == 1) model.reset();
            if (which == 2) s.reset();
            if (which == 3) forked.reset();
            if (s) feed(s, next_);
            if (forked) feed(forked, next_);
        }
    }
    orr_engine_release(nullptr);
    orr_model_release(nullptr);
    orr_session_release(nullptr);
    orr_task_release(nullptr);
    orr_text_release(nullptr);
}

TEST_F(Runs, ReleasedWhileARunIsUnderWay) {
    for (int round = 0; round < 20; round++) {
        Engine engine = make_engine();
        Model model = open_golden("llama", engine.get());
        Session started = make_session(model), begun = make_session(model), paused = make_session(model);
        const Request request(some_ids(100, kVocabulary));
        check(request.start(started));
        check(request.begin(begun));
        orr_session_pause(paused.get(), true);
        check(request.start(paused));
        engine.reset();
        model.reset();
        if (round % 2) std::this_thread::sleep_for(std::chrono::microseconds(100 * round));
        begun.reset();
        started.reset();  // waits for the engine's thread to let go; the last one ends that thread
        paused.reset();
    }
}

}  // namespace
}  // namespace engine_tests
