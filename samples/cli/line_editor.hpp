// Lines from the user: edited and with history on a terminal (libedit), plain otherwise.
#ifndef ORRERY_CLI_LINE_EDITOR_HPP
#define ORRERY_CLI_LINE_EDITOR_HPP

#include <memory>
#include <optional>
#include <string>

namespace orrery::cli {

class LineEditor {
  public:
    LineEditor();
    ~LineEditor();
    // The next line without its end; nothing at the end of input. The prompt appears on a terminal only.
    std::optional<std::string> read(const char* prompt);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace orrery::cli
#endif
