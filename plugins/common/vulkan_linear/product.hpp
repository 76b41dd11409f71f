// Products of f32 rows by weight tensors on a Vulkan device; formulas in shaders/common/product.glsl.
#pragma once

#include "linear/activation.hpp"
#include "orrery/vulkan.hpp"
#include "vulkan_linear/tiles.hpp"

namespace orrery::vk {

// How a product is worked out; each has a shader of its own, from a source in shaders/common.
enum class Form : uint32_t {
    gemv,                                // product_gemv.glsl
    gemm,                                // product_gemm.glsl
    narrow_16, narrow_32,                // product_narrow.glsl; the number is that of weight rows in a workgroup's tile
    direct_16, direct_32,                // product_direct.glsl, likewise
    tile_32k2, tile_64, tile_64k2,       // product_direct_tile.glsl; the number is that of rows of x in a tile, by 128 weight rows; k2: k is halved
    tile_128,                            // by 256
    f16_64, f16_128,                     // product_f16.glsl; rows of x, by 128
    f16_192,                             // 128 by 192
    coopmat2_128                         // product_coopmat2.glsl; 128 by 128
};
inline constexpr uint32_t kForms = 14;

// An operator's shaders.
struct ProductShaders {
    const orr_vulkan_shader* forms[kForms];
    const orr_vulkan_shader* gemv_fixed;  // of product_gemv.glsl with FIXED
    const orr_vulkan_shader* integers;    // of product_integers.glsl
    const orr_vulkan_shader* rows;        // of product_rows.glsl
    const orr_vulkan_shader& operator[](Form form) const { return *forms[static_cast<uint32_t>(form)]; }
};

// ORR_PRODUCT_SHADERS(linear): those of the operator whose files in shaders/ are called linear_….
#define ORR_PRODUCT_SHADERS(name)                                                                                                                       \
    {{&shaders::name##_gemv, &shaders::name##_gemm, &shaders::name##_narrow_16, &shaders::name##_narrow_32, &shaders::name##_direct_16,                 \
      &shaders::name##_direct_32, &shaders::name##_tile_32k2, &shaders::name##_tile_64, &shaders::name##_tile_64k2, &shaders::name##_tile_128,          \
      &shaders::name##_f16_64, &shaders::name##_f16_128, &shaders::name##_f16_192, &shaders::name##_coopmat2_128},                                      \
     &shaders::name##_gemv_fixed,                                                                                                                       \
     &shaders::name##_integers,                                                                                                                         \
     &shaders::name##_rows}

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

// For self-tests: a smaller product, of as many rows of x and as many outputs of each weight, that takes the i-th of the large tiles of cooperative matrices
// that such a product takes at all, with split tiles and without. `columns` at most (small_extent, in steps of 256). No rows past the last.
struct LargeTest {
    int64_t rows = 0, outputs = 0, columns = 0;
};
LargeTest large_test(const orr_prepare* p, const ProductShaders& shaders, const ProductCall& call, uint32_t i);

struct ProductForm {
    Form form;
    bool split;  // some of its tiles have two workgroups, with half of k each
};
// The one that the device, its self-tests, the numerics and the sizes leave, and that takes the least time.
ProductForm product_form(const orr_prepare* p, const ProductShaders& shaders, const ProductCall& call);
bool product_supports(const orr_prepare* p, const ProductShaders& shaders, const ProductCall& call, char* reason, size_t size);
orr_status product_prepare(orr_prepare* p, const ProductShaders& shaders, const ProductCall& call);
orr_status product_run(const orr_run* run, const ProductShaders& shaders, const ProductCall& call);

}  // namespace orrery::vk
