// Patches times packed weights, the patches of a chunk of pixels gathered into its thread's workspace; narrow groups tap by tap.
// f32: a pixel's sum is one chain over (c, taps), so threads do not change its bits.
#include "ops/conv1d/conv1d.hpp"

namespace orrery::core {
namespace {
orr_status prepare(orr_prepare* p) { return prepare_conv(p, read_conv1d); }
}  // namespace

const KernelDef kConv1dCpu = {"cpu", "cpu", 0, supports_conv, prepare, run_conv};

}  // namespace orrery::core
