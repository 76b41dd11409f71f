// Instruction sets of the matrix kernels. The choice is a parameter of every call, never state of the process.
#pragma once

#include <cstdint>
#include <string_view>

namespace orrery::quant {

// In order of preference, best last. kScalar is portable C++ (the only one on machines other than x86-64).
enum class Isa : uint8_t { kScalar, kSse41, kAvx2, kAvxVnni, kAvx512Vnni };
inline constexpr int kIsaCount = 5;

// True where this build has the kernels and this processor (and its operating system) runs them. [any-thread]
bool isa_supported(Isa isa);
Isa best_isa();
// The same of products in bf16 (AVX512_BF16), which come on top of kAvx512Vnni. [any-thread]
bool bf16_dot_supported();
const char* isa_name(Isa isa);  // "scalar" "sse4.1" "avx2" "avx-vnni" "avx512-vnni"
// False, and *isa untouched, for an unknown name.
bool isa_from_name(std::string_view name, Isa* isa);

}  // namespace orrery::quant
