#include "model/skip_routers.h"

#include <nlohmann/json.hpp>

#include "model/config.h"
#include "model/early_exit.h"
#include "model/json_text.h"

namespace orrery {

SkipRouters::SkipRouters(Graph& g, int64_t layers, int64_t width) : threshold_(control_number(g, "mindskip_threshold", 0.5, 0, 1)), width_(width) {
    if (const char* given = g.control("mindskip")) {
        const nlohmann::json value = parse_json(given);
        if (!value.is_string()) throw Error(ORR_INVALID_ARGUMENT, std::string("control mindskip is ") + given + ", wanted the path of a tensor file");
        file_ = value.get<std::string>();
    }
    bool found = file_.empty();
    for (int64_t i = 0; i < layers && !file_.empty(); i++) {
        found = static_cast<bool>(weight(g, i)) || found;
        const std::string bias = numbered("model.layers.{}.router.bias", i);
        if (g.file_tensor(file_, bias, {1})) g.fail(ORR_UNSUPPORTED, "control mindskip: " + file_ + ": " + bias + ": routers have no bias here");
    }
    if (!found) g.fail(ORR_INVALID_ARGUMENT, "control mindskip: " + file_ + " has no router: model.layers.0.router.weight [1, " + std::to_string(width) + "] and so on");
}

Value SkipRouters::weight(Graph& g, int64_t layer) const {
    return file_.empty() ? Value{} : g.file_tensor(file_, numbered("model.layers.{}.router.weight", layer), {1, width_});
}

Value SkipRouters::gate(Graph& g, Value x, Value router, const std::string& layer_path) const {
    const Value mean = g.op("orr.reduce/1", {x}, Attrs().set("function", "mean").set("axes", std::vector<int64_t>{1}).set("keepdims", true));
    const Value score = g.op("orr.reduce/1", {g.op("orr.mul/1", {mean, router})}, Attrs().set("function", "sum").set("axes", std::vector<int64_t>{-1}).set("keepdims", true));
    const Value probability = g.named(layer_path + ".mixer.router", g.op("orr.activation/1", {score}, Attrs().set("function", "sigmoid")));
    const Value open = g.op("orr.compare/1", {probability, g.constant("mindskip.threshold", {static_cast<float>(threshold_)})}, Attrs().set("function", "ge"));
    return g.op("orr.cast/1", {open}, Attrs().set("type", "f32"));
}

Value SkipRouters::any(Graph& g, Value gate) const {
    return g.op("orr.reduce/1", {gate}, Attrs().set("function", "max").set("axes", std::vector<int64_t>{0, 1, 2}).set("keepdims", true));
}

void declare_skip_controls(Summary& summary) {
    nlohmann::json list = parse_json(summary.controls_json);
    list.push_back({{"name", "mindskip"},
                    {"type", "string"},
                    {"default", ""},
                    {"meaning", "safetensors file with routers model.layers.N.router.weight [1, E]: a layer's attention runs for a sequence where sigmoid(router(mean of its normalised tokens)) is at least mindskip_threshold"}});
    list.push_back({{"name", "mindskip_threshold"}, {"type", "number"}, {"default", 0.5}, {"minimum", 0}, {"maximum", 1}, {"meaning", "see mindskip"}});
    summary.controls_json = json_text(list);
}

}  // namespace orrery
