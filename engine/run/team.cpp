#include "engine/run/team.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <thread>

#include "engine/platform/float_mode.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace orrery {
namespace {

void relax() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

constexpr uint32_t kSpins = 4000;     // some tens of microseconds, longer than the serial gap between two products
constexpr uint32_t kMaxThreads = 64;  // helper indices are bits of one word

thread_local const void* submitting = nullptr;  // whose helper this thread submits: an executor that runs it at once would have the caller help itself

}  // namespace

// Outlives the team while a submitted job has not ended yet: counted. It does not own the executor, which must not end on
// one of its own threads.
struct Team::Shared {
    struct Job {
        std::atomic<orr_chunk_fn> fn{nullptr};
        std::atomic<void*> arg{nullptr};
        std::atomic<uint32_t> chunks{0};
        std::atomic<uint32_t> done{0};
    };
    // Jobs one after the other.
    struct Lane {
        // (job number << 32) | next chunk. Jobs alternate between two slots: a helper that still looks at job n never sees
        // the fields of n + 1, and its claim fails once the number has moved on.
        std::atomic<uint64_t> ticket{0};
        Job jobs[2];
        std::atomic<bool> failed{false};  // a chunk threw; the first text is kept
        char failure[256] = "";

        void call(orr_chunk_fn fn, void* arg, int64_t chunk, uint32_t index) noexcept {
            try {
                fn(arg, chunk, index);
            } catch (const std::exception& e) {
                note(e.what());
            } catch (...) {
                note("of a type that is no std::exception");
            }
        }
        // Read when the chunks of the job are done, this one among them.
        void note(const char* text) noexcept {
            if (!failed.exchange(true, std::memory_order_acq_rel)) std::snprintf(failure, sizeof failure, "%s", *text ? text : "without a text");
        }
        Job& publish(int64_t chunks, orr_chunk_fn fn, void* arg) {
            const uint64_t number = (ticket.load(std::memory_order_relaxed) >> 32) + 1;
            Job& job = jobs[number & 1];
            job.fn.store(fn, std::memory_order_relaxed);
            job.arg.store(arg, std::memory_order_relaxed);
            job.done.store(0, std::memory_order_relaxed);
            job.chunks.store(static_cast<uint32_t>(chunks), std::memory_order_relaxed);
            ticket.store(number << 32, std::memory_order_release);
            return job;
        }
        // Takes chunks of the current job until there is none left; whether there was one.
        bool work(uint32_t index) {
            bool some = false;
            uint64_t t = ticket.load(std::memory_order_acquire);
            for (;;) {
                Job& job = jobs[(t >> 32) & 1];
                const auto next = static_cast<uint32_t>(t);
                const orr_chunk_fn fn = job.fn.load(std::memory_order_relaxed);
                void* arg = job.arg.load(std::memory_order_relaxed);
                if (next >= job.chunks.load(std::memory_order_relaxed)) return some;
                if (!ticket.compare_exchange_weak(t, t + 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
                call(fn, arg, next, index);
                some = true;
                job.done.fetch_add(1, std::memory_order_release);
                t = ticket.load(std::memory_order_acquire);
            }
        }
    };
    std::unique_ptr<Lane[]> lanes;  // [0]: the caller's; one for the task that a thread is at
    std::atomic<bool> tasks{false};  // run side by side
    std::atomic<bool> open{false};
    std::atomic<uint32_t> signal{0};    // futex word: raised with each job and at the end
    std::atomic<uint32_t> sleepers{0};
    std::atomic<uint64_t> indices{1};   // bit i: thread index i is taken; 0 is the caller's
    std::atomic<uint32_t> references{1};
    std::atomic<uint32_t> submitted{0};  // jobs that have not started yet
    uint32_t threads = 1;

    explicit Shared(uint32_t n) : lanes(new Lane[n + 1]), threads(n) {}
    void unref() {
        if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }
    // Takes tasks and chunks until there is none left; whether there was one.
    bool work(uint32_t index) {
        bool some = lanes[0].work(index);
        if (tasks.load(std::memory_order_acquire))
            for (uint32_t lane = 1; lane <= threads; lane++) some = lanes[lane].work(index) || some;
        return some;
    }
    // Until all chunks of a job are done, each of them claimed by now.
    template <class Meanwhile>
    static void wait(const Job& job, Meanwhile&& meanwhile) {
        const uint32_t chunks = job.chunks.load(std::memory_order_relaxed);
        for (uint32_t spins = 0; job.done.load(std::memory_order_acquire) != chunks; spins++) {
            if (meanwhile())
                spins = 0;
            else if (spins < kSpins)
                relax();
            else
                std::this_thread::yield();
        }
    }
    void wake() {
        signal.fetch_add(1, std::memory_order_seq_cst);
        if (sleepers.load(std::memory_order_seq_cst)) signal.notify_all();
    }
    int take_index() {
        uint64_t bits = indices.load(std::memory_order_relaxed);
        for (;;) {
            uint32_t i = 1;
            while (i < threads && (bits >> i & 1)) i++;
            if (i >= threads) return -1;
            if (indices.compare_exchange_weak(bits, bits | uint64_t{1} << i, std::memory_order_acq_rel)) return static_cast<int>(i);
        }
    }
};

Team::Team(std::shared_ptr<Executor> executor, uint32_t threads) : executor_(std::move(executor)), threads_(std::clamp(threads, 1u, kMaxThreads)) {
    shared_ = new Shared(threads_);
}

Team::~Team() {
    shared_->open.store(false, std::memory_order_release);
    shared_->wake();
    shared_->unref();
}

void Team::begin() {
    if (threads_ == 1) return;
    Shared& s = *shared_;
    s.open.store(true, std::memory_order_release);
    // Jobs submitted for an earlier run that have not started yet will join this one.
    const uint32_t waiting = s.submitted.load(std::memory_order_acquire);
    for (uint32_t i = waiting; i + 1 < threads_; i++) {
        s.references.fetch_add(1, std::memory_order_relaxed);
        s.submitted.fetch_add(1, std::memory_order_acq_rel);
        try {
            submitting = &s;
            executor_->submit(&Team::help, shared_);
            submitting = nullptr;
        } catch (...) {  // no helper: slower, not wrong
            submitting = nullptr;
            s.submitted.fetch_sub(1, std::memory_order_acq_rel);
            s.references.fetch_sub(1, std::memory_order_acq_rel);
            break;
        }
    }
}

void Team::end() {
    if (threads_ == 1) return;
    shared_->open.store(false, std::memory_order_release);
    shared_->wake();
}

void Team::help(void* arg) {
    const platform::DefaultFloatMode mode;
    Shared& s = *static_cast<Shared*>(arg);
    s.submitted.fetch_sub(1, std::memory_order_acq_rel);
    const int index = submitting != &s && s.open.load(std::memory_order_acquire) ? s.take_index() : -1;
    if (index > 0) {
        while (s.open.load(std::memory_order_acquire)) {
            const uint32_t seen = s.signal.load(std::memory_order_seq_cst);
            s.work(static_cast<uint32_t>(index));
            uint32_t spins = 0;
            while (s.signal.load(std::memory_order_acquire) == seen && s.open.load(std::memory_order_acquire) && spins++ < kSpins) relax();
            if (spins <= kSpins) continue;
            s.sleepers.fetch_add(1, std::memory_order_seq_cst);
            s.signal.wait(seen, std::memory_order_seq_cst);
            s.sleepers.fetch_sub(1, std::memory_order_seq_cst);
        }
        s.indices.fetch_and(~(uint64_t{1} << index), std::memory_order_acq_rel);
    }
    s.unref();
}

bool Team::failed(uint32_t lane) const { return shared_->lanes[lane].failed.load(std::memory_order_relaxed); }

std::string Team::take_failure(uint32_t lane) {
    Shared::Lane& l = shared_->lanes[lane];
    if (!l.failed.load(std::memory_order_acquire)) return "";
    std::string text = l.failure;
    l.failed.store(false, std::memory_order_release);
    return text;
}

bool Team::alone(int64_t chunks) const { return chunks == 1 || threads_ == 1 || !shared_->open.load(std::memory_order_relaxed); }

void Team::parallel_for(int64_t chunks, orr_chunk_fn fn, void* arg, uint32_t lane) {
    if (chunks <= 0) return;
    Shared& s = *shared_;
    const uint32_t thread = lane ? lane - 1 : 0;
    if (alone(chunks)) {
        for (int64_t c = 0; c < chunks; c++) s.lanes[lane].call(fn, arg, c, thread);
        return;
    }
    const Shared::Job& job = s.lanes[lane].publish(chunks, fn, arg);
    s.wake();
    s.lanes[lane].work(thread);
    Shared::wait(job, [] { return false; });
}

void Team::side_by_side(int64_t tasks, orr_chunk_fn fn, void* arg) {
    if (tasks <= 0) return;
    Shared& s = *shared_;
    if (alone(tasks)) {
        for (int64_t t = 0; t < tasks; t++) fn(arg, t, 0);
        return;
    }
    s.tasks.store(true, std::memory_order_release);
    const Shared::Job& job = s.lanes[0].publish(tasks, fn, arg);
    s.wake();
    s.lanes[0].work(0);
    Shared::wait(job, [&] { return s.work(0); });
    s.tasks.store(false, std::memory_order_release);
}

}  // namespace orrery
