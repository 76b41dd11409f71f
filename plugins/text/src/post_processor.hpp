// Post-processors: special tokens round the text, for a single sequence.
#pragma once

#include <cstdint>
#include <vector>

#include "json.hpp"

namespace orrery::text {

// The text's ids stand where sequence is true. Without special tokens only those places count.
struct Template {
    struct Part {
        bool sequence;
        std::vector<uint32_t> ids;
    };
    std::vector<Part> parts;
    void apply(std::vector<uint32_t>& ids, bool add_special) const;
};

// Appends what the post-processor does, in order. Throws TextError.
void load_post_processor(const Json& json, std::vector<Template>& out, int depth = 0);
Template wrap(std::vector<uint32_t> before, std::vector<uint32_t> after);

}  // namespace orrery::text
