// y = W x -> W x + t B (A x), t = scale factor, factor = alpha / r, or alpha / sqrt(r) where use_rslora
// A [r, K], B [N, r] of any float type    W [N, K], or [K, N] where transposed: A and B are the same of both
// Tables: y = W[ids] -> W[ids] + t B A^T[ids]    W [V, E]    A [r, V]    B [E, r]
// Convolutions: A [r, C, k..] with W's stride and padding, B [N, r, 1..] behind it
// Stacks, y = W[e] x of expert e: A [X, r, K], B [X, N, r]; as one parameter's A [X r, K], B [N, r X]
// DoRA: W x -> m / ||W + t B A|| (W x + t B (A x)), norms of rows    m [N]
// Hu et al. 2021, arXiv:2106.09685 · Kalajdzievski 2023, arXiv:2312.03732 (rsLoRA) · Liu et al. 2024, arXiv:2402.09353 (DoRA). Configuration and
// layers: huggingface/peft src/peft/tuners/lora/config.py, model.py, layer.py, dora.py
#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <regex>

#include "orrery/ext/adapters.h"
#include "orrery/plugin.hpp"

namespace orrery::core {
namespace {

using Json = nlohmann::ordered_json;  // of patterns the first that fits counts

enum Part : uint32_t { kA, kB, kTableA, kTableB, kMagnitude, kOldMagnitude, kPartCount };
constexpr std::array<const char*, kPartCount + 1> kParts = {
    "lora_A.weight", "lora_B.weight", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector", "lora_magnitude_vector.weight", nullptr};
constexpr size_t kLongestPattern = 512;
#ifdef __GLIBCXX__
constexpr auto kSyntax = std::regex::ECMAScript | std::regex_constants::__polynomial;  // in time that no pattern can blow up
#else
constexpr auto kSyntax = std::regex::ECMAScript;
#endif

struct Config {
    int64_t rank = 0;
    double alpha = 0;
    bool rank_stabilised = false, magnitudes = false, biases = false;
    Json rank_pattern, alpha_pattern;
    std::vector<std::string> saved;  // modules_to_save
};

[[noreturn]] void refuse(const std::string& key, const std::string& why) {
    throw Error(ORR_UNSUPPORTED, "adapter_config.json: \"" + key + "\" " + why);
}

bool is_set(const Json& v) { return !v.is_null() && v != false && v != "" && !((v.is_array() || v.is_object()) && v.empty()); }

// Keys that say nothing about what a trained adapter computes.
bool is_known(const std::string& key) {
    static constexpr const char* known[] = {"peft_type",
                                            "task_type",
                                            "auto_mapping",
                                            "base_model_name_or_path",
                                            "revision",
                                            "inference_mode",
                                            "peft_version",
                                            "r",
                                            "lora_alpha",
                                            "lora_dropout",
                                            "use_rslora",
                                            "rank_pattern",
                                            "alpha_pattern",
                                            "target_modules",
                                            "target_parameters",
                                            "modules_to_save",
                                            "use_dora",
                                            "exclude_modules",
                                            "fan_in_fan_out",
                                            "bias",
                                            "init_lora_weights",
                                            "layers_to_transform",
                                            "layers_pattern",
                                            "loftq_config",
                                            "eva_config",
                                            "corda_config",
                                            "megatron_core",
                                            "runtime_config",
                                            "ephemeral_gpu_offload",
                                            "qalora_group_size",
                                            "ensure_weight_tying",
                                            "lora_ga_config"};
    return std::any_of(std::begin(known), std::end(known), [&](const char* k) { return key == k; });
}

double number(const Json& v, const std::string& key, double least) {
    if (!v.is_number() || !std::isfinite(v.get<double>()))
        throw Error(ORR_CORRUPT, "adapter_config.json: \"" + key + "\" is " + v.dump() + ", wanted a number");
    const auto n = v.get<double>();
    if (n < least)
        throw Error(ORR_CORRUPT,
                    "adapter_config.json: \"" + key + "\" is " + v.dump() + ", the least is " + std::to_string(static_cast<int64_t>(least)));
    return n;
}

int64_t rank_of(const Json& v, const std::string& key) {
    if (!v.is_number_integer()) throw Error(ORR_CORRUPT, "adapter_config.json: \"" + key + "\" is " + v.dump() + ", wanted a whole number");
    if (number(v, key, 1) > INT32_MAX) throw Error(ORR_CORRUPT, "adapter_config.json: \"" + key + "\" is " + v.dump());
    return v.get<int64_t>();
}

Json pattern_of(const Json& config, const char* key) {
    const auto at = config.find(key);
    if (at == config.end() || at->is_null()) return Json::object();
    if (!at->is_object()) throw Error(ORR_CORRUPT, std::string("adapter_config.json: \"") + key + "\" is " + at->dump() + ", wanted an object");
    return *at;
}

std::vector<std::string> names_of(const Json& config, const char* key) {
    std::vector<std::string> names;
    const auto at = config.find(key);
    if (at == config.end() || at->is_null()) return names;
    if (!at->is_array()) throw Error(ORR_CORRUPT, std::string("adapter_config.json: \"") + key + "\" is " + at->dump() + ", wanted a list of names");
    for (const Json& name : *at) {
        if (!name.is_string()) throw Error(ORR_CORRUPT, std::string("adapter_config.json: \"") + key + "\" holds " + name.dump() + ", wanted names");
        names.push_back(name);
    }
    return names;
}

void check_settings(const Json& config) {
    const auto given = [&](const char* key) {
        const auto at = config.find(key);
        return at != config.end() && is_set(*at);
    };
    for (const char* key : {"use_rslora", "use_dora"})
        if (given(key) && !config[key].is_boolean()) throw Error(ORR_CORRUPT, std::string("adapter_config.json: \"") + key + "\" is " + config[key].dump() + ", wanted true or false");
    if (given("bias") && config["bias"] != "none" && config["bias"] != "lora_only" && config["bias"] != "all")
        refuse("bias", "is " + config["bias"].dump() + ", wanted \"none\", \"lora_only\" or \"all\"");
    // These start from other base weights than the checkpoint's.
    if (const auto at = config.find("init_lora_weights"); at != config.end() && at->is_string()) {
        const auto way = at->get<std::string>();
        for (const char* changes : {"pissa", "olora", "corda", "loftq", "lora_ga"})
            if (way.rfind(changes, 0) == 0)
                refuse("init_lora_weights", "is \"" + way + "\", which changes the base weights; save the adapter as plain LoRA");
    }
    for (const auto& [key, value] : config.items())
        if (!is_known(key) && is_set(value)) refuse(key, "is " + value.dump() + ", which is not known here");
}

orr_status configure(const orr_host* host, const char* text, void** out) {
    return guard(host, [&] {
        const Json config = Json::parse(text, nullptr, false);
        if (!config.is_object()) throw Error(ORR_CORRUPT, "adapter_config.json is no JSON object");
        check_settings(config);
        auto made = std::make_unique<Config>();
        made->rank = config.contains("r") ? rank_of(config["r"], "r") : 8;
        made->alpha = config.contains("lora_alpha") ? number(config["lora_alpha"], "lora_alpha", -1e30) : 8;
        made->rank_stabilised = config.contains("use_rslora") && is_set(config["use_rslora"]);
        made->magnitudes = config.contains("use_dora") && is_set(config["use_dora"]);
        made->biases = config.contains("bias") && is_set(config["bias"]) && config["bias"] != "none";
        made->saved = names_of(config, "modules_to_save");
        made->rank_pattern = pattern_of(config, "rank_pattern");
        made->alpha_pattern = pattern_of(config, "alpha_pattern");
        *out = made.release();
    });
}

// A pattern is a regular expression that fits the whole name, or its end from a dot on.
const Json* find_pattern(const Json& patterns, const char* key, const std::string& module) {
    for (const auto& [pattern, value] : patterns.items()) {
        if (pattern.size() > kLongestPattern || module.size() > kLongestPattern)
            throw Error(ORR_LIMIT, std::string("adapter_config.json: a pattern of \"") + key + "\" has " + std::to_string(pattern.size()) +
                                       " characters, the most is " + std::to_string(kLongestPattern));
        try {
            if (std::regex_match(module, std::regex("(.*\\.)?(" + pattern + ")", kSyntax))) return &value;
        } catch (const std::regex_error& e) {
            throw Error(ORR_CORRUPT, std::string("adapter_config.json: \"") + key + "\" has \"" + pattern + "\", which is no pattern: " + e.what());
        }
    }
    return nullptr;
}

std::string shape_text(int32_t rank, const int64_t* shape) {
    std::string text = "[";
    for (int32_t k = 0; k < rank; k++) text += (k ? ", " : "") + std::to_string(shape[k]);
    return text + "]";
}

// A module's tensors against each other.
void check_parts(const Config& c, const std::string& module, const orr_tensor_entry* const* parts, bool table) {
    for (const Part part : {table ? kTableA : kA, table ? kTableB : kB})
        if (!parts[part]) throw Error(ORR_NOT_FOUND, "module " + module + " has no tensor " + kParts[part]);
    const bool magnitude = parts[kMagnitude] || parts[kOldMagnitude];
    if (c.magnitudes && !magnitude)
        throw Error(ORR_NOT_FOUND,
                    "module " + module + " has no tensor " + kParts[kMagnitude] + ", which \"use_dora\" of adapter_config.json asks for");
    if (!c.magnitudes && magnitude)
        throw Error(ORR_INVALID_ARGUMENT,
                    "module " + module + " has a tensor " + kParts[kMagnitude] + ", but \"use_dora\" of adapter_config.json is not true");
    if (table && (parts[kA] || parts[kB]))
        throw Error(ORR_INVALID_ARGUMENT, "module " + module + " has tensors of an embedding and of a linear layer, " + kParts[kTableA] + " and " +
                                              kParts[parts[kA] ? kA : kB]);
    if (magnitude && (table || parts[kA]->rank != 2))
        throw Error(ORR_UNSUPPORTED, "module " + module + ": \"use_dora\" of adapter_config.json is done for linear layers, not for " +
                                         (table ? "embeddings" : "convolutions"));
}

orr_status factor(const orr_host* host, void* config, const char* module, const orr_tensor_entry* const* parts, int64_t members, double* out) {
    return guard(host, [&] {
        const Config& c = *static_cast<const Config*>(config);
        const bool table = parts[kTableA] || parts[kTableB];
        check_parts(c, module, parts, table);
        const Json* rank_given = find_pattern(c.rank_pattern, "rank_pattern", module);
        const Json* alpha_given = find_pattern(c.alpha_pattern, "alpha_pattern", module);
        const int64_t rank = rank_given ? rank_of(*rank_given, "rank_pattern") : c.rank;
        const double alpha = alpha_given ? number(*alpha_given, "alpha_pattern", -1e30) : c.alpha;
        int64_t extent = 0;
        if (__builtin_mul_overflow(rank, members, &extent))
            throw Error(ORR_LIMIT, "rank " + std::to_string(rank) + " of " + std::to_string(members) + " experts");
        for (const bool first : {true, false}) {
            const orr_tensor_entry& t = *parts[table ? (first ? kTableA : kTableB) : first ? kA : kB];
            if (t.rank < 2 || (table && t.rank != 2) || t.rank > 4 || t.shape[first ? 0 : 1] != extent)
                throw Error(ORR_INVALID_ARGUMENT, std::string("tensor ") + t.name + " has shape " + shape_text(t.rank, t.shape) + ", wanted " +
                                                      (first ? "[" + std::to_string(extent) + ", any]" : "[any, " + std::to_string(extent) + "]") +
                                                      " for rank " + std::to_string(rank) + " of adapter_config.json" +
                                                      (members > 1 ? " and " + std::to_string(members) + " experts" : ""));
        }
        const auto r = static_cast<double>(rank);
        *out = alpha / (c.rank_stabilised ? std::sqrt(r) : r);
        if (!std::isfinite(static_cast<float>(*out)))
            throw Error(ORR_INVALID_ARGUMENT, "adapter_config.json: \"lora_alpha\" is " + Json(alpha).dump() + ": divided by rank " + std::to_string(rank) + " that is no f32");
    });
}

bool replaces(void* config, const char* module, const char* parameter) {
    const Config& c = *static_cast<const Config*>(config);
    if (c.biases && parameter == std::string("bias")) return true;
    // PEFT's rule: the name of a module, or of one that it stands in, ends so.
    const std::string path = module;
    for (size_t end = path.find('.');; end = path.find('.', end + 1)) {
        const std::string inside = path.substr(0, end);
        if (std::any_of(c.saved.begin(), c.saved.end(), [&](const std::string& name) { return !name.empty() && inside.ends_with(name); })) return true;
        if (end == std::string::npos) return false;
    }
}

// One adapter at one node, under construction.
class Join {
  public:
    Join(Graph& g, const orr_adapter_point& p) : g_(g), p_(p), op_(p.op) {}

    Value build() {
        if (op_ == "orr.linear/1" && p_.weight == 1 && given(kA)) return linear();
        if (op_ == "orr.embedding/1" && p_.weight == 1 && given(kTableA)) return embedding();
        if ((op_ == "orr.conv1d/1" || op_ == "orr.conv2d/1") && p_.weight == 1 && given(kA)) return convolution();
        if (op_ == "orr.moe_linear/1" && p_.weight == 2 && given(kA)) return experts();
        throw Error(ORR_UNSUPPORTED, "the weight is read by " + op_ + ", which tensors " + p_.part_names[given(kA) ? kA : kTableA] +
                                         " and the like do not go with: " + kParts[kA] + " is for linear layers, convolutions and experts, " +
                                         kParts[kTableA] + " for embeddings");
    }

  private:
    enum { kX, kWeight, kBias, kResidual };

    bool given(Part part) const { return p_.parts[part] != 0; }
    Value part(Part part) const { return Value{p_.parts[part]}; }
    Value in(uint32_t i) const { return Value{i < p_.n_ins ? p_.ins[i] : 0}; }
    int64_t int_of(const char* name) const { return p_.attrs->get_int(p_.attrs, name); }
    std::vector<int64_t> ints_of(const char* name) const {
        const int64_t* v = nullptr;
        const size_t n = p_.attrs->get_ints(p_.attrs, name, &v);
        return {v, v + n};
    }
    std::string text_of(const char* name) const { return p_.attrs->get_string(p_.attrs, name); }
    Value reshape(Value x, std::vector<int64_t> shape) { return g_.op("orr.reshape/1", {x}, Attrs().set("shape", shape)); }
    Value transpose(Value x, std::vector<int64_t> perm) { return g_.op("orr.transpose/1", {x}, Attrs().set("perm", perm)); }
    Value scaled(Value x, double by) { return g_.op("orr.affine/1", {x}, Attrs().set("scale", by)); }
    Value sum(Value x, int64_t axis) { return g_.op("orr.reduce/1", {x}, Attrs().set("function", "sum").set("axes", std::vector<int64_t>{axis})); }
    Value times_scale(Value x) { return g_.op("orr.mul/1", {x, Value{p_.scale}}); }
    Value add_to_y(Value x) { return g_.op("orr.add/1", {Value{p_.y}, x}); }

    void check(Part which, const std::vector<int64_t>& want) {
        const orr_value_info t = g_.info(part(which));
        if (std::vector<int64_t>(t.dims, t.dims + t.rank) == want) return;
        throw Error(ORR_INVALID_ARGUMENT, std::string("tensor ") + p_.part_names[which] + " has shape " + shape_text(t.rank, t.dims) + ", wanted " +
                                              shape_text(static_cast<int32_t>(want.size()), want.data()) + " for " + p_.weight_name + " " +
                                              shape_text(p_.weight_rank, p_.weight_shape) + " of the model");
    }
    int64_t extent(Part which, int32_t axis) {
        const orr_value_info t = g_.info(part(which));
        return axis < t.rank ? t.dims[axis] : 0;
    }
    void need_whole() const {
        if (p_.cut_op)
            throw Error(ORR_UNSUPPORTED, std::string("the weight is read through ") + p_.cut_op + "; here only whole weights take an adapter");
    }

    Value linear() {
        const std::string activation = text_of("activation");
        if ((activation != "none" && !activation.empty()) || in(kResidual).id) throw Error(ORR_UNSUPPORTED, "the node does more than its product");
        const bool transposed = int_of("transposed") != 0;
        const int64_t rows = p_.weight_shape[transposed ? 1 : 0], columns = p_.weight_shape[transposed ? 0 : 1];
        const int64_t rank = extent(kA, 0);
        check(kA, {rank, columns});
        check(kB, {rows, extent(kB, 1)});
        Value a = part(kA), b = interleaved(part(kB), rows, rank);
        cut(transposed, a, b);
        const double factor = p_.factor * p_.attrs->get_float(p_.attrs, "scale");
        const Value low = g_.op("orr.linear/1", {in(kX), a}, Attrs().set("scale", factor));
        const Value delta = g_.op("orr.linear/1", {times_scale(low), b});
        const Part magnitude = given(kMagnitude) ? kMagnitude : kOldMagnitude;
        return given(magnitude) ? with_magnitudes(magnitude, a, b, delta, transposed, rows) : add_to_y(delta);
    }

    // Of a weight of which the node reads some rows or columns: these of B or A.
    void cut(bool transposed, Value& a, Value& b) {
        if (!p_.cut_op) return;
        if (p_.cut_op != std::string("orr.slice/1"))
            throw Error(ORR_UNSUPPORTED,
                        std::string("the weight is read through ") + p_.cut_op + "; only whole weights and slices of them take a LoRA");
        const orr_attrs& s = *p_.cut_attrs;
        const int64_t axis = s.get_int(&s, "axis"), rank = p_.weight_rank;
        const bool rows = (axis < 0 ? axis + rank : axis) == (transposed ? 1 : 0);
        Value& part = rows ? b : a;
        part = g_.op("orr.slice/1", {part},
                     Attrs()
                         .set("axis", rows ? 0 : 1)
                         .set("start", s.get_int(&s, "start"))
                         .set("end", s.get_int(&s, "end"))
                         .set("step", s.get_int(&s, "step")));
    }

    // Rows of each head in the order in which the weight has them.
    Value interleaved(Value b, int64_t rows, int64_t rank) {
        const int64_t heads = p_.interleaved_heads;
        if (heads == 0) return b;
        const int64_t half = rows / heads / 2;
        if (heads * half * 2 != rows)
            throw Error(ORR_INVALID_ARGUMENT, std::to_string(rows) + " rows are not " + std::to_string(heads) + " heads of two halves");
        return reshape(transpose(reshape(b, {heads, 2, half, rank}), {0, 2, 1, 3}), {rows, rank});
    }

    // y + (m / n - 1) (y - bias) + m / n delta, n = ||W + t B A|| by rows, n^2 = ||W||^2 + 2 t <W, B A> + t^2 ||B A||^2. All but t is made once.
    Value with_magnitudes(Part magnitude, Value a, Value b, Value delta, bool transposed, int64_t rows) {
        need_whole();
        const orr_value_info m = g_.info(part(magnitude));
        int64_t count = 1;
        for (int32_t axis = 0; axis < m.rank; axis++) count *= m.dims[axis];
        if (count != rows) check(magnitude, {rows});
        const Value w = in(kWeight);
        const auto f32 = [&](Value x) { return g_.op("orr.cast/1", {x}, Attrs().set("type", "f32")); };
        a = f32(a), b = f32(b);
        std::vector<int32_t> all(static_cast<size_t>(p_.weight_shape[0]));
        for (size_t i = 0; i < all.size(); i++) all[i] = static_cast<int32_t>(i);
        const Value plain = g_.op("orr.embedding/1", {g_.constant_i32("(rows)", all), w});  // whatever its type
        const Value length = g_.op("orr.reduce/1", {plain}, Attrs().set("function", "l2").set("axes", std::vector<int64_t>{transposed ? 0 : 1}));
        const Value crossed = transpose(g_.op("orr.linear/1", {a, w}, Attrs().set("transposed", transposed)), {1, 0});  // [N, r]
        const Value cross = sum(g_.op("orr.mul/1", {crossed, b}), 1);
        const Value own = sum(g_.op("orr.mul/1", {g_.op("orr.linear/1", {b, g_.op("orr.linear/1", {a, a})}), b}), 1);
        const Value t = scaled(Value{p_.scale}, p_.factor);
        Value n = g_.op("orr.add/1", {scaled(cross, 2), g_.op("orr.mul/1", {own, t})});
        n = g_.op("orr.add/1", {g_.op("orr.mul/1", {length, length}), g_.op("orr.mul/1", {n, t})});
        n = g_.op("orr.activation/1", {n}, Attrs().set("function", "sqrt"));
        const Value magnitudes = reshape(interleaved(reshape(f32(part(magnitude)), {rows, 1}), rows, 1), {rows});
        const Value ratio = g_.op("orr.div/1", {magnitudes, n});
        const Value base = in(kBias).id ? g_.op("orr.sub/1", {Value{p_.y}, in(kBias)}) : Value{p_.y};
        const Value more = g_.op("orr.mul/1", {base, g_.op("orr.affine/1", {ratio}, Attrs().set("offset", -1.0))});
        return add_to_y(g_.op("orr.add/1", {more, g_.op("orr.mul/1", {delta, ratio})}));
    }

    Value embedding() {
        need_whole();
        const int64_t rank = extent(kTableA, 0);
        check(kTableA, {rank, p_.weight_shape[0]});
        check(kTableB, {p_.weight_shape[1], rank});
        const double factor = p_.factor * p_.attrs->get_float(p_.attrs, "scale");
        const Value low = g_.op("orr.embedding/1", {in(kX), transpose(part(kTableA), {1, 0})}, Attrs().set("scale", factor));
        return add_to_y(g_.op("orr.linear/1", {times_scale(low), part(kTableB)}));
    }

    Value convolution() {
        need_whole();
        const bool flat = op_ == "orr.conv1d/1";
        const std::vector<int64_t> dilation = flat ? std::vector<int64_t>{int_of("dilation")} : ints_of("dilation");
        if (int_of("groups") != 1 || std::any_of(dilation.begin(), dilation.end(), [](int64_t d) { return d != 1; }))
            throw Error(ORR_UNSUPPORTED, "the convolution is grouped or dilated, which a LoRA's is not");
        const std::string activation = text_of("activation");
        if (activation != "none" && !activation.empty()) throw Error(ORR_UNSUPPORTED, "the node does more than its convolution");
        const int64_t rank = extent(kA, 0);
        std::vector<int64_t> a_shape(p_.weight_shape, p_.weight_shape + p_.weight_rank), b_shape(a_shape.size(), 1);
        b_shape[0] = a_shape[0], b_shape[1] = rank, a_shape[0] = rank;
        check(kA, a_shape);
        check(kB, b_shape);
        Attrs attrs, behind;
        if (flat) {
            attrs.set("stride", int_of("stride")).set("padding", int_of("padding")).set("layout_in", text_of("layout_in"));
        } else {
            attrs.set("stride", ints_of("stride")).set("padding", ints_of("padding"));
        }
        const std::string layout = text_of("layout_out");
        attrs.set("layout_out", layout);
        const Value low = times_scale(scaled(g_.op(op_.c_str(), {in(kX), part(kA)}, attrs), p_.factor));
        const bool rows = layout == "nlc" || layout == "tokens";  // channels last
        return add_to_y(rows ? g_.op("orr.linear/1", {low, reshape(part(kB), {b_shape[0], rank})}) : g_.op(op_.c_str(), {low, part(kB)}));
    }

    // The experts' own A and B, or those of one parameter that holds them all, of whose rows this weight may be some.
    Value experts() {
        enum { kRows, kIds };
        need_whole();
        if (given(kMagnitude) || given(kOldMagnitude))
            throw Error(ORR_UNSUPPORTED, "\"use_dora\" of adapter_config.json is done for linear layers, not for stacks of experts");
        const int64_t count = p_.weight_shape[0], rows = p_.weight_shape[1], columns = p_.weight_shape[2];
        Value a = part(kA), b = part(kB);
        if (g_.info(a).rank == 2) {
            const int64_t all = p_.rows > 0 ? p_.rows : rows, rank = extent(kA, 0) / count;
            check(kA, {count * rank, columns});
            check(kB, {all, rank * count});
            a = reshape(a, {count, rank, columns});
            b = transpose(reshape(b, {all, rank, count}), {2, 0, 1});
            if (all != rows) b = g_.op("orr.slice/1", {b}, Attrs().set("axis", 1).set("start", p_.first_row).set("end", p_.first_row + rows));
        } else {
            const int64_t rank = extent(kA, 1);
            check(kA, {count, rank, columns});
            check(kB, {count, rows, rank});
        }
        const Value low = times_scale(scaled(g_.op("orr.moe_linear/1", {in(kRows), in(kIds), a}), p_.factor));
        return add_to_y(g_.op("orr.moe_linear/1", {low, in(kIds), b}));
    }

    Graph& g_;
    const orr_adapter_point& p_;
    const std::string op_;
};

// act(conv(x)) by the convolution and the activation.
Value open_convolution(Graph& g, const orr_adapter_point& p, const std::string& activation) {
    const orr_attrs& from = *p.attrs;
    Attrs attrs;
    if (p.op == std::string("orr.conv1d/1")) {
        for (const char* name : {"stride", "padding", "dilation", "groups"}) attrs.set(name, from.get_int(&from, name));
        attrs.set("layout_in", from.get_string(&from, "layout_in"));
    } else {
        for (const char* name : {"stride", "padding", "dilation"}) {
            const int64_t* v = nullptr;
            const size_t n = from.get_ints(&from, name, &v);
            attrs.set(name, std::vector<int64_t>(v, v + n));
        }
        attrs.set("groups", from.get_int(&from, "groups"));
    }
    attrs.set("layout_out", from.get_string(&from, "layout_out"));
    const Value y = g.op(p.op, {Value{p.ins[0]}, Value{p.ins[1]}, Value{p.n_ins > 2 ? p.ins[2] : 0}}, attrs);
    return g.op("orr.activation/1", {y}, Attrs().set("function", activation));
}

// sum_j weights_j down_e (act(gate_e x) * (up_e x)), e = ids_j, by the products of its experts.
Value open_experts(Graph& g, const orr_adapter_point& p) {
    enum { kX, kIds, kWeights, kGate, kUp, kDown };
    const auto in = [&](uint32_t i) { return Value{p.ins[i]}; };
    const Value gate = g.op("orr.moe_linear/1", {in(kX), in(kIds), in(kGate)}), up = g.op("orr.moe_linear/1", {in(kX), in(kIds), in(kUp)});
    const Value act = g.op("orr.activation/1", {gate}, Attrs().set("function", p.attrs->get_string(p.attrs, "activation")));
    const Value down = g.op("orr.moe_linear/1", {g.op("orr.mul/1", {act, up}), in(kIds), in(kDown)});
    const int32_t rank = g.info(in(kWeights)).rank;
    std::vector<int64_t> shape(static_cast<size_t>(rank), 0);
    shape.push_back(1);
    const Value weights = g.op("orr.reshape/1", {in(kWeights)}, Attrs().set("shape", shape));
    return g.op("orr.reduce/1", {g.op("orr.mul/1", {down, weights})}, Attrs().set("function", "sum").set("axes", std::vector<int64_t>{rank - 1}));
}

Value opened(Graph& g, const orr_adapter_point& p) {
    const std::string op = p.op;
    if (op == "orr.moe_ffn/1") return open_experts(g, p);
    if (op != "orr.conv1d/1" && op != "orr.conv2d/1") return {};
    const std::string activation = p.attrs->get_string(p.attrs, "activation");
    return activation.empty() || activation == "none" ? Value{} : open_convolution(g, p, activation);
}

template <class Body>
orr_value guarded(orr_builder* builder, const Body& body) {
    try {
        Graph g(builder);
        return body(g).id;
    } catch (const Error& e) {
        builder->fail(builder, e.code(), e.what());
    } catch (const std::exception& e) {
        builder->fail(builder, ORR_INTERNAL, e.what());
    }
    return 0;
}

orr_value build(orr_builder* builder, const orr_adapter_point* p) {
    return guarded(builder, [&](Graph& g) { return Join(g, *p).build(); });
}
orr_value open(orr_builder* builder, const orr_adapter_point* p) {
    return guarded(builder, [&](Graph& g) { return opened(g, *p); });
}

}  // namespace
}  // namespace orrery::core

const orr_adapter_kind* orr_adapter_lora() {
    using namespace orrery::core;
    static constexpr orr_adapter_kind kind = {ORR_HEADER(orr_adapter_kind),
                                              "lora",
                                              "y + scale factor B (A x), factor = alpha / r",
                                              kParts.data(),
                                              configure,
                                              factor,
                                              [](void* config) { delete static_cast<Config*>(config); },
                                              build,
                                              open,
                                              replaces};
    return &kind;
}
