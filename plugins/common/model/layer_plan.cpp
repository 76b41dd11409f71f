#include "model/layer_plan.h"

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "model/json_text.h"

namespace orrery {
namespace {

constexpr size_t kMostSteps = 100000;

// The text of a control: a string, or a number by itself.
std::string control_text(Graph& g, const std::string& name) {
    const char* given = g.control(name.c_str());
    if (!given) return "";
    const nlohmann::json value = parse_json(given);
    if (value.is_number_integer()) return value.dump();
    if (!value.is_string()) throw Error(ORR_INVALID_ARGUMENT, "control " + name + " is " + given + ", wanted a string");
    return value.get<std::string>();
}

std::vector<std::string> split(const std::string& text, char at) {
    std::vector<std::string> parts(1);
    for (const char c : text) {
        if (c == at)
            parts.emplace_back();
        else if (c != ' ')
            parts.back() += c;
    }
    return parts;
}

class Reader {
  public:
    Reader(std::string name, int64_t layers) : name_(std::move(name)), layers_(layers) {}

    [[noreturn]] void fail(const std::string& item, const std::string& why) const { throw Error(ORR_INVALID_ARGUMENT, "control " + name_ + ": \"" + item + "\" " + why); }

    int64_t number(const std::string& item, const std::string& text, int64_t most) const {
        int64_t n = -1;
        const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), n);
        if (text.empty() || failed != std::errc() || end != text.data() + text.size() || n < 0) fail(item, "is no number");
        if (n > most) fail(item, "is " + std::to_string(n) + ", the most is " + std::to_string(most));
        return n;
    }
    int64_t layer(const std::string& item, const std::string& text) const { return number(item, text, layers_ - 1); }

    // "3", "2-5", "5-2" and any of them "*2": one step a layer. "2|3|4": one step.
    void add(const std::string& item, std::vector<std::vector<int64_t>>& steps) const {
        const size_t star = item.find('*');
        const int64_t times = star == std::string::npos ? 1 : number(item, item.substr(star + 1), static_cast<int64_t>(kMostSteps));
        const std::string what = item.substr(0, star);
        std::vector<std::vector<int64_t>> once;
        if (what.find('|') != std::string::npos) {
            once.emplace_back();
            for (const std::string& part : split(what, '|')) once[0].push_back(layer(item, part));
        } else if (const size_t dash = what.find('-'); dash != std::string::npos) {
            const int64_t first = layer(item, what.substr(0, dash)), last = layer(item, what.substr(dash + 1));
            for (int64_t n = first; n != last; n += first < last ? 1 : -1) once.push_back({n});
            once.push_back({last});
        } else {
            once.push_back({layer(item, what)});
        }
        for (int64_t i = 0; i < times; i++) {
            if (steps.size() + once.size() > kMostSteps) fail(item, "makes more than " + std::to_string(kMostSteps) + " steps");
            steps.insert(steps.end(), once.begin(), once.end());
        }
    }

  private:
    std::string name_;
    int64_t layers_;
};

}  // namespace

LayerPlan::LayerPlan(Graph& g, int64_t layers, const std::string& prefix) {
    std::vector<std::vector<int64_t>> order;
    if (const std::string text = control_text(g, prefix + "layer_plan"); !text.empty()) {
        const Reader reader(prefix + "layer_plan", layers);
        for (const std::string& item : split(text, ',')) reader.add(item, order);
    } else {
        for (int64_t i = 0; i < layers; i++) order.push_back({i});
    }
    std::vector<bool> mixer(static_cast<size_t>(layers), true), ffn(static_cast<size_t>(layers), true);
    if (const std::string text = control_text(g, prefix + "bypass"); !text.empty()) {
        const Reader reader(prefix + "bypass", layers);
        for (const std::string& item : split(text, ',')) {
            const size_t dot = item.find('.');
            const auto layer = static_cast<size_t>(reader.layer(item, item.substr(0, dot)));
            const std::string part = dot == std::string::npos ? "" : item.substr(dot + 1);
            if (!part.empty() && part != "mixer" && part != "ffn") reader.fail(item, "names no part of a layer: mixer or ffn");
            if (part != "ffn") mixer[layer] = false;
            if (part != "mixer") ffn[layer] = false;
        }
    }
    std::map<int64_t, int> runs;
    for (const auto& side_by_side : order) {
        steps_.emplace_back();
        for (const int64_t layer : side_by_side) {
            const int run = ++runs[layer];
            const auto at = static_cast<size_t>(layer);
            steps_.back().push_back({layer, prefix + "layers." + std::to_string(layer) + (run > 1 ? "#" + std::to_string(run) : ""), mixer[at], ffn[at], steps_.size() == order.size()});
        }
    }
}

void declare_layer_controls(Summary& summary, int64_t layers, bool ffn, const std::string& prefix) {
    nlohmann::json list = parse_json(summary.controls_json);
    list.push_back({{"name", prefix + "layer_plan"},
                    {"type", "string"},
                    {"default", layers > 1 ? "0-" + std::to_string(layers - 1) : "0"},
                    {"minimum", 0},
                    {"maximum", layers - 1},
                    {"meaning", "layers that run, in order, separated by commas: 3, 2-5, 5-2, 3*2 (twice), 2|3|4 (side by side, results averaged)"}});
    list.push_back({{"name", prefix + "bypass"},
                    {"type", "string"},
                    {"default", ""},
                    {"meaning", std::string("sub-layers that x passes by, separated by commas: ") + (ffn ? "3.mixer, 3.ffn, 3 (both)" : "3.mixer") + "; a mixer that is passed by keeps no state"}});
    summary.controls_json = json_text(list);
}

}  // namespace orrery
