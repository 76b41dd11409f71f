#include "engine/run/adapter.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

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

// A weight of the model, or a part of one, that a module stands for.
struct Place {
    std::string tensor;  // without ".weight"; of a stack of tensors the first, or its own where it is a member
    Readers readers = Readers::all;
    int64_t interleaved_heads = 0;
    int64_t member = -1;            // place in the stack that `tensor` is
    std::string parameter;          // of the module
    int64_t share = 0, shares = 1;  // of its rows
};

// Where a model keeps the weights of modules.
class Modules {
  public:
    explicit Modules(Model& model) : model_(model) {
        const Json info = parse_ordered_json(model.info().info_json ? model.info().info_json : "{}");
        if (info.is_object() && info.contains("modules")) map_ = info["modules"];
        for (const char* const* e = model.info().entries; *e; e++)
            for (const ValueDef& v : model.program(*e)->values)
                if (v.kind == ValueKind::constant && v.constant->sources().size() > 1)
                    for (const std::string& name : v.constant->sources()) stacks_[name] = v.constant->sources();
    }

    // The tensors of a stack that this one is of; nullptr: of none.
    const std::vector<std::string>* stack_of(const std::string& tensor) const {
        const auto at = stacks_.find(tensor);
        return at == stacks_.end() ? nullptr : &at->second;
    }

    // Of a module that has one tensor of its own, `ending` "weight" or "bias"; an empty name where there is none. A model that stands inside another
    // module, or without one that it was trained in, has one name less or more in front.
    Place find(const std::string& module, const std::string& ending) const {
        const std::string inner = without_first(module);
        Place place;
        for (const Json& m : map_) {
            if (m.contains("parameter")) continue;
            if (!match(module, m)) continue;
            place = mapped(m);
            if (exists(place.tensor, ending)) return place;
        }
        place = {};
        if (exists(module, ending)) {
            place.tensor = module;
        } else if (!inner.empty() && exists(inner, ending)) {
            place.tensor = inner;
        } else {
            for (const std::string& name : model_.weights().tensor_names())
                if (without_first(name) == module + "." + ending) {
                    if (!place.tensor.empty()) return {};
                    place.tensor = name.substr(0, name.size() - ending.size() - 1);
                }
        }
        if (!place.tensor.empty() && is_tied(place.tensor)) place.readers = Readers::others;
        return place;
    }

    // Of a module with stacks as parameters: the tensors of each of them.
    std::vector<std::vector<Place>> parameters(const std::string& module) const {
        std::vector<std::vector<Place>> found;
        for (const Json& m : map_) {
            if (!m.contains("parameter") || !match(module, m)) continue;
            const Place place = mapped(m);
            if (!exists(place.tensor, "weight")) continue;
            if (found.empty() || found.back()[0].parameter != place.parameter) found.emplace_back();
            found.back().push_back(place);
        }
        return found;
    }

  private:
    bool exists(const std::string& tensor, const std::string& ending) const { return model_.weights().find(tensor + "." + ending) != nullptr; }
    bool match(const std::string& module, const Json& m) const {
        const auto pattern = m["module"].get<std::string>();
        const std::string inner = without_first(module), short_pattern = without_first(pattern);
        return fits(module, pattern, numbers_) || (!short_pattern.empty() && fits(module, short_pattern, numbers_)) ||
               (!inner.empty() && fits(inner, pattern, numbers_));
    }
    // Of the module that matched last.
    Place mapped(const Json& m) const {
        Place p;
        p.tensor = filled(m["tensor"].get<std::string>(), numbers_);
        p.interleaved_heads = m.value("interleaved_heads", int64_t{0});
        if (m.value("tied", false))
            p.readers = Readers::products;
        else if (is_tied(p.tensor))
            p.readers = Readers::others;
        if (m.value("member", false)) p.member = std::strtoll(numbers_.back().c_str(), nullptr, 10);
        p.parameter = m.value("parameter", std::string());
        if (m.contains("share")) p.share = m["share"][0], p.shares = m["share"][1];
        return p;
    }
    bool is_tied(const std::string& tensor) const {
        return std::any_of(map_.begin(), map_.end(), [&](const Json& m) { return m.value("tied", false) && m["tensor"] == tensor; });
    }

    Model& model_;
    Json map_ = Json::array();
    std::map<std::string, std::vector<std::string>> stacks_;
    mutable std::vector<std::string> numbers_;
};

struct Given {
    std::string module;
    std::vector<const orr_tensor_entry*> parts;
    const orr_tensor_entry* base = nullptr;  // a copy of the model's weight: PEFT saves that of embeddings and heads
};
// A tensor that takes the place of one of the model's.
struct Whole {
    std::string module, parameter;
    const orr_tensor_entry* tensor;
};

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}
std::string without_end(const std::string& text, const std::string& end) {
    return ends_with(text, end) ? text.substr(0, text.size() - end.size()) : text;
}

// Beside a whole module PEFT saves, with "bias": "all", the biases of the wrapper round it once more, and those of what it takes the place of.
bool is_leftover(const std::string& name) { return ends_with(name, ".modules_to_save.bias") || ends_with(name, ".original_module.bias"); }

// The tensors of each module, in the file's order.
std::vector<Given> group(const orr_checkpoint& checkpoint, const orr_adapter_kind& kind, void* config, std::vector<Whole>& wholes) {
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
        if (part == n_parts && is_leftover(name)) continue;
        if (part == n_parts && ORR_HAS(&kind, orr_adapter_kind, replaces) && kind.replaces) {
            bool taken = false;
            for (const char* parameter : {"weight", "bias"}) {
                const std::string module = without_end(without_end(name, std::string(".") + parameter), ".base_layer");
                if (!ends_with(name, std::string(".") + parameter) || !kind.replaces(config, module.c_str(), parameter)) continue;
                wholes.push_back({module, parameter, t});
                taken = true;
            }
            if (taken) continue;
        }
        const bool base = part == n_parts && ends_with(name, std::string(".") + kBase);
        if (part == n_parts && !base)
            throw Error(ORR_UNSUPPORTED, std::string("tensor ") + t->name + " is none that \"" + kind.id + "\" adapters have here: " + endings);
        name.resize(name.size() - std::string(base ? kBase : kind.parts[part]).size() - 1);
        const auto [at, fresh] = known.emplace(name, modules.size());
        if (fresh) modules.push_back({name, std::vector<const orr_tensor_entry*>(n_parts, nullptr), nullptr});
        (base ? modules[at->second].base : modules[at->second].parts[part]) = t;
    }
    if (modules.empty() && wholes.empty()) throw Error(ORR_CORRUPT, "holds no tensor");
    return modules;
}

std::vector<int64_t> shape_of(const orr_tensor_entry& t) { return {t.shape, t.shape + t.rank}; }

// Its bytes, contiguous as the shape says.
uint64_t checked_bytes(Model& model, const orr_tensor_entry& t) {
    const TypeInfo& type = model.engine().registry().find_type(t.type_id);
    if (type.number != ORR_TYPE_F32 && type.number != ORR_TYPE_F16 && type.number != ORR_TYPE_BF16)
        throw Error(ORR_UNSUPPORTED, std::string("tensor ") + t.name + " is " + t.type_id + ", wanted f32, f16 or bf16");
    const uint64_t bytes = contiguous_bytes(shape_of(t), type, std::string("tensor ") + t.name);
    if (bytes != t.size_bytes)
        throw Error(ORR_CORRUPT, std::string("tensor ") + t.name + " takes " + std::to_string(t.size_bytes) + " bytes in the file, its shape " +
                                     shape_text(shape_of(t)) + " of " + t.type_id + " takes " + std::to_string(bytes));
    return bytes;
}

template <class Word>
size_t first_not_finite(const void* numbers, uint64_t bytes, Word exponent) {
    const auto* words = static_cast<const Word*>(numbers);
    const size_t n = bytes / sizeof(Word);
    return static_cast<size_t>(std::find_if(words, words + n, [&](Word w) { return (w & exponent) == exponent; }) - words);
}

// Its contents. Throws Error for a number that is not finite.
void read_finite(Model& model, ModelFiles& files, const orr_tensor_entry& t, uint64_t bytes, void* dst) {
    files.read(t.file, t.offset, bytes, dst);
    const TypeInfo& type = model.engine().registry().find_type(t.type_id);
    const size_t at = type.number == ORR_TYPE_F32 ? first_not_finite<uint32_t>(dst, bytes, 0x7f800000U) : first_not_finite<uint16_t>(dst, bytes, type.number == ORR_TYPE_F16 ? 0x7c00 : 0x7f80);
    if (at < bytes / type.block_bytes) throw Error(ORR_CORRUPT, std::string("tensor ") + t.name + " holds a number that is not finite, at index " + std::to_string(at));
}

std::shared_ptr<Constant> read_part(Model& model, ModelFiles& files, const orr_tensor_entry& t, const std::string& mark) {
    const uint64_t bytes = checked_bytes(model, t);
    return model.weights().adopt(mark + t.name, t.name, model.engine().registry().find_type(t.type_id).number, shape_of(t),
                                 [&](void* dst) { read_finite(model, files, t, bytes, dst); });
}

// Those of a stack's members one behind the other, zeros where a member has none.
std::shared_ptr<Constant> read_stack(Model& model, ModelFiles& files, const std::vector<const orr_tensor_entry*>& members, const std::string& mark) {
    const orr_tensor_entry* first = *std::find_if(members.begin(), members.end(), [](const auto* t) { return t != nullptr; });
    const uint64_t bytes = checked_bytes(model, *first);
    for (const orr_tensor_entry* t : members)
        if (t && (shape_of(*t) != shape_of(*first) || std::strcmp(t->type_id, first->type_id) != 0 || checked_bytes(model, *t) != bytes))
            throw Error(ORR_UNSUPPORTED, std::string("tensor ") + t->name + " is " + t->type_id + " " + shape_text(shape_of(*t)) + ", " +
                                             first->name + " of the same stack is " + first->type_id + " " + shape_text(shape_of(*first)));
    std::vector<int64_t> shape = shape_of(*first);
    shape.insert(shape.begin(), static_cast<int64_t>(members.size()));
    return model.weights().adopt(mark + first->name, first->name, model.engine().registry().find_type(first->type_id).number, shape, [&](void* dst) {
        std::memset(dst, 0, bytes * members.size());
        for (size_t m = 0; m < members.size(); m++)
            if (members[m]) read_finite(model, files, *members[m], bytes, static_cast<char*>(dst) + m * bytes);
    });
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
    const auto check = [&](const std::string& tensor, const std::string& module) {
        if (!used.count(use_of(tensor, module)))
            throw Error(ORR_UNSUPPORTED, tensors.file + ": module " + module + ": its weight " + tensor +
                                             " is read by no node of the model as it stands in the checkpoint");
    };
    for (const auto& [tensor, list] : tensors.weights)
        for (const AdaptedWeight& w : list) check(tensor, w.module);
    for (const auto& [tensor, list] : tensors.replaced)
        for (const ReplacedTensor& r : list) check(tensor, r.module);
}

// Reads the tensors of an adapter's modules, and finds what of the model they are for.
class Reading {
  public:
    Reading(Model& model, ModelFiles& files, void* config, AdapterTensors& made)
        : model_(model), files_(files), modules_(model), config_(config), made_(made) {}

    void module(const Given& given) {
        std::string name = given.module;
        while (ends_with(name, ".base_layer")) name = without_end(name, ".base_layer");
        const auto first = std::find_if(given.parts.begin(), given.parts.end(), [](const auto* t) { return t != nullptr; });
        const Place place = modules_.find(name, "weight");
        if (place.tensor.empty()) {
            if (first != given.parts.end() && stacked_parameter(name, given)) return;
            throw Error(ORR_NOT_FOUND, std::string("tensor ") + (first == given.parts.end() ? given.base : *first)->name +
                                           ": the model has no weight of a module " + name);
        }
        const std::string tensor = place.tensor + ".weight";
        if (given.base) check_base(model_, files_, *given.base, tensor);
        const double factor = factor_of(name, given, 1);
        const auto* stack = modules_.stack_of(tensor);
        if (stack || place.member >= 0) {
            const auto at = stack ? std::find(stack->begin(), stack->end(), tensor) - stack->begin() : place.member;
            add_member(stack ? stack->front() : tensor, at, stack ? static_cast<int64_t>(stack->size()) : model_.weights().find(tensor)->shape[0],
                       name, given, factor);
            return;
        }
        AdaptedWeight w;
        w.module = name;
        w.readers = place.readers;
        w.interleaved_heads = place.interleaved_heads;
        w.factor = factor;
        w.parts = read_parts(given);
        add(tensor, std::move(w));
    }

    void whole(const Whole& whole) {
        const Place place = modules_.find(whole.module, whole.parameter);
        const std::string tensor = place.tensor + "." + whole.parameter;
        if (place.tensor.empty())
            throw Error(ORR_NOT_FOUND,
                        std::string("tensor ") + whole.tensor->name + ": the model has no " + whole.parameter + " of a module " + whole.module);
        const std::vector<int64_t> have = shape_of(*whole.tensor), want = shape_of(*model_.weights().find(tensor));
        if (have != want)
            throw Error(ORR_INVALID_ARGUMENT, std::string("tensor ") + whole.tensor->name + " has shape " + shape_text(have) + ", wanted " +
                                                  shape_text(want) + " as " + tensor + " of the model");
        if (place.interleaved_heads || place.member >= 0)
            throw Error(ORR_UNSUPPORTED,
                        std::string("tensor ") + whole.tensor->name + ": the model has " + tensor + " in another order, in which it is not replaced");
        made_.replaced[tensor].push_back({whole.module, place.readers, read_part(model_, files_, *whole.tensor, made_.mark)});
    }

    // What was collected of stacks.
    void finish() {
        for (auto& [tensor, stack] : stacks_) {
            AdaptedWeight w;
            w.module = stack.module;
            w.factor = stack.factor;
            for (const auto& members : stack.parts)
                w.parts.push_back(std::any_of(members.begin(), members.end(), [](const auto* t) { return t != nullptr; })
                                      ? read_stack(model_, files_, members, made_.mark)
                                      : nullptr);
            add(tensor, std::move(w));
        }
    }

  private:
    struct Stack {
        std::string module;
        double factor;
        std::vector<std::vector<const orr_tensor_entry*>> parts;  // by part and member
    };

    double factor_of(const std::string& module, const Given& given, int64_t members) {
        double factor = 1;
        call_plugin([&] { return made_.kind->factor(model_.engine().host(), config_, module.c_str(), given.parts.data(), members, &factor); },
                    [] { return std::string(); });
        return factor;
    }
    std::vector<std::shared_ptr<Constant>> read_parts(const Given& given) {
        std::vector<std::shared_ptr<Constant>> parts;
        for (const orr_tensor_entry* t : given.parts) parts.push_back(t ? read_part(model_, files_, *t, made_.mark) : nullptr);
        return parts;
    }
    void add(const std::string& tensor, AdaptedWeight w) {
        auto& list = made_.weights[tensor];
        for (const AdaptedWeight& other : list)
            if (other.readers == w.readers && (other.rows == 0 || other.first_row == w.first_row))
                throw Error(ORR_CONFLICT, "modules " + other.module + " and " + w.module + " are both for tensor " + tensor + " of the model");
        list.push_back(std::move(w));
    }
    void add_member(const std::string& tensor, int64_t at, int64_t count, const std::string& module, const Given& given, double factor) {
        if (at >= count) throw Error(ORR_NOT_FOUND, "module " + module + ": " + tensor + " of the model is a stack of " + std::to_string(count));
        const auto [found, fresh] = stacks_.emplace(tensor, Stack{module, factor, {}});
        Stack& stack = found->second;
        if (fresh) stack.parts.assign(given.parts.size(), std::vector<const orr_tensor_entry*>(static_cast<size_t>(count), nullptr));
        if (stack.factor != factor)
            throw Error(ORR_UNSUPPORTED, "module " + module + " has the factor " + std::to_string(factor) + ", " + stack.module +
                                             " of the same stack " + std::to_string(stack.factor));
        for (size_t p = 0; p < given.parts.size(); p++)
            if (given.parts[p]) stack.parts[p][static_cast<size_t>(at)] = given.parts[p];
    }

    // Modules that keep stacks as parameters are named without the parameter: which of them it is, the shapes say. Of A [m r, K] and B [N, r m].
    bool stacked_parameter(const std::string& module, const Given& given) {
        std::string wanted;
        for (const std::vector<Place>& places : modules_.parameters(module)) {
            const std::string tensor = places[0].tensor + ".weight";
            const auto* stack = modules_.stack_of(tensor);
            std::vector<int64_t> shape = shape_of(*model_.weights().find(tensor));
            if (stack) shape.insert(shape.begin(), static_cast<int64_t>(stack->size()));
            const bool weight = shape.size() == 2;
            if (weight) shape.insert(shape.begin(), 1);
            if (shape.size() != 3) continue;
            const int64_t rows = shape[1] * places[0].shares;
            wanted += (wanted.empty() ? "" : ", ") + places[0].parameter + " " + shape_text({shape[0], rows, shape[2]});
            bool ends[2] = {false, false};
            for (const orr_tensor_entry* t : given.parts) {
                ends[0] |= t && t->rank == 2 && t->shape[1] == shape[2];
                ends[1] |= t && t->rank == 2 && t->shape[0] == rows;
            }
            if (!ends[0] || !ends[1]) continue;
            const std::string name = module + "." + places[0].parameter;
            const double factor = factor_of(name, given, shape[0]);
            const auto parts = read_parts(given);
            for (const Place& p : places) {
                AdaptedWeight w;
                w.module = name;
                w.factor = factor;
                w.parts = parts;
                if (p.shares > 1) w.first_row = p.share * shape[1], w.rows = rows;
                const auto* mine = modules_.stack_of(p.tensor + ".weight");
                add(mine ? mine->front() : p.tensor + ".weight", std::move(w));
            }
            return true;
        }
        if (wanted.empty()) return false;
        std::string have;
        for (const orr_tensor_entry* t : given.parts)
            if (t) have += (have.empty() ? "" : ", ") + std::string(t->name) + " " + shape_text(shape_of(*t));
        throw Error(ORR_INVALID_ARGUMENT, "tensors " + have + " fit no parameter of module " + module + " of the model: " + wanted);
    }

    Model& model_;
    ModelFiles& files_;
    const Modules modules_;
    void* config_;
    AdapterTensors& made_;
    std::map<std::string, Stack> stacks_;
};

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
        std::vector<Whole> wholes;
        const std::vector<Given> modules = group(*checkpoint, *made->kind, state, wholes);
        Reading reading(*model_, *files, state, *made);
        for (const Given& given : modules) reading.module(given);
        for (const Whole& whole : wholes) reading.whole(whole);
        reading.finish();
    } catch (const Error& e) {
        throw Error(e.code(), made->file + ": " + e.what());
    }
    check_use(*model_, *made);
    tensors_ = made;
}

Json Adapter::describe() const {
    Json modules = Json::array();
    uint64_t bytes = 0;
    for (const auto& [tensor, list] : tensors_->weights)
        for (const AdaptedWeight& w : list) {
            Json shapes = Json::array();
            std::string type;
            for (const auto& c : w.parts) {
                if (!c) continue;
                shapes.push_back(c->shape());
                if (type.empty()) type = c->type_info().id;
                if (w.first_row == 0) bytes += c->bytes();  // others share them
            }
            modules.push_back({{"module", w.module}, {"tensor", tensor}, {"type", type}, {"shapes", shapes}, {"factor", w.factor}});
        }
    for (const auto& [tensor, list] : tensors_->replaced)
        for (const ReplacedTensor& r : list) {
            modules.push_back({{"module", r.module},
                               {"tensor", tensor},
                               {"type", r.constant->type_info().id},
                               {"shapes", {r.constant->shape()}},
                               {"replaces", true}});
            bytes += r.constant->bytes();
        }
    return {{"kind", tensors_->kind->id}, {"path", path_}, {"bytes", bytes}, {"modules", modules}};
}

}  // namespace orrery
