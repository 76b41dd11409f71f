#include "interrupt.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>

namespace orrery::cli {
namespace {

volatile std::sig_atomic_t signals = 0;

extern "C" void on_signal(int number) {
    if (signals) {
        std::signal(number, SIG_DFL);
        std::raise(number);
        return;
    }
    signals = 1;
    std::signal(number, on_signal);
}

struct Watcher {
    std::function<void()> cancel;
    std::mutex mutex;
    std::condition_variable ended;
    bool stop = false;
    std::thread thread;

    // A signal handler may do next to nothing, so a thread looks at the flag: 20 ms is well below what people notice.
    void watch() {
        std::unique_lock lock(mutex);
        while (!ended.wait_for(lock, std::chrono::milliseconds(20), [&] { return stop; }))
            if (signals) cancel();
    }
};

Watcher* current = nullptr;

}  // namespace

Interrupt::Interrupt(std::function<void()> cancel) {
    current = new Watcher;
    current->cancel = std::move(cancel);
    current->thread = std::thread([w = current] { w->watch(); });
    std::signal(SIGINT, on_signal);
    std::signal(SIGTERM, on_signal);
}

Interrupt::~Interrupt() {
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    {
        const std::lock_guard lock(current->mutex);
        current->stop = true;
    }
    current->ended.notify_all();
    current->thread.join();
    delete current;
    current = nullptr;
}

bool Interrupt::seen() const { return signals != 0; }

void Interrupt::forget() { signals = 0; }

}  // namespace orrery::cli
