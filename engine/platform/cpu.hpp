// The processor's instruction sets, from CPUID and XGETBV: our own table, chosen per plan.
#pragma once
#include <cstdint>
#include <string>

namespace orrery::platform {

// Best ORR_ISA_* that this machine runs.
uint32_t best_isa();
// Whether code for `isa` (ORR_ISA_*) runs here.
bool has_isa(uint32_t isa);
// "avx512_vnni"; "auto" for ORR_ISA_AUTO.
const char* isa_name(uint32_t isa);
// "AMD EPYC …", or "" where the processor does not tell.
std::string processor_name();
uint32_t hardware_threads();

}  // namespace orrery::platform
