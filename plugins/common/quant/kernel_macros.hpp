// Compiler hints for the kernel files.
#pragma once

#define ORR_INLINE inline __attribute__((always_inline))
#define ORR_NOINLINE __attribute__((noinline))
#if defined(ORR_QUANT_ONE_ISA)
#define ORR_UNROLL  // sanitized builds: what is unrolled is instrumented as often
#elif defined(__clang__)
#define ORR_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ORR_UNROLL _Pragma("GCC unroll 8")
#endif
