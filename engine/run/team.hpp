// The threads of one session's run. The caller walks the plan; helpers join for as long as the run lasts and take
// chunks. The caller never waits for a helper to start: it does every chunk that nobody else has claimed, so a busy pool
// costs speed only. Between runs no thread spins. Tasks that run side by side are chunks too, which may have chunks of their own: whoever
// has none of the former helps with the latter.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>

#include "engine/backend/tbb/executor.hpp"
#include "orrery/plugin.h"

namespace orrery {

class Team {
  public:
    // threads: the caller and at most threads - 1 helpers.
    Team(std::shared_ptr<Executor> executor, uint32_t threads);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    uint32_t threads() const { return threads_; }
    void begin();  // calls helpers in
    void end();    // sends them away
    // fn(arg, chunk, thread) for every chunk, in order of claiming. Returns when all are done. A chunk that throws counts
    // as done; its text waits in take_failure. lane: 0, or of the task that calls.
    void parallel_for(int64_t chunks, orr_chunk_fn fn, void* arg, uint32_t lane = 0);
    // The same with tasks, which may call parallel_for, one at a time each, in lane_of(their thread). A task does not throw.
    void side_by_side(int64_t tasks, orr_chunk_fn fn, void* arg);
    static uint32_t lane_of(uint32_t thread) { return thread + 1; }

    bool failed(uint32_t lane = 0) const;
    // Text of the first chunk of the lane that threw since it was last asked, "" when none did.
    std::string take_failure(uint32_t lane = 0);

  private:
    struct Shared;
    static void help(void* shared);
    bool alone(int64_t chunks) const;  // whether nobody would help
    std::shared_ptr<Executor> executor_;
    Shared* shared_;
    uint32_t threads_;
};

}  // namespace orrery
