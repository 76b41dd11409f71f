#include "engine/registry/error_text.hpp"

#include <cstring>

#include "orrery/orrery.h"

namespace orrery {
namespace {
thread_local char text_of_thread[kErrorTextBytes];  // static storage: setting it cannot fail
}  // namespace

void set_error_text(const char* text) noexcept {
    const size_t n = std::min(std::strlen(text), kErrorTextBytes - 1);
    std::memmove(text_of_thread, text, n);
    text_of_thread[n] = '\0';
}

const char* error_text() noexcept { return text_of_thread; }

SavedErrorText::SavedErrorText() noexcept { std::memcpy(text_, text_of_thread, std::strlen(text_of_thread) + 1); }

void check(orr_status status, const std::string& doing) {
    if (status == ORR_OK) return;
    std::string why = error_text();
    if (why.empty()) why = std::string("a plugin failed with ") + orr_status_name(status) + " (" + std::to_string(status) + ") and gave no reason";
    throw Error(status, doing.empty() ? why : doing + ": " + why);
}

Error threw(const std::string& doing, const char* what) { return {ORR_INTERNAL, (doing.empty() ? "" : doing + ": ") + "the plugin threw an exception: " + what}; }

}  // namespace orrery
