// On a Vulkan device: patches times weights in tiles, or output by output where groups have few channels. Kernels: common/conv_vulkan.cpp.
#include "ops/conv1d/conv1d.hpp"

namespace orrery::core {
namespace {
bool supports(const orr_prepare* p, char* reason, size_t size) { return supports_conv_vulkan(p, read_conv1d, reason, size); }
orr_status prepare(orr_prepare* p) { return prepare_conv_vulkan(p, read_conv1d); }
orr_status run(const orr_run* run) { return run_conv_vulkan(run, read_conv1d); }
bool self_test(const orr_prepare* node, uint32_t i, orr_self_test* test) {
    return self_test_conv(node, i, test, read_conv1d, std::string_view(node->attrs->get_string(node->attrs, "layout_in")) == "nlc" ? 1 : 2, 1);
}
}  // namespace

const KernelDef kConv1dVulkan = {"vulkan", "vulkan", 0, supports, prepare, run, self_test};

}  // namespace orrery::core
