// orr.linear_group/1, shared by its files.
#pragma once

#include "linear/activation.hpp"
#include "linear/weight.hpp"

namespace orrery::vk {
struct LargeTest;
}

namespace orrery::core {

inline constexpr const char* kGlus = "none|silu|gelu|gelu_tanh";

// Inputs are x, norm, w0, b0, w1, b1 …; the last bias may be left out.
inline constexpr uint32_t kGroupNorm = 1;
inline uint32_t group_parts(uint32_t n_inputs) { return (n_inputs - 1) / 2; }
inline uint32_t group_weight(uint32_t part) { return 2 + 2 * part; }
template <class Call>
const orr_tensor* group_bias(const Call* call, uint32_t part) {
    return group_weight(part) + 1 < call->n_inputs ? call->inputs[group_weight(part) + 1] : nullptr;
}

inline flt::Activation group_glu(const orr_attrs* a) {
    return linear::parse_activation("orr.linear_group/1", "glu", a->get_string(a, "glu"), kGlus);
}

// The norm of x, orr.rms_norm/1.
struct GroupNorm {
    template <class Call>
    explicit GroupNorm(const Call* c)
        : there(c->attrs->get_int(c->attrs, "normed") != 0),
          eps(static_cast<float>(c->attrs->get_float(c->attrs, "eps"))),
          offset(static_cast<float>(c->attrs->get_float(c->attrs, "weight_offset"))),
          weight(there && kGroupNorm < c->n_inputs ? c->inputs[kGroupNorm] : nullptr) {}
    bool there;
    float eps, offset;
    const orr_tensor* weight;  // [K]; null: ones
};

// large.rows 0: the test that every form takes.
bool linear_group_self_test(const orr_prepare* node, const vk::LargeTest& large, orr_self_test* test);
extern const KernelDef kLinearGroupVulkan;
extern const KernelDef kLinearGroupCpu;
extern const KernelDef kLinearGroupReference;

}  // namespace orrery::core
