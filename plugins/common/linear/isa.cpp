#include "linear/isa.hpp"

#include "orrery/base.h"

namespace orrery::linear {

quant::Isa quant_isa(uint32_t isa) {
    if (isa == ORR_ISA_AUTO) return quant::best_isa();
    quant::Isa wanted = quant::Isa::kScalar;
    switch (isa) {
        case ORR_ISA_SSE4: wanted = quant::Isa::kSse41; break;
        case ORR_ISA_AVX2:
        case ORR_ISA_AVX512: wanted = quant::Isa::kAvx2; break;
        case ORR_ISA_AVX_VNNI: wanted = quant::Isa::kAvxVnni; break;
        case ORR_ISA_AVX512_VNNI:
        case ORR_ISA_AVX512_BF16: wanted = quant::Isa::kAvx512Vnni; break;
        default: break;
    }
    while (!quant::isa_supported(wanted)) wanted = static_cast<quant::Isa>(static_cast<int>(wanted) - 1);
    return wanted;
}

flt::Isa float_isa(uint32_t isa) {
    flt::Isa wanted = flt::Isa::scalar;
    switch (isa) {
        case ORR_ISA_AUTO: return flt::best_isa();
        case ORR_ISA_SSE4: wanted = flt::Isa::sse4; break;
        case ORR_ISA_AVX2:
        case ORR_ISA_AVX_VNNI: wanted = flt::Isa::avx2; break;
        case ORR_ISA_AVX512:
        case ORR_ISA_AVX512_VNNI:
        case ORR_ISA_AVX512_BF16: wanted = flt::Isa::avx512; break;
        case ORR_ISA_NEON: wanted = flt::Isa::neon; break;
        default: break;
    }
    if (wanted == flt::Isa::neon) return flt::isa_supported(wanted) ? wanted : flt::best_isa();
    while (wanted != flt::Isa::scalar && !flt::isa_supported(wanted)) wanted = static_cast<flt::Isa>(static_cast<int>(wanted) - 1);
    return flt::isa_supported(wanted) ? wanted : flt::best_isa();
}

const char* variant_name(quant::Isa isa) {
    switch (isa) {
        case quant::Isa::kScalar: return "generic";
        case quant::Isa::kSse41: return "sse4";
        case quant::Isa::kAvx2: return "avx2";
        case quant::Isa::kAvxVnni: return "avx_vnni";
        case quant::Isa::kAvx512Vnni: return "avx512_vnni";
    }
    return "generic";
}

}  // namespace orrery::linear
