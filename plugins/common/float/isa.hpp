// The instruction sets that the float kernels are compiled for. A plan names one; nothing here is process-global.
#pragma once

#include <cstdint>

namespace orrery::flt {

enum class Isa : int32_t { scalar, sse4, avx2, avx512, neon };
inline constexpr int kIsaCount = 5;

// Compiled in and runnable on this processor. [any-thread]
bool isa_supported(Isa isa);
// The widest supported one. [any-thread]
Isa best_isa();
const char* isa_name(Isa isa);

}  // namespace orrery::flt
