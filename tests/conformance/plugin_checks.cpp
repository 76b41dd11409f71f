#include "plugin_checks.hpp"

#include <dlfcn.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/registry/check_tables.hpp"
#include "engine/registry/manifest.hpp"
#include "engine/registry/registry.hpp"
#include "engine/registry/token_axis.hpp"
#include "exports.hpp"
#include "orrery/plugin.hpp"

namespace orrery::conformance {
namespace {

namespace fs = std::filesystem;

struct Library {
    void* handle = nullptr;
    const orr_plugin* plugin = nullptr;
};

Library load(const fs::path& file, const orr_host* host) {
    Library out;
    dlerror();
    out.handle = dlopen(fs::absolute(file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!out.handle) throw std::runtime_error(dlerror());
    const auto entry = reinterpret_cast<orr_plugin_entry_fn>(dlsym(out.handle, "orr_plugin_entry"));
    if (!entry) throw std::runtime_error("exports no orr_plugin_entry");
    out.plugin = contained("orr_plugin_entry", [&] { return entry(host); });
    if (!out.plugin) throw std::runtime_error("its entry returned NULL");
    const std::string name = file.filename().string();
    try {
        check_plugin(*out.plugin, name);
        check_tables(*out.plugin, name);
    } catch (const Error&) {  // what the tables say is wrong
        throw;
    } catch (const std::exception& e) {
        throw Escaped(std::string("get_extension let an exception out: ") + e.what());
    } catch (...) {
        throw Escaped("get_extension let an exception out that is no std::exception");
    }
    return out;
}

class Plain {
  public:
    Plain(const fs::path& file, Report& report) : file_(file), report_(report) {}
    void expect(const char* check, bool good, const std::string& what) {
        report_.checks++;
        if (!good) report_.failures.push_back({check, "", file_.filename().string(), what, 0});
    }

  private:
    const fs::path& file_;
    Report& report_;
};

void check_exports(const fs::path& file, Plain& plain, Report& report) {
    const Exports exports = read_exports(file);
    if (!exports.known) {
        report.notes.insert("exported symbols: not checked: " + exports.why);
        return;
    }
    std::string others;
    int count = 0;
    for (const std::string& name : exports.names)
        if (name != "orr_plugin_entry" && ++count <= 5) others += " " + name;
    plain.expect("exports", count == 0, "exports " + std::to_string(count) + " symbols beside orr_plugin_entry:" + others);
}

void check_manifest(const fs::path& file, const orr_plugin& plugin, Plain& plain) {
    auto path = file;
    path.replace_extension(".orrery.json");
    std::ifstream in(path);
    plain.expect("manifest", static_cast<bool>(in), path.filename().string() + " is not beside the plugin; orrery-manifest writes it");
    if (!in) return;
    const auto says = nlohmann::ordered_json::parse(in, nullptr, false);
    plain.expect("manifest", says.is_object(), path.filename().string() + " is no JSON object");
    if (!says.is_object()) return;
    auto holds = manifest_of(plugin);
    holds["file"] = file.filename().string();
    for (const auto& [key, value] : holds.items()) {
        const auto found = says.find(key);
        if (found == says.end() && value.is_array() && value.empty()) continue;  // a kind of contents that came after the manifest was written
        const std::string text = found == says.end() ? "nothing" : found->dump();
        // The first difference is what one looks for in a long list.
        size_t at = 0;
        const std::string want = value.dump();
        while (at < text.size() && at < want.size() && text[at] == want[at]) at++;
        const size_t from = at > 40 ? at - 40 : 0;
        plain.expect("manifest", text == want, "\"" + key + "\" of the manifest is …" + text.substr(from, 120) + ", the library holds …" + want.substr(from, 120));
    }
    for (const auto& [key, value] : says.items()) plain.expect("manifest", holds.contains(key), "the manifest holds \"" + key + "\", which nobody knows");
}

int64_t entries_of(const char* folder) {
    std::error_code failed;
    int64_t count = 0;
    for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) count++;
    return failed ? -1 : count;
}

int64_t heap() {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33) && !defined(__SANITIZE_ADDRESS__)
    const struct mallinfo2 m = mallinfo2();
    return static_cast<int64_t>(m.uordblks + m.hblkhd);
#else
    return 0;
#endif
}

// Bytes of the heap that every one of the later rounds leaves behind, at least.
template <class Round>
int64_t growth(int rounds, Round&& round) {
    int64_t least = INT64_MAX;
    for (int n = 0; n < rounds; n++) {
        const int64_t before = heap();
        round(n);
        if (n >= rounds / 2) least = std::min(least, heap() - before);
    }
    return least;
}

void check_reload(const fs::path& file, Host& host, Plain& plain, Report& report) {
    constexpr int64_t kSlackBytes = 1024;  // glibc keeps some hundred bytes for a library that has registered destructors
    std::string first;
    const int64_t outstanding = host.outstanding, threads = thread_count();
    const auto round = [&](int n) {
        const Library library = load(file, &host.table);
        std::string text = tables_text(*library.plugin), other;
        std::thread([&] { other = tables_text(*library.plugin); }).join();
        plain.expect("threads", text == other, "its tables tell another thread something else");
        if (first.empty()) first = text;
        plain.expect("reload", text == first, "its tables are others when it is loaded for the " + std::to_string(n + 1) + "th time");
        dlclose(library.handle);
    };
    // What the loader itself keeps, without a call into the plugin; and what some rounds leave by chance, many do not.
    const auto bare = [&](int) {
        if (void* handle = dlopen(fs::absolute(file).c_str(), RTLD_NOW | RTLD_LOCAL)) dlclose(handle);
    };
    int64_t left = 0;
    for (const int rounds : {6, 24}) {
        left = growth(rounds, round) - growth(rounds, bare);
        if (left <= kSlackBytes) break;
    }
    plain.expect("reload", left <= kSlackBytes, "each load and unload leaves " + std::to_string(left) + " bytes of the heap behind");
    plain.expect("leak", host.outstanding == outstanding, std::to_string(host.outstanding - outstanding) + " allocations of the host's memory outlive the plugin");
    plain.expect("threads", thread_count() <= threads, "its loading leaves " + std::to_string(thread_count() - threads) + " threads behind");
    void* still = dlopen(fs::absolute(file).c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    if (still) {
        dlclose(still);
        report.notes.insert("the library stays in memory after it is closed: that unloading works was not checked");
    }
}

// What the engine makes of the file: found, loaded, and found again.
void check_rescan(const fs::path& file, Plain& plain) {
    const fs::path folder = fs::temp_directory_path() / ("orrery-validate-" + std::to_string(getpid()));
    auto manifest = fs::absolute(file);
    manifest.replace_extension(".orrery.json");
    struct Remove {
        const fs::path& folder;
        ~Remove() {
            std::error_code ignored;
            fs::remove_all(folder, ignored);
        }
    } remove{folder};
    try {
        fs::create_directories(folder);
        fs::create_symlink(fs::absolute(file), folder / file.filename());
        fs::create_symlink(manifest, folder / manifest.filename());
        Host host;
        Registry registry(&host.table);
        registry.scan(folder.string(), true);
        registry.load_all();
        const std::string once = registry.describe("plugins").dump() + registry.describe("operators").dump();
        registry.rescan();
        registry.load_all();
        const std::string twice = registry.describe("plugins").dump() + registry.describe("operators").dump();
        const auto problems = registry.describe("conflicts");
        plain.expect("reload", problems.empty(), "the engine says: " + problems.dump());
        plain.expect("reload", once == twice, "the engine finds other contents when it scans the folder again");
    } catch (const std::exception& e) {
        plain.expect("reload", false, std::string("the engine refuses it: ") + e.what());
    }
}

}  // namespace

int64_t thread_count() { return entries_of("/proc/self/task"); }
int64_t open_file_count() { return entries_of("/proc/self/fd"); }

const orr_plugin* open_plugin(const fs::path& file, const orr_host* host) { return load(file, host).plugin; }

std::string tables_text(const orr_plugin& plugin) {
    std::string out = manifest_of(plugin).dump();
    const auto* t = static_cast<const orr_operators*>(plugin.get_extension(ORR_EXT_OPERATORS));
    const auto add = [&](const char* text) { out += std::string(text ? text : "") + "\n"; };
    for (uint32_t n = 0; t && n < t->count; n++) {
        const orr_operator& op = *t->items[n];
        add(op.summary);
        out += std::to_string(op.traits) + (op.decompose ? " decomposes" : "") + "\n";
        for (const auto& [count, ports] : {std::pair(op.n_inputs, op.inputs), std::pair(op.n_outputs, op.outputs)})
            for (uint32_t i = 0; i < count; i++) {
                for (const char* text : {ports[i]->name, ports[i]->types, ports[i]->doc}) add(text);
                out += std::to_string(ports[i]->flags) + " " + std::to_string(told_token_axis(*ports[i]).value_or(ORR_MAX_RANK)) + "\n";
            }
        for (uint32_t i = 0; i < op.n_attrs; i++) {
            for (const char* text : {op.attrs[i]->name, op.attrs[i]->default_json, op.attrs[i]->doc}) add(text);
            add(ORR_HAS(op.attrs[i], orr_attr_desc, range) ? op.attrs[i]->range : nullptr);
            out += std::to_string(op.attrs[i]->kind) + "\n";
        }
        for (uint32_t i = 0; i < op.n_kernels; i++) {
            for (const char* text : {op.kernels[i]->name, op.kernels[i]->device}) add(text);
            out += std::to_string(op.kernels[i]->flags) + "\n";
        }
    }
    return out;
}

void check_plugin_file(const fs::path& file, Host& host, Report& report) {
    Plain plain(file, report);
    check_exports(file, plain, report);
    try {
        const Library library = load(file, &host.table);
        check_manifest(file, *library.plugin, plain);
        dlclose(library.handle);
        check_reload(file, host, plain, report);
    } catch (const Escaped& e) {
        plain.expect("exception", false, e.what());
        return;
    } catch (const std::exception& e) {
        plain.expect("tables", false, e.what());
        return;
    }
    auto manifest = file;
    manifest.replace_extension(".orrery.json");
    if (fs::exists(manifest)) check_rescan(file, plain);
}

}  // namespace orrery::conformance
