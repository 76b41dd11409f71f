#include "engine/run/driver.hpp"

#include <algorithm>

#include "engine/platform/files.hpp"
#include "engine/run/session.hpp"

namespace orrery {
namespace {
constexpr uint64_t kSliceNs = 5'000'000;  // how long one run keeps others of its priority waiting
}

Driver::Driver() : thread_([this] { work(); }) {}

Driver::~Driver() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    if (thread_.get_id() == std::this_thread::get_id())
        thread_.detach();  // the last session was let go by this very thread
    else
        thread_.join();
}

void Driver::add(std::shared_ptr<Session> session) {
    {
        const std::lock_guard lock(mutex_);
        runs_.push_back(std::move(session));
    }
    wake_.notify_all();
}

void Driver::changed() {
    { const std::lock_guard lock(mutex_); }
    wake_.notify_all();
}

void Driver::work() {
    platform::name_thread("orrery-runs");
    std::unique_lock lock(mutex_);
    for (;;) {
        std::shared_ptr<Session> next;
        int32_t best = 0;
        for (size_t i = 0; i < runs_.size(); i++) {
            const auto& s = runs_[(turn_ + i) % runs_.size()];
            if (s->paused() && !s->cancelled()) continue;
            if (!next || s->priority() > best) next = s, best = s->priority();
        }
        if (stop_) return;
        if (!next) {
            wake_.wait(lock);
            continue;
        }
        turn_++;
        lock.unlock();
        const bool done = next->drive(kSliceNs);
        lock.lock();
        if (done) runs_.erase(std::remove(runs_.begin(), runs_.end(), next), runs_.end());
        lock.unlock();
        next.reset();  // may destroy the session: not under the lock
        lock.lock();
    }
}

}  // namespace orrery
