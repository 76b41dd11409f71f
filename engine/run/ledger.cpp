#include "engine/run/ledger.hpp"

#include <algorithm>

namespace orrery {
namespace {

// Calls fn(layer, part, region) for what layers give: "decoder.layers.3.mixer.output" is the part "mixer" of "decoder.layers.3".
template <class Fn>
void each_part(const Program& program, Fn&& fn) {
    static constexpr std::string_view kOutput = ".output", kLayers = "layers.";
    for (const NodeDef& n : program.nodes)
        for (const orr_value v : n.outs) {
            std::string_view path = program.values[v].name;
            const size_t at = path.rfind(kLayers);
            if (at == std::string_view::npos || (at > 0 && path[at - 1] != '.') || !path.ends_with(kOutput)) continue;
            path.remove_suffix(kOutput.size());
            const size_t dot = path.find('.', at + kLayers.size());
            const std::string layer(path.substr(0, dot)), part(dot == std::string_view::npos ? "" : path.substr(dot + 1));
            if (part.empty() || part == "mixer" || part == "ffn") fn(layer, part, n.region);
        }
}

}  // namespace

size_t Ledger::place(const std::string& layer, const std::string& name) {
    const auto [at, fresh] = places_.emplace(std::pair(layer, name), parts_.size());
    if (fresh) {
        parts_.push_back({layer, name, parts_.size()});
        if (!name.empty()) {
            const size_t own = at->second, of = place(layer, "");
            parts_[own].of_layer = of;
        }
    }
    return places_.at({layer, name});
}

void Ledger::add_parts(const Program& program, PlanWork& work) {
    std::set<std::string> layers;
    each_part(program, [&](const std::string& layer, const std::string& part, uint32_t region) {
        if (!part.empty()) work.parts.push_back({place(layer, part), region}), layers.insert(layer);
    });
    work.layers = layers.size();
    if (depths_.size() <= work.layers) depths_.resize(work.layers + 1, 0);
}

void Ledger::add_plain_parts(const Program& program, PlanWork& work) {
    each_part(program, [&](const std::string& layer, const std::string& part, uint32_t) {
        if (!part.empty()) work.plain_parts.push_back(place(layer, part));
    });
    work.has_plain = true;
}

void Ledger::record(const PlanWork& work, const Plan& plan, int64_t tokens, uint64_t time_ns) noexcept {
    for (Part& p : parts_) p.now = p.plain_now = false;
    for (const PlanWork::Part& p : work.parts)
        if (plan.took(p.region)) parts_[p.place].now = parts_[parts_[p.place].of_layer].now = true;
    for (const size_t p : work.plain_parts) parts_[p].plain_now = parts_[parts_[p].of_layer].plain_now = true;
    Sum run;
    run.runs = 1;
    run.time_ns = time_ns;
    run.tokens = static_cast<uint64_t>(plan.advance());
    run.has_plain = work.has_plain;
    for (size_t r = 0; r < work.regions.size(); r++)
        if (plan.took(static_cast<uint32_t>(r))) run.flops += work.regions[r].flops_at(tokens), run.weight_bytes += static_cast<double>(work.regions[r].weight_bytes);
    run.plain_flops = work.plain.flops_at(tokens);
    run.plain_weight_bytes = static_cast<double>(work.plain.weight_bytes);
    for (Part& p : parts_) {
        p.ran += p.now;
        p.plain += p.plain_now;
        run.ran[kind(p)] += p.now;
        run.plain[kind(p)] += p.plain_now;
    }
    if (run.ran[0] < depths_.size()) depths_[run.ran[0]]++;
    last_ = run;
    total_.runs++;
    total_.time_ns += time_ns;
    total_.tokens += run.tokens;
    total_.flops += run.flops;
    total_.plain_flops += run.plain_flops;
    total_.weight_bytes += run.weight_bytes;
    total_.plain_weight_bytes += run.plain_weight_bytes;
    for (size_t k = 0; k < 3; k++) total_.ran[k] += run.ran[k], total_.plain[k] += run.plain[k];
    total_.has_plain = total_.has_plain && run.has_plain;
}

void Ledger::clear() {
    for (Part& p : parts_) p.ran = p.plain = 0;
    std::fill(depths_.begin(), depths_.end(), 0);
    last_ = total_ = {};
}

nlohmann::ordered_json Ledger::tell(const Sum& s) {
    nlohmann::ordered_json j = {{"runs", s.runs}, {"tokens", s.tokens}, {"time_ns", s.time_ns}};
    const auto pair = [&](const char* name, auto ran, auto plain) {
        j[name]["run"] = ran;
        if (s.has_plain) j[name]["plain"] = plain;
    };
    pair("layers", s.ran[0], s.plain[0]);
    pair("mixers", s.ran[1], s.plain[1]);
    pair("ffns", s.ran[2], s.plain[2]);
    pair("flops", static_cast<uint64_t>(s.flops), static_cast<uint64_t>(s.plain_flops));
    pair("weight_bytes", static_cast<uint64_t>(s.weight_bytes), static_cast<uint64_t>(s.plain_weight_bytes));
    return j;
}

nlohmann::ordered_json Ledger::describe() const {
    using Json = nlohmann::ordered_json;
    Json depths = Json::object(), skipped = Json::array();
    for (size_t d = 0; d < depths_.size(); d++)
        if (depths_[d]) depths[std::to_string(d)] = depths_[d];
    for (const Part& p : parts_)
        if (!p.name.empty() && p.plain > p.ran)
            skipped.push_back({{"path", p.layer + "." + p.name}, {"runs", p.plain - p.ran}, {"rate", static_cast<double>(p.plain - p.ran) / static_cast<double>(p.plain)}});
    return {{"last", tell(last_)}, {"total", tell(total_)}, {"depths", depths}, {"skipped", skipped}};
}

}  // namespace orrery
