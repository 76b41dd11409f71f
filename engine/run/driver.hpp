// Works on the runs that were started in the background: the most urgent one that is not paused, a slice at a time.
#pragma once
#include <memory>
#include <thread>

namespace orrery {

class Session;

class Driver {
  public:
    Driver();
    ~Driver();
    void add(std::shared_ptr<Session> session);
    void changed();  // a run was paused, resumed, cancelled or given another priority
    // Waits until the thread holds nothing of a session whose run was cancelled. On that very thread it returns at once.
    void finish(const Session& session);

  private:
    struct Shared;  // outlives the driver where its own thread lets the last session go
    static void work(std::shared_ptr<Shared> shared);
    std::shared_ptr<Shared> shared_;
    std::thread thread_;
};

}  // namespace orrery
