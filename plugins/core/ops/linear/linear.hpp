// orr.linear/1, shared by its files.
#pragma once

#include "linear/activation.hpp"
#include "linear/weight.hpp"

namespace orrery::vk {
struct LargeTest;
}

namespace orrery::core {

enum LinearInput : uint32_t { kLinearX, kLinearWeight, kLinearBias, kLinearResidual };

// Attributes of a node.
struct LinearAttrs {
    explicit LinearAttrs(const orr_attrs* a)
        : activation(linear::parse_activation("orr.linear/1", "activation", a->get_string(a, "activation"))),
          transposed(a->get_int(a, "transposed") != 0),
          scale(a->get_float(a, "scale")) {}
    flt::Activation activation;
    bool transposed;
    double scale;
};

template <class Call>
const orr_tensor* linear_input(const Call* call, uint32_t input) {
    return input < call->n_inputs ? call->inputs[input] : nullptr;
}

// large.rows 0: the test that every form takes.
bool linear_self_test(const orr_prepare* node, const vk::LargeTest& large, orr_self_test* test);
extern const KernelDef kLinearVulkan;
extern const KernelDef kLinearCpu;
extern const KernelDef kLinearReference;

}  // namespace orrery::core
