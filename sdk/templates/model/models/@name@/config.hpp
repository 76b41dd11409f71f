// What a checkpoint's config.json says of @name@.
#pragma once

#include <string>

#include "orrery/plugin.hpp"

namespace orrery::@name@_model {

struct Config {
    int64_t vocabulary = 0, width = 0, inner = 0, layers = 0, heads = 0;
    double eps = 1e-6;
    std::string activation;
    std::string info_json;  // for `orrery inspect`: sizes, and the keys that nothing here reads

    int64_t head_width() const { return width / heads; }
};

// Throws orrery::Error, which names the key and its value, for what this architecture cannot be.
Config read_config(const orr_model_source& source);

}  // namespace orrery::@name@_model
