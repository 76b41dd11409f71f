// orrery: run transformer models from the command line.
// Exit status: 0 done, 1 the model or the run failed, 2 wrong usage. Messages go to stderr.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "common.hpp"

namespace {

using namespace orrery::cli;

// Whether `name` ("--text") is an option of the command, or of any of its subcommands, that takes a value.
bool takes_value(CLI::App& app, const std::string& name) {
    const auto has = [&](const CLI::App* a) {
        const CLI::Option* option = a->get_option_no_throw(name);
        return option && option->get_items_expected_max() > 0;
    };
    const auto subs = app.get_subcommands({});
    return has(&app) || std::any_of(subs.begin(), subs.end(), has);
}

// The arguments as the parser wants them: last first. For "--text=" it would take the next argument as the value; "--text" and "" it reads as
// an empty one.
std::vector<std::string> reversed_arguments(CLI::App& app, int argc, char** argv) {
    std::vector<std::string> words;
    bool options = true;
    for (int n = 1; n < argc; n++) {
        std::string word = argv[n];
        options = options && word != "--";
        const size_t end = word.find('=');
        if (options && word.starts_with("--") && end + 1 == word.size() && takes_value(app, word.substr(0, end))) {
            words.push_back(word.substr(0, end));
            word.clear();
        }
        words.push_back(std::move(word));
    }
    std::reverse(words.begin(), words.end());
    return words;
}

int run_command(int argc, char** argv) {
    CLI::App app("Runs transformer models.", "orrery");
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string("orrery ") + orr_version());
    Common common;
    Action action;
    add_common(app, common);
    for (const auto add : {add_run, add_chat, add_embed, add_tokenize, add_perplexity, add_eval, add_bench, add_inspect, add_plugins, add_doctor, add_new, add_probe})
        add(app, common, action);
    for (CLI::App* sub : app.get_subcommands({})) add_common(*sub, common);
    try {
        app.parse(reversed_arguments(app, argc, argv));
    } catch (const CLI::RequiredError& e) {
        const char* word = argc > 1 && argv[1][0] != '-' ? argv[1] : nullptr;
        if (word && app.get_subcommands().empty()) throw UsageError(std::string("\"") + word + "\" is no command; orrery --help lists them");
        return app.exit(e) == 0 ? kDone : kUsage;
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? kDone : kUsage;
    }
    return action();
}

int message(int status, const char* text) {
    std::fflush(stdout);
    std::fprintf(stderr, "orrery: %s\n", text);
    return status;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const int status = run_command(argc, argv);
        // A full disk is noticed when the last of the output leaves; what failed before is remembered.
        if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
            std::fputs("orrery: the output could not be written\n", stderr);
            return status == kDone ? kFailed : status;
        }
        return status;
    } catch (const UsageError& e) {
        return message(kUsage, e.what());
    } catch (const orrery::host::Error& e) {
        return message(kFailed, e.what());
    } catch (const std::bad_alloc&) {
        return message(kFailed, "out of memory");
    } catch (const std::exception& e) {
        return message(kFailed, e.what());
    }
}
