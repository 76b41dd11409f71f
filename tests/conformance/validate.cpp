// orrery-validate PLUGIN: checks one plugin file without an engine. See README.md.
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <map>
#include <sstream>
#include <stdexcept>

#include "kit.hpp"

using namespace orrery::conformance;

namespace {

struct Arguments {
    KitOptions kit;
    bool json = false, verbose = false;
};

constexpr const char* kUsage =
    "usage: orrery-validate PLUGIN [--op ID] [--isa NAME] [--device D] [--seed S] [--reproduce S] [--timeout SECONDS] [--cases-root DIR]\n"
    "                       [--without-shaders NAMES]... [--types PLUGIN]... [--derived N] [--drawn N] [--json] [--verbose]\n"
    "  --op ID        only this operator (\"orr.add/1\" or \"add\")\n"
    "  --isa NAME     only this instruction set (generic, sse4, avx2, avx_vnni, avx512, avx512_vnni, avx512_bf16, neon)\n"
    "  --device D     the kernels of this device (vulkan, vulkan:N) instead of the processor's (cpu)\n"
    "  --without-shaders NAMES\n"
    "                 shaders that the device does without, with commas between them; * stands for any text: for one form of many\n"
    "  --seed S       of everything random, default 1\n"
    "  --reproduce S  does again what a failure of that seed was found in, in this process: for a debugger\n"
    "  --timeout T    seconds that one step of a case may take before the plugin's process is ended, default 120; 0: no limit\n"
    "  --cases-root   folder with ops/<op>/<op>.cases or <family>/ops/<op>/<op>.cases; default: ./plugins, else the current folder, else those above the plugin\n"
    "  --types        another plugin whose block types and operators the cases use; default: the other plugins in the same folder\n"
    "  --derived N    shapes derived from a case, default 12\n"
    "  --drawn N      cases drawn from an operator's descriptor, default 24\n"
    "  --json         the result as one JSON object\n"
    "  --verbose      all failures, and what ran\n";

// Of an option; refuses what is no number, or more than `most`.
uint64_t number_of(const std::string& option, const std::string& text, uint64_t most) {
    uint64_t out = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error == std::errc() && end == text.data() + text.size() && out <= most) return out;
    throw std::runtime_error(option + " is \"" + text + "\", it takes a whole number from 0 to " + std::to_string(most));
}

bool parse_value(const std::string& word, const char* v, Arguments& a) {
    constexpr uint64_t kMostSeed = (uint64_t{1} << 40) - 1, kMostSeconds = 1'000'000, kMostCases = 1'000'000;
    if (word == "--op") {
        a.kit.op = v;
    } else if (word == "--isa") {
        a.kit.isa = v;
    } else if (word == "--device") {
        a.kit.device = std::string(v) == "cpu" ? "" : v;
    } else if (word == "--without-shaders") {
        std::istringstream names(v);
        for (std::string name; std::getline(names, name, ',');) a.kit.without_shaders.push_back(name);
    } else if (word == "--cases-root") {
        a.kit.cases_root = v;
    } else if (word == "--types") {
        a.kit.types.emplace_back(v);
    } else if (word == "--seed") {
        a.kit.seed = number_of(word, v, kMostSeed);
    } else if (word == "--reproduce") {
        a.kit.reproduce = number_of(word, v, UINT64_MAX);
    } else if (word == "--timeout") {
        a.kit.timeout_s = static_cast<double>(number_of(word, v, kMostSeconds));
    } else if (word == "--derived") {
        a.kit.derived = static_cast<int>(number_of(word, v, kMostCases));
    } else if (word == "--drawn") {
        a.kit.drawn = static_cast<int>(number_of(word, v, kMostCases));
    } else {
        return false;
    }
    return true;
}

bool parse(int argc, char** argv, Arguments& a) {
    for (int n = 1; n < argc; n++) {
        const std::string word = argv[n];
        if (word == "--json") {
            a.json = true;
        } else if (word == "--verbose") {
            a.verbose = true;
        } else if (word.rfind("--", 0) == 0) {
            if (n + 1 == argc || !parse_value(word, argv[++n], a)) return false;
        } else if (a.kit.plugin.empty()) {
            a.kit.plugin = std::filesystem::absolute(word);  // a plugin may change the working directory
        } else {
            return false;
        }
    }
    if (!a.kit.without_shaders.empty() && a.kit.device.empty()) throw std::runtime_error("--without-shaders is for a device's kernels, and --device names none");
    return !a.kit.plugin.empty();
}

void print(const KitResult& result, const Arguments& a) {
    constexpr int kShown = 12;
    std::map<std::string, int> shown;
    for (const Finding& f : result.failures) {
        if (!a.verbose && shown[f.op]++ >= kShown) continue;
        std::printf("%s\n", line_of(f).c_str());
        if (f.seed && !a.kit.reproduce) std::printf("    %s\n", reproduce_command(f, a.kit).c_str());
    }
    for (const auto& [op, count] : shown)
        if (count > kShown) std::printf("%s: %d more failures (--verbose shows all)\n", op.c_str(), count - kShown);
    if (a.verbose) {
        for (const Finding& f : result.unsupported) std::printf("unsupported: %s (%s)\n", line_of(f).c_str(), f.reason.c_str());
        for (const Finding& f : result.expected) std::printf("expected failure: %s (%s)\n", line_of(f).c_str(), f.reason.c_str());
        for (const std::string& r : result.ran) std::printf("ran %s\n", r.c_str());
        for (const std::string& n : result.notes) std::printf("note: %s\n", n.c_str());
    }
    std::printf("%s: %zu operators, %lld cases, %lld checks, %zu failures, %zu unsupported, %zu expected failures (seed %llu)\n",
                a.kit.plugin.filename().c_str(), result.operators.size(), static_cast<long long>(result.cases), static_cast<long long>(result.checks),
                result.failures.size(), result.unsupported.size(), result.expected.size(), static_cast<unsigned long long>(a.kit.seed));
}

}  // namespace

int main(int argc, char** argv) {
    Arguments a;
    int failure = 2;  // usage
    for (int n = 1; n < argc; n++)
        if (std::string(argv[n]) == "--help" || std::string(argv[n]) == "-h") {
            std::fputs(kUsage, stdout);
            return 0;
        }
    try {
        if (!parse(argc, argv, a)) {
            std::fputs(kUsage, stderr);
            return 2;
        }
        const KitResult result = validate(a.kit, [&](const OperatorResult& r) {
            if (a.json) return;
            std::printf("%-28s %6lld cases %8lld checks%s\n", r.op.c_str(), static_cast<long long>(r.cases), static_cast<long long>(r.checks), r.finished ? "" : ", not finished");
            std::fflush(stdout);
        });
        if (a.json) std::printf("%s\n", to_json(result, a.kit).dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
        else print(result, a);
        failure = 1;
        const bool lost = std::ferror(stdout) != 0;
        if (std::fflush(stdout) != 0 || lost) throw std::runtime_error("stdout cannot be written: the result is lost");
        return result.good() ? 0 : 1;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "orrery-validate: %s\n", e.what());
        return failure;
    }
}
