// Works on the runs that were started in the background: the most urgent one that is not paused, a slice at a time.
#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace orrery {

class Session;

class Driver {
  public:
    Driver();
    ~Driver();
    void add(std::shared_ptr<Session> session);
    void changed();  // a run was paused, resumed, cancelled or given another priority

  private:
    void work();
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::shared_ptr<Session>> runs_;
    size_t turn_ = 0;
    bool stop_ = false;
    std::thread thread_;
};

}  // namespace orrery
