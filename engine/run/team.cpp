#include "engine/run/team.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
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
    // (job number << 32) | next chunk. Jobs alternate between two slots: a helper that still looks at job n never sees
    // the fields of n + 1, and its claim fails once the number has moved on.
    std::atomic<uint64_t> ticket{0};
    Job jobs[2];
    std::atomic<bool> open{false};
    std::atomic<uint32_t> signal{0};    // futex word: raised with each job and at the end
    std::atomic<uint32_t> sleepers{0};
    std::atomic<uint64_t> indices{1};   // bit i: thread index i is taken; 0 is the caller's
    std::atomic<uint32_t> references{1};
    std::atomic<uint32_t> submitted{0};  // jobs that have not started yet
    uint32_t threads = 1;
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
    void unref() {
        if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }
    // Takes chunks of the current job until there is none left. Returns the ticket seen last.
    uint64_t work(uint32_t index) {
        uint64_t t = ticket.load(std::memory_order_acquire);
        for (;;) {
            Job& job = jobs[(t >> 32) & 1];
            const auto next = static_cast<uint32_t>(t);
            const orr_chunk_fn fn = job.fn.load(std::memory_order_relaxed);
            void* arg = job.arg.load(std::memory_order_relaxed);
            if (next >= job.chunks.load(std::memory_order_relaxed)) return t;
            if (!ticket.compare_exchange_weak(t, t + 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
            call(fn, arg, next, index);
            job.done.fetch_add(1, std::memory_order_release);
            t = ticket.load(std::memory_order_acquire);
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

Team::Team(std::shared_ptr<Executor> executor, uint32_t threads) : executor_(std::move(executor)), shared_(new Shared), threads_(std::clamp(threads, 1u, kMaxThreads)) {
    shared_->threads = threads_;
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
            executor_->submit(&Team::help, shared_);
        } catch (...) {  // no helper: slower, not wrong
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
    const int index = s.open.load(std::memory_order_acquire) ? s.take_index() : -1;
    if (index > 0) {
        while (s.open.load(std::memory_order_acquire)) {
            const uint32_t seen = s.signal.load(std::memory_order_seq_cst);
            const uint64_t t = s.work(static_cast<uint32_t>(index));
            uint32_t spins = 0;
            while (s.ticket.load(std::memory_order_acquire) == t && s.open.load(std::memory_order_acquire) && spins++ < kSpins) relax();
            if (spins <= kSpins) continue;
            s.sleepers.fetch_add(1, std::memory_order_seq_cst);
            s.signal.wait(seen, std::memory_order_seq_cst);
            s.sleepers.fetch_sub(1, std::memory_order_seq_cst);
        }
        s.indices.fetch_and(~(uint64_t{1} << index), std::memory_order_acq_rel);
    }
    s.unref();
}

bool Team::failed() const { return shared_->failed.load(std::memory_order_relaxed); }

std::string Team::take_failure() {
    if (!shared_->failed.load(std::memory_order_acquire)) return "";
    std::string text = shared_->failure;
    shared_->failed.store(false, std::memory_order_release);
    return text;
}

void Team::parallel_for(int64_t chunks, orr_chunk_fn fn, void* arg) {
    if (chunks <= 0) return;
    if (chunks == 1 || threads_ == 1 || !shared_->open.load(std::memory_order_relaxed)) {
        for (int64_t c = 0; c < chunks; c++) shared_->call(fn, arg, c, 0);
        return;
    }
    Shared& s = *shared_;
    const uint64_t number = (s.ticket.load(std::memory_order_relaxed) >> 32) + 1;
    Shared::Job& job = s.jobs[number & 1];
    job.fn.store(fn, std::memory_order_relaxed);
    job.arg.store(arg, std::memory_order_relaxed);
    job.done.store(0, std::memory_order_relaxed);
    job.chunks.store(static_cast<uint32_t>(chunks), std::memory_order_relaxed);
    s.ticket.store(number << 32, std::memory_order_release);
    s.wake();
    s.work(0);
    for (uint32_t spins = 0; job.done.load(std::memory_order_acquire) != static_cast<uint32_t>(chunks); spins++) {
        if (spins < kSpins)
            relax();
        else
            std::this_thread::yield();
    }
}

}  // namespace orrery
