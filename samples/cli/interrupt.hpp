// Ctrl-C. The first one calls what the current scope gave (an orr_*_cancel); the second ends the process as if there
// were no handler.
#ifndef ORRERY_CLI_INTERRUPT_HPP
#define ORRERY_CLI_INTERRUPT_HPP

#include <functional>

namespace orrery::cli {

// While it lives, SIGINT and SIGTERM call `cancel` from a thread of its own, again and again until the scope ends: a
// cancel that falls between two runs does nothing, so one call is not enough. Scopes do not nest.
class Interrupt {
  public:
    explicit Interrupt(std::function<void()> cancel);
    ~Interrupt();
    // A signal stays seen, so that one between two scopes (the model is open, the run has not begun) is not lost.
    static void forget();
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;
    // Whether a signal has come since the command began or forget() was called.
    bool seen() const;
};

}  // namespace orrery::cli
#endif
