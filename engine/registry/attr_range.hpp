// What an attribute may be: orr_attr_desc.range, .least and .most as the descriptor's text has them.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "orrery/plugin.h"

namespace orrery {

struct AttrRange {
    // Throws Error(ORR_CORRUPT) where the text is none, or does not go with the attribute's kind.
    explicit AttrRange(const orr_attr_desc& desc);

    struct End {
        bool none = true;      // inf
        bool included = false;
        bool whole = false;    // then `integer` is exact
        int64_t integer = 0;
        double number = 0;
    };
    End low, high;                   // of numbers
    std::vector<std::string> words;  // of strings; empty: any
    uint32_t least = 0, most = 0;    // elements of a list; most 0: any number
    std::string text;                // "[1, 64]", "1 to 2 of [1, inf)", "none|silu"; empty: anything

    // Of a value of the attribute's kind: "" where it is one of these, else what is wrong: "is 0, it takes [1, inf)".
    std::string refusal(const nlohmann::json& value) const;

  private:
    bool holds(const nlohmann::json& number) const;
    std::string interval_;
};

}  // namespace orrery
