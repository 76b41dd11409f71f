// The kernels of orr.selective_scan/1.
#pragma once

#include "common/rows_state.hpp"

namespace orrery::ssm {

enum : uint32_t { kScanU, kScanDelta, kScanA, kScanB, kScanC, kScanD, kScanZ, kScanDeltaBias, kScanState };
extern const KernelDef kSelectiveScanVulkan;
extern const KernelDef kSelectiveScanCpu;
extern const KernelDef kSelectiveScanReference;

}  // namespace orrery::ssm
