// MXFP4: E2M1 codes with a power-of-two scale per 32 (OCP Microscaling Formats 1.0).
#include "types/block_type.hpp"

void orr_types_mxfp4(std::vector<const orr_type*>& types) { orrery::core::add_types(types, {"mxfp4"}); }
