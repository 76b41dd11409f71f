#include "engine/registry/registry.hpp"

#include <algorithm>
#include <boost/dll/shared_library.hpp>
#include <filesystem>
#include <functional>

#include "engine/platform/files.hpp"
#include "engine/registry/attr_range.hpp"
#include "engine/registry/error_text.hpp"
#include "engine/registry/token_axis.hpp"

namespace orrery {
namespace {

const std::string kManifestEnding = ".orrery.json";

struct Plain {
    uint32_t number;
    const char* id;
    uint32_t bytes;
};
constexpr Plain kPlain[] = {{ORR_TYPE_F32, "f32", 4}, {ORR_TYPE_F16, "f16", 2}, {ORR_TYPE_BF16, "bf16", 2}, {ORR_TYPE_F64, "f64", 8}, {ORR_TYPE_I8, "i8", 1},
                            {ORR_TYPE_U8, "u8", 1},   {ORR_TYPE_I16, "i16", 2}, {ORR_TYPE_I32, "i32", 4},   {ORR_TYPE_I64, "i64", 8}, {ORR_TYPE_BOOL, "bool", 1},
                            {ORR_TYPE_U16, "u16", 2}, {ORR_TYPE_U32, "u32", 4}, {ORR_TYPE_U64, "u64", 8}};

std::string join(const std::vector<std::string>& v) {
    std::string out;
    for (const auto& s : v) out += (out.empty() ? "" : ", ") + s;
    return out;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }  // whatever the host's locale

bool ends_with(const std::string& text, const std::string& end) {
    if (text.size() < end.size()) return false;
    return std::equal(end.begin(), end.end(), text.end() - static_cast<std::ptrdiff_t>(end.size()),
                      [](char a, char b) { return lower(a) == lower(b); });
}

bool starts_with(const std::vector<uint8_t>& bytes, const std::string& hex) {
    if (hex.empty() || hex.size() % 2 || bytes.size() * 2 < hex.size()) return false;
    for (size_t i = 0; i < hex.size() / 2; i++)
        if (std::stoi(hex.substr(2 * i, 2), nullptr, 16) != bytes[i]) return false;
    return true;
}

}  // namespace

uint64_t TypeInfo::row_bytes(int64_t n, const std::string& what) const {
    if (n % block_elems)
        throw Error(ORR_INVALID_ARGUMENT, what + ": rows of " + std::to_string(n) + " elements are not whole blocks of " + std::to_string(block_elems) + " (" + id + ")");
    return static_cast<uint64_t>(n / block_elems) * block_bytes;
}

Registry::Registry(const orr_host* host) : host_(host) {
    for (const Plain& p : kPlain) {
        types_.push_back({p.number, p.id, 1, p.bytes, nullptr});
        type_numbers_[p.id] = p.number;
        type_by_number_[p.number] = &types_.back();
    }
}

void Registry::scan(const std::string& folder, bool required) {
    const std::lock_guard lock(mutex_);
    std::error_code failed;
    std::vector<std::string> manifests, libraries;
    for (std::filesystem::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
        if (ends_with(it->path().filename().string(), kManifestEnding)) manifests.push_back(it->path().string());
        if (it->path().extension() == boost::dll::shared_library::suffix().string()) libraries.push_back(it->path().string());
    }
    if (failed && required) throw Error(ORR_NOT_FOUND, folder + ": cannot be searched for plugins: " + failed.message());
    if (std::find(folders_.begin(), folders_.end(), folder) == folders_.end()) folders_.push_back(folder);
    std::sort(manifests.begin(), manifests.end());
    for (const auto& path : libraries) {
        const std::string manifest = std::filesystem::path(path).replace_extension().string() + kManifestEnding;
        if (std::find(manifests.begin(), manifests.end(), manifest) == manifests.end()) add_problem(path + ": has no manifest " + manifest + " beside it, and is not loaded");
    }
    for (const auto& path : manifests) {
        if (std::any_of(files_.begin(), files_.end(), [&](const PluginFile& f) { return f.manifest_path() == path; })) continue;
        try {
            if (!platform::is_file(path)) throw Error(ORR_CORRUPT, path + ": is not a file");
            add(PluginFile::from_manifest(path));
        } catch (const Error& e) {
            add_problem(e.what());
        }
    }
}

void Registry::add_problem(const std::string& text) {
    if (std::find(problems_.begin(), problems_.end(), text) != problems_.end()) return;
    problems_.push_back(text);
    host_->log(host_, ORR_LOG_WARNING, text.c_str());
}

void Registry::rescan() {
    const std::lock_guard lock(mutex_);
    problems_.clear();
    for (const auto& folder : std::vector<std::string>(folders_)) scan(folder, false);
}

void Registry::add_static(orr_plugin_entry_fn entry) {
    const std::lock_guard lock(mutex_);
    add(PluginFile::from_entry(entry, host_));
    register_block_types(files_.back());
}

void Registry::add(PluginFile file) {
    // All or nothing: look for conflicts before anything is entered.
    const std::string name = file.manifest_path().empty() ? file.id() : file.manifest_path();
    const auto conflict = [&](const char* what, const std::string& id, const std::map<std::string, PluginFile*>& index) {
        const auto it = index.find(id);
        if (it == index.end()) return;
        const PluginFile& other = *it->second;
        throw Error(ORR_CONFLICT, name + ": " + what + " \"" + id + "\" is already provided by " + (other.manifest_path().empty() ? other.id() : other.manifest_path()));
    };
    conflict("plugin", file.id(), by_plugin_);
    for (const auto& id : file.operators()) conflict("operator", id, by_operator_);
    for (const auto& id : file.types()) conflict("type", id, by_type_);
    for (const auto& t : file.tasks()) conflict("task", t.id, by_task_);
    for (const auto& t : file.taps()) conflict("tap", t.id, by_tap_);
    for (const auto& a : file.adapters()) conflict("adapter", a.id, by_adapter_);
    for (const auto& m : file.models()) conflict("model", m.id, by_model_);
    files_.push_back(std::move(file));
    PluginFile& f = files_.back();
    by_plugin_[f.id()] = &f;
    for (const auto& id : f.operators()) by_operator_[id] = &f;
    for (const auto& id : f.types()) by_type_[id] = &f;
    for (const auto& t : f.tasks()) by_task_[t.id] = &f;
    for (const auto& t : f.taps()) by_tap_[t.id] = &f;
    for (const auto& a : f.adapters()) by_adapter_[a.id] = &f;
    for (const auto& m : f.models()) by_model_[m.id] = &f;
}

void Registry::register_block_types(PluginFile& file) {
    const auto* t = file.extension<orr_types>(ORR_EXT_TYPES);
    for (uint32_t i = 0; t && i < t->count; i++) {
        const orr_type& type = *t->items[i];
        if (type_numbers_.count(type.id)) continue;
        const uint32_t number = ORR_TYPE_FIRST_BLOCK + static_cast<uint32_t>(types_.size());
        types_.push_back({number, type.id, type.block_elems, type.block_bytes, &type});
        type_numbers_[type.id] = number;
        type_by_number_[number] = &types_.back();
    }
}

void Registry::load(PluginFile& file) {
    if (file.loaded()) return;
    file.load(host_);
    register_block_types(file);
}

PluginFile* Registry::owner(const std::map<std::string, PluginFile*>& index, const std::string& id) {
    const auto it = index.find(id);
    if (it == index.end()) return nullptr;
    load(*it->second);
    return it->second;
}

bool Registry::knows_operator(const std::string& id) {
    const std::lock_guard lock(mutex_);
    return by_operator_.count(id) != 0;
}

const orr_operator& Registry::find_operator(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const auto known = operators_.find(id);
    if (known != operators_.end()) return *known->second;
    const PluginFile* file = owner(by_operator_, id);
    const auto* table = file ? file->extension<orr_operators>(ORR_EXT_OPERATORS) : nullptr;
    for (uint32_t i = 0; table && i < table->count; i++)
        if (id == table->items[i]->id) return *(operators_[id] = table->items[i]);
    throw Error(ORR_NOT_FOUND, "operator \"" + id + "\" is in none of the plugins (" + join(folders_) + ")");
}

const TypeInfo& Registry::find_type(const std::string& id) {
    const std::lock_guard lock(mutex_);
    if (!type_numbers_.count(id)) owner(by_type_, id);
    const auto it = type_numbers_.find(id);
    if (it == type_numbers_.end()) throw Error(ORR_NOT_FOUND, "element type \"" + id + "\" is in none of the plugins (" + join(folders_) + ")");
    return *type_by_number_.at(it->second);
}

const TypeInfo& Registry::type(uint32_t number) {
    const std::lock_guard lock(mutex_);
    const auto it = type_by_number_.find(number);
    if (it == type_by_number_.end()) throw Error(ORR_INVALID_ARGUMENT, "element type number " + std::to_string(number) + " is unknown");
    return *it->second;
}

const orr_task_kind& Registry::find_task(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const PluginFile* file = owner(by_task_, id);
    const auto* table = file ? file->extension<orr_tasks>(ORR_EXT_TASKS) : nullptr;
    for (uint32_t i = 0; table && i < table->count; i++)
        if (id == table->items[i]->id) return *table->items[i];
    throw Error(ORR_NOT_FOUND, "task \"" + id + "\" is in none of the plugins (" + join(folders_) + ")");
}

const orr_tap_kind& Registry::find_tap(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const PluginFile* file = owner(by_tap_, id);
    const auto* table = file ? file->extension<orr_taps>(ORR_EXT_TAPS) : nullptr;
    for (uint32_t i = 0; table && i < table->count; i++)
        if (id == table->items[i]->id) return *table->items[i];
    std::string known;
    for (const auto& [tap, owner] : by_tap_) known += (known.empty() ? "" : ", ") + tap;
    throw Error(ORR_NOT_FOUND, "tap \"" + id + "\" is in none of the plugins (" + join(folders_) + "); they have " + (known.empty() ? "none" : known));
}

const orr_adapter_kind& Registry::find_adapter(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const PluginFile* file = owner(by_adapter_, id);
    const auto* table = file ? file->extension<orr_adapters>(ORR_EXT_ADAPTERS) : nullptr;
    for (uint32_t i = 0; table && i < table->count; i++)
        if (id == table->items[i]->id) return *table->items[i];
    std::string known;
    for (const auto& [adapter, owner] : by_adapter_) known += (known.empty() ? "" : ", ") + adapter;
    throw Error(ORR_UNSUPPORTED, "adapters of kind \"" + id + "\" are in none of the plugins (" + join(folders_) + "); they have " + (known.empty() ? "none" : known));
}

std::vector<const orr_format*> Registry::formats_for(const std::string& file_name, const std::vector<uint8_t>& first_bytes,
                                                     const std::function<bool(const std::string&)>& folder_has) {
    const std::lock_guard lock(mutex_);
    std::vector<const orr_format*> found;
    // Content speaks before names.
    for (const int pass : {0, 1, 2})
        for (PluginFile& file : files_)
            for (const auto& f : file.formats()) {
                const auto& list = pass == 0 ? f.magics : pass == 1 ? f.folder_files : f.endings;
                const bool fits = std::any_of(list.begin(), list.end(), [&](const std::string& s) {
                    return pass == 0 ? starts_with(first_bytes, s) : pass == 1 ? folder_has && folder_has(s) : !file_name.empty() && ends_with(file_name, s);
                });
                if (!fits) continue;
                load(file);
                const auto* table = file.extension<orr_formats>(ORR_EXT_FORMATS);
                for (uint32_t i = 0; table && i < table->count; i++)
                    if (f.id == table->items[i]->id && std::find(found.begin(), found.end(), table->items[i]) == found.end()) found.push_back(table->items[i]);
            }
    return found;
}

const orr_model_arch& Registry::find_model(const std::vector<std::string>& names) {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> known;
    for (const auto& name : names)
        for (PluginFile& file : files_)
            for (const auto& m : file.models()) {
                const auto has = [&](const std::vector<std::string>& list) { return std::find(list.begin(), list.end(), name) != list.end(); };
                if (!has(m.architectures) && !has(m.gguf_architectures)) continue;
                load(file);
                const auto* table = file.extension<orr_models>(ORR_EXT_MODELS);
                for (uint32_t i = 0; table && i < table->count; i++)
                    if (m.id == table->items[i]->id) return *table->items[i];
            }
    for (const PluginFile& file : files_)
        for (const auto& m : file.models()) {
            for (const auto* list : {&m.architectures, &m.gguf_architectures}) known.insert(known.end(), list->begin(), list->end());
        }
    std::sort(known.begin(), known.end());
    known.erase(std::unique(known.begin(), known.end()), known.end());
    throw Error(ORR_UNSUPPORTED, "architecture " + (names.empty() ? "(none named)" : join(names)) + " is in none of the plugins; known: " + join(known));
}

std::vector<const orr_tokenizer_kind*> Registry::tokenizers() {
    const std::lock_guard lock(mutex_);
    std::vector<const orr_tokenizer_kind*> out;
    for (PluginFile& file : files_) {
        if (file.tokenizers().empty()) continue;
        load(file);
        const auto* table = file.extension<orr_tokenizers>(ORR_EXT_TOKENIZERS);
        for (uint32_t i = 0; table && i < table->count; i++) out.push_back(table->items[i]);
    }
    return out;
}

std::vector<const orr_rewrite*> Registry::rewrites() {
    const std::lock_guard lock(mutex_);
    std::vector<const orr_rewrite*> out;
    for (PluginFile& file : files_) {
        if (!file.loaded()) continue;
        const auto* table = file.extension<orr_rewrites>(ORR_EXT_REWRITES);
        for (uint32_t i = 0; table && i < table->count; i++) out.push_back(table->items[i]);
    }
    std::sort(out.begin(), out.end(), [](const orr_rewrite* a, const orr_rewrite* b) { return std::string(a->id) < b->id; });
    return out;
}

const orr_operator* Registry::operator_with(uint32_t trait) {
    const std::lock_guard lock(mutex_);
    for (PluginFile& file : files_) {
        if (!file.loaded()) continue;
        const auto* table = file.extension<orr_operators>(ORR_EXT_OPERATORS);
        for (uint32_t i = 0; table && i < table->count; i++)
            if (table->items[i]->traits & trait) return table->items[i];
    }
    return nullptr;
}

const orr_formula* Registry::formula(const orr_operator& op) {
    const std::lock_guard lock(mutex_);
    if (const auto known = formulas_.find(&op); known != formulas_.end()) return known->second;
    const orr_formula* found = nullptr;
    const PluginFile* file = owner(by_operator_, op.id);
    const auto* table = file ? file->extension<orr_expressions>(ORR_EXT_EXPRESSIONS) : nullptr;
    for (uint32_t i = 0; table && i < table->count; i++)
        if (std::string_view(table->items[i]->op) == op.id) found = table->items[i];
    return formulas_[&op] = found;
}

void Registry::load_all() {
    const std::lock_guard lock(mutex_);
    for (PluginFile& file : files_) {
        try {
            load(file);
        } catch (const Error& e) {
            if (std::find(problems_.begin(), problems_.end(), e.what()) == problems_.end()) problems_.emplace_back(e.what());
        }
    }
}

const char* Registry::intern(const std::string& text) {
    const std::lock_guard lock(mutex_);
    return interned_.emplace(text, text).first->second.c_str();
}

nlohmann::ordered_json Registry::describe(const std::string& what) {
    using Json = nlohmann::ordered_json;
    const std::lock_guard lock(mutex_);
    Json out = Json::array();
    if (what == "plugins") {
        for (const PluginFile& f : files_)
            out.push_back({{"id", f.id()}, {"version", f.version()}, {"licence", f.licence()}, {"path", f.path()}, {"loaded", f.loaded()},
                           {"operators", f.operators().size()}, {"models", f.models().size()}, {"types", f.types().size()}});
    } else if (what == "operators") {
        load_all();
        for (const auto& [id, file] : by_operator_) {
            if (!file->loaded()) continue;
            const orr_operator& op = find_operator(id);
            Json attrs = Json::array(), inputs = Json::array(), outputs = Json::array(), kernels = Json::array();
            for (uint32_t i = 0; i < op.n_attrs; i++)
                attrs.push_back({{"name", op.attrs[i]->name}, {"default", op.attrs[i]->default_json ? op.attrs[i]->default_json : ""}, {"range", AttrRange(*op.attrs[i]).text}, {"doc", op.attrs[i]->doc}});
            for (uint32_t i = 0; i < op.n_inputs; i++)
                inputs.push_back({{"name", op.inputs[i]->name}, {"types", op.inputs[i]->types}, {"optional", (op.inputs[i]->flags & ORR_PORT_OPTIONAL) != 0}, {"doc", op.inputs[i]->doc}});
            for (uint32_t i = 0; i < op.n_outputs; i++) {
                outputs.push_back({{"name", op.outputs[i]->name}, {"doc", op.outputs[i]->doc}});
                if (const auto axis = told_token_axis(*op.outputs[i])) outputs.back()["token_axis"] = *axis;
            }
            for (uint32_t i = 0; i < op.n_kernels; i++) kernels.push_back({{"name", op.kernels[i]->name}, {"device", op.kernels[i]->device}});
            out.push_back({{"id", id}, {"plugin", file->id()}, {"summary", op.summary}, {"inputs", inputs}, {"outputs", outputs}, {"attributes", attrs}, {"kernels", kernels}});
        }
    } else if (what == "models") {
        for (const PluginFile& f : files_)
            for (const auto& m : f.models())
                out.push_back({{"id", m.id}, {"plugin", f.id()}, {"summary", m.summary}, {"architectures", m.architectures}, {"gguf_architectures", m.gguf_architectures},
                               {"operators", m.operators}});
    } else if (what == "formats") {
        for (const PluginFile& f : files_)
            for (const auto& m : f.formats()) out.push_back({{"id", m.id}, {"plugin", f.id()}, {"endings", m.endings}, {"folder_files", m.folder_files}});
    } else if (what == "types") {
        for (const Plain& p : kPlain) out.push_back({{"id", p.id}, {"plugin", ""}});
        for (const auto& [id, file] : by_type_) out.push_back({{"id", id}, {"plugin", file->id()}});
    } else if (what == "tokenizers") {
        for (const PluginFile& f : files_)
            for (const auto& id : f.tokenizers()) out.push_back({{"id", id}, {"plugin", f.id()}});
    } else if (what == "tasks") {
        for (const PluginFile& f : files_)
            for (const auto& t : f.tasks()) out.push_back({{"id", t.id}, {"plugin", f.id()}, {"summary", t.summary}, {"request", t.request}});
    } else if (what == "taps") {
        for (const PluginFile& f : files_)
            for (const auto& t : f.taps()) out.push_back({{"id", t.id}, {"plugin", f.id()}, {"summary", t.summary}});
    } else if (what == "adapters") {
        for (const PluginFile& f : files_)
            for (const auto& a : f.adapters()) out.push_back({{"id", a.id}, {"plugin", f.id()}, {"summary", a.summary}});
    } else if (what == "conflicts") {
        out = problems_;
    } else {
        throw Error(ORR_INVALID_ARGUMENT, "orr_engine_describe: \"" + what +
                                              "\" is not known; known: plugins, operators, models, formats, types, tokenizers, tasks, taps, adapters, capabilities, devices, conflicts");
    }
    return out;
}

}  // namespace orrery
