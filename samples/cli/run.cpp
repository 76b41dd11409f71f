// orrery run: continues a prompt, token by token.
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "common.hpp"
#include "sampling.hpp"
#include "steering.hpp"

namespace orrery::cli {
namespace {

struct Options {
    std::string model;
    std::optional<std::string> positional, prompt, file;
    bool stats = false;
    Sampling sampling;
    Steering steering;
};

int run(const Common& common, const Options& o) {
    const int given = o.positional.has_value() + o.prompt.has_value() + o.file.has_value();
    if (given != 1) throw UsageError("run takes one prompt: as the second argument, with --prompt, or with --file");
    const std::string prompt = o.file ? read_file(*o.file) : o.prompt ? *o.prompt : *o.positional;
    const host::Engine engine = make_engine(common);
    const host::Model model = open_model(engine, o.model, common);
    ProgressLine progress;
    orr_session_options options = session_options(common);
    progress.follow(options);
    host::Session session = model.session(&options);
    steer(session, model, o.steering, "next");
    host::Task task = model.task("text_generation", &session);
    json request = sampling_request(o.sampling);
    request["prompt"] = prompt;
    bool cancelled = false;
    json result = generate(task, request, common.json, progress, cancelled);
    const json work = work_of(session, "next");
    if (!result.is_null()) result["work"] = work;
    if (!common.json)
        std::printf("\n");
    else if (!result.is_null())
        print_json(result);
    std::fflush(stdout);
    if (!common.json && !result.is_null() && (o.stats || isatty(STDERR_FILENO))) {
        std::fprintf(stderr, "%s\n", speed_line(result).c_str());
        if (const std::string line = work_line(work); !line.empty()) std::fprintf(stderr, "%s\n", line.c_str());
    }
    if (cancelled) std::fprintf(stderr, "orrery: cancelled\n");
    return cancelled ? kFailed : kDone;
}

}  // namespace

void add_run(CLI::App& app, Common& common, Action& action) {
    CLI::App* sub = app.add_subcommand("run", "Continues a prompt and prints the text as it comes.");
    auto o = std::make_shared<Options>();
    sub->add_option("MODEL", o->model, "model folder or file")->required();
    sub->add_option("PROMPT", o->positional, "text to continue");
    sub->add_option("-p,--prompt", o->prompt, "text to continue");
    sub->add_option("-f,--file", o->file, "file with the text to continue; - for stdin");
    sub->add_flag("--stats", o->stats, "tell the speed on stderr, also when it is not a terminal");
    add_sampling(*sub, o->sampling);
    add_steering(*sub, o->steering);
    sub->callback([&common, &action, o] { action = [&common, o] { return run(common, *o); }; });
}

}  // namespace orrery::cli
