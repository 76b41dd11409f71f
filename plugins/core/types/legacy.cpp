// Blocks of 32 with an f16 scale, and an f16 minimum in the _1 types: Q4_0 Q4_1 Q5_0 Q5_1 Q8_0.
#include "types/block_type.hpp"

void orr_types_legacy(std::vector<const orr_type*>& types) { orrery::core::add_types(types, {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0"}); }
