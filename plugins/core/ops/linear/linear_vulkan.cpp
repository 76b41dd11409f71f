// y = activation(scale x w^T + bias) + residual
// x [.., K] f32, rows at equal distances    w [N, K] any float or block type, packed (plugins/common/vulkan_linear)    bias [N]
// residual, y [.., N] f32    f32 products and sums; where numerics and device allow, x in 16-bit integers to 2 rows (8 without matrices) and in f16 beyond. Device half: shaders/core/linear
#include "linear_shaders.hpp"
#include "ops/linear/linear.hpp"
#include "vulkan_linear/product.hpp"

namespace orrery::core {
namespace {

constexpr vk::ProductShaders kShaders = ORR_PRODUCT_SHADERS(linear);

template <class Call>
vk::ProductCall product_of(const Call* c) {
    const LinearAttrs attrs(c->attrs);
    vk::ProductCall p;
    p.x = c->inputs[kLinearX];
    p.residual = linear_input(c, kLinearResidual);
    p.parts = 1;
    p.first_weight = kLinearWeight;
    p.w[0] = c->inputs[kLinearWeight];
    p.bias[0] = linear_input(c, kLinearBias);
    p.y[0] = c->outputs[0];
    p.activation = attrs.activation;
    p.transposed = attrs.transposed;
    p.scale = static_cast<float>(attrs.scale);
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
    return (i == 0 || large.rows) && linear_self_test(node, large, test);
}

}  // namespace

const KernelDef kLinearVulkan = {"vulkan", "vulkan", 0, supports, prepare, run, self_test};

}  // namespace orrery::core
