// The same functions on a Vulkan device, in f32. Device half: shaders/core/activation/activation.comp
#include "activation_shaders.hpp"
#include "common/unary_vulkan.hpp"
#include "ops/activation/activation.hpp"

namespace orrery::core {
namespace {
UnaryArguments arguments(const orr_attrs* attrs) { return {static_cast<uint32_t>(function_of(attrs)), 0.0f, 0.0f}; }
}  // namespace

const KernelDef kActivationVulkan = kUnaryVulkan<shaders::unary_activation, arguments>;

}  // namespace orrery::core
