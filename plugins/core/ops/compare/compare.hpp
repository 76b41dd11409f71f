// What the parts of orr.compare/1 share.
#pragma once

#include "common/shapes.hpp"

namespace orrery::core {

enum class Relation { eq, ne, lt, le, gt, ge };

inline Relation relation_of(const orr_attrs* attrs) {
    return static_cast<Relation>(choose("compare", "function", attrs->get_string(attrs, "function"), {"eq", "ne", "lt", "le", "gt", "ge"}));
}

extern const KernelDef kCompareVulkan;

}  // namespace orrery::core
