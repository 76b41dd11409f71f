// JSON as a stream of events, so that a hostile document costs no tree: nothing is kept but what a reader asks to keep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace orrery::formats {

struct JsonScalar {
    enum class Kind { kNull, kBool, kUnsigned, kNegative, kReal, kString };
    Kind kind;
    bool boolean = false;
    uint64_t number = 0;    // for kUnsigned
    std::string_view text;  // for kString the value, else the value as JSON text
};

// What a value is, for messages: "a string", "a negative number", ...
const char* kind_text(JsonScalar::Kind kind);

class JsonReader {
  public:
    virtual ~JsonReader() = default;
    virtual void on_key(std::string_view key) = 0;
    virtual void on_scalar(const JsonScalar& value) = 0;
    virtual void on_begin_object() = 0;
    virtual void on_end_object() = 0;
    virtual void on_begin_array() = 0;
    virtual void on_end_array() = 0;

    // Called from on_begin_object or on_begin_array: the events up to the matching end are not delivered (nor is that end).
    void skip() { skipping_ = true; }
    bool take_skip() { return std::exchange(skipping_, false); }

  private:
    bool skipping_ = false;
};

// Delivers the events of `json`. Throws FormatError(kCorrupt) beginning with `who` where the text is not UTF-8, is not JSON, or nests
// deeper than 64.
void read_json(const std::string& who, std::string_view json, JsonReader& reader);

}  // namespace orrery::formats
