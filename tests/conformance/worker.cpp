#include "worker.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "checker.hpp"
#include "engine/backend/devices.hpp"
#include "plugin_checks.hpp"
#include "processes.hpp"

namespace orrery::conformance {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

template <class Table>
const Table* extension(const orr_plugin* plugin, const char* id) {
    return static_cast<const Table*>(plugin->get_extension(id));
}

// The plugins whose types and operators the cases may use beside those of the one under test. What cannot be opened is passed over, unless it was named.
std::vector<const orr_plugin*> open_others(const KitOptions& o, const orr_host* host) {
    std::vector<const orr_plugin*> out;
    for (const fs::path& file : o.types) out.push_back(open_plugin(file, host));
    if (!o.types.empty()) return out;
    const fs::path folder = fs::absolute(o.plugin).parent_path();
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder)) {
        auto manifest = entry.path();
        manifest.replace_extension(".orrery.json");
        if (entry.path().extension() == o.plugin.extension() && entry.path().filename() != o.plugin.filename() && fs::exists(manifest)) files.push_back(entry.path());
    }
    for (const fs::path& file : files) try {
            out.push_back(open_plugin(file, host));
        } catch (const std::exception&) {
        }
    return out;
}

json to_event(const Failure& f) { return {{"failure", {{"check", f.check}, {"op", f.op}, {"where", f.where}, {"what", f.what}, {"seed", f.seed}}}}; }

void copy_text(char* dst, size_t size, const std::string& text) {
    const size_t n = std::min(size - 1, text.size());
    std::memcpy(dst, text.data(), n);
    dst[n] = 0;
}

class Worker {
  public:
    Worker(const KitOptions& options, Progress& progress, const std::function<void(const json&)>& emit, bool own_process)
        : o_(options), progress_(progress), emit_(emit), own_process_(own_process) {}

    void run(const std::set<std::string>& done) {
        if (!done.count("") && !o_.reproduce) {
            step("", "the plugin as a whole", 0);
            emit_({{"begin", ""}});
            check_plugin_file(o_.plugin, host_, report_);
            check_processes("");
            finish("");
        }
        step("", "loading", 0);
        try {
            plugin_ = open_plugin(o_.plugin, &host_.table);
        } catch (const std::exception& e) {
            if (done.count("") || o_.reproduce) emit_({{"error", o_.plugin.string() + ": " + e.what()}});  // else told already
            emit_({{"end", true}});
            return;
        }
        const std::string tables = tables_text(*plugin_);
        prepare();
        const auto* operators = extension<orr_operators>(plugin_, ORR_EXT_OPERATORS);
        json ids = json::array();
        for (uint32_t n = 0; operators && n < operators->count; n++) ids.push_back(operators->items[n]->id);
        emit_({{"operators", ids}});
        Checker checker(host_, pool_, types_, options_, report_);
        for (uint32_t n = 0; operators && n < operators->count; n++) {
            const orr_operator& op = *operators->items[n];
            if (done.count(op.id) || (!o_.op.empty() && o_.op != op.id && o_.op != folder_of(op.id))) continue;
            emit_({{"begin", op.id}});
            check(checker, op);
            if (tables_text(*plugin_) != tables) report_.failures.push_back({"tables", op.id, "", "the plugin's tables have changed meanwhile", 0});
            finish(op.id);
        }
        emit_({{"end", true}});
    }

  private:
    void prepare() {
        types_.add(extension<orr_types>(plugin_, ORR_EXT_TYPES));
        const auto add = [&](const orr_plugin* plugin) {
            const auto* t = extension<orr_operators>(plugin, ORR_EXT_OPERATORS);
            for (uint32_t n = 0; t && n < t->count; n++) options_.operators.emplace(t->items[n]->id, t->items[n]);
        };
        add(plugin_);
        for (const orr_plugin* other : open_others(o_, &host_.table)) {
            types_.add(extension<orr_types>(other, ORR_EXT_TYPES));
            add(other);
        }
        options_.seed = o_.reproduce ? seed_of_unit(*o_.reproduce) : o_.seed;
        options_.only = o_.reproduce;
        options_.derived_per_case = o_.derived;
        options_.drawn_per_operator = o_.drawn;
        options_.formulas = extension<orr_expressions>(plugin_, ORR_EXT_EXPRESSIONS);
        options_.on_step = [this](const std::string& op, const std::string& where, uint64_t seed) { step(op, where, seed); };
        for (const uint32_t isa : machine_isas())
            if (o_.isa.empty() || o_.isa == isa_name(isa)) options_.isas.push_back(isa);
        if (options_.isas.empty()) throw std::runtime_error("this machine has no instruction set \"" + o_.isa + "\"");
        if (o_.device.empty() || o_.device == "cpu") return;
        orr_engine_options engine{};
        engine.header = ORR_HEADER(orr_engine_options);
        engine.no_self_test = true;  // kernels are tested here, whatever was found before
        std::vector<const char*> without;
        for (const std::string& pattern : o_.without_shaders) without.push_back(pattern.c_str());
        without.push_back(nullptr);
        engine.without_shaders = without.data();
        devices_ = std::make_unique<Devices>(engine);
        options_.device = devices_->get(o_.device);
    }

    void check(Checker& checker, const orr_operator& op) {
        const int64_t nested = pool_.nested(), threads = thread_count();
        step(op.id, "reading its cases", 0);
        std::vector<Case> cases;
        try {
            const fs::path file = find_cases(o_, op.id);
            cases = read_cases(file, types_);
            const bool any = std::any_of(cases.begin(), cases.end(), [](const Case& c) { return !c.fails; });
            if (!any) throw std::runtime_error(file.string() + " holds no case " + (cases.empty() ? "" : "with outputs ") + "of " + op.id + ": nothing from outside says what it should give");
        } catch (const std::exception& e) {
            report_.failures.push_back({"case", op.id, "", e.what(), 0});
        }
        checker.check(op, cases);
        if (pool_.nested() > nested) report_.failures.push_back({"abi", op.id, "", "parallel_for was nested " + std::to_string(pool_.nested() - nested) + " times", 0});
        if (!options_.device && thread_count() > threads)
            report_.failures.push_back({"threads", op.id, "", "leaves " + std::to_string(thread_count() - threads) + " threads of its own running", 0});
        check_processes(op.id);
    }

    void check_processes(const std::string& op) {
        const int left = own_process_ ? end_children() : 0;
        if (left > 0) report_.failures.push_back({"processes", op, "", "leaves " + std::to_string(left) + (left == 1 ? " process" : " processes") + " that it started", 0});
    }

    // By what was done last; told once for each operator.
    void check_printed() {
        if (!own_process_) return;
        std::fflush(stdout);
        const std::string line = first_line_printed(take_output(STDOUT_FILENO), options_.device != nullptr);
        if (!line.empty() && printed_.insert(progress_.op).second) report_.failures.push_back({"prints", progress_.op, progress_.where, "prints \"" + line + "\"", progress_.seed});
    }

    // By what was done last; put back, so that each who does it is told.
    void check_surroundings() {
        for (const std::string& what : surroundings_.restore()) report_.failures.push_back({"abi", progress_.op, progress_.where, what, progress_.seed});
    }

    void step(const std::string& op, const std::string& where, uint64_t seed) {
        check_printed();
        check_surroundings();
        copy_text(progress_.op, sizeof progress_.op, op);
        copy_text(progress_.where, sizeof progress_.where, where);
        progress_.seed = seed;
        progress_.steps++;
        tell_failures();
    }

    // At once: whoever crashes next takes nothing with it.
    void tell_failures() {
        for (const Failure& f : report_.failures) emit_(to_event(f));
        report_.failures.clear();
    }

    void finish(const std::string& id) {
        check_printed();
        check_surroundings();
        tell_failures();
        emit_({{"done", id}, {"checks", report_.checks}, {"cases", report_.cases}, {"ran", report_.ran}, {"notes", report_.notes}});
        report_ = Report();
    }

    const KitOptions& o_;
    Progress& progress_;
    const std::function<void(const json&)>& emit_;
    const bool own_process_;
    std::set<std::string> printed_;  // operators
    Surroundings surroundings_;
    Host host_;
    Pool pool_;
    Types types_;
    Options options_;
    Report report_;
    std::unique_ptr<Devices> devices_;
    const orr_plugin* plugin_ = nullptr;
};

}  // namespace

std::string folder_of(const std::string& id) {
    const size_t dot = id.find('.'), from = dot == std::string::npos ? 0 : dot + 1;
    return id.substr(from, id.rfind('/') - from);
}

fs::path find_cases(const KitOptions& o, const std::string& id) {
    const std::string op = folder_of(id);
    const fs::path inside = fs::path("ops") / op / (op + ".cases"), family = o.plugin.stem();
    const auto at = [&](const fs::path& root) -> fs::path {
        for (const fs::path& folder : {root / family, root, root / "plugins" / family})
            if (fs::exists(folder / inside)) return folder / inside;
        return {};
    };
    const auto below = [&](const fs::path& root) -> fs::path {
        if (const fs::path found = at(root); !found.empty()) return found;
        std::error_code failed;
        for (fs::directory_iterator it(root, failed), end; !failed && it != end; it.increment(failed))
            if (fs::exists(it->path() / inside)) return it->path() / inside;
        return {};
    };
    const fs::path root = o.cases_root.empty() ? fs::path(fs::is_directory("plugins") ? "plugins" : ".") : o.cases_root;
    if (const fs::path found = below(root); !found.empty()) return found;
    constexpr int kUp = 5;  // <project>/build/<preset>/lib/orrery/<plugin>
    fs::path folder = fs::absolute(o.plugin).parent_path();
    for (int n = 0; o.cases_root.empty() && n < kUp && folder != folder.parent_path(); n++, folder = folder.parent_path())
        if (const fs::path found = at(folder); !found.empty()) return found;
    std::string where = fs::absolute(root).lexically_normal().string();
    if (where.ends_with("/.")) where.resize(where.size() - 2);
    if (where.size() > 1 && where.back() == '/') where.pop_back();
    throw std::runtime_error(inside.string() + " is not below " + where + (o.cases_root.empty() ? ", nor with the plugin" : "") + "; --cases-root names the folder that it is in");
}

void work(const KitOptions& options, const std::set<std::string>& done, Progress& progress, const std::function<void(const json&)>& emit, bool own_process) {
    Worker(options, progress, emit, own_process).run(done);
}

}  // namespace orrery::conformance
