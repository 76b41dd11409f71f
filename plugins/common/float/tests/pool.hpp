// Threads for tests and benches: a fixed pool, chunks handed out one by one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "float/parallel.hpp"

namespace orrery::flt {

class Pool {
  public:
    explicit Pool(int threads) : threads_(threads) {
        for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { loop(i); });
    }
    ~Pool() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            stop_ = true;
            generation_.fetch_add(1);
        }
        wake_.notify_all();
        for (std::thread& w : workers_) w.join();
    }
    Parallel parallel() { return {&Pool::run, this, threads_}; }

  private:
    static void run(void* self, int64_t chunks, void (*fn)(void*, int64_t, int), void* arg) {
        Pool& p = *static_cast<Pool*>(self);
        p.fn_ = fn;
        p.arg_ = arg;
        p.chunks_ = chunks;
        p.next_.store(0);
        p.busy_.store(p.threads_ - 1);
        {
            std::lock_guard<std::mutex> lock(p.mutex_);
            p.generation_.fetch_add(1);
        }
        p.wake_.notify_all();
        p.work(0);
        while (p.busy_.load() > 0) std::this_thread::yield();
    }
    void work(int thread) {
        for (int64_t c; (c = next_.fetch_add(1)) < chunks_;) fn_(arg_, c, thread);
    }
    void loop(int thread) {
        uint64_t seen = 0;
        for (;;) {
            for (int spin = 0; spin < 20000 && generation_.load() == seen; ++spin) {}
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return generation_.load() != seen; });
                seen = generation_.load();
                if (stop_) return;
            }
            work(thread);
            busy_.fetch_sub(1);
        }
    }

    int threads_;
    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<uint64_t> generation_{0};
    bool stop_ = false;
    void (*fn_)(void*, int64_t, int) = nullptr;
    void* arg_ = nullptr;
    std::atomic<int64_t> next_{0};
    int64_t chunks_ = 0;
    std::atomic<int> busy_{0};
};

}  // namespace orrery::flt
