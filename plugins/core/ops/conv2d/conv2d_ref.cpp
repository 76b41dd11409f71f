// The definition: every output and tap in turn, sums in f64.
#include "ops/conv2d/conv2d.hpp"

namespace orrery::core {
namespace {
orr_status run(const orr_run* run) { return run_conv_reference(run, read_conv2d); }
}  // namespace

const KernelDef kConv2dReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace orrery::core
