// Before a plan trusts a device with a node: the self-test of the kernel that would run it.
#include "engine/plan/planner.hpp"
#include "engine/plan/self_test.hpp"

namespace orrery {

bool Planner::passes_self_test(const NodeDef& node, const orr_kernel& kernel, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs, std::vector<Refusal>& refusals) {
    orr_prepare p = base_prepare(node, ins, outs);
    p.device = options_.device->kernel_table();
    const SelfTestResult result = self_test({host_, registry_, memory_, options_.device, [this] { tell(0, "testing a kernel on the device"); }}, *node.op, kernel, node.attrs, p);
    if (result.why.empty()) return true;
    refusals.push_back({kernel.name, result.why});
    if (!result.again) distrusted_.insert(&kernel);
    return false;
}

}  // namespace orrery
