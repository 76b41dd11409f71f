// What a drawn case shows beyond its values, from the names of its axes: a batch of N against N; and of states: two runs of T1 and T2 tokens
// against one of T1 + T2, a plan that finds its states set back, states written over.
#include <algorithm>
#include <stdexcept>

#include "checker.hpp"
#include "drawing.hpp"

namespace orrery::conformance {
namespace {

// The n-th output of a layout goes with the n-th input of it, as in the engine. -1: none.
int input_of_state(const std::vector<Value>& inputs, const std::vector<std::string>& layouts, size_t output) {
    int64_t before = 0;
    for (size_t n = 0; n < output; n++) before += layouts[n] == layouts[output];
    for (size_t n = 0; n < inputs.size(); n++)
        if (inputs[n].layout == layouts[output] && before-- == 0) return static_cast<int>(n);
    return -1;
}

}  // namespace

void Checker::check_drawn_parts(const orr_operator& op, const Case& like, const Drawn& d, const std::vector<Shape>& shapes) {
    Case c = like;
    c.inputs = d.inputs;
    c.attrs = d.attrs;
    // Where B is. A port that has another axis of that kind, "Bb", would have to be cut in a way that is not told.
    bool batch = true, any = false, written = false;
    for (size_t n = 0; n < d.inputs.size(); n++) {
        const int axis = d.inputs[n].present ? axis_of(d.axes[n], "B") : -1;
        c.batch_inputs.push_back(axis);
        any = any || axis >= 0;
        for (const std::string& name : d.axes[n]) batch = batch && (name == "B" || name.empty() || name[0] != 'B');
    }
    for (size_t n = 0; n < shapes.size(); n++) {
        const bool state = !shapes[n].layout.empty();
        written = written || state;
        c.batch_outputs.push_back(state ? 0 : axis_of(axis_names(op.outputs[n]->doc, shapes[n].dims.size()), "B"));
        batch = batch && c.batch_outputs.back() >= 0;
        c.outputs[n].compare = true;
        c.outputs[n].value.shape = shapes[n].dims;
    }
    const AttrSet attrs(op, d.attrs);
    const std::string kept = case_;
    for (uint32_t n = 0; n < op.n_kernels; n++) {
        const orr_kernel& k = *op.kernels[n];
        if (!chosen(k)) continue;
        const Setting s{isas().back(), 1, ORR_NUMERICS_EXACT, options_.device};
        const auto whole = run_once(op, k, attrs, d.inputs, shapes, Form::contiguous, s, written);
        if (!whole) continue;
        if (batch && any) check_batch(op, k, c, attrs, *whole, s);
        if (written) {
            check_split(op, k, like, d, attrs, shapes, *whole, s);
            check_set_back(op, k, like, d, attrs, shapes, s);
        }
        if (c.in_place.empty() || options_.device) continue;
        for (size_t o = 0; o < shapes.size(); o++) {
            Value v;
            v.present = true;
            v.type = shapes[o].type;
            v.shape = shapes[o].dims;
            v.bytes = (*whole)[o];
            c.outputs[o].numbers = v.numbers();
        }
        check_in_place(op, k, c, attrs, shapes, s);
    }
    case_ = kept;
}

// The tokens in two runs, the states of the first given to the second.
void Checker::check_split(const orr_operator& op, const orr_kernel& k, const Case& like, const Drawn& d, const AttrSet& attrs, const std::vector<Shape>& shapes, const Outputs& whole,
                          Setting s) {
    if (d.tokens < 2) return;
    const int64_t cut = 1 + static_cast<int64_t>(random_() % static_cast<uint64_t>(d.tokens - 1));
    std::vector<std::string> layouts;
    for (const Shape& shape : shapes) layouts.push_back(shape.layout);
    const auto value = [&](const Shape& shape, const std::vector<uint8_t>& bytes) {
        Value v;
        v.present = true;
        v.type = shape.type;
        v.shape = shape.dims;
        v.bytes = bytes;
        return v;
    };
    std::vector<Value> joined;
    Outputs states;
    for (const auto& [begin, end] : {std::pair(int64_t{0}, cut), std::pair(cut, d.tokens)}) {
        std::vector<Value> inputs;
        for (size_t n = 0; n < d.inputs.size(); n++) {
            const Value& v = d.inputs[n];
            inputs.push_back(v.layout.empty() ? slice(v, v.present ? axis_of(d.axes[n], "T") : -1, begin, end) : v);
            if (v.layout != ORR_LAYOUT_PAGED) continue;
            for (size_t b = 0; b < v.past.size(); b++) inputs[n].past[b] = v.past[b] + begin, inputs[n].length[b] = v.past[b] + end;
        }
        for (size_t o = 0; begin > 0 && o < shapes.size(); o++)
            if (const int n = layouts[o].empty() ? -1 : input_of_state(d.inputs, layouts, o); n >= 0) inputs[static_cast<size_t>(n)].bytes = states[o];
        std::string error;
        at(setting_text(k, s) + ", tokens " + std::to_string(begin) + " to " + std::to_string(end) + " alone");
        const auto part_shapes = infer(op, attrs, inputs, shapes.size(), &error);
        expect("split", part_shapes.has_value(), "the shape function: " + error);
        if (!part_shapes) return;
        const auto got = run_once(op, k, attrs, inputs, *part_shapes, Form::contiguous, s);
        if (!got) return;
        states = *got;
        for (size_t o = 0; o < shapes.size(); o++) joined.push_back(value((*part_shapes)[o], (*got)[o]));
    }
    at(setting_text(k, s) + ", runs of " + std::to_string(cut) + " and " + std::to_string(d.tokens - cut) + " tokens");
    for (size_t o = 0; o < shapes.size(); o++) {
        const int axis = axis_of(axis_names(op.outputs[o]->doc, shapes[o].dims.size()), "T");
        if (layouts[o].empty() && axis < 0) continue;
        double size = 0;
        std::string text;
        const auto compare = [&](const Value& got, const Value& want) {
            const auto numbers = want.numbers();
            for (const double v : numbers) size = std::max(size, std::isfinite(v) ? std::abs(v) : 0);
            if (text.empty()) text = first_difference(got.numbers(), numbers, like.tol * std::max(1.0, size));
        };
        const Value all = value(shapes[o], whole[o]);
        const Value &first = joined[o], &second = joined[shapes.size() + o];
        if (layouts[o].empty()) {
            compare(first, slice(all, axis, 0, cut));
            compare(second, slice(all, axis, cut, d.tokens));
        } else {
            compare(second, all);
        }
        expect("split", text.empty(), "output " + std::to_string(o) + " differs from one run: " + text);
    }
}

// A plan that has run finds its sequences at their begin again, and in other memory (a device's states stay): it gives what a fresh one gives.
void Checker::check_set_back(const orr_operator& op, const orr_kernel& k, const Case& like, const Drawn& d, const AttrSet& attrs, const std::vector<Shape>& shapes, Setting s) {
    std::vector<Value> empty = d.inputs;
    for (Value& v : empty) {
        if (v.layout.empty()) continue;
        std::fill(v.bytes.begin(), v.bytes.end(), uint8_t{0});
        for (size_t b = 0; b < v.past.size(); b++) {
            if (v.first[b] > 0) return;  // of pages that are gone nothing can be set back
            v.length[b] -= v.past[b];
            v.past[b] = 0;
        }
    }
    at(setting_text(k, s) + ", states set back");
    const Binding b = bind(op, d.inputs, shapes, Form::contiguous);
    Plan plan(host_, pool_, k, attrs, b, s);
    std::string reason;
    if (!plan.supports(&reason) || plan.prepare() != ORR_OK || plan.run() != ORR_OK) return;  // reported by run_once
    if (!s.device) {
        for (const auto& in : b.inputs)
            if (in) in->move_state();
        for (const auto& out : b.outputs) out->move_state();
    }
    for (size_t n = 0; n < empty.size(); n++)
        if (!empty[n].layout.empty()) b.inputs[n]->set_state(empty[n]);
    plan.states_changed();
    expect("reset", plan.run() == ORR_OK, "a run after the states were set back: " + host_.take_error());
    const std::string where = where_;
    const auto fresh = run_once(op, k, attrs, empty, shapes, Form::contiguous, s);
    if (!fresh) return;
    at(where);
    for (size_t o = 0; o < shapes.size(); o++) {
        const std::string text = difference(shapes[o], b.outputs[o]->content(), (*fresh)[o], like.tol);
        expect("reset", text.empty(), "output " + std::to_string(o) + ": a plan whose states were set back against a fresh one: " + text);
    }
}

}  // namespace orrery::conformance
