#include "engine/run/driver.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "engine/platform/files.hpp"
#include "engine/platform/float_mode.hpp"
#include "engine/run/session.hpp"

namespace orrery {
namespace {
constexpr uint64_t kSliceNs = 5'000'000;  // how long one run keeps others of its priority waiting
}

struct Driver::Shared {
    std::mutex mutex;
    std::condition_variable wake, let_go;
    std::vector<std::shared_ptr<Session>> waiting;  // those of one priority take turns: the front is next
    const Session* at_work = nullptr;               // not among the waiting
    bool stop = false;

    bool holds(const Session& s) const {
        return at_work == &s || std::any_of(waiting.begin(), waiting.end(), [&](const auto& w) { return w.get() == &s; });
    }
    // The most urgent run that is not paused; nullptr when there is none.
    std::shared_ptr<Session> take() {
        auto best = waiting.end();
        for (auto it = waiting.begin(); it != waiting.end(); ++it) {
            if ((*it)->paused() && !(*it)->cancelled()) continue;
            if (best == waiting.end() || (*it)->priority() > (*best)->priority()) best = it;
        }
        if (best == waiting.end()) return nullptr;
        std::shared_ptr<Session> session = std::move(*best);
        waiting.erase(best);
        at_work = session.get();
        return session;
    }
};

Driver::Driver() : shared_(std::make_shared<Shared>()), thread_([shared = shared_] { work(shared); }) {}

Driver::~Driver() {
    {
        const std::lock_guard lock(shared_->mutex);
        shared_->stop = true;
    }
    shared_->wake.notify_all();
    if (thread_.get_id() == std::this_thread::get_id())
        thread_.detach();  // the last session was let go by this very thread
    else
        thread_.join();
}

void Driver::add(std::shared_ptr<Session> session) {
    {
        const std::lock_guard lock(shared_->mutex);
        // One more than is needed: handing a session back never allocates.
        shared_->waiting.reserve(shared_->waiting.size() + 2);
        shared_->waiting.push_back(std::move(session));
    }
    shared_->wake.notify_all();
}

void Driver::changed() {
    { const std::lock_guard lock(shared_->mutex); }
    shared_->wake.notify_all();
}

void Driver::finish(const Session& session) {
    if (thread_.get_id() == std::this_thread::get_id()) return;
    std::unique_lock lock(shared_->mutex);
    shared_->wake.notify_all();
    shared_->let_go.wait(lock, [&] { return !shared_->holds(session); });
}

void Driver::work(std::shared_ptr<Shared> shared) {
    const platform::DefaultFloatMode mode;  // a thread begins with its maker's
    platform::name_thread("orrery-runs");
    std::unique_lock lock(shared->mutex);
    while (!shared->stop) {
        std::shared_ptr<Session> session = shared->take();
        if (!session) {
            shared->wake.wait(lock);
            continue;
        }
        lock.unlock();
        // What a run that has ended leaves behind may be this very driver: only `shared` is touched from here on.
        const bool done = session->drive(kSliceNs);
        if (done) session.reset();
        lock.lock();
        if (!done) shared->waiting.push_back(std::move(session));
        shared->at_work = nullptr;
        shared->let_go.notify_all();
    }
}

}  // namespace orrery
