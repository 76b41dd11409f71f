// The block types of plugins/common/quant as the engine's table of types.
#pragma once

#include <deque>
#include <initializer_list>
#include <vector>

#include "orrery/plugin.h"
#include "quant/types.hpp"

namespace orrery::core {

// Appends the tables of these types; they live for ever.
inline void add_types(std::vector<const orr_type*>& types, std::initializer_list<const char*> ids) {
    static std::deque<orr_type> tables;
    for (const char* id : ids) {
        const quant::TypeInfo& info = *quant::find_type(id);
        tables.push_back({ORR_HEADER(orr_type), info.id, static_cast<uint32_t>(info.block_elems), static_cast<uint32_t>(info.block_bytes),
                          info.dequantise, info.quantise});
        types.push_back(&tables.back());
    }
}

}  // namespace orrery::core
