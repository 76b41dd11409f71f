#include "line_editor.hpp"

#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <iostream>

#ifdef ORRERY_WITH_LIBEDIT
#include <histedit.h>
#endif

namespace orrery::cli {

#ifdef ORRERY_WITH_LIBEDIT

struct LineEditor::Impl {
    EditLine* editor = nullptr;
    History* history = nullptr;
    HistEvent event{};
    const char* prompt = "";

    Impl() {
        std::setlocale(LC_CTYPE, "");  // how many bytes a character has
        history = history_init();
        editor = el_init("orrery", stdin, stderr, stderr);
        if (!editor) return;
        if (history) {
            ::history(history, &event, H_SETSIZE, 1000);
            ::history(history, &event, H_SETUNIQUE, 1);
            el_set(editor, EL_HIST, ::history, history);
        }
        el_set(editor, EL_CLIENTDATA, this);
        el_set(
            editor, EL_PROMPT, +[](EditLine* e) -> char* {
                void* self = nullptr;
                el_get(e, EL_CLIENTDATA, &self);
                return const_cast<char*>(static_cast<Impl*>(self)->prompt);
            });
        el_set(editor, EL_EDITOR, "emacs");
        el_set(editor, EL_SIGNAL, 1);  // Ctrl-C at the prompt gives the terminal back before it ends the process
        el_source(editor, nullptr);
    }
    ~Impl() {
        if (editor) el_end(editor);
        if (history) history_end(history);
    }
};

LineEditor::LineEditor() {
    if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO)) impl_ = std::make_unique<Impl>();
}

std::optional<std::string> LineEditor::read(const char* prompt) {
    if (impl_ && impl_->editor) {
        impl_->prompt = prompt;
        int count = 0;
        const char* text = el_gets(impl_->editor, &count);
        if (!text || count <= 0) return std::nullopt;
        std::string line(text, static_cast<size_t>(count));
        while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
        if (impl_->history && !line.empty()) history(impl_->history, &impl_->event, H_ENTER, line.c_str());
        return line;
    }
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
}

#else

struct LineEditor::Impl {};

LineEditor::LineEditor() = default;

std::optional<std::string> LineEditor::read(const char* prompt) {
    if (isatty(STDIN_FILENO)) std::fprintf(stderr, "%s", prompt);
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
}

#endif

LineEditor::~LineEditor() = default;

}  // namespace orrery::cli
