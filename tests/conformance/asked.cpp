// What the engine asks an operator besides results: how many operations a run is, and small nodes to try a device with.
#include <cmath>

#include "checker.hpp"

namespace orrery::conformance {

// The engine weighs steps by it, of empty tensors too.
void Checker::check_flops(const orr_operator& op, const Plan& plan) {
    if (!op.flops) return;
    const std::string kept = where_;
    at(kept + ", flops");
    const orr_prepare& node = plan.node();
    const uint64_t count = contained("flops", [&] { return op.flops(&node); });
    double elements = 0;
    for (const auto& [tensors, n] : {std::pair(node.inputs, node.n_inputs), std::pair(node.outputs, node.n_outputs)})
        for (uint32_t i = 0; i < n; i++) {
            double each = tensors[i] ? 1 : 0;
            for (int32_t a = 0; tensors[i] && a < tensors[i]->rank; a++) each *= static_cast<double>(tensors[i]->shape[a]);
            elements += each;
        }
    // Every element with every other one, and a million operations for each such pair, which an attribute may count.
    const double most = std::min(std::ldexp(1.0, 63), std::ldexp((elements + 1) * (elements + 1), 20));
    expect("flops", static_cast<double>(count) < most,
           "flops() gives " + std::to_string(count) + (count >> 63 ? " (a negative number)" : "") + " for inputs and outputs of " + std::to_string(static_cast<int64_t>(elements)) + " elements");
    at(kept);
}

// The engine asks for one test after another until there is none.
void Checker::check_self_test(const orr_operator& op, const orr_kernel& k, const AttrSet& attrs, const std::vector<Value>& inputs, size_t n_outputs, const Plan& plan) {
    constexpr uint32_t kMost = 64;
    const std::string kept = where_;
    const orr_prepare& node = plan.node();
    uint32_t i = 0;
    for (; i < kMost; i++) {
        at(kept + ", self-test " + std::to_string(i));
        std::vector<orr_test_input> given(node.n_inputs);
        std::vector<orr_test_input*> pointers(node.n_inputs);
        for (uint32_t n = 0; n < node.n_inputs; n++) {
            if (!node.inputs[n]) continue;
            given[n].header = ORR_HEADER(orr_test_input);
            std::copy_n(node.inputs[n]->shape, node.inputs[n]->rank, given[n].shape);
            given[n].low = -1;
            given[n].high = 1;
            given[n].length = INT64_MAX;
            pointers[n] = &given[n];
        }
        orr_self_test test{ORR_HEADER(orr_self_test), node.n_inputs, pointers.data(), node.numerics == ORR_NUMERICS_EXACT ? 1e-4 : node.numerics == ORR_NUMERICS_FAST ? 3e-2 : 1e-2};
        if (!contained("self_test", [&] { return k.self_test(&node, i, &test); })) break;
        expect("self_test", test.tolerance >= 0 && std::isfinite(test.tolerance), "asks for a tolerance of " + std::to_string(test.tolerance));
        std::vector<Value> small;
        bool fits = true;
        for (size_t n = 0; n < inputs.size(); n++) {
            Value v;
            v.present = inputs[n].present;
            v.type = inputs[n].type;
            v.layout = inputs[n].layout;
            if (v.present) {
                const orr_test_input& g = given[n];
                const std::string name = "asks for an input " + std::to_string(n) + " ";
                v.shape.assign(g.shape, g.shape + inputs[n].shape.size());
                for (const int64_t extent : v.shape) fits = fits && extent >= 0;
                expect("self_test", fits, name + "of shape " + shape_text(v.shape));
                expect("self_test", g.low <= g.high && std::isfinite(g.high - g.low), name + "of values from " + std::to_string(g.low) + " to " + std::to_string(g.high));
                if (v.layout == ORR_LAYOUT_PAGED) {
                    const int64_t length = std::min(g.length, v.shape[1]);
                    expect("self_test", v.shape[0] > 0 && g.past >= 0 && g.past <= length,
                           name + "of shape " + shape_text(v.shape) + ", past " + std::to_string(g.past) + " and length " + std::to_string(length));
                }
            }
            small.push_back(std::move(v));
        }
        std::string error;
        expect("self_test", !fits || infer(op, attrs, small, n_outputs, &error), "asks for inputs that the shape function refuses: " + error);
    }
    expect("self_test", i < kMost, "makes a test for each i below " + std::to_string(kMost) + ": self_test() returns false for none");
    at(kept);
}

}  // namespace orrery::conformance
