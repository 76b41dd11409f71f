// What every subcommand shares: global options, opening things, printing.
#ifndef ORRERY_CLI_COMMON_HPP
#define ORRERY_CLI_COMMON_HPP

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "orrery/orrery.hpp"

namespace orrery::cli {

using json = nlohmann::ordered_json;

// Exit status of the command.
enum : int { kDone = 0, kFailed = 1, kUsage = 2 };

// Wrong usage that the option parser cannot see.
class UsageError : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Common {
    std::string device = "cpu";
    uint32_t threads = 0;  // 0: all
    std::vector<std::string> plugins;
    std::vector<std::string> without_shaders;
    std::string isa = "auto";
    std::optional<std::string> cache_type;
    std::optional<std::string> numerics;
    int64_t context = 0;  // 0: the model's own, at most 8192
    bool allow_extra_tensors = false, json = false;
    bool verbose = false;
};

// What a subcommand leaves to be done once the line is parsed; gives the exit status.
using Action = std::function<int()>;

// Adds the options of Common to a (sub)command.
void add_common(CLI::App& app, Common& common);

host::Engine make_engine(const Common& common);

// One line on stderr about what takes its time: on a terminal rewritten in place, else a new one every 10 s.
class ProgressLine {
  public:
    // Shown within, unless it has ended before.
    struct Scope {
        explicit Scope(ProgressLine& l) : line(l) { line.begin(); }
        ~Scope() { line.end(); }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;
        ProgressLine& line;
    };
    ProgressLine() = default;
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;
    void show(double fraction, const char* what);
    void begin();
    // Takes it away: text may follow.
    void end();
    // Makes a session with these options tell its progress here, as long as this object lives.
    void follow(orr_session_options& options);

  private:
    double start_ = 0, last_ = 0;
    bool on_ = false, shown_ = false;
};

// Opens a model with progress on a terminal; Ctrl-C cancels it.
host::Model open_model(const host::Engine& engine, const std::string& path, const Common& common);
// A tokeniser alone: a GGUF, a model folder, or a folder with only a tokenizer.json.
host::Model open_tokenizer(const host::Engine& engine, const std::string& path, const Common& common);

// The session options that Common asks for; fields may be changed before make_session. Borrows strings of common.
orr_session_options session_options(const Common& common);

// Whole contents of a file, of stdin for "-".
std::string read_file(const std::string& path);

// Where this program lies.
std::filesystem::path executable_path();

// One JSON value and a newline on stdout. Bytes that are not UTF-8 become U+FFFD.
void print_json(const json& value);
// The same value for people: "key: value" lines and tables.
void print_human(const json& value);
json parse_json(const std::string& text);

double seconds_since(double start);
double now_seconds();
double median(std::vector<double> values);
// Largest resident size of this process so far, 0 where the system does not tell.
uint64_t peak_resident_bytes();

// Each subcommand, in its own file.
void add_run(CLI::App& app, Common& common, Action& action);
void add_chat(CLI::App& app, Common& common, Action& action);
void add_embed(CLI::App& app, Common& common, Action& action);
void add_tokenize(CLI::App& app, Common& common, Action& action);
void add_perplexity(CLI::App& app, Common& common, Action& action);
void add_eval(CLI::App& app, Common& common, Action& action);
void add_bench(CLI::App& app, Common& common, Action& action);
void add_inspect(CLI::App& app, Common& common, Action& action);
void add_plugins(CLI::App& app, Common& common, Action& action);
void add_doctor(CLI::App& app, Common& common, Action& action);
void add_new(CLI::App& app, Common& common, Action& action);
void add_probe(CLI::App& app, Common& common, Action& action);

}  // namespace orrery::cli
#endif
