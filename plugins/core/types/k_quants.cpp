// Super-blocks of 256 with scales that are themselves quantised: Q2_K to Q6_K.
#include "types/block_type.hpp"

void orr_types_k_quants(std::vector<const orr_type*>& types) { orrery::core::add_types(types, {"q2_k", "q3_k", "q4_k", "q5_k", "q6_k"}); }
