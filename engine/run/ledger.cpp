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

constexpr std::string_view kDepth = "exit.depth";

}  // namespace

bool tells_depth(std::string_view path) { return path.ends_with(kDepth) && (path.size() == kDepth.size() || path[path.size() - kDepth.size() - 1] == '.'); }

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
    make_room(work);
}

void Ledger::make_room(const PlanWork& work) {
    if (depths_.size() <= work.layers) depths_.resize(work.layers + 1, 0);
}

void Ledger::add_stacks(const Plan& plan, PlanWork& work) {
    for (const PlanOutput& o : plan.outputs()) {
        if (!tells_depth(o.name) || o.on_device) continue;
        const std::string name = o.name.substr(0, o.name.size() - kDepth.size()) + "layers";
        auto at = std::find_if(stacks_.begin(), stacks_.end(), [&](const Stack& s) { return s.name == name; });
        if (at == stacks_.end()) at = stacks_.insert(at, {name, {}, 0});
        if (at->depth.size() < static_cast<size_t>(o.tensor->shape[0])) at->depth.resize(static_cast<size_t>(o.tensor->shape[0]));
        work.stacks.push_back({static_cast<size_t>(at - stacks_.begin()), o.tensor});
    }
}

void Ledger::add_plain_parts(const Program& program, PlanWork& work) {
    each_part(program, [&](const std::string& layer, const std::string& part, uint32_t) {
        if (!part.empty()) work.plain_parts.push_back(place(layer, part));
    });
    work.has_plain = true;
}

void Ledger::record(const PlanWork& work, const Plan& plan, int64_t tokens, int64_t sequences, uint64_t time_ns) noexcept {
    for (Part& p : parts_) p.now = p.plain_now = false;
    for (const PlanWork::Part& p : work.parts)
        if (plan.took(p.region)) parts_[p.place].now = parts_[parts_[p.place].of_layer].now = true;
    for (const size_t p : work.plain_parts) parts_[p].plain_now = parts_[parts_[p].of_layer].plain_now = true;
    Sum run;
    run.runs = 1;
    run.time_ns = time_ns;
    run.tokens = static_cast<uint64_t>(plan.advance() * plan.batch());
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
    last_ = run;
    for (Stack& s : stacks_) s.count = 0;
    for (const PlanWork::Stack& s : work.stacks) {
        Stack& stack = stacks_[s.place];
        stack.count = static_cast<size_t>(s.depth->shape[0]);
        for (size_t b = 0; b < stack.count; b++) stack.depth[b] = static_cast<uint64_t>(static_cast<const float*>(s.depth->data)[b]);
    }
    if (sequences < 0) {
        sequences = plan.batch();
        for (const PlanWork::Stack& s : work.stacks) sequences = std::max(sequences, s.depth->shape[0]);
    }
    record_depths(work, *this, 0, sequences);
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

// Of a stack as many layers ran as its deepest sequence took.
void Ledger::record_depths(const PlanWork& work, const Ledger& first, size_t first_row, int64_t sequences) noexcept {
    for (size_t b = first_row; b < first_row + static_cast<size_t>(sequences); b++) {
        uint64_t depth = first.last_.ran[0];
        for (const PlanWork::Stack& s : work.stacks) {
            const Stack& stack = first.stacks_[s.place];
            if (b < stack.count) depth -= std::min(depth, *std::max_element(stack.depth.begin(), stack.depth.begin() + static_cast<std::ptrdiff_t>(stack.count)) - stack.depth[b]);
        }
        if (depth < depths_.size()) depths_[depth]++;
    }
}

void Ledger::clear() {
    for (Part& p : parts_) p.ran = p.plain = 0;
    std::fill(depths_.begin(), depths_.end(), 0);
    for (Stack& s : stacks_) s.count = 0;
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
    Json last = tell(last_);
    for (const Stack& s : stacks_)
        if (s.count) last["exits"][s.name] = std::vector<uint64_t>(s.depth.begin(), s.depth.begin() + static_cast<std::ptrdiff_t>(s.count));
    return {{"last", last}, {"total", tell(total_)}, {"depths", depths}, {"skipped", skipped}};
}

}  // namespace orrery
