#include "common.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <sstream>

#include "interrupt.hpp"

namespace orrery::cli {
namespace {

const std::map<std::string, uint32_t> kIsas = {{"auto", ORR_ISA_AUTO},
                                               {"generic", ORR_ISA_GENERIC},
                                               {"sse4", ORR_ISA_SSE4},
                                               {"avx2", ORR_ISA_AVX2},
                                               {"avx_vnni", ORR_ISA_AVX_VNNI},
                                               {"avx512", ORR_ISA_AVX512},
                                               {"avx512_vnni", ORR_ISA_AVX512_VNNI},
                                               {"avx512_bf16", ORR_ISA_AVX512_BF16},
                                               {"neon", ORR_ISA_NEON}};
const std::map<std::string, uint32_t> kNumerics = {{"default", ORR_NUMERICS_DEFAULT}, {"exact", ORR_NUMERICS_EXACT}, {"fast", ORR_NUMERICS_FAST}};

std::vector<std::string> keys(const std::map<std::string, uint32_t>& m) {
    std::vector<std::string> out;
    for (const auto& [key, value] : m) out.push_back(key);
    return out;
}

std::string check_device(const std::string& value) {
    if (value == "cpu" || value == "vulkan") return "";
    if (value.rfind("vulkan:", 0) == 0 && value.size() > 7 && value.find_first_not_of("0123456789", 7) == std::string::npos) return "";
    return "device \"" + value + "\" is none of cpu, vulkan, vulkan:N";
}

void log_to_stderr(void*, int32_t level, const char* text) {
    static const char* const names[] = {"error", "warning", "info", "debug"};
    std::fprintf(stderr, "orrery: %s: %s\n", level >= 0 && level < 4 ? names[level] : "log", text);
}

template <class Open>
host::Model open_with_progress(const std::string& path, const Common& common, Open open) {
    struct Opening {
        Interrupt interrupt{[] {}};
        ProgressLine line;
        ProgressLine::Scope shown{line};
    } opening;
    orr_model_options options = host::options<orr_model_options>();
    options.path = path.c_str();
    options.device = common.device.c_str();
    options.progress = [](void* user, double fraction, const char* what) {
        auto& o = *static_cast<Opening*>(user);
        o.line.show(fraction, what);
        return !o.interrupt.seen();
    };
    options.progress_user = &opening;
    options.allow_extra_tensors = common.allow_extra_tensors;
    return open(options);
}

constexpr double kLineDelay = 0.5, kLineInterval = 0.1, kPlainInterval = 10;  // seconds

}  // namespace

void ProgressLine::show(double fraction, const char* what) {
    const double now = now_seconds();
    if (!on_) return;
    const bool terminal = isatty(STDERR_FILENO);
    if (now - last_ < (shown_ && terminal ? kLineInterval : terminal ? kLineDelay : kPlainInterval)) return;
    const int percent = static_cast<int>(fraction * 100);
    if (terminal)
        std::fprintf(stderr, "\r\033[K%3d %% %s", percent, what ? what : "");
    else
        std::fprintf(stderr, "orrery: %s, %d %%, for %.0f s so far\n", what ? what : "working", percent, now - start_);
    std::fflush(stderr);
    last_ = now;
    shown_ = terminal;
}

void ProgressLine::begin() {
    start_ = last_ = now_seconds();
    on_ = true;
}

void ProgressLine::end() {
    if (shown_) std::fputs("\r\033[K", stderr);
    on_ = shown_ = false;
}

void ProgressLine::follow(orr_session_options& options) {
    options.progress = [](void* user, double fraction, const char* what) {
        static_cast<ProgressLine*>(user)->show(fraction, what);
        return true;
    };
    options.progress_user = this;
}

void add_common(CLI::App& app, Common& c) {
    const std::string group = "Common options";
    app.add_option("--device", c.device, "cpu, vulkan or vulkan:N")->check(CLI::Validator(check_device, "DEVICE"))->group(group);
    app.add_option("--without-shaders", c.without_shaders, "shaders that the device does without: names with commas between them, * stands for any text")
        ->allow_extra_args(false)
        ->delimiter(',')
        ->group(group);
    app.add_option("--threads", c.threads, "threads to use; 0: all")->check(CLI::Range(0, 1024))->group(group);
    app.add_option("--plugins", c.plugins, "another folder of plugins, searched first")->allow_extra_args(false)->group(group);
    app.add_option("--isa", c.isa, "best CPU instruction set to use")->check(CLI::IsMember(keys(kIsas)))->group(group);
    app.add_option("--cache-type", c.cache_type, "element type of the key/value cache: f16, f32, bf16, q8_0")
        ->check(CLI::IsMember({"f16", "f32", "bf16", "q8_0"}))
        ->group(group);
    app.add_option("--numerics", c.numerics, "exact, default or fast")->check(CLI::IsMember(keys(kNumerics)))->group(group);
    app.add_option("--context", c.context, "tokens that the session can hold; 0: the model's own, at most 8192")
        ->check(CLI::Range(int64_t{0}, int64_t{1} << 31))
        ->group(group);
    app.add_flag("--allow-extra-tensors", c.allow_extra_tensors, "run a checkpoint that holds tensors which the architecture does not know")->group(group);
    app.add_flag("--json", c.json, "print JSON, and nothing else, on stdout")->group(group);
    app.add_flag("--verbose", c.verbose, "let the engine log details on stderr")->group(group);
}

host::Engine make_engine(const Common& c) {
    orr_engine_options options = host::options<orr_engine_options>();
    const auto list = [](const std::vector<std::string>& texts) {
        std::vector<const char*> out;
        for (const std::string& text : texts) out.push_back(text.c_str());
        out.push_back(nullptr);
        return out;
    };
    const std::vector<const char*> dirs = list(c.plugins), without = list(c.without_shaders);
    options.plugin_dirs = dirs.data();
    options.without_shaders = without.data();
    options.log = log_to_stderr;
    options.log_level = c.verbose ? ORR_LOG_DEBUG : ORR_LOG_WARNING;
    options.isa = kIsas.at(c.isa);
    return host::Engine(&options);
}

host::Model open_model(const host::Engine& engine, const std::string& path, const Common& common) {
    return open_with_progress(path, common, [&](const orr_model_options& o) { return engine.open(o); });
}

host::Model open_tokenizer(const host::Engine& engine, const std::string& path, const Common& common) {
    return open_with_progress(path, common, [&](const orr_model_options& o) { return engine.open_tokenizer(o); });
}

orr_session_options session_options(const Common& c) {
    orr_session_options options = host::options<orr_session_options>();
    options.context = c.context;
    options.threads = c.threads;
    options.numerics = kNumerics.at(c.numerics.value_or("default"));
    options.cache_type = c.cache_type ? c.cache_type->c_str() : nullptr;
    options.isa = kIsas.at(c.isa);
    return options;
}

std::filesystem::path executable_path() { return std::filesystem::read_symlink("/proc/self/exe"); }

std::string read_file(const std::string& path) {
    if (path == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
    std::error_code none;
    const std::filesystem::file_status status = std::filesystem::status(path, none);
    if (std::filesystem::is_character_file(status) || std::filesystem::is_block_file(status)) throw host::Error(ORR_IO, path + ": is a device, which may have no end; wanted a file, or - for standard input");
    std::ifstream file(path, std::ios::binary);
    if (!file) throw host::Error(ORR_NOT_FOUND, path + ": cannot be opened for reading");
    std::string bytes;
    try {
        bytes.assign(std::istreambuf_iterator<char>(file), {});
    } catch (const std::ios_base::failure&) {  // a folder, say
        throw host::Error(ORR_IO, path + ": cannot be read as a file");
    }
    if (file.bad()) throw host::Error(ORR_IO, path + ": reading failed");
    return bytes;
}

json parse_json(const std::string& text) {
    json value = json::parse(text, nullptr, false);
    if (value.is_discarded()) throw host::Error(ORR_INTERNAL, "the engine gave text that is not JSON: " + text.substr(0, 80));
    return value;
}

double now_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double seconds_since(double start) { return now_seconds() - start; }

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const size_t n = values.size();
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

uint64_t peak_resident_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind("VmHWM:", 0) == 0) return std::stoull(line.substr(6)) * 1024;
    return 0;
}

}  // namespace orrery::cli
