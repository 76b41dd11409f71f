#include "engine/run/model.hpp"

#include <algorithm>

#include "engine/graph/builder.hpp"
#include "engine/platform/cpu.hpp"
#include "engine/registry/json_text.hpp"
#include "engine/registry/error_text.hpp"
#include "engine/run/ledger.hpp"
#include "engine/run/state.hpp"

namespace orrery {

using Json = nlohmann::ordered_json;

namespace {
constexpr size_t kMostPrograms = 64;
}

Model::Model(std::shared_ptr<Engine> engine, const orr_model_options& options, Purpose purpose)
    : engine_(std::move(engine)), memory_(purpose == Purpose::measure ? std::make_shared<Memory>(nullptr, 0) : engine_->memory()) {
    device_name_ = options.device ? options.device : "cpu";
    const std::shared_ptr<Device> device = engine_->devices().get(device_name_);
    device_kind_ = device ? device->kind() : "cpu";
    const auto progress = [&](double fraction, const char* what) {
        if (options.progress && !options.progress(options.progress_user, fraction, what)) throw Error(ORR_CANCELLED, "opening the model was cancelled");
    };
    progress(0, "opening");
    files_ = ModelFiles::open(engine_->host(), options);
    try {
        checkpoint_ = open_checkpoint(engine_->registry(), *files_);
    } catch (const Error&) {
        if (purpose != Purpose::tokenizer || !files_->exists("tokenizer.json")) throw;
    }
    if (purpose == Purpose::tokenizer) return;
    try {
        progress(0.3, "configuring");
        open_architecture(purpose == Purpose::measure);
        progress(0.6, "building");
        program(info_.entries[0]);
        if (!options.allow_extra_tensors) check_extra_tensors();
        progress(1, "open");
    } catch (...) {
        programs_.clear();
        if (arch_ && config_) arch_->destroy(config_);
        if (checkpoint_) checkpoint_->close(checkpoint_);
        throw;
    }
}

Model::~Model() {
    if (tokenizer_) tokenizer_->close(tokenizer_);
    programs_.clear();
    prepared_.clear();
    if (arch_ && config_) arch_->destroy(config_);
    if (checkpoint_) checkpoint_->close(checkpoint_);
}

void Model::open_architecture(bool measure) {
    Registry& registry = engine_->registry();
    std::vector<std::string> names;
    for (const char* const* n = checkpoint_->architectures; n && *n; n++) names.emplace_back(*n);
    try {
        arch_ = &registry.find_model(names);
    } catch (const Error& e) {
        throw Error(e.code(), files_->path() + ": " + e.what());
    }
    for (const char* const* op = arch_->operators; op && *op; op++) registry.find_operator(*op);
    weights_ = std::make_unique<Weights>(engine_->host(), registry, memory_, files_->table(), checkpoint_);
    side_files_ = std::make_unique<SideFiles>(engine_->host(), registry);
    if (measure) weights_->measure();
    source_.self = this;
    source_.base = {ORR_HEADER(orr_model_source), engine_->host(), checkpoint_, files_->table(),
                    [](const orr_model_source* s, const char* name) { return reinterpret_cast<const Source*>(s)->self->weights_->find(name); }};
    info_.header = ORR_HEADER(orr_model_info);
    call_plugin([&] { return arch_->configure(&source_.base, &config_, &info_); }, [&] { return files_->path(); });
    if (!info_.entries || !info_.entries[0]) throw Error(ORR_INTERNAL, std::string(arch_->id) + ": the architecture names no entry");
    uint64_t hash = 1469598103934665603u;
    const auto mix = [&](const std::string& text) {
        for (const unsigned char c : text) hash = (hash ^ c) * 1099511628211u;
    };
    mix(arch_->id);
    for (uint64_t i = 0; i < checkpoint_->tensor_count; i++) {
        const orr_tensor_entry* e = checkpoint_->tensor(checkpoint_, i);
        mix(e->name);
        mix(e->type_id);
        for (int32_t k = 0; k < e->rank; k++) mix(std::to_string(e->shape[k]) + ",");
    }
    fingerprint_ = hash;
}

// Whether text matches pattern, in which each * stands for any text.
static bool matches_pattern(std::string_view text, std::string_view pattern) {
    const size_t star = pattern.find('*');
    if (star == std::string_view::npos) return text == pattern;
    if (text.substr(0, star) != pattern.substr(0, star)) return false;
    for (size_t at = star; at <= text.size(); at++)
        if (matches_pattern(text.substr(at), pattern.substr(star + 1))) return true;
    return false;
}

void Model::check_extra_tensors() {
    for (const char* const* e = info_.entries; *e; e++) program(*e);
    std::string first;
    size_t count = 0;
    for (const std::string& name : weights_->unused()) {
        bool ignored = false;
        for (const char* const* p = info_.ignored_tensors; p && *p && !ignored; p++) ignored = matches_pattern(name, *p);
        if (ignored) continue;
        const orr_tensor_entry* t = weights_->find(name);
        if (count++ == 0) first = name + " " + shape_text({t->shape, t->shape + t->rank});
    }
    if (count == 0) return;
    throw Error(ORR_INVALID_ARGUMENT, files_->path() + ": tensor " + first + (count > 1 ? " and " + std::to_string(count - 1) + " more are" : " is") + " not used by " + arch_->id +
                                          " with this configuration; should that be right, allow extra tensors");
}

std::string Model::entry_name(const char* entry) const {
    if (!arch_) throw Error(ORR_INVALID_ARGUMENT, "this handle has only a tokeniser");
    if (!entry) return info_.entries[0];
    std::string known;
    for (const char* const* e = info_.entries; *e; e++) {
        if (std::string_view(*e) == entry) return entry;
        known += (known.empty() ? "" : ", ") + std::string(*e);
    }
    throw Error(ORR_NOT_FOUND, std::string(arch_->id) + " has no entry \"" + entry + "\"; it has " + known);
}

void Variant::make_key() {
    key.clear();
    if (controls)
        for (const auto& [name, value] : *controls) key += name + "=" + value + ";";
    if (adapters) key += "|" + adapters->key();
    if (taps) key += "|" + taps->key() + active;
}

Variant Variant::without_taps() const {
    Variant v{controls, adapters, nullptr, "", ""};
    v.make_key();
    return v;
}

Variant Variant::without_adapters() const {
    Variant v{controls, nullptr, nullptr, "", ""};
    v.make_key();
    return v;
}

std::shared_ptr<const Program> Model::build(const std::string& entry, const Controls* controls) {
    GraphBuilder builder(engine_->host(), engine_->registry(), *weights_, arch_->id, entry);
    builder.set_controls(controls);
    std::map<std::string, std::set<std::string>> asked;  // of files beside the checkpoint
    builder.set_file_tensors([&](const std::string& path, const std::string& name, const std::vector<int64_t>& shape) {
        asked[path].insert(name);
        return side_files_->tensor(*weights_, path, name, shape);
    });
    const auto doing = [&] { return files_->path(); };
    set_error_text("");
    const orr_status status = ask_plugin([&] { return arch_->build(config_, &source_.base, entry.c_str(), builder.table()); }, doing);
    try {
        if (!builder.failed()) {  // else what the builder saw comes first
            check(status, doing());
            for (const auto& [path, names] : asked) side_files_->check_all_asked(path, names);
        }
        Program made = builder.finish();
        // What each sequence's exits were goes into the work report, so it is there after every run.
        for (size_t v = 1; v < made.values.size(); v++)
            if (tells_depth(made.values[v].name) && made.values[v].dims.size() == 1) made.outputs.push_back({made.values[v].name, static_cast<orr_value>(v), true});
        return std::make_shared<const Program>(std::move(made));
    } catch (const Error& e) {
        for (const auto& [path, names] : asked) side_files_->forget(path);
        const std::string what = e.what();
        throw Error(e.code(), what.starts_with(doing()) ? what : doing() + ": " + what);
    }
}

std::shared_ptr<const Program> Model::program(const std::string& entry, const Variant& variant) {
    const std::lock_guard lock(mutex_);
    const std::string key = entry + "|" + variant.key;
    if (const auto it = programs_.find(key); it != programs_.end()) return it->second;
    std::shared_ptr<const Program> made;
    if (variant.taps) {
        made = std::make_shared<const Program>(weave_taps(engine_->host(), engine_->registry(), *weights_, *program(entry, variant.without_taps()), *variant.taps, variant.active));
    } else if (variant.adapters) {
        made = std::make_shared<const Program>(weave_adapters(engine_->host(), engine_->registry(), *weights_, *program(entry, variant.without_adapters()), *variant.adapters));
    } else {
        made = build(entry, variant.controls.get());
    }
    if (programs_.size() > kMostPrograms)  // taps and controls are the caller's; plans keep what they use
        std::erase_if(programs_, [](const auto& p) { return p.first.back() != '|'; });
    return programs_[key] = made;
}

std::shared_ptr<const PreparedProgram> Model::prepared(const std::string& entry, const Variant& variant, const std::vector<std::string>& wanted, bool rewrites, uint32_t numerics) {
    const std::lock_guard lock(mutex_);
    std::string key = entry + "|" + std::to_string(numerics) + (rewrites ? "|r" : "|-");
    for (const auto& w : wanted) key += "|" + w;
    key += "|" + variant.key;
    if (const auto it = prepared_.find(key); it != prepared_.end()) return it->second;
    const std::shared_ptr<const Program> source = program(entry, variant);
    std::set<orr_value> kept;
    for (const auto& o : source->outputs) kept.insert(o.value);
    for (const auto& w : wanted) {
        const orr_value v = source->find(w);
        if (v == 0) throw Error(ORR_NOT_FOUND, source->model + "." + entry + " has no output or value named " + w);
        kept.insert(v);
    }
    auto made = std::make_shared<PreparedProgram>(prepare_program(engine_->host(), engine_->registry(), memory_, *weights_, *source, kept, rewrites, numerics, device_kind_));
    if (prepared_.size() > kMostPrograms) prepared_.clear();  // wanted sets are the caller's; plans keep what they use
    return prepared_[key] = made;
}

std::shared_ptr<const Controls> Model::with_control(const std::shared_ptr<const Controls>& controls, const std::string& name, const char* value_json) {
    const Json declared = describe("controls", nullptr);
    const auto at = std::find_if(declared.begin(), declared.end(), [&](const Json& c) { return c["name"] == name; });
    if (at == declared.end()) {
        std::string known;
        for (const Json& c : declared) known += (known.empty() ? "" : ", ") + c["name"].get<std::string>();
        throw Error(ORR_NOT_FOUND, std::string(arch_->id) + " declares no control \"" + name + "\"; it has " + (known.empty() ? "none" : known));
    }
    Controls changed = controls ? *controls : Controls();
    changed.erase(name);
    if (value_json) {
        const Json value = parse_ordered_json(value_json);
        if (value.is_discarded()) throw Error(ORR_INVALID_ARGUMENT, "control " + name + ": " + value_json + " is no JSON");
        if (value != (*at)["default"]) changed[name] = json_text(value);
    }
    if (changed.empty()) return nullptr;
    const auto made = std::make_shared<const Controls>(std::move(changed));
    Variant variant{made, nullptr, nullptr, "", ""};
    variant.make_key();
    for (const char* const* e = info_.entries; *e; e++) program(*e, variant);
    return made;
}

void Model::check_taps(const Variant& variant) {
    const Variant plain = variant.without_taps();
    const std::vector<Tap>& taps = variant.taps->taps();
    std::vector<bool> fits(taps.size(), false);
    for (const char* const* e = info_.entries; *e; e++) {
        const std::shared_ptr<const Program> p = program(*e, plain);
        std::vector<std::string> paths = tap_paths(*p);
        if (e == info_.entries) {
            // Of the default entry at once; what does not suit another is told when that one runs. What edits leave can be read: PATH.untapped.
            const Program woven = weave_taps(engine_->host(), engine_->registry(), *weights_, *p, *variant.taps, std::string(taps.size(), '1'));
            for (std::string& path : tap_paths(woven)) paths.push_back(std::move(path));
        }
        for (size_t i = 0; i < taps.size(); i++) fits[i] = fits[i] || std::any_of(paths.begin(), paths.end(), [&](const std::string& path) { return path_fits(path, taps[i].path); });
    }
    for (size_t i = 0; i < taps.size(); i++)
        if (!fits[i]) throw Error(ORR_NOT_FOUND, std::string(arch_->id) + " has no value that fits the path " + taps[i].path + " of a tap; \"values\" of its description lists them");
}

void Model::forget(const std::string& mark) {
    const std::lock_guard lock(mutex_);
    const auto of_it = [&](const auto& p) { return p.first.find(mark) != std::string::npos; };
    std::erase_if(programs_, of_it);
    std::erase_if(prepared_, of_it);
    weights_->forget(mark);
    if (device_weights_) device_weights_->forget(mark);
}

const orr_tokenizer* Model::tokenizer_or_null() {
    const std::lock_guard lock(mutex_);
    if (tokenizer_tried_) return tokenizer_;
    tokenizer_tried_ = true;
    for (const orr_tokenizer_kind* kind : engine_->registry().tokenizers()) {
        const auto doing = [] { return std::string(); };
        try {
            if (!ask_plugin([&] { return kind->probe(files_->table(), checkpoint_); }, doing)) continue;
            call_plugin([&] { return kind->open(files_->table(), checkpoint_, &tokenizer_); }, doing);
            return tokenizer_;
        } catch (const Error& e) {
            tokenizer_ = nullptr;
            tokenizer_tried_ = e.code() != ORR_OUT_OF_MEMORY;  // which passes
            tokenizer_status_ = e.code();
            tokenizer_problem_ = e.what();
            return nullptr;
        }
    }
    tokenizer_status_ = ORR_NOT_FOUND;
    tokenizer_problem_ = files_->path() + ": has no tokeniser that a plugin can read";
    return nullptr;
}

const orr_tokenizer& Model::tokenizer() {
    const orr_tokenizer* t = tokenizer_or_null();
    if (!t) throw Error(tokenizer_status_, tokenizer_problem_);
    return *t;
}

DeviceWeights& Model::device_weights(const std::shared_ptr<Device>& device) {
    const std::lock_guard lock(mutex_);
    if (!device_weights_ || device_weights_->device() != device) device_weights_ = std::make_unique<DeviceWeights>(device, *weights_, memory_);
    return *device_weights_;
}

Json Model::describe(const std::string& what, const char* entry_or_null) {
    const auto strings = [](const char* const* list) {
        Json out = Json::array();
        for (; list && *list; list++) out.push_back(*list);
        return out;
    };
    if (what == "tokenizer") {
        const orr_tokenizer& t = tokenizer();
        Json j = parse_ordered_json(t.info_json ? t.info_json : "{}");
        Json eog = Json::array();
        for (uint32_t i = 0; i < t.n_eog; i++) eog.push_back(t.eog[i]);
        return {{"vocabulary", t.vocabulary}, {"bos", t.bos}, {"eos", t.eos}, {"pad", t.pad}, {"unk", t.unk}, {"eog", eog}, {"info", j}};
    }
    if (what == "config") return parse_ordered_json(checkpoint_ && checkpoint_->config_json ? checkpoint_->config_json : "{}");
    const std::string entry = entry_name(entry_or_null);
    Json model_info = parse_ordered_json(info_.info_json ? info_.info_json : "{}");
    model_info.erase("modules");  // of adapters
    if (what == "summary")
        return {{"architecture", arch_->id},         {"summary", arch_->summary},         {"path", files_->path()},
                {"format", checkpoint_->format},     {"entries", strings(info_.entries)}, {"tasks", strings(info_.tasks)},
                {"context_length", info_.context_length}, {"vocabulary", info_.vocabulary},    {"tensors", checkpoint_->tensor_count},
                {"checkpoint_bytes", weights_->checkpoint_bytes()}, {"device", device_name_},  {"info", model_info}};
    if (what == "entries") return strings(info_.entries);
    if (what == "controls") return parse_ordered_json(ORR_HAS(&info_, orr_model_info, controls_json) && info_.controls_json ? info_.controls_json : "[]");
    if (what == "plugins") {
        Json out = Json::array();
        for (const auto& p : engine_->registry().describe("plugins"))
            if (p["loaded"].get<bool>()) out.push_back(p);
        return out;
    }
    if (what == "weights") return weights_->describe();
    const std::shared_ptr<const Program> kept = program(entry);
    const Program& p = *kept;
    if (what == "ignored") {
        for (const char* const* e = info_.entries; *e; e++) program(*e);
        return {{"configuration_keys", model_info.contains("ignored") ? model_info["ignored"] : Json::array()}, {"tensors", weights_->unused()}};
    }
    const auto dims = [&](orr_value v) {
        Json out = Json::array();
        for (const orr_dim d : p.values[v].dims) out.push_back(p.dims->text(d));
        return out;
    };
    Json out = Json::array();
    if (what == "inputs") {
        for (const InputDef& i : p.inputs)
            out.push_back({{"name", i.name}, {"type", engine_->registry().type(p.values[i.value].type).id}, {"shape", dims(i.value)}, {"optional", i.flags != 0 || i.positions}});
    } else if (what == "outputs") {
        for (const OutputDef& o : p.outputs) out.push_back({{"name", o.name}, {"type", engine_->registry().type(p.values[o.value].type).id}, {"shape", dims(o.value)}});
    } else if (what == "states") {
        const char* kinds[] = {"", "append", "recurrent", "frozen"};
        for (const StateDef& s : p.states) out.push_back({{"name", s.name}, {"kind", kinds[s.kind]}, {"shape", s.dims}, {"window", s.window}, {"page_tokens", s.kind == ORR_STATE_RECURRENT ? 0 : kPageTokens}});
    } else if (what == "values") {
        for (size_t v = 1; v < p.values.size(); v++)
            if (p.values[v].kind == ValueKind::node && !p.values[v].name.empty())
                out.push_back({{"name", p.values[v].name}, {"type", engine_->registry().type(p.values[v].type).id}, {"shape", dims(static_cast<orr_value>(v))}});
    } else if (what == "graph") {
        return {{"text", graph_text(p, engine_->registry())}};
    } else {
        throw Error(ORR_INVALID_ARGUMENT, "orr_model_describe: \"" + what +
                                              "\" is not known; known: summary, entries, inputs, outputs, states, controls, values, graph, weights, plugins, tokenizer, config, ignored");
    }
    return out;
}

}  // namespace orrery
