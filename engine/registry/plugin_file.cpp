#include "engine/registry/plugin_file.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "engine/platform/files.hpp"
#include "engine/registry/json_text.hpp"
#include "engine/registry/check_tables.hpp"
#include "engine/registry/error_text.hpp"

namespace orrery {
namespace {

using Json = nlohmann::json;

std::vector<std::string> words(const std::string& text) {
    std::istringstream in(text);
    in.imbue(std::locale::classic());
    std::vector<std::string> out;
    for (std::string w; in >> w;) out.push_back(w);
    return out;
}

bool is_hex(const std::string& text) { return text.size() % 2 == 0 && text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos; }

class Manifest {
  public:
    explicit Manifest(const std::string& path) : path_(path) {
        std::ifstream in(path, std::ios::binary);
        if (!in) throw Error(ORR_IO, path + ": cannot be read");
        const std::string text((std::istreambuf_iterator<char>(in)), {});
        if (text.size() > (1u << 20)) fail("is " + std::to_string(text.size()) + " bytes, the most is 1048576");
        json_ = parse_json(text);
        if (!json_.is_object()) fail("is not a JSON object");
    }
    [[noreturn]] void fail(const std::string& why) const { throw Error(ORR_CORRUPT, path_ + ": " + why); }
    const Json& root() const { return json_; }
    std::string text(const Json& object, const char* key) const {
        const auto it = object.find(key);
        if (it == object.end() || !it->is_string()) fail(std::string("\"") + key + "\" is missing or not a string");
        return it->get<std::string>();
    }
    std::vector<std::string> list(const Json& object, const char* key) const {
        const auto it = object.find(key);
        if (it == object.end() || !it->is_array()) fail(std::string("\"") + key + "\" is missing or not a list");
        std::vector<std::string> out;
        for (const auto& e : *it) {
            if (!e.is_string()) fail(std::string("\"") + key + "\" holds something that is not a string");
            out.push_back(e.get<std::string>());
        }
        return out;
    }
    const Json& objects(const char* key) const {
        const auto it = json_.find(key);
        if (it == json_.end() || !it->is_array()) fail(std::string("\"") + key + "\" is missing or not a list");
        for (const auto& e : *it)
            if (!e.is_object()) fail(std::string("\"") + key + "\" holds something that is not an object");
        return *it;
    }

  private:
    std::string path_;
    Json json_;
};

std::string listed(const std::vector<std::string>& list) {
    std::string out;
    for (const auto& s : list) out += (out.empty() ? "" : " ") + s;
    return "[" + out + "]";
}

std::vector<std::string> c_list(const char* const* list) {
    std::vector<std::string> out;
    for (; list && *list; list++) out.emplace_back(*list);
    return out;
}

}  // namespace

PluginFile PluginFile::from_manifest(const std::string& path) {
    const Manifest m(path);
    PluginFile p;
    p.manifest_path_ = path;
    p.id_ = m.text(m.root(), "id");
    p.version_ = m.text(m.root(), "version");
    p.licence_ = m.text(m.root(), "licence");
    p.sanitizer_ = m.text(m.root(), "sanitizer");
    const auto abi = m.root().find("abi");
    if (abi == m.root().end() || !abi->is_object() || !abi->contains("major") || !(*abi)["major"].is_number_unsigned()) m.fail("\"abi\" has no \"major\"");
    p.abi_major_ = (*abi)["major"].get<uint32_t>();
    const std::string file = m.text(m.root(), "file");
    if (file.empty() || file.find('/') != std::string::npos || file.find('\\') != std::string::npos) m.fail("\"file\" is \"" + file + "\", wanted a plain file name");
    p.path_ = path.substr(0, path.rfind('/') + 1) + file;
    p.operators_ = m.list(m.root(), "operators");
    p.types_ = m.list(m.root(), "types");
    p.rewrites_ = m.list(m.root(), "rewrites");
    p.tokenizers_ = m.list(m.root(), "tokenizers");
    for (const auto& f : m.objects("formats")) {
        p.formats_.push_back({m.text(f, "id"), words(m.text(f, "endings")), words(m.text(f, "folder_files")), words(m.text(f, "magic_hex"))});
        for (const auto& magic : p.formats_.back().magics)
            if (!is_hex(magic)) m.fail("\"magic_hex\" of format " + p.formats_.back().id + " is \"" + magic + "\", wanted pairs of hexadecimal digits");
    }
    for (const auto& a : m.objects("models"))
        p.models_.push_back({m.text(a, "id"), m.text(a, "summary"), m.list(a, "architectures"), m.list(a, "gguf_architectures"), m.list(a, "operators")});
    for (const auto& t : m.objects("tasks")) p.tasks_.push_back({m.text(t, "id"), m.text(t, "summary"), m.text(t, "request")});
    if (m.root().contains("taps"))  // manifests of older SDKs have none
        for (const auto& t : m.objects("taps")) p.taps_.push_back({m.text(t, "id"), m.text(t, "summary")});
    if (m.root().contains("adapters"))
        for (const auto& a : m.objects("adapters")) p.adapters_.push_back({m.text(a, "id"), m.text(a, "summary")});
    return p;
}

PluginFile PluginFile::from_entry(orr_plugin_entry_fn entry, const orr_host* host) {
    PluginFile p;
    p.path_ = "(linked statically)";
    p.abi_major_ = ORR_ABI_MAJOR;
    const orr_plugin* plugin = p.enter(entry, host);
    p.plugin_ = plugin;
    p.id_ = plugin->id;
    p.path_ = p.id_ + " " + p.path_;
    p.version_ = plugin->version;
    p.licence_ = plugin->licence;
    p.sanitizer_ = plugin->sanitizer;
    p.read_contents();
    return p;
}

// What the entry returns, seen to be whole.
const orr_plugin* PluginFile::enter(orr_plugin_entry_fn entry, const orr_host* host) const {
    set_error_text("");
    const orr_plugin* plugin = nullptr;
    try {
        plugin = entry(host);
        if (!plugin) throw Error(ORR_UNSUPPORTED, path_ + ": its entry failed: " + (*error_text() ? error_text() : "no reason was given"));
        check_plugin(*plugin, path_);
        check_tables(*plugin, path_);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& e) {
        throw Error(ORR_ABI_MISMATCH, path_ + ": its entry threw an exception: " + e.what());
    } catch (...) {
        throw Error(ORR_ABI_MISMATCH, path_ + ": its entry threw an exception of a type that is no std::exception");
    }
    return plugin;
}

const orr_plugin* PluginFile::load(const orr_host* host) {
    if (plugin_) return plugin_;
    if (abi_major_ != ORR_ABI_MAJOR)
        throw Error(ORR_ABI_MISMATCH, path_ + ": built for plugin ABI " + std::to_string(abi_major_) + ", this engine has " + std::to_string(ORR_ABI_MAJOR));
    if (sanitizer_ != ORR_SANITIZER)
        throw Error(ORR_ABI_MISMATCH, path_ + ": built with sanitizer \"" + sanitizer_ + "\", the engine with \"" ORR_SANITIZER "\"");
    boost::dll::shared_library library;
    try {
        if (!platform::is_file(path_)) throw Error(ORR_NOT_FOUND, "there is no such file");
        library.load(boost::dll::fs::path(path_), boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
    } catch (const std::exception& e) {
        throw Error(ORR_NOT_FOUND, path_ + " (of " + manifest_path_ + ") cannot be loaded: " + e.what());
    }
    if (!library.has("orr_plugin_entry")) throw Error(ORR_ABI_MISMATCH, path_ + ": exports no orr_plugin_entry");
    const orr_plugin* plugin = enter(library.get<const orr_plugin*(const orr_host*)>("orr_plugin_entry"), host);
    if (id_ != plugin->id) throw Error(ORR_CORRUPT, path_ + ": says that it is \"" + plugin->id + "\", its manifest says \"" + id_ + "\"");
    library_ = std::move(library);
    plugin_ = plugin;
    try {
        check_contents();
    } catch (...) {
        plugin_ = nullptr;
        library_.unload();
        throw;
    }
    return plugin_;
}

void PluginFile::read_contents() {
    if (const auto* t = extension<orr_operators>(ORR_EXT_OPERATORS))
        for (uint32_t i = 0; i < t->count; i++) operators_.emplace_back(t->items[i]->id);
    if (const auto* t = extension<orr_types>(ORR_EXT_TYPES))
        for (uint32_t i = 0; i < t->count; i++) types_.emplace_back(t->items[i]->id);
    if (const auto* t = extension<orr_rewrites>(ORR_EXT_REWRITES))
        for (uint32_t i = 0; i < t->count; i++) rewrites_.emplace_back(t->items[i]->id);
    if (const auto* t = extension<orr_tokenizers>(ORR_EXT_TOKENIZERS))
        for (uint32_t i = 0; i < t->count; i++) tokenizers_.emplace_back(t->items[i]->id);
    if (const auto* t = extension<orr_formats>(ORR_EXT_FORMATS))
        for (uint32_t i = 0; i < t->count; i++) {
            const orr_format& f = *t->items[i];
            formats_.push_back({f.id, words(f.endings), words(f.folder_files), words(f.magic_hex)});
            for (const auto& magic : formats_.back().magics)
                if (!is_hex(magic)) throw Error(ORR_CORRUPT, path_ + ": magic_hex of format " + f.id + " is \"" + magic + "\", wanted pairs of hexadecimal digits");
        }
    if (const auto* t = extension<orr_models>(ORR_EXT_MODELS))
        for (uint32_t i = 0; i < t->count; i++) {
            const orr_model_arch& a = *t->items[i];
            models_.push_back({a.id, a.summary, c_list(a.architectures), c_list(a.gguf_architectures), c_list(a.operators)});
        }
    if (const auto* t = extension<orr_tasks>(ORR_EXT_TASKS))
        for (uint32_t i = 0; i < t->count; i++) tasks_.push_back({t->items[i]->id, t->items[i]->summary, t->items[i]->request_doc});
    if (const auto* t = extension<orr_taps>(ORR_EXT_TAPS))
        for (uint32_t i = 0; i < t->count; i++) taps_.push_back({t->items[i]->id, t->items[i]->summary});
    if (const auto* t = extension<orr_adapters>(ORR_EXT_ADAPTERS))
        for (uint32_t i = 0; i < t->count; i++) adapters_.push_back({t->items[i]->id, t->items[i]->summary});
}

void PluginFile::check_contents() const {
    PluginFile found;
    found.path_ = path_;
    found.plugin_ = plugin_;
    found.read_contents();
    // The first difference, with both sides.
    const auto same = [&](const auto& manifest, const auto& library, const char* what, const auto& text) {
        for (size_t i = 0; i < std::max(manifest.size(), library.size()); i++) {
            const std::string says = i < manifest.size() ? text(manifest[i]) : "nothing", holds = i < library.size() ? text(library[i]) : "nothing";
            if (says != holds)
                throw Error(ORR_CORRUPT, path_ + ": its manifest lists " + std::to_string(manifest.size()) + " " + what + ", the library holds " + std::to_string(library.size()) +
                                             "; number " + std::to_string(i) + " is " + says + " in the manifest, " + holds + " in the library: build it again");
        }
    };
    const auto plain = [](const std::string& id) { return "\"" + id + "\""; };
    same(operators_, found.operators_, "operators", plain);
    same(types_, found.types_, "types", plain);
    same(rewrites_, found.rewrites_, "rewrites", plain);
    same(tokenizers_, found.tokenizers_, "tokenizers", plain);
    same(formats_, found.formats_, "formats", [](const Format& f) { return "\"" + f.id + "\" (endings " + listed(f.endings) + ", files " + listed(f.folder_files) + ", first bytes " + listed(f.magics) + ")"; });
    same(models_, found.models_, "models", [](const Model& m) {
        return "\"" + m.id + "\" (architectures " + listed(m.architectures) + ", GGUF " + listed(m.gguf_architectures) + ", operators " + listed(m.operators) + ")";
    });
    same(tasks_, found.tasks_, "tasks", [](const Task& t) { return "\"" + t.id + "\""; });
    same(taps_, found.taps_, "taps", [](const Tap& t) { return "\"" + t.id + "\""; });
    same(adapters_, found.adapters_, "adapters", [](const Tap& t) { return "\"" + t.id + "\""; });
}

}  // namespace orrery
