// Holds text back while it may be the beginning of a stop string, so that no part of one is ever given out.
#ifndef ORRERY_TASKS_STOP_TEXT_HPP
#define ORRERY_TASKS_STOP_TEXT_HPP

#include <string>
#include <string_view>
#include <vector>

namespace orrery::text_generation {

class StopText {
  public:
    // Strings are not empty.
    explicit StopText(std::vector<std::string> stops);
    // Takes the next piece and appends what is certain to `text`. Once a stop string is complete, the text before its
    // first occurrence is what has been given, stopped() is true, and further pieces are dropped.
    void put(std::string_view piece, std::string& text);
    // No more pieces: what was held back is text after all.
    void finish(std::string& text);
    bool stopped() const { return stopped_; }

  private:
    std::vector<std::string> stops_;
    std::string held_;
    bool stopped_ = false;
};

}  // namespace orrery::text_generation
#endif
