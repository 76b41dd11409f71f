// orrery-validate PLUGIN.so: checks the operators of one plugin file without an engine. See README.md.
#include <dlfcn.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "checker.hpp"
#include "engine/backend/devices.hpp"

using namespace orrery::conformance;
namespace fs = std::filesystem;

namespace {

struct Arguments {
    fs::path plugin, cases_root = fs::is_directory("plugins") ? "plugins" : ".";
    std::vector<fs::path> types;
    std::string op, isa, device;
    uint64_t seed = 1;
    int derived = 12;
    bool json = false, verbose = false;
};

constexpr const char* kUsage =
    "usage: orrery-validate PLUGIN.so [--op ID] [--isa NAME] [--device D] [--seed S] [--cases-root DIR] [--types PLUGIN.so]... [--derived N] [--json] [--verbose]\n"
    "  --op ID        only this operator (\"orr.add/1\" or \"add\")\n"
    "  --isa NAME     only this instruction set (generic, sse4, avx2, avx_vnni, avx512, avx512_vnni, avx512_bf16, neon)\n"
    "  --device D     the kernels of this device (vulkan, vulkan:N) instead of the processor's\n"
    "  --seed S       of the random values of derived shapes, default 1\n"
    "  --cases-root   folder with ops/<op>/<op>.cases or <family>/ops/<op>/<op>.cases, default ./plugins, else the current folder\n"
    "  --types        another plugin whose block types the cases use; default: the other plugins in the same folder\n"
    "  --derived N    derived shapes a case, default 12\n";

bool parse(int argc, char** argv, Arguments& a) {
    for (int n = 1; n < argc; n++) {
        const std::string word = argv[n];
        const auto value = [&]() -> const char* { return n + 1 < argc ? argv[++n] : nullptr; };
        const char* v = nullptr;
        if (word == "--json") {
            a.json = true;
        } else if (word == "--verbose") {
            a.verbose = true;
        } else if (word.rfind("--", 0) == 0) {
            if (!(v = value())) return false;
            if (word == "--op") {
                a.op = v;
            } else if (word == "--isa") {
                a.isa = v;
            } else if (word == "--device") {
                a.device = v;
            } else if (word == "--seed" || word == "--derived") {
                char* end = nullptr;
                const uint64_t number = std::strtoull(v, &end, 10);
                if (*end || !*v) return false;
                if (word == "--seed") a.seed = number;
                if (word == "--derived") a.derived = static_cast<int>(number);
            } else if (word == "--cases-root") {
                a.cases_root = v;
            } else if (word == "--types") {
                a.types.emplace_back(v);
            } else {
                return false;
            }
        } else if (a.plugin.empty()) {
            a.plugin = word;
        } else {
            return false;
        }
    }
    return !a.plugin.empty();
}

// NULL, with a line on stderr unless `quiet`, when the file is no plugin for us.
const orr_plugin* open_plugin(const fs::path& file, const orr_host* host, bool quiet) {
    const auto complain = [&](const std::string& text) -> const orr_plugin* {
        if (!quiet) std::fprintf(stderr, "orrery-validate: %s: %s\n", file.c_str(), text.c_str());
        return nullptr;
    };
    void* library = dlopen(fs::absolute(file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return complain(dlerror());
    const auto entry = reinterpret_cast<orr_plugin_entry_fn>(dlsym(library, "orr_plugin_entry"));
    if (!entry) return complain("exports no orr_plugin_entry");
    const orr_plugin* plugin = entry(host);
    if (!plugin) return complain("its entry returned NULL");
    if (plugin->header.abi_major != ORR_ABI_MAJOR)
        return complain("is built for ABI " + std::to_string(plugin->header.abi_major) + ", this is " + std::to_string(ORR_ABI_MAJOR));
    if (std::strcmp(plugin->sanitizer, ORR_SANITIZER) != 0)
        return complain(std::string("is built with sanitizer \"") + plugin->sanitizer + "\", this with \"" + ORR_SANITIZER + "\"");
    return plugin;
}

void add_types(Types& types, const orr_plugin* plugin) {
    if (plugin) types.add(static_cast<const orr_types*>(plugin->get_extension(ORR_EXT_TYPES)));
}

// "orr.add/1" -> "add"
std::string folder_of(const std::string& id) {
    const size_t dot = id.find('.'), slash = id.rfind('/');
    return id.substr(dot == std::string::npos ? 0 : dot + 1, slash - (dot == std::string::npos ? 0 : dot + 1));
}

fs::path find_cases(const fs::path& root, const std::string& family, const std::string& op) {
    const fs::path inside = fs::path("ops") / op / (op + ".cases");
    if (fs::exists(root / family / inside)) return root / family / inside;
    if (fs::exists(root / inside)) return root / inside;
    std::error_code failed;
    for (fs::directory_iterator it(root, failed), end; !failed && it != end; it.increment(failed))
        if (fs::exists(it->path() / inside)) return it->path() / inside;
    throw std::runtime_error(inside.string() + " is not below " + fs::absolute(root).lexically_normal().string() + "; --cases-root names the folder that it is in");
}

const Checker* active = nullptr;

// A kernel that reads or writes outside its tensors: says where, as far as that still works.
void on_crash(int signal) {
    const auto say = [](const char* text, size_t size) { return write(STDERR_FILENO, text, size); };
    static constexpr char kText[] = ": memory outside the tensors was touched (the process ends): ";
    if (active) {
        (void)!say(active->op().data(), active->op().size());
        (void)!say(kText, sizeof kText - 1);
        (void)!say(active->where().data(), active->where().size());
        (void)!say("\n", 1);
    }
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

nlohmann::ordered_json to_json(const Report& report, const Arguments& a) {
    nlohmann::ordered_json out;
    out["plugin"] = a.plugin.string();
    out["seed"] = a.seed;
    out["device"] = a.device.empty() ? "cpu" : a.device;
    out["cases"] = report.cases;
    out["checks"] = report.checks;
    out["ran"] = report.ran;
    out["failures"] = nlohmann::ordered_json::array();
    for (const Failure& f : report.failures) out["failures"].push_back({{"op", f.op}, {"where", f.where}, {"what", f.what}});
    return out;
}

// "op: where: what", without those that are empty.
std::string line_of(const Failure& f) { return (f.op.empty() ? "" : f.op + ": ") + (f.where.empty() ? "" : f.where + ": ") + f.what; }

int validate(const Arguments& a) {
    static Host host;
    const orr_plugin* plugin = open_plugin(a.plugin, &host.table, false);
    if (!plugin) return 1;
    Types types;
    add_types(types, plugin);
    for (const fs::path& other : a.types) add_types(types, open_plugin(other, &host.table, false));
    if (a.types.empty())
        for (const auto& entry : fs::directory_iterator(fs::absolute(a.plugin).parent_path()))
            if (entry.path().extension() == a.plugin.extension() && entry.path().filename() != a.plugin.filename())
                add_types(types, open_plugin(entry.path(), &host.table, true));

    Options options;
    options.seed = a.seed;
    options.derived_per_case = a.derived;
    for (const uint32_t isa : machine_isas())
        if (a.isa.empty() || a.isa == isa_name(isa)) options.isas.push_back(isa);
    if (options.isas.empty()) {
        std::fprintf(stderr, "orrery-validate: this machine has no instruction set \"%s\"\n", a.isa.c_str());
        return 2;
    }

    orr_engine_options engine{};
    engine.header = ORR_HEADER(orr_engine_options);
    engine.no_self_test = true;  // kernels are tested here, whatever was found before
    orrery::Devices devices(engine);
    options.device = devices.get(a.device);

    options.formulas = static_cast<const orr_expressions*>(plugin->get_extension(ORR_EXT_EXPRESSIONS));

    Pool pool;
    Report report;
    Checker checker(host, pool, types, options, report);
    active = &checker;
    // A sanitizer tells more itself.
    if (!*ORR_SANITIZER)
        for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) std::signal(signal, on_crash);
    const auto* operators = static_cast<const orr_operators*>(plugin->get_extension(ORR_EXT_OPERATORS));
    const std::string family = a.plugin.stem().string();
    int found = 0;
    for (uint32_t n = 0; operators && n < operators->count; n++) {
        const orr_operator& op = *operators->items[n];
        if (!a.op.empty() && a.op != op.id && a.op != folder_of(op.id)) continue;
        found++;
        const size_t failures = report.failures.size();
        const int64_t checks = report.checks;
        try {
            checker.check(op, read_cases(find_cases(a.cases_root, family, folder_of(op.id)), types));
        } catch (const std::exception& e) {
            report.failures.push_back({op.id, "", e.what()});
        }
        if (!a.json) std::printf("%-28s %8lld checks, %zu failures\n", op.id, static_cast<long long>(report.checks - checks), report.failures.size() - failures);
        if (!a.json) std::fflush(stdout);
    }
    if (!a.op.empty() && found == 0) {
        std::fprintf(stderr, "orrery-validate: %s has no operator \"%s\"\n", a.plugin.c_str(), a.op.c_str());
        return 2;
    }
    if (pool.nested() > 0) report.failures.push_back({"", "", "parallel_for was nested " + std::to_string(pool.nested()) + " times"});
    if (a.json) {
        std::printf("%s\n", to_json(report, a).dump(1).c_str());
    } else {
        constexpr int kShown = 12;
        std::map<std::string, int> shown;
        for (const Failure& f : report.failures)
            if (a.verbose || shown[f.op]++ < kShown) std::printf("%s\n", line_of(f).c_str());
        for (const auto& [op, count] : shown)
            if (count > kShown) std::printf("%s: %d more failures (--verbose shows all)\n", op.c_str(), count - kShown);
        if (a.verbose)
            for (const std::string& r : report.ran) std::printf("ran %s\n", r.c_str());
        std::printf("%s: %d operators, %lld cases, %lld checks, %zu failures (seed %llu)\n", a.plugin.filename().c_str(), found,
                    static_cast<long long>(report.cases), static_cast<long long>(report.checks), report.failures.size(), static_cast<unsigned long long>(a.seed));
    }
    return report.failures.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments a;
    if (!parse(argc, argv, a)) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    try {
        return validate(a);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "orrery-validate: %s\n", e.what());
        return 1;
    }
}
