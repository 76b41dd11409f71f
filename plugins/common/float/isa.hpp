// The instruction sets that the float kernels are compiled for. A plan names one; nothing here is process-global.
#pragma once

#include <cstdint>

// Sanitized x86-64 builds hold AVX2 and the scalar form alone.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ORR_FLT_ONE_ISA 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ORR_FLT_ONE_ISA 1
#endif
#endif
#ifndef ORR_FLT_ONE_ISA
#define ORR_FLT_ONE_ISA 0
#endif

namespace orrery::flt {

enum class Isa : int32_t { scalar, sse4, avx2, avx512, neon };
inline constexpr int kIsaCount = 5;

// Compiled in and runnable on this processor. [any-thread]
bool isa_supported(Isa isa);
// The widest supported one. [any-thread]
Isa best_isa();
const char* isa_name(Isa isa);

}  // namespace orrery::flt
