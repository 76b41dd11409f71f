// 4-bit codes into a book of 16 values: IQ4_NL, IQ4_XS.
#include "types/block_type.hpp"

void orr_types_iq4(std::vector<const orr_type*>& types) { orrery::core::add_types(types, {"iq4_nl", "iq4_xs"}); }
