// Processes that a plugin starts, and what it prints.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

namespace orrery::conformance {

// Children of this process, those that have ended and that nobody has waited for among them. Empty where that cannot be told.
std::set<pid_t> children();
// Ends and waits for all but those, and what they leave to this process by it. Returns how many.
int end_children(const std::set<pid_t>& spare = {});

// Whose parents end become this process's children, while this lives.
class Reaper {
  public:
    Reaper();
    Reaper(const Reaper&) = delete;
    ~Reaper();

  private:
    int before_ = 0;
};

// A file without a name that what is written to it is appended to; -1 where there can be none.
int new_output();
// What was written to it since, and on to stderr. Then it is empty again.
std::string take_output(int file);
// "" where that is none of a plugin: Vulkan's validation layers write to stdout where nobody tells them otherwise.
std::string first_line_printed(const std::string& text, bool on_device);

// What a process has once for all of its parts: working directory, locale, mask of new files, standard streams.
class Surroundings {
  public:
    Surroundings();
    ~Surroundings();
    Surroundings(const Surroundings&) = delete;
    // Puts back what is other than at the begin; tells what that was.
    std::vector<std::string> restore();

  private:
    std::string folder_, locale_;
    mode_t mask_;  // of new files
    int kept_[3];  // copies of the streams; -1: was closed
};

}  // namespace orrery::conformance
