// The text of a thread's last failure.
#pragma once
#include <string>

#include "engine/platform/float_mode.hpp"
#include "orrery/plugin.hpp"

namespace orrery {

// Never throws; a text that cannot be stored is cut.
void set_error_text(const char* text) noexcept;
const char* error_text() noexcept;

constexpr size_t kErrorTextBytes = 2048;

// Keeps the text of the last failure through a call that may set others on its way and succeed all the same.
class SavedErrorText {
  public:
    SavedErrorText() noexcept;
    void restore() const noexcept { set_error_text(text_); }

  private:
    char text_[kErrorTextBytes];
};

// Runs fn at a C boundary: exceptions become statuses, their text is kept for this thread; the thread computes in the
// default float mode meanwhile.
template <class Fn>
orr_status boundary(Fn&& fn) noexcept {
    const platform::DefaultFloatMode mode;
    const SavedErrorText before;
    try {
        fn();
        before.restore();
        return ORR_OK;
    } catch (const Error& e) {
        set_error_text(e.what());
        return e.code();
    } catch (const std::bad_alloc&) {
        set_error_text("out of memory");
        return ORR_OUT_OF_MEMORY;
    } catch (const std::exception& e) {
        set_error_text(e.what());
        return ORR_INTERNAL;
    } catch (...) {
        set_error_text("unknown exception");
        return ORR_INTERNAL;
    }
}

// A plugin's status as an exception, with the text that it recorded and what was being done.
void check(orr_status status, const std::string& doing);

Error threw(const std::string& doing, const char* what);

// Asks a plugin something. What it throws, against the rules, is told as its failure; doing() is only called then.
template <class Fn, class Doing>
auto ask_plugin(Fn&& fn, Doing&& doing) {
    try {
        return fn();
    } catch (const std::exception& e) {
        throw threw(doing(), e.what());
    } catch (...) {
        throw threw(doing(), "of a type that is no std::exception");
    }
}
// The same of a call that gives a status.
template <class Fn, class Doing>
void call_plugin(Fn&& fn, Doing&& doing) {
    set_error_text("");
    const orr_status status = ask_plugin(fn, doing);
    if (status != ORR_OK) check(status, doing());
}

}  // namespace orrery
