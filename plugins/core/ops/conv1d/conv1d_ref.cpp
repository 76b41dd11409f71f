// The definition: every output and tap in turn, sums in f64.
#include "ops/conv1d/conv1d.hpp"

namespace orrery::core {
namespace {
orr_status run(const orr_run* run) { return run_conv_reference(run, read_conv1d); }
}  // namespace

const KernelDef kConv1dReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace orrery::core
