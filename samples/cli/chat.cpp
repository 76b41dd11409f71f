// orrery chat: a conversation in the checkpoint's own template. The text_generation task keeps what the session holds,
// so each turn runs the new tokens alone.
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "common.hpp"
#include "interrupt.hpp"
#include "line_editor.hpp"
#include "sampling.hpp"
#include "steering.hpp"

namespace orrery::cli {
namespace {

constexpr const char* kHelp = "/reset  forget the conversation\n/exit   leave (so does Ctrl-D)\n/help   this list\nCtrl-C ends an answer.\n";

struct Options {
    std::string model, system;
    Sampling sampling;
    Steering steering;
};

json first_messages(const Options& o) {
    json messages = json::array();
    if (!o.system.empty()) messages.push_back({{"role", "system"}, {"content", o.system}});
    return messages;
}

int chat(const Common& common, const Options& o) {
    const host::Engine engine = make_engine(common);
    const host::Model model = open_model(engine, o.model, common);
    model.apply_chat_template(R"([{"role": "user", "content": ""}])");  // no template: told before anything is asked
    ProgressLine progress;
    orr_session_options options = session_options(common);
    progress.follow(options);
    host::Session session = model.session(&options);
    steer(session, model, o.steering, "next");
    host::Task task = model.task("text_generation", &session);
    LineEditor editor;
    json messages = first_messages(o);
    const bool terminal = isatty(STDIN_FILENO);
    if (terminal && !common.json) std::fprintf(stderr, "/help lists the commands.\n");
    int status = kDone;
    while (const std::optional<std::string> line = editor.read("> ")) {
        if (line->empty()) continue;
        if (*line == "/exit") break;
        if (*line == "/help") {
            std::fputs(kHelp, stderr);
            continue;
        }
        if (*line == "/reset") {
            messages = first_messages(o);
            continue;
        }
        messages.push_back({{"role", "user"}, {"content", *line}});
        json request = sampling_request(o.sampling);
        request["messages"] = messages;
        bool cancelled = false;
        Interrupt::forget();
        json result;
        try {
            result = generate(task, request, common.json, progress, cancelled);
        } catch (const host::Error& e) {
            // The conversation has outgrown the context, say: the turn is dropped, the command goes on.
            std::fprintf(stderr, "orrery: %s\n", e.what());
            messages.erase(messages.end() - 1);
            status = kFailed;
            continue;
        }
        status = kDone;
        if (common.json)
            print_json(result);
        else
            std::printf("\n");
        std::fflush(stdout);
        if (terminal && !common.json && !result.is_null())
            std::fprintf(stderr, "[%s%s]\n", cancelled ? "cancelled; " : "", speed_line(result).c_str());
        messages.push_back({{"role", "assistant"}, {"content", result.is_null() ? "" : result.value("text", "")}});
    }
    return status;
}

}  // namespace

void add_chat(CLI::App& app, Common& common, Action& action) {
    CLI::App* sub = app.add_subcommand("chat", "Talks with a model in its own chat template; reads lines from the terminal or stdin.");
    auto o = std::make_shared<Options>();
    o->sampling.max_tokens = 1024;
    sub->add_option("MODEL", o->model, "model folder or file")->required();
    sub->add_option("--system", o->system, "a system message that opens the conversation");
    add_sampling(*sub, o->sampling);
    add_steering(*sub, o->steering);
    sub->callback([&common, &action, o] { action = [&common, o] { return chat(common, *o); }; });
}

}  // namespace orrery::cli
