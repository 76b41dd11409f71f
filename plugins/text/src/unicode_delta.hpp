#pragma once

#include <cstdint>

namespace orrery::text {

struct CodeRange {
    char32_t first, last;
};
struct CodePair {
    char32_t from, to;
};

#include "unicode_delta.inc"

}  // namespace orrery::text
