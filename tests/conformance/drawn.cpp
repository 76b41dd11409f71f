// Cases out of the descriptor alone: types and documented shapes of the ports, ranges of the attributes. The shape function says which of them
// are any: it may refuse, with a reason. What it takes, every kernel computes as the definition does, or refuses, with a reason.
#include <algorithm>
#include <stdexcept>

#include "checker.hpp"
#include "drawing.hpp"
#include "engine/graph/attrs.hpp"
#include "engine/registry/attr_range.hpp"
#include "orrery/plugin.hpp"

namespace orrery::conformance {
namespace {

constexpr int64_t kMostElements = 1 << 16;
constexpr int kAttempts = 12, kStateAttempts = 32;  // to draw something that the shape function takes

// What the engine says of these attributes; "" where it takes them.
std::string engine_refusal(const orr_operator& op, const nlohmann::json& attrs) {
    try {
        NodeAttrs checked(op, attrs.dump());
        return "";
    } catch (const Error& e) {
        return e.what();
    }
}

}  // namespace

// The range of each attribute: the engine takes its default, its ends and what the cases give; it refuses what lies just outside, and says
// operator, attribute, value and range.
void Checker::check_ranges(const orr_operator& op, const std::vector<Case>& cases) {
    if (op.n_attrs == 0 || !begin("attribute ranges")) return;
    contain([&] {
        nlohmann::json base = nlohmann::json::object();
        for (uint32_t n = 0; n < op.n_attrs; n++) {
            const orr_attr_desc& desc = *op.attrs[n];
            if (desc.default_json) continue;
            const Ends ends = ends_of(desc);
            const std::map<uint32_t, nlohmann::json> kPlain = {{ORR_ATTR_BOOL, true}, {ORR_ATTR_INT, 1}, {ORR_ATTR_FLOAT, 1.0}, {ORR_ATTR_STRING, ""}};
            const auto plain = kPlain.find(desc.kind);
            base[desc.name] = !ends.inside.empty() ? ends.inside[0] : plain == kPlain.end() ? nlohmann::json::array() : plain->second;
            for (const Case& c : cases)
                if (!c.fails && c.attrs.contains(desc.name)) base[desc.name] = c.attrs[desc.name];
        }
        for (uint32_t n = 0; n < op.n_attrs; n++) {
            const orr_attr_desc& desc = *op.attrs[n];
            const std::string name = desc.name;
            const Ends ends = ends_of(desc);
            const auto with = [&](const nlohmann::json& value) {
                nlohmann::json attrs = base;
                attrs[name] = value;
                return engine_refusal(op, attrs);
            };
            for (const auto& value : ends.inside) {
                const std::string why = with(value);
                expect("ranges", why.empty(), name + " " + value.dump() + " lies in " + AttrRange(desc).text + ", but is refused: " + why);
            }
            for (const auto& value : ends.outside) {
                const std::string why = with(value), text = AttrRange(desc).text;
                expect("ranges", !why.empty(), name + " " + value.dump() + " lies outside " + text + ", but is taken");
                for (const std::string& part : {std::string(op.id), name, value.dump(), text})
                    expect("ranges", why.empty() || why.find(part) != std::string::npos, "the refusal of " + name + " " + value.dump() + " does not say " + part + ": " + why);
            }
        }
        for (const Case& c : cases) {
            if (c.fails) continue;
            const std::string why = engine_refusal(op, c.attrs.is_object() ? c.attrs : nlohmann::json::object());
            expect("ranges", why.empty(), "the engine refuses the attributes of the case in line " + std::to_string(c.line) + ": " + why);
        }
    });
}

void Checker::check_drawn(const orr_operator& op, const std::vector<Case>& cases) {
    const bool states = has_states(op);
    // A case with a layout that the ports do not tell: nothing is known of its states.
    for (const Case& c : cases)
        for (const Value& v : c.inputs)
            if (!v.layout.empty() && !states) return;
    // As close as the operator's own cases want it; else as is usual for f32 sums.
    Case like;
    like.numerics = {ORR_NUMERICS_EXACT};
    like.drawn = true;
    like.tol = cases.empty() ? 1e-4 : 0;
    for (const Case& c : cases) like.tol = std::max(like.tol, c.tol);
    for (const Case& c : cases)
        if (!c.in_place.empty()) like.in_place = c.in_place;
    like.outputs.resize(op.n_outputs);
    const bool several = op.n_outputs > 0 && op.outputs[op.n_outputs - 1]->flags & ORR_PORT_VARIADIC;
    if (several) return;  // how many there are is not told
    const Spans spans = states ? spans_of(cases) : Spans();
    int64_t taken = 0;
    // Kernels over states are specialised to widths and kinds: on a device each case builds pipelines.
    const int count = states && options_.device ? (options_.drawn_per_operator + 2) / 3 : options_.drawn_per_operator;
    const std::vector<Wanted> wanted = wanted_of(op, count);
    for (int n = 0; n < count; n++) {
        const std::string name = "drawn " + std::to_string(n);
        if (!begin(name)) continue;
        contain([&] {
            const int attempts = states ? kStateAttempts : kAttempts;
            for (int attempt = 0; attempt < attempts; attempt++) {
                // What is refused whatever lies round it, last of all not at all.
                Wanted now = wanted[static_cast<size_t>(n)];
                if (attempt % 2) now.extent = 0;
                if (attempt >= attempts - attempts / 4) now = {};
                if (check_one_drawn(op, like, spans, name, now)) return void(taken++);
            }
        });
    }
    if (taken > 0) report_.ran.insert(op_ + " drawn cases: " + std::to_string(taken) + (states ? ", with states" : ""));
    else if (!options_.only) report_.notes.insert(op_ + ": the shape function took none of the cases drawn from the descriptor");
}

// False where the shape function does not take what is drawn.
bool Checker::check_one_drawn(const orr_operator& op, const Case& like, const Spans& spans, const std::string& name, const Wanted& wanted) {
    Drawn d;
    try {
        d = draw(op, types_, spans, random_, wanted);
    } catch (const std::runtime_error&) {
        return false;  // nothing that could be drawn
    }
    case_ = name + " (" + d.text + ")";
    at(case_);
    if (!check_ports(op, d.inputs).empty()) return false;
    const AttrSet attrs(op, d.attrs);
    std::string error;
    const auto shapes = infer(op, attrs, d.inputs, op.n_outputs, &error);
    if (!shapes) return false;
    for (const Shape& s : *shapes) {
        Value v;
        v.shape = s.dims;
        if (v.elems() > kMostElements || (!s.layout.empty() && !has_states(op))) return false;
    }
    may_fail_ = true;
    const bool taken = check_against_reference(op, like, d.attrs, d.inputs);
    may_fail_ = false;
    if (taken) check_drawn_parts(op, like, d, *shapes);
    return true;
}

}  // namespace orrery::conformance
