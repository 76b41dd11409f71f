#include "float/isa.hpp"

#include <initializer_list>

namespace orrery::flt {

bool isa_supported(Isa isa) {
#if defined(__x86_64__) || defined(_M_X64)
    if (ORR_FLT_ONE_ISA && (isa == Isa::sse4 || isa == Isa::avx512)) return false;
    switch (isa) {
        case Isa::scalar: return true;
        case Isa::sse4: return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("aes");
        case Isa::avx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
        case Isa::avx512:
            return isa_supported(Isa::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
        case Isa::neon: return false;
    }
    return false;
#else
    return isa == Isa::neon;
#endif
}

Isa best_isa() {
#if defined(__x86_64__) || defined(_M_X64)
    for (Isa isa : {Isa::avx512, Isa::avx2, Isa::sse4})
        if (isa_supported(isa)) return isa;
    return Isa::scalar;
#else
    return Isa::neon;
#endif
}

const char* isa_name(Isa isa) {
    switch (isa) {
        case Isa::scalar: return "scalar";
        case Isa::sse4: return "sse4";
        case Isa::avx2: return "avx2";
        case Isa::avx512: return "avx512";
        case Isa::neon: return "neon";
    }
    return "unknown";
}

}  // namespace orrery::flt
