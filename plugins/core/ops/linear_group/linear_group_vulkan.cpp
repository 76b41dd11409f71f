// yi = x wi^T + bi for several weights at once; or, with a gate, y = act(x w0^T + b0) * (x w1^T + b1)
// x normalised first where normed
// x [.., K] f32, rows at equal distances    wi [Ni, K] any float or block type, packed (plugins/common/vulkan_linear)    bi [Ni]    yi [.., Ni] f32
// f32 products and sums; where numerics and device allow, x in 16-bit integers to 2 rows (8 without matrices) and in f16 beyond; weights of one type are one dispatch, three at a time. Device half: shaders/core/linear_group
#include "linear_group_shaders.hpp"
#include "ops/linear_group/linear_group.hpp"
#include "vulkan_linear/product.hpp"

namespace orrery::core {
namespace {

constexpr vk::ProductShaders kShaders = ORR_PRODUCT_SHADERS(linear_group);

template <class Call>
vk::ProductCall product_of(const Call* c) {
    vk::ProductCall p;
    p.x = c->inputs[0];
    p.parts = group_parts(c->n_inputs);
    p.first_weight = group_weight(0);
    p.weight_step = group_weight(1) - group_weight(0);
    p.activation = group_glu(c->attrs);
    p.gated = p.activation != flt::Activation::none;
    const GroupNorm norm(c);
    p.normed = norm.there;
    p.norm = norm.weight;
    p.eps = norm.eps;
    p.norm_offset = norm.offset;
    for (uint32_t i = 0; i < p.parts && i < vk::kMostParts; ++i) {
        p.w[i] = c->inputs[group_weight(i)];
        p.bias[i] = group_bias(c, i);
        p.y[i] = i < c->n_outputs ? c->outputs[i] : nullptr;
    }
    return p;
}

bool supports(const orr_prepare* p, char* reason, size_t size) { return vk::product_supports(p, kShaders, product_of(p), reason, size); }
orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&] { return vk::product_prepare(p, kShaders, product_of(p)); });
}
orr_status run(const orr_run* run) {
    return guard(run->host, [&] { return vk::product_run(run, kShaders, product_of(run)); });
}

bool self_test(const orr_prepare* node, uint32_t i, orr_self_test* test) {
    const vk::LargeTest large = i ? vk::large_test(node, kShaders, product_of(node), i - 1) : vk::LargeTest{};
    return (i == 0 || large.rows) && linear_group_self_test(node, large, test);
}

}  // namespace

const KernelDef kLinearGroupVulkan = {"vulkan", "vulkan", 0, supports, prepare, run, self_test};

}  // namespace orrery::core
