// The engine's ORR_ISA_* number as the kernel libraries' choices.
#pragma once

#include <cstdint>

#include "float/isa.hpp"
#include "quant/isa.hpp"

namespace orrery::linear {

// The best one at or below `isa` that this build and this processor have. ORR_ISA_AUTO: the best of all.
quant::Isa quant_isa(uint32_t isa);
flt::Isa float_isa(uint32_t isa);
// As the engine spells it: "avx512_vnni".
const char* variant_name(quant::Isa isa);

}  // namespace orrery::linear
