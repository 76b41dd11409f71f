// Included first by every kernel file: which Highway targets are built, and how one is picked per plan.
//
// Highway's own dispatch keeps its choice in a global; here every kernel file defines `const Table* table()` in each target's
// namespace and, once, picks among them by Isa. The static target (emulation on x86-64, NEON on arm64) answers for the rest.
#pragma once

#include "float/isa.hpp"

// Sanitized builds take minutes a target: one is enough for what they look for.
#if ORR_FLT_ONE_ISA
#define ORR_FLT_LEFT_OUT (HWY_SSE4 | HWY_AVX3)
#else
#define ORR_FLT_LEFT_OUT 0
#endif
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
    (ORR_FLT_LEFT_OUT | HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_WASM | HWY_WASM_EMU256 | HWY_RVV | HWY_PPC8)
#endif

#if defined(__clang__)
#define ORR_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ORR_UNROLL _Pragma("GCC unroll 64")
#endif

#if defined(__x86_64__) || defined(_M_X64)
// Debian's Highway takes one-lane scalars where the compiler cannot do 128-bit emulation; before foreach_target, HWY_ONCE's
// namespace is the static target's in either case.
#define ORR_STATIC_TARGET HWY_NAMESPACE
#if ORR_FLT_ONE_ISA
#define ORR_PICK_TABLE(isa) return (isa) == Isa::avx2 ? N_AVX2::table() : ORR_STATIC_TARGET::table()
#else
#define ORR_PICK_TABLE(isa)                              \
    do {                                                 \
        switch (isa) {                                   \
            case Isa::avx512: return N_AVX3::table();    \
            case Isa::avx2: return N_AVX2::table();      \
            case Isa::sse4: return N_SSE4::table();      \
            default: return ORR_STATIC_TARGET::table();  \
        }                                                \
    } while (0)
#endif
#else
#define ORR_PICK_TABLE(isa) return N_NEON::table()
#endif

// The Isa of the target being compiled: what a table reports as having run.
#define ORR_TARGET_ISA                           \
    (HWY_TARGET == HWY_AVX3   ? Isa::avx512      \
     : HWY_TARGET == HWY_AVX2 ? Isa::avx2        \
     : HWY_TARGET == HWY_SSE4 ? Isa::sse4        \
     : HWY_TARGET == HWY_NEON ? Isa::neon        \
                              : Isa::scalar)
