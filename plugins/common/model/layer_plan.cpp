#include "model/layer_plan.h"

#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "model/json_text.h"

namespace orrery {
namespace {

constexpr size_t kMostSteps = 1000;

// The text of a control: a string, or a number by itself.
std::string control_text(Graph& g, const std::string& name) {
    const char* given = g.control(name.c_str());
    if (!given) return "";
    const nlohmann::json value = parse_json(given);
    if (value.is_number()) return value.dump();
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
        if (times == 0) fail(item, "is to run 0 times, the least is 1: leave it out instead");
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

    // "0.5": a share; "1": all; "256": units.
    FfnWidth width(const std::string& item, const std::string& text) const {
        FfnWidth w;
        const bool share = text.find_first_of(".eE") != std::string::npos || text == "1";
        const char* end = text.data() + text.size();
        const auto [at, failed] = share ? std::from_chars(text.data(), end, w.share) : std::from_chars(text.data(), end, w.units);
        if (text.empty() || failed != std::errc() || at != end) fail(item, "is no number");
        if (share ? !(w.share > 0 && w.share <= 1) : w.units < 1) fail(item, "is no share above 0 up to 1, nor a number of units");
        return w;
    }

    // "0.5": every layer; "0.5,1,…": one a layer; "2-5:0.5,7:256": these.
    std::vector<FfnWidth> widths(const std::string& text) const {
        const std::vector<std::string> items = split(text, ',');
        std::vector<FfnWidth> list(static_cast<size_t>(layers_));
        std::vector<size_t> from(list.size(), items.size());  // which item told it
        const bool named = text.find(':') != std::string::npos;
        if (!named && items.size() != 1 && items.size() != list.size())
            throw Error(ORR_INVALID_ARGUMENT, "control " + name_ + " has " + std::to_string(items.size()) + " widths, the model has " + std::to_string(layers_) + " layers");
        for (size_t i = 0; i < items.size(); i++) {
            if (!named) {
                const FfnWidth w = width(items[i], items[i]);
                if (items.size() == 1)
                    list.assign(list.size(), w);
                else
                    list[i] = w;
                continue;
            }
            const size_t colon = items[i].find(':'), dash = items[i].find('-');
            if (colon == std::string::npos) fail(items[i], "names no layers: LAYER:WIDTH or FIRST-LAST:WIDTH");
            const FfnWidth w = width(items[i], items[i].substr(colon + 1));
            const int64_t first = layer(items[i], items[i].substr(0, std::min(dash, colon))), last = dash < colon ? layer(items[i], items[i].substr(dash + 1, colon - dash - 1)) : first;
            if (last < first) fail(items[i], "ends before it begins");
            for (auto k = static_cast<size_t>(first); k <= static_cast<size_t>(last); k++) {
                if (from[k] < i) fail(items[i], "tells of layer " + std::to_string(k) + ", as \"" + items[from[k]] + "\" does");
                list[k] = w;
                from[k] = i;
            }
        }
        return list;
    }

  private:
    std::string name_;
    int64_t layers_;
};

}  // namespace

int64_t FfnWidth::of(int64_t whole) const {
    if (units > whole) throw Error(ORR_INVALID_ARGUMENT, "control ffn_width: " + std::to_string(units) + " hidden units were asked for, the layer has " + std::to_string(whole));
    if (units > 0) return units;
    const auto n = static_cast<int64_t>(std::floor(share * static_cast<double>(whole) + 1e-6));
    if (n < 1) throw Error(ORR_INVALID_ARGUMENT, "control ffn_width: a share of " + nlohmann::json(share).dump() + " of " + std::to_string(whole) + " hidden units is none, wanted one from 1/" + std::to_string(whole) + " to 1");
    return n;
}

Value part_of(Graph& g, Value weight, int64_t axis, int64_t whole, int64_t begin, int64_t end) {
    if (!weight || (begin == 0 && end == whole)) return weight;
    return g.op("orr.slice/1", {weight}, Attrs().set("axis", axis).set("start", begin).set("end", end));
}

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
    std::vector<FfnWidth> widths(static_cast<size_t>(layers));
    if (const std::string text = control_text(g, prefix + "ffn_width"); !text.empty()) widths = Reader(prefix + "ffn_width", layers).widths(text);
    std::map<int64_t, int> runs;
    for (const auto& side_by_side : order) {
        steps_.emplace_back();
        for (const int64_t layer : side_by_side) {
            const int run = ++runs[layer];
            const auto at = static_cast<size_t>(layer);
            steps_.back().push_back({layer, prefix + "layers." + std::to_string(layer) + (run > 1 ? "#" + std::to_string(run) : ""), mixer[at], ffn[at], steps_.size() == order.size(), widths[at]});
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
                    {"meaning", "layers that run, in order, separated by commas: 3, 2-5, 5-2, 3*2 (twice; at least once), 2|3|4 (side by side, results averaged)"}});
    list.push_back({{"name", prefix + "bypass"},
                    {"type", "string"},
                    {"default", ""},
                    {"meaning", std::string("sub-layers that x passes by, separated by commas: ") + (ffn ? "3.mixer, 3.ffn, 3 (both)" : "3.mixer") + "; a mixer that is passed by keeps no state"}});
    summary.controls_json = json_text(list);
}

// Mix'n'Match, with the granularities that MatFormers are trained with: two neighbouring ones at most, the smaller in the first layers
// ("least slope"). Devvrit et al. 2023, arXiv:2310.07707v2, sections 3.1 and 3.3.
static nlohmann::json ffn_width_ladder(int64_t layers) {
    static constexpr const char* kShares[] = {"1", "0.5", "0.25", "0.125"};
    const auto of = [&](int64_t first, int64_t last, const char* share) { return std::to_string(first) + (last > first ? "-" + std::to_string(last) : "") + ":" + share; };
    nlohmann::json ladder = {"1"};
    for (size_t g = 1; g < std::size(kShares); g++) {
        for (int64_t small = 1; small < layers; small++) ladder.push_back(of(0, small - 1, kShares[g]) + (g > 1 ? "," + of(small, layers - 1, kShares[g - 1]) : ""));
        ladder.push_back(kShares[g]);
    }
    return ladder;
}

void declare_ffn_width(Summary& summary, int64_t layers, const std::string& prefix) {
    nlohmann::json list = parse_json(summary.controls_json);
    list.push_back({{"name", prefix + "ffn_width"},
                    {"type", "string"},
                    {"default", "1"},
                    {"meaning", "of each feed-forward, the first hidden units that take part: 0.5 (a share) or 256 (units) in every layer, one a layer (" + std::to_string(layers) +
                                    " of them, separated by commas), or some: 2-5:0.5,7:256"},
                    {"ladder", ffn_width_ladder(layers)}});
    summary.controls_json = json_text(list);
}

}  // namespace orrery
