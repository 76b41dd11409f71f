// Where helper threads come from: oneTBB, or the host's pool.
#pragma once
#include <cstdint>
#include <memory>

#include "orrery/orrery.h"

namespace orrery {

class Executor {
  public:
    virtual ~Executor() = default;
    // Arranges that job(arg) is called once, soon, on some thread. Never blocks.
    virtual void submit(void (*job)(void*), void* arg) = 0;
    // How many jobs may run at once, besides the calling thread.
    virtual uint32_t helpers() const = 0;
};

std::unique_ptr<Executor> make_tbb_executor(uint32_t threads);
std::unique_ptr<Executor> make_host_executor(const orr_executor& host);

}  // namespace orrery
