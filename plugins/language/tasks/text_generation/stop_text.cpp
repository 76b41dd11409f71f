#include "stop_text.hpp"

#include <algorithm>
#include <utility>

namespace orrery::text_generation {
namespace {

// Bytes at the end of `text` that are a proper prefix of `stop`.
size_t overlap(std::string_view text, std::string_view stop) {
    for (size_t n = std::min(text.size(), stop.size() - 1); n > 0; n--)
        if (text.substr(text.size() - n) == stop.substr(0, n)) return n;
    return 0;
}

}  // namespace

StopText::StopText(std::vector<std::string> stops) : stops_(std::move(stops)) {}

void StopText::put(std::string_view piece, std::string& text) {
    if (stopped_) return;
    if (stops_.empty()) {
        text += piece;
        return;
    }
    held_ += piece;
    size_t at = std::string::npos, keep = 0;
    for (const std::string& stop : stops_) {
        at = std::min(at, held_.find(stop));
        keep = std::max(keep, overlap(held_, stop));
    }
    stopped_ = at != std::string::npos;
    const size_t certain = stopped_ ? at : held_.size() - keep;
    text.append(held_, 0, certain);
    if (stopped_)
        held_.clear();
    else
        held_.erase(0, certain);
}

void StopText::finish(std::string& text) {
    if (!stopped_) text += held_;
    held_.clear();
}

}  // namespace orrery::text_generation
