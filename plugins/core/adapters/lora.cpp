// y = W x -> W x + scale factor B (A x), factor = alpha / r, or alpha / sqrt(r) where use_rslora
// A [r, K], B [N, r] of any float type    W [N, K], or [K, N] where transposed: A and B are the same of both
// Hu et al. 2021, arXiv:2106.09685 · Kalajdzievski 2023, arXiv:2312.03732 (rsLoRA). Configuration: huggingface/peft src/peft/tuners/lora/config.py,
// model.py
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

enum Part : uint32_t { kA, kB };
constexpr std::array<const char*, 3> kParts = {"lora_A.weight", "lora_B.weight", nullptr};
constexpr size_t kLongestPattern = 512;
#ifdef __GLIBCXX__
constexpr auto kSyntax = std::regex::ECMAScript | std::regex_constants::__polynomial;  // in time that no pattern can blow up
#else
constexpr auto kSyntax = std::regex::ECMAScript;
#endif

struct Config {
    int64_t rank = 0;
    double alpha = 0;
    bool rank_stabilised = false;
    Json rank_pattern, alpha_pattern;
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

void check_settings(const Json& config) {
    const auto given = [&](const char* key) {
        const auto at = config.find(key);
        return at != config.end() && is_set(*at);
    };
    if (given("use_dora")) refuse("use_dora", "is true: DoRA divides by norms of the merged weights, which is not done");
    if (given("modules_to_save"))
        refuse("modules_to_save", "names " + config["modules_to_save"].dump() + ": whole modules in an adapter are not loaded");
    if (given("bias") && config["bias"] != "none") refuse("bias", "is " + config["bias"].dump() + ": trained biases are not loaded, wanted \"none\"");
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

orr_status factor(const orr_host* host, void* config, const char* module, const orr_tensor_entry* const* parts, double* out) {
    return guard(host, [&] {
        const Config& c = *static_cast<const Config*>(config);
        const Json* rank_given = find_pattern(c.rank_pattern, "rank_pattern", module);
        const Json* alpha_given = find_pattern(c.alpha_pattern, "alpha_pattern", module);
        const int64_t rank = rank_given ? rank_of(*rank_given, "rank_pattern") : c.rank;
        const double alpha = alpha_given ? number(*alpha_given, "alpha_pattern", -1e30) : c.alpha;
        for (const Part part : {kA, kB}) {
            const orr_tensor_entry& t = *parts[part];
            if (t.rank != 2 || t.shape[part == kA ? 0 : 1] != rank)
                throw Error(ORR_INVALID_ARGUMENT, std::string("tensor ") + t.name + " has shape " + shape_text(t.rank, t.shape) + ", wanted " +
                                                      (part == kA ? "[" + std::to_string(rank) + ", any]" : "[any, " + std::to_string(rank) + "]") +
                                                      " for rank " + std::to_string(rank) + " of adapter_config.json");
        }
        const auto r = static_cast<double>(rank);
        *out = alpha / (c.rank_stabilised ? std::sqrt(r) : r);
    });
}

// Shapes of the parts against the weight's: A [r, K], B [N, r].
void check_shapes(Graph& g, const orr_adapter_point& p, int64_t rows, int64_t columns) {
    for (const Part part : {kA, kB}) {
        const orr_value_info t = g.info(Value{p.parts[part]});
        const int64_t want = part == kA ? columns : rows, rank = t.dims[part == kA ? 0 : 1];
        if (t.dims[part == kA ? 1 : 0] == want) continue;
        const int64_t shape[] = {part == kA ? rank : want, part == kA ? want : rank};
        throw Error(ORR_INVALID_ARGUMENT, std::string("tensor ") + p.part_names[part] + " has shape " + shape_text(t.rank, t.dims) + ", wanted " +
                                              shape_text(2, shape) + " for " + p.weight_name + " " + shape_text(p.weight_rank, p.weight_shape) +
                                              " of the model");
    }
}

// Of a weight of which the node reads some rows or columns: these of B or A.
void cut(Graph& g, const orr_adapter_point& p, bool transposed, Value& a, Value& b) {
    if (!p.cut_op) return;
    if (p.cut_op != std::string("orr.slice/1"))
        throw Error(ORR_UNSUPPORTED, std::string("the weight is read through ") + p.cut_op + "; only whole weights and slices of them take a LoRA");
    const orr_attrs& s = *p.cut_attrs;
    const int64_t axis = s.get_int(&s, "axis"), rank = p.weight_rank;
    const bool rows = (axis < 0 ? axis + rank : axis) == (transposed ? 1 : 0);
    Value& part = rows ? b : a;
    part = g.op(
        "orr.slice/1", {part},
        Attrs().set("axis", rows ? 0 : 1).set("start", s.get_int(&s, "start")).set("end", s.get_int(&s, "end")).set("step", s.get_int(&s, "step")));
}

// Rows of each head in the order in which the weight has them.
Value interleaved(Graph& g, Value b, int64_t heads, int64_t rows, int64_t rank) {
    const int64_t half = rows / heads / 2;
    if (heads * half * 2 != rows)
        throw Error(ORR_INVALID_ARGUMENT, std::to_string(rows) + " rows are not " + std::to_string(heads) + " heads of two halves");
    const Value halves = g.op("orr.reshape/1", {b}, Attrs().set("shape", std::vector<int64_t>{heads, 2, half, rank}));
    const Value turned = g.op("orr.transpose/1", {halves}, Attrs().set("perm", std::vector<int64_t>{0, 2, 1, 3}));
    return g.op("orr.reshape/1", {turned}, Attrs().set("shape", std::vector<int64_t>{rows, rank}));
}

Value join(Graph& g, const orr_adapter_point& p) {
    enum { kX, kWeight, kBias, kResidual };
    const std::string op = p.op;
    if (op != "orr.linear/1" || p.weight != kWeight) throw Error(ORR_UNSUPPORTED, "the weight is read by " + op + "; only linear layers take a LoRA");
    const std::string activation = p.attrs->get_string(p.attrs, "activation");
    if ((activation != "none" && !activation.empty()) || (p.n_ins > kResidual && p.ins[kResidual]))
        throw Error(ORR_UNSUPPORTED, "the node does more than its product");
    const bool transposed = p.attrs->get_int(p.attrs, "transposed") != 0;
    const int64_t rows = p.weight_shape[transposed ? 1 : 0], columns = p.weight_shape[transposed ? 0 : 1];
    check_shapes(g, p, rows, columns);
    Value a{p.parts[kA]}, b{p.parts[kB]};
    if (p.interleaved_heads > 0) b = interleaved(g, b, p.interleaved_heads, rows, g.info(b).dims[1]);
    cut(g, p, transposed, a, b);
    const double node_scale = p.attrs->get_float(p.attrs, "scale");
    const Value low = g.op("orr.linear/1", {Value{p.ins[kX]}, a}, Attrs().set("scale", p.factor * node_scale));
    return g.op("orr.add/1", {Value{p.y}, g.op("orr.linear/1", {g.op("orr.mul/1", {low, Value{p.scale}}), b})});
}

orr_value build(orr_builder* builder, const orr_adapter_point* p) {
    orr_value y = 0;
    try {
        Graph g(builder);
        y = join(g, *p).id;
    } catch (const Error& e) {
        builder->fail(builder, e.code(), e.what());
    } catch (const std::exception& e) {
        builder->fail(builder, ORR_INTERNAL, e.what());
    }
    return y;
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
                                              build};
    return &kind;
}
