// Products of f32 rows by weight tensors on a Vulkan device; formulas in shaders/common/product.glsl.
#pragma once

#include "linear/activation.hpp"
#include "orrery/vulkan.hpp"
#include "vulkan_linear/tiles.hpp"

namespace orrery::vk {

// An operator's shaders, of the sources in shaders/common that the names tell.
struct ProductShaders {
    const orr_vulkan_shader& gemv;
    const orr_vulkan_shader& gemv_fixed;  // of product_gemv.glsl with FIXED
    const orr_vulkan_shader& gemm;
    const orr_vulkan_shader& integers;
    const orr_vulkan_shader& rows;
    const orr_vulkan_shader& narrow_16;  // weight rows in a workgroup's tile
    const orr_vulkan_shader& narrow_32;
    const orr_vulkan_shader& f16_64;  // 64 rows of x by 128 weight rows in a workgroup's tile
    const orr_vulkan_shader& f16_128;  // 128 by 128
    const orr_vulkan_shader& f16_192;  // 128 by 192
};

inline constexpr uint32_t kMostParts = 64;

// One node. bias: null or one that may be absent; y: one for each weight, gated: one.
struct ProductCall {
    const orr_tensor* x = nullptr;
    const orr_tensor* residual = nullptr;
    uint32_t parts = 0;
    uint32_t first_weight = 0, weight_step = 1;  // inputs of the node
    const orr_tensor* w[kMostParts];
    const orr_tensor* bias[kMostParts];
    const orr_tensor* y[kMostParts];
    flt::Activation activation = flt::Activation::none;
    bool gated = false, transposed = false;
    float scale = 1;
    bool normed = false;               // x is normalised by its root mean square, with weights where `norm` is not null
    const orr_tensor* norm = nullptr;  // [K]
    float eps = 0, norm_offset = 0;
};

// For self-tests: how many a product of `rows` rows of x has. Each but the first has as many outputs as make it take one of the larger tiles of
// cooperative matrices, and kLargeTestRows rows at most.
inline constexpr int64_t kLargeTestRows = 257;
uint32_t product_self_tests(const orr_prepare* p, int64_t rows);
int64_t large_tile_outputs(const orr_prepare* p, uint32_t test, int64_t rows);

bool product_supports(const orr_prepare* p, const ProductShaders& shaders, const ProductCall& call, char* reason, size_t size);
orr_status product_prepare(orr_prepare* p, const ProductShaders& shaders, const ProductCall& call);
orr_status product_run(const orr_run* run, const ProductShaders& shaders, const ProductCall& call);

}  // namespace orrery::vk
