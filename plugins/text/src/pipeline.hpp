// A tokeniser's parts together.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "added_tokens.hpp"
#include "decoder.hpp"
#include "model.hpp"
#include "normalizer.hpp"
#include "post_processor.hpp"
#include "pre_tokenizer.hpp"
#include "text.hpp"

namespace orrery::text {

struct Pipeline {
    std::unique_ptr<Normalizer> normalizer;      // may be null
    std::unique_ptr<PreTokenizer> pre_tokenizer;  // may be null
    std::unique_ptr<Model> model;                // null: a GGUF without a vocabulary
    AddedTokens added;
    std::vector<Template> post;  // one after another
    std::unique_ptr<Decoder> decoder;

    // From a GGUF: special tokens are found as llama.cpp finds them and tokens decode through their bytes.
    bool gguf = false;
    SpecialPartition partition;
    std::vector<std::string> pieces;  // by id: the bytes that it decodes to
    std::vector<bool> special_ids;    // by id
    bool space_prefix = false;        // a space goes before text at the start and after special tokens
    bool strip_space = false;         // decoding drops one space at the start
    bool escape_spaces = false;       // spaces become U+2581

    SpecialIds special;
    uint32_t vocab_size = 0;
    std::string chat_template, tool_template, bos_token, eos_token;

    mutable std::mutex mutex;  // guards idle
    mutable std::vector<std::unique_ptr<Scratch>> idle;
};

std::unique_ptr<Pipeline> load_json(std::string_view tokenizer_json, const SideFiles& side);
std::unique_ptr<Pipeline> load_gguf(const GgufVocab& vocab);

}  // namespace orrery::text
