// Which axis of an output counts tokens, as its port tells it.
#pragma once
#include <optional>

#include "orrery/plugin.h"

namespace orrery {

// The k of ORR_AXIS(k); none where nothing is told, or the port was written before the member.
inline std::optional<int32_t> told_token_axis(const orr_port& port) {
    const int32_t told = ORR_HAS(&port, orr_port, token_axis) ? port.token_axis : 0;
    return told == 0 ? std::nullopt : std::optional(told > 0 ? told - 1 : told);
}

// The same from the front, of a value of this rank; -1: nothing is told, or the value lacks that axis.
inline int32_t token_axis(const orr_port& port, int32_t rank) {
    const int32_t told = told_token_axis(port).value_or(rank), axis = told < 0 ? rank + told : told;
    return axis >= 0 && axis < rank ? axis : -1;
}

}  // namespace orrery
