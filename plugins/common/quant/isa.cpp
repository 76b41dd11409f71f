#include "isa.hpp"

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>
#define ORR_QUANT_X86 1
#endif

namespace orrery::quant {
namespace {

constexpr uint32_t kBf16Dot = 1u << kIsaCount;
constexpr const char* kNames[kIsaCount] = {"scalar", "sse4.1", "avx2", "avx-vnni", "avx512-vnni"};

#ifdef ORR_QUANT_X86
struct Leaf {
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Leaf cpuid(uint32_t leaf, uint32_t subleaf) {
    Leaf result;
    if (leaf <= __get_cpuid_max(0, nullptr)) __cpuid_count(leaf, subleaf, result.eax, result.ebx, result.ecx, result.edx);
    return result;
}

// Register state that the operating system saves (XCR0); needs OSXSAVE.
uint64_t saved_state() {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<uint64_t>(high) << 32) | low;
}

bool bit(uint32_t word, int index) { return (word >> index) & 1; }

uint32_t detect() {
    uint32_t supported = 1u << static_cast<int>(Isa::kScalar);
    const Leaf basic = cpuid(1, 0);
    const Leaf extended = cpuid(7, 0);
    if (bit(basic.ecx, 9) && bit(basic.ecx, 19)) supported |= 1u << static_cast<int>(Isa::kSse41);  // SSSE3, SSE4.1
    if (!bit(basic.ecx, 27)) return supported;
    const uint64_t state = saved_state();
    const bool ymm = (state & 0x6) == 0x6;
    const bool zmm = (state & 0xE6) == 0xE6;
    const bool avx2 = ymm && bit(extended.ebx, 5) && bit(basic.ecx, 12) && bit(basic.ecx, 29);  // AVX2, FMA, F16C
    if (!avx2) return supported;
    supported |= 1u << static_cast<int>(Isa::kAvx2);
    if (extended.eax >= 1 && bit(cpuid(7, 1).eax, 4)) supported |= 1u << static_cast<int>(Isa::kAvxVnni);
    const bool avx512 = zmm && bit(extended.ebx, 16) && bit(extended.ebx, 17) && bit(extended.ebx, 30) && bit(extended.ebx, 31);  // F DQ BW VL
    if (avx512 && bit(extended.ecx, 11)) supported |= 1u << static_cast<int>(Isa::kAvx512Vnni);
    if (avx512 && extended.eax >= 1 && bit(cpuid(7, 1).eax, 5)) supported |= kBf16Dot;
    return supported;
}
#else
uint32_t detect() { return 1u << static_cast<int>(Isa::kScalar); }
#endif

uint32_t supported_mask() {
#ifdef ORR_QUANT_ONE_ISA
    static const uint32_t mask = detect() & (1u << static_cast<int>(Isa::kScalar) | 1u << static_cast<int>(Isa::kAvx2));
#else
    static const uint32_t mask = detect();
#endif
    return mask;
}

}  // namespace

bool isa_supported(Isa isa) { return static_cast<int>(isa) < kIsaCount && ((supported_mask() >> static_cast<int>(isa)) & 1); }

bool bf16_dot_supported() {
#ifdef ORR_QUANT_HAVE_BF16
    return supported_mask() & kBf16Dot;
#else
    return false;
#endif
}

Isa best_isa() {
    for (int i = kIsaCount - 1; i > 0; --i) {
        if (isa_supported(static_cast<Isa>(i))) return static_cast<Isa>(i);
    }
    return Isa::kScalar;
}

const char* isa_name(Isa isa) { return static_cast<int>(isa) < kIsaCount ? kNames[static_cast<int>(isa)] : "unknown"; }

bool isa_from_name(std::string_view name, Isa* isa) {
    for (int i = 0; i < kIsaCount; ++i) {
        if (name != kNames[i]) continue;
        *isa = static_cast<Isa>(i);
        return true;
    }
    return false;
}

}  // namespace orrery::quant
