#include "model/exit_heads.h"

#include <nlohmann/json.hpp>

#include "model/config.h"
#include "model/json_text.h"

namespace orrery {

const ExitHeads::Affine& ExitHeads::at(const std::vector<Affine>& list, int64_t layer) {
    static const Affine none;
    return layer >= 0 && static_cast<size_t>(layer) < list.size() ? list[static_cast<size_t>(layer)] : none;
}

ExitHeads::ExitHeads(Graph& g, const std::string& prefix, const ExitShape& shape) {
    const std::string control = prefix + "exit_heads";
    const char* given = g.control(control.c_str());
    if (!given) return;
    const nlohmann::json value = parse_json(given);
    if (!value.is_string()) throw Error(ORR_INVALID_ARGUMENT, "control " + control + " is " + given + ", wanted the path of a tensor file");
    const auto file = value.get<std::string>();
    if (file.empty()) return;
    const auto fail = [&](const std::string& why) { throw Error(ORR_INVALID_ARGUMENT, "control " + control + ": " + file + ": " + why); };
    const auto pair = [&](const std::string& name, std::vector<int64_t> weight, int64_t bias) {
        const Affine a{g.file_tensor(file, name + ".weight", weight), g.file_tensor(file, name + ".bias", {bias})};
        if (a.bias && !a.weight) fail("has " + name + ".bias, but no " + name + ".weight");
        return a;
    };
    for (int64_t i = 0; i < shape.layers; i++) {
        const auto name = [&](const char* part) { return numbered("layers.{}.", i) + part; };
        heads_.push_back(pair(name("exit.head"), {shape.vocabulary, shape.width}, shape.vocabulary));
        norms_.push_back(shape.norm_bias ? pair(name("exit.norm"), {shape.width}, shape.width) : Affine{g.file_tensor(file, name("exit.norm.weight"), {shape.width}), Value{}});
        halts_.push_back(pair(name("halt"), {1, shape.width}, 1));
        has_heads_ = has_heads_ || heads_.back();
        has_halts_ = has_halts_ || halts_.back();
        if (norms_.back() && !heads_.back()) fail("has " + name("exit.norm.weight") + ", but no " + name("exit.head.weight"));
        if (shape.norm_bias && norms_.back() && !norms_.back().bias) fail("has " + name("exit.norm.weight") + ", but no " + name("exit.norm.bias"));
    }
    depth_ = pair("depth", {shape.layers, shape.width}, shape.layers);
    if (depth_ && has_halts_) fail("has both depth.weight and halting predictors: one of them decides");
    if (!has_heads_ && !halts())
        fail("has neither classifiers (layers.0.exit.head.weight [" + std::to_string(shape.vocabulary) + ", " + std::to_string(shape.width) + "] and so on) nor halting predictors (layers.0.halt.weight [1, " +
             std::to_string(shape.width) + "] and so on, or depth.weight [" + std::to_string(shape.layers) + ", " + std::to_string(shape.width) + "])");
}

Value affine(Graph& g, const ExitHeads::Affine& map, Value x) { return g.op("orr.linear/1", {x, map.weight, map.bias}); }

}  // namespace orrery
