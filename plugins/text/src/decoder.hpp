// Decoders: token texts back to text. They run as a chain of stages fed token by token, so that decoding all at once and streaming are the
// same code.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json.hpp"

namespace orrery::text {

// Takes a token in one or more chunks, the last with end = true. finish() follows the last token.
class Stage {
  public:
    virtual ~Stage() = default;
    virtual void chunk(std::string_view s, bool end) = 0;
    virtual void finish() = 0;
    Stage* next = nullptr;
};

class Decoder {
  public:
    virtual ~Decoder() = default;
    virtual void add_stages(std::vector<std::unique_ptr<Stage>>& chain) const = 0;
};

std::unique_ptr<Decoder> make_decoder(const Json& json, int depth = 0);  // throws TextError
std::unique_ptr<Decoder> make_join_decoder();  // for a tokeniser without one: tokens with a space between

// A chain with its collected text.
class DecodeChain {
  public:
    explicit DecodeChain(const Decoder& decoder);
    void push(std::string_view token) { head_->chunk(token, true); }
    void finish() { head_->finish(); }
    std::string take() { return std::exchange(*text_, {}); }

  private:
    std::vector<std::unique_ptr<Stage>> stages_;
    std::string* text_;
    Stage* head_;
};

}  // namespace orrery::text
