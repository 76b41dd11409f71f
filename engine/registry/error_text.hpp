// The text of a thread's last failure.
#pragma once
#include <string>

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

// Runs fn at a C boundary: exceptions become statuses, their text is kept for this thread.
template <class Fn>
orr_status boundary(Fn&& fn) noexcept {
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

}  // namespace orrery
