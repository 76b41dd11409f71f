// Sixteen channels of a recurrence, one table per instruction set. Internal to the library.
#pragma once

#include "float/isa.hpp"
#include "float/scan.hpp"

namespace orrery::flt {

struct ScanKernels {
    Isa isa;
    // Channels [c0, c0 + count), count <= 16. scratch: floats as scan.cpp sizes them.
    void (*causal_conv)(const CausalConvArgs& a, int64_t c0, int64_t count, float* scratch);
    void (*scan)(const ScanArgs& a, int64_t c0, int64_t count, float* scratch);
};

const ScanKernels& scan_kernels(Isa isa);

}  // namespace orrery::flt
