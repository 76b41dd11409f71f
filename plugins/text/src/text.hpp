// The tokenisers and chat templates behind the plugin, as plain C++: nothing here knows the plugin ABI.
// A Tokenizer and a ChatTemplate are immutable once made; any thread may use them at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace orrery::text {

enum class ErrorKind {
    invalid_data,  // the file contradicts itself or its format
    unsupported,   // well-formed, but a component that this code has not
    limit,         // a bound on time, depth or size was hit
};

class TextError : public std::runtime_error {
  public:
    TextError(ErrorKind kind, const std::string& what) : std::runtime_error(what), kind_(kind) {}
    ErrorKind kind() const { return kind_; }

  private:
    ErrorKind kind_;
};

// What stands beside tokenizer.json in a Hugging Face folder; each is the file's whole text, empty where there is none.
struct SideFiles {
    std::string tokenizer_config, special_tokens_map, generation_config, config, chat_template;
};

// tokenizer.ggml.* of a GGUF file. Views and spans stay the caller's and are read during from_gguf() alone.
struct GgufVocab {
    std::string model;                          // tokenizer.ggml.model: gpt2, llama, t5, bert, none
    std::string pre;                            // tokenizer.ggml.pre: which pre-tokeniser, for gpt2
    std::string model_name, architecture;       // general.name, general.architecture: token attributes hang on them
    std::vector<std::string_view> tokens;       // tokenizer.ggml.tokens
    std::vector<std::string_view> merges;       // tokenizer.ggml.merges, "left right"
    std::span<const float> scores;              // tokenizer.ggml.scores
    std::span<const int32_t> token_types;       // tokenizer.ggml.token_type: 1 normal 2 unknown 3 control 4 user-defined 5 unused 6 byte
    std::string_view precompiled_charsmap;      // tokenizer.ggml.precompiled_charsmap
    std::optional<uint32_t> bos, eos, eot, eom, unk, sep, pad, cls, mask;  // tokenizer.ggml.*_token_id
    std::optional<bool> add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces;
    std::optional<bool> lowercase, strip_accents;  // tokenizer.ggml.normalizer.*
    std::string chat_template;                  // tokenizer.chat_template
    uint32_t vocab_size = 0;                    // for model none, which lists no tokens
};

struct SpecialIds {
    std::optional<uint32_t> bos, eos, unk, sep, pad, cls, mask;
    std::vector<uint32_t> eog;  // ids that end generation, ascending
    bool add_bos = false, add_eos = false;
};

struct Pipeline;  // the parts of a tokeniser, internal

class Tokenizer {
  public:
    // Throws TextError.
    static std::unique_ptr<Tokenizer> from_json(std::string_view tokenizer_json, const SideFiles& side = {});
    static std::unique_ptr<Tokenizer> from_gguf(const GgufVocab& vocab);
    ~Tokenizer();

    // Bytes that are not UTF-8 count as Python's decode('utf-8', 'replace') gives them. Special tokens written in the text are
    // recognised always; add_special adds those that the model puts round a text. Throws TextError.
    std::vector<uint32_t> encode(std::string_view text, bool add_special) const;
    // Ids outside the vocabulary are skipped. skip_special leaves special tokens out. The result is valid UTF-8.
    std::string decode(std::span<const uint32_t> ids, bool skip_special) const;

    std::optional<uint32_t> token_to_id(std::string_view token) const;
    std::optional<std::string> id_to_token(uint32_t id) const;
    bool is_special(uint32_t id) const;
    uint32_t vocab_size() const;  // highest id + 1
    const SpecialIds& special() const;
    const std::string& chat_template() const;                             // empty: the model has none
    const std::string& tool_template() const;                             // the one for tools where they differ, else as above
    const std::string& bos_token() const;                                 // text of bos and eos, as templates read them
    const std::string& eos_token() const;

  private:
    explicit Tokenizer(std::unique_ptr<Pipeline> pipeline);
    friend class StreamDecoder;
    std::unique_ptr<Pipeline> pipeline_;
};

// Turns ids into text as they come. push() gives only whole UTF-8 characters; all pushes and the last finish() together
// equal decode() of all ids. The tokenizer must outlive it. One thread at a time.
class StreamDecoder {
  public:
    StreamDecoder(const Tokenizer& tokenizer, bool skip_special);
    ~StreamDecoder();
    StreamDecoder(StreamDecoder&&) noexcept;
    std::string push(uint32_t id);
    std::string finish();  // afterwards it is as new

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// A chat template in the Jinja that transformers accepts (trim_blocks, lstrip_blocks, loop controls, its own tojson and globals).
class ChatTemplate {
  public:
    explicit ChatTemplate(std::string_view source);  // throws TextError, with the line
    ~ChatTemplate();
    ChatTemplate(ChatTemplate&&) noexcept;
    // variables: a JSON object, such as {"messages": [...], "tools": [...], "add_generation_prompt": true, "bos_token": "<s>"}; members keep
    // their order. now_unix_s feeds strftime_now (local time); 0 takes the clock. Throws TextError.
    std::string render(std::string_view variables_json, int64_t now_unix_s = 0) const;

  private:
    struct Program;
    std::unique_ptr<Program> program_;
};

}  // namespace orrery::text
