#include "engine/platform/cpu.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

#include <cstring>
#include <thread>

#include "orrery/base.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace orrery::platform {
namespace {

struct Features {
    bool sse4 = false, avx2 = false, avx_vnni = false, avx512 = false, avx512_vnni = false, avx512_bf16 = false, neon = false;
};

Features detect() {
    Features f;
#if defined(__x86_64__)
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
    f.sse4 = (c >> 19 & 1) && (c >> 9 & 1);
    const bool fma = c >> 12 & 1, f16c = c >> 29 & 1, avx = c >> 28 & 1, osxsave = c >> 27 & 1;
    uint64_t enabled = 0;
    if (osxsave) {
        unsigned low = 0, high = 0;
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        enabled = static_cast<uint64_t>(high) << 32 | low;
    }
    const bool ymm = (enabled & 6) == 6, zmm = (enabled & 0xe6) == 0xe6;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
    f.avx2 = f.sse4 && avx && fma && f16c && ymm && (b >> 5 & 1);
    const unsigned need = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
    f.avx512 = f.avx2 && zmm && (b & need) == need;
    f.avx512_vnni = f.avx512 && (c >> 11 & 1);
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) {
        f.avx_vnni = f.avx2 && (a >> 4 & 1);
        f.avx512_bf16 = f.avx512_vnni && (a >> 5 & 1);
    }
#elif defined(__aarch64__)
    f.neon = true;
#endif
    return f;
}

const Features& features() {
    static const Features f = detect();
    return f;
}

}  // namespace

bool has_isa(uint32_t isa) {
    const Features& f = features();
    switch (isa) {
        case ORR_ISA_AUTO:
        case ORR_ISA_GENERIC: return true;
        case ORR_ISA_SSE4: return f.sse4;
        case ORR_ISA_AVX2: return f.avx2;
        case ORR_ISA_AVX_VNNI: return f.avx_vnni;
        case ORR_ISA_AVX512: return f.avx512;
        case ORR_ISA_AVX512_VNNI: return f.avx512_vnni;
        case ORR_ISA_AVX512_BF16: return f.avx512_bf16;
        case ORR_ISA_NEON: return f.neon;
        default: return false;
    }
}

uint32_t best_isa() {
    for (const uint32_t isa : {ORR_ISA_NEON, ORR_ISA_AVX512_BF16, ORR_ISA_AVX512_VNNI, ORR_ISA_AVX512, ORR_ISA_AVX_VNNI, ORR_ISA_AVX2, ORR_ISA_SSE4})
        if (has_isa(isa)) return isa;
    return ORR_ISA_GENERIC;
}

const char* isa_name(uint32_t isa) {
    switch (isa) {
        case ORR_ISA_AUTO: return "auto";
        case ORR_ISA_GENERIC: return "generic";
        case ORR_ISA_SSE4: return "sse4";
        case ORR_ISA_AVX2: return "avx2";
        case ORR_ISA_AVX_VNNI: return "avx_vnni";
        case ORR_ISA_AVX512: return "avx512";
        case ORR_ISA_AVX512_VNNI: return "avx512_vnni";
        case ORR_ISA_AVX512_BF16: return "avx512_bf16";
        case ORR_ISA_NEON: return "neon";
        default: return "unknown";
    }
}

std::string processor_name() {
#if defined(__x86_64__)
    unsigned words[12] = {};
    unsigned top = __get_cpuid_max(0x80000000u, nullptr);
    if (top < 0x80000004u) return "";
    for (unsigned i = 0; i < 3; i++) __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
    char text[49] = {};
    std::memcpy(text, words, 48);
    const char* begin = text;
    while (*begin == ' ') begin++;
    return begin;
#else
    return "";
#endif
}

uint32_t hardware_threads() {
#if defined(__linux__)
    // What the process may use, which can be less than the machine has.
    cpu_set_t allowed;
    if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0) return static_cast<uint32_t>(CPU_COUNT(&allowed));
#endif
    const unsigned n = std::thread::hardware_concurrency();
    return n ? n : 1;
}

}  // namespace orrery::platform
