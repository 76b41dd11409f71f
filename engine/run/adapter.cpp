#include "engine/run/adapter.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "engine/registry/error_text.hpp"
#include "engine/registry/json_text.hpp"
#include "engine/weights/model_files.hpp"

namespace orrery {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kConfig[] = "adapter_config.json", kTensors[] = "adapter_model.safetensors", kPrefix[] = "base_model.model.",
               kBase[] = "base_layer.weight";
constexpr uint64_t kMostConfigBytes = 16 << 20;
constexpr float kRounding = 0x1p-7f;  // of bf16, the coarsest

// adapter_model.safetensors as a file alone, which a format can open.
class LoneFile {
  public:
    explicit LoneFile(ModelFiles& files) : files_(files) {
        table_ = {};
        table_.base = *files.table();
        table_.base.open = [](const orr_files* f, const char* name) -> int32_t {
            const auto* inner = reinterpret_cast<const Table*>(f)->inner;
            return *name ? -1 : inner->open(inner, kTensors);
        };
        table_.base.size = [](const orr_files* f, int32_t file) {
            return reinterpret_cast<const Table*>(f)->inner->size(reinterpret_cast<const Table*>(f)->inner, file);
        };
        table_.base.read = [](const orr_files* f, int32_t file, uint64_t offset, uint64_t size, void* dst) {
            return reinterpret_cast<const Table*>(f)->inner->read(reinterpret_cast<const Table*>(f)->inner, file, offset, size, dst);
        };
        table_.base.map = [](const orr_files* f, int32_t file) {
            return reinterpret_cast<const Table*>(f)->inner->map(reinterpret_cast<const Table*>(f)->inner, file);
        };
        table_.inner = files.table();
        if (files.number(kTensors) < 0)
            throw Error(
                ORR_NOT_FOUND,
                files.path() + ": has no " + kTensors +
                    (files.exists("adapter_model.bin") ? "; its adapter_model.bin is a pickle, which is not read: save it as safetensors" : ""));
    }
    const orr_files* table() const { return &table_.base; }

    std::unique_ptr<orr_checkpoint, void (*)(orr_checkpoint*)> open(Registry& registry) const {
        const int32_t file = files_.number(kTensors);
        std::vector<uint8_t> first(std::min<uint64_t>(files_.size(file), 16));
        files_.read(file, 0, first.size(), first.data());
        for (const orr_format* format : registry.formats_for(kTensors, first, nullptr)) {
            orr_checkpoint* checkpoint = nullptr;
            call_plugin([&] { return format->open(table(), &checkpoint); }, [&] { return files_.path() + ": " + kTensors; });
            return {checkpoint, [](orr_checkpoint* c) { c->close(c); }};
        }
        throw Error(ORR_UNSUPPORTED, files_.path() + ": " + kTensors + ": no format plugin knows this");
    }

  private:
    struct Table {
        orr_files base;
        const orr_files* inner;
    } table_;
    ModelFiles& files_;
};

// Text with {} for numbers against a name; the numbers that stand for them.
bool fits(std::string_view name, std::string_view pattern, std::vector<std::string>& numbers) {
    numbers.clear();
    for (;;) {
        const size_t hole = pattern.find("{}");
        if (hole == std::string_view::npos) return name == pattern;
        if (name.substr(0, hole) != pattern.substr(0, hole)) return false;
        name.remove_prefix(std::min(hole, name.size()));
        pattern.remove_prefix(hole + 2);
        const size_t digits = std::min(name.find_first_not_of("0123456789"), name.size());
        if (digits == 0) return false;
        numbers.emplace_back(name.substr(0, digits));
        name.remove_prefix(digits);
    }
}

std::string filled(std::string pattern, const std::vector<std::string>& numbers) {
    for (const std::string& n : numbers)
        if (const size_t hole = pattern.find("{}"); hole != std::string::npos) pattern.replace(hole, 2, n);
    return pattern;
}

std::string without_first(const std::string& name) {
    const size_t dot = name.find('.');
    return dot == std::string::npos ? "" : name.substr(dot + 1);
}

// Where a model keeps the weights of modules.
class Modules {
  public:
    explicit Modules(Model& model) : model_(model) {
        const Json info = parse_ordered_json(model.info().info_json ? model.info().info_json : "{}");
        if (info.is_object() && info.contains("modules")) map_ = info["modules"];
    }

    struct Found {
        std::string tensor;
        int64_t interleaved_heads = 0;
    };
    // A model that stands inside another module, or without one that it was trained in, has one name less or more in front.
    Found find(const std::string& module) const {
        const std::string inner = without_first(module);
        std::vector<std::string> numbers;
        for (const Json& m : map_) {
            const auto pattern = m["module"].get<std::string>();
            if (!fits(module, pattern, numbers) && !fits(module, without_first(pattern), numbers) &&
                (inner.empty() || !fits(inner, pattern, numbers)))
                continue;
            const std::string tensor = filled(m["tensor"].get<std::string>(), numbers) + ".weight";
            if (model_.weights().find(tensor)) return {tensor, m.value("interleaved_heads", int64_t{0})};
        }
        if (model_.weights().find(module + ".weight")) return {module + ".weight"};
        if (!inner.empty() && model_.weights().find(inner + ".weight")) return {inner + ".weight"};
        std::string only;
        for (const std::string& name : model_.weights().tensor_names())
            if (without_first(name) == module + ".weight") {
                if (!only.empty()) return {};
                only = name;
            }
        return {only};
    }

  private:
    Model& model_;
    Json map_ = Json::array();
};

struct Given {
    std::string module;
    std::vector<const orr_tensor_entry*> parts;
    const orr_tensor_entry* base = nullptr;  // a copy of the model's weight: PEFT saves that of embeddings and heads
};

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// The tensors of each module, in the file's order.
std::vector<Given> group(const orr_checkpoint& checkpoint, const orr_adapter_kind& kind) {
    std::vector<Given> modules;
    std::map<std::string, size_t> known;
    size_t n_parts = 0;
    std::string endings;
    for (; kind.parts[n_parts]; n_parts++) endings += std::string(n_parts ? ", " : "") + kind.parts[n_parts];
    for (uint64_t i = 0; i < checkpoint.tensor_count; i++) {
        const orr_tensor_entry* t = checkpoint.tensor(&checkpoint, i);
        std::string name = t->name;
        if (name.rfind(kPrefix, 0) == 0) name.erase(0, sizeof kPrefix - 1);
        size_t part = 0;
        while (part < n_parts && !ends_with(name, std::string(".") + kind.parts[part])) part++;
        const bool base = part == n_parts && ends_with(name, std::string(".") + kBase);
        if (part == n_parts && !base)
            throw Error(ORR_UNSUPPORTED, std::string("tensor ") + t->name + " is none that \"" + kind.id + "\" adapters have here: " + endings);
        name.resize(name.size() - std::string(base ? kBase : kind.parts[part]).size() - 1);
        const auto [at, fresh] = known.emplace(name, modules.size());
        if (fresh) modules.push_back({name, std::vector<const orr_tensor_entry*>(n_parts, nullptr), nullptr});
        (base ? modules[at->second].base : modules[at->second].parts[part]) = t;
    }
    for (const Given& m : modules)
        for (size_t p = 0; p < n_parts; p++)
            if (!m.parts[p]) throw Error(ORR_NOT_FOUND, "module " + m.module + " has no tensor " + kind.parts[p]);
    if (modules.empty()) throw Error(ORR_CORRUPT, "holds no tensor");
    return modules;
}

std::shared_ptr<Constant> read_part(Model& model, ModelFiles& files, const orr_tensor_entry& t, const std::string& mark) {
    const TypeInfo& type = model.engine().registry().find_type(t.type_id);
    if (type.number != ORR_TYPE_F32 && type.number != ORR_TYPE_F16 && type.number != ORR_TYPE_BF16)
        throw Error(ORR_UNSUPPORTED, std::string("tensor ") + t.name + " is " + t.type_id + ", wanted f32, f16 or bf16");
    const std::vector<int64_t> shape(t.shape, t.shape + t.rank);
    const uint64_t bytes = contiguous_bytes(shape, type, std::string("tensor ") + t.name);
    if (bytes != t.size_bytes)
        throw Error(ORR_CORRUPT, std::string("tensor ") + t.name + " takes " + std::to_string(t.size_bytes) + " bytes in the file, its shape " +
                                     shape_text(shape) + " of " + t.type_id + " takes " + std::to_string(bytes));
    return model.weights().adopt(mark + t.name, t.name, type.number, shape, [&](void* dst) { files.read(t.file, t.offset, bytes, dst); });
}

// That a copy of the model's weight says the same, but for its own rounding.
void check_base(Model& model, ModelFiles& files, const orr_tensor_entry& t, const std::string& tensor) {
    const orr_tensor_entry& have = *model.weights().find(tensor);
    const std::vector<int64_t> shape(t.shape, t.shape + t.rank), wanted(have.shape, have.shape + have.rank);
    if (shape != wanted)
        throw Error(ORR_INVALID_ARGUMENT, std::string("tensor ") + t.name + " has shape " + shape_text(shape) + ", wanted " + shape_text(wanted) +
                                              " as " + tensor + " of the model");
    const auto as_floats = [&](const std::shared_ptr<Constant>& c) {
        std::vector<float> values(static_cast<size_t>(elements(model.weights().tensor(c, false))));
        convert_to_f32(model.weights().tensor(c, true), c->type_info(), values.data());
        return values;
    };
    const std::vector<float> copy = as_floats(read_part(model, files, t, "")), base = as_floats(model.weights().declare({tensor}, false, wanted));
    float largest = 0;
    for (const float x : base) largest = std::max(largest, std::abs(x));
    for (size_t i = 0; i < base.size(); i++)
        if (!(std::abs(copy[i] - base[i]) <= kRounding * (std::abs(base[i]) + kRounding * largest)))
            throw Error(ORR_UNSUPPORTED, std::string("tensor ") + t.name + " is another weight than " + tensor + " of the model (element " +
                                             std::to_string(i) + " is " + std::to_string(copy[i]) + ", there " + std::to_string(base[i]) +
                                             "): an adapter's own base weights are not loaded");
}

// That each weight it is for is read, and fits.
void check_use(Model& model, const AdapterTensors& tensors) {
    std::set<std::string> used;
    const AdapterSet alone({std::shared_ptr<const AdapterTensors>(std::shared_ptr<void>(), &tensors)}, {1});
    for (const char* const* e = model.info().entries; *e; e++)
        weave_adapters(model.engine().host(), model.engine().registry(), model.weights(), *model.program(*e), alone, &used);
    for (const auto& [tensor, w] : tensors.weights)
        if (!used.count(tensor))
            throw Error(ORR_UNSUPPORTED, tensors.file + ": module " + w.module + ": its weight " + tensor +
                                             " is read by no node of the model as it stands in the checkpoint");
}

}  // namespace

Adapter::Adapter(std::shared_ptr<Model> model, const orr_model_options& options) : model_(std::move(model)) {
    static std::atomic<uint64_t> count{0};
    Registry& registry = model_->engine().registry();
    const std::unique_ptr<ModelFiles> files = ModelFiles::open(model_->engine().host(), options);
    path_ = files->path();
    const std::string text = files->read_text(kConfig, kMostConfigBytes);
    const Json config = parse_ordered_json(text);
    if (!config.is_object()) throw Error(ORR_CORRUPT, path_ + ": " + kConfig + (config.is_discarded() ? " is no JSON" : " is no JSON object"));
    if (!config.is_object() || !config.contains("peft_type") || !config["peft_type"].is_string())
        throw Error(ORR_CORRUPT, path_ + ": " + kConfig + " has no \"peft_type\"");
    auto id = config["peft_type"].get<std::string>();
    std::transform(id.begin(), id.end(), id.begin(), [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });

    // The last who holds it, a session or the handle, lets the model forget what was made of it.
    const auto made = std::shared_ptr<AdapterTensors>(new AdapterTensors, [model = model_](AdapterTensors* t) {
        const std::string mark = t->mark;
        delete t;
        if (!mark.empty()) model->forget(mark);
    });
    made->mark = kAdapterMark + std::to_string(++count) + kAdapterMark;
    made->file = path_ + ": " + kTensors;
    void* state = nullptr;
    const auto doing = [&] { return path_; };
    try {
        made->kind = &registry.find_adapter(id);
        call_plugin([&] { return made->kind->configure(model_->engine().host(), text.c_str(), &state); }, doing);
    } catch (const Error& e) {
        throw Error(e.code(), std::string(e.what()).rfind(path_, 0) == 0 ? e.what() : path_ + ": " + e.what());
    }
    const std::unique_ptr<void, void (*)(void*)> held(state, made->kind->destroy);
    const LoneFile lone(*files);
    const auto checkpoint = lone.open(registry);
    try {
        const Modules modules(*model_);
        for (const Given& given : group(*checkpoint, *made->kind)) {
            const Modules::Found found = modules.find(given.module);
            if (found.tensor.empty())
                throw Error(ORR_NOT_FOUND, std::string("tensor ") + given.parts[0]->name + ": the model has no weight of a module " + given.module);
            if (given.base) check_base(*model_, *files, *given.base, found.tensor);
            AdaptedWeight w;
            w.module = given.module;
            w.interleaved_heads = found.interleaved_heads;
            call_plugin([&] { return made->kind->factor(model_->engine().host(), state, given.module.c_str(), given.parts.data(), &w.factor); },
                        [] { return std::string(); });
            for (const orr_tensor_entry* t : given.parts) w.parts.push_back(read_part(*model_, *files, *t, made->mark));
            if (const auto [at, fresh] = made->weights.emplace(found.tensor, std::move(w)); !fresh)
                throw Error(ORR_CONFLICT,
                            "modules " + at->second.module + " and " + given.module + " are both for tensor " + found.tensor + " of the model");
        }
    } catch (const Error& e) {
        throw Error(e.code(), made->file + ": " + e.what());
    }
    check_use(*model_, *made);
    tensors_ = made;
}

Json Adapter::describe() const {
    Json modules = Json::array();
    uint64_t bytes = 0;
    for (const auto& [tensor, w] : tensors_->weights) {
        Json shapes = Json::array();
        for (const auto& c : w.parts) {
            shapes.push_back(c->shape());
            bytes += c->bytes();
        }
        modules.push_back({{"module", w.module}, {"tensor", tensor}, {"type", w.parts[0]->type_info().id}, {"shapes", shapes}, {"factor", w.factor}});
    }
    return {{"kind", tensors_->kind->id}, {"path", path_}, {"bytes", bytes}, {"modules", modules}};
}

}  // namespace orrery
