#include "engine/backend/tbb/executor.hpp"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/version.h>

#include <atomic>
#include <thread>

#include "engine/platform/files.hpp"

namespace orrery {
namespace {

class TbbExecutor : public Executor {
  public:
    explicit TbbExecutor(uint32_t threads) : helpers_(threads > 1 ? threads - 1 : 0), arena_(static_cast<int>(threads), 0) {
        // Enough workers even where oneTBB counts fewer processors than the host asks for.
        if (threads > 1) limit_ = std::make_unique<tbb::global_control>(tbb::global_control::max_allowed_parallelism, threads + 1);
    }
    // No job is left when the engine is gone, and no thread: the host may unload the library next.
    ~TbbExecutor() override {
        while (outstanding_.load(std::memory_order_acquire) > 0) std::this_thread::yield();
        arena_.terminate();
        // While the limit stands: without it the workers sleep, and nobody is left to close the arena that finalize waits for.
        // oneTBB ends its threads unless somebody else uses them, or a thread that has asked for work still lives. Then its
        // code must stay where it is.
        if (!tbb::finalize(scheduler_, std::nothrow)) platform::keep_library(reinterpret_cast<const void*>(&TBB_runtime_interface_version));
    }
    void submit(void (*job)(void*), void* arg) override {
        outstanding_.fetch_add(1, std::memory_order_relaxed);
        try {
            arena_.enqueue([this, job, arg] {
                job(arg);
                outstanding_.fetch_sub(1, std::memory_order_release);
            });
        } catch (...) {
            outstanding_.fetch_sub(1, std::memory_order_release);
            throw;
        }
    }
    uint32_t helpers() const override { return helpers_; }

  private:
    uint32_t helpers_;
    std::atomic<int64_t> outstanding_{0};
    tbb::task_scheduler_handle scheduler_{tbb::attach{}};
    std::unique_ptr<tbb::global_control> limit_;
    tbb::task_arena arena_;
};

class HostExecutor : public Executor {
  public:
    explicit HostExecutor(const orr_executor& host) : host_(host) {}
    void submit(void (*job)(void*), void* arg) override { host_.submit(host_.user, job, arg); }
    uint32_t helpers() const override { return host_.threads; }

  private:
    orr_executor host_;
};

}  // namespace

std::unique_ptr<Executor> make_tbb_executor(uint32_t threads) { return std::make_unique<TbbExecutor>(threads); }
std::unique_ptr<Executor> make_host_executor(const orr_executor& host) { return std::make_unique<HostExecutor>(host); }

}  // namespace orrery
