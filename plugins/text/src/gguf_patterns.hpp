// What tokenizer.ggml.pre stands for.
#pragma once

#include <string_view>
#include <vector>

namespace orrery::text {

struct GgufPre {
    std::vector<std::string_view> patterns;  // one after another, each cutting the pieces of the one before
    bool ignore_merges = false, add_bos = false;
    bool raw = false;  // tokens are plain text with U+2581 for spaces and <0xNN> for other bytes, not GPT-2's alphabet
};

// nullptr: unknown name.
const GgufPre* find_gguf_pre(std::string_view name);

}  // namespace orrery::text
