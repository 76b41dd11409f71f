#include "common/json_events.h"

#include <nlohmann/json.hpp>

#include "common/format_error.h"

namespace orrery::formats {

namespace {

using Json = nlohmann::json;

class Adapter final : public nlohmann::json_sax<Json> {
  public:
    Adapter(const std::string& who, JsonReader& reader) : who_(who), reader_(reader) {}

    bool null() override { return scalar({JsonScalar::Kind::kNull, false, 0, "null"}); }
    bool boolean(bool value) override { return scalar({JsonScalar::Kind::kBool, value, 0, value ? "true" : "false"}); }
    bool number_integer(number_integer_t value) override {
        const std::string text = std::to_string(value);
        return scalar({JsonScalar::Kind::kNegative, false, 0, text});
    }
    bool number_unsigned(number_unsigned_t value) override {
        const std::string text = std::to_string(value);
        return scalar({JsonScalar::Kind::kUnsigned, false, value, text});
    }
    bool number_float(number_float_t, const string_t& text) override { return scalar({JsonScalar::Kind::kReal, false, 0, text}); }
    bool string(string_t& value) override { return scalar({JsonScalar::Kind::kString, false, 0, value}); }
    bool binary(binary_t&) override { return false; }
    bool key(string_t& value) override {
        if (skip_depth_ == 0) reader_.on_key(value);
        return true;
    }
    bool start_object(std::size_t) override {
        return begin([&] { reader_.on_begin_object(); });
    }
    bool end_object() override {
        return end([&] { reader_.on_end_object(); });
    }
    bool start_array(std::size_t) override {
        return begin([&] { reader_.on_begin_array(); });
    }
    bool end_array() override {
        return end([&] { reader_.on_end_array(); });
    }
    bool parse_error(std::size_t position, const std::string& last_token, const Json::exception&) override {
        throw FormatError(ErrorKind::kCorrupt, who_ + " is not valid JSON at its byte " + std::to_string(position) + ", at " + in_quotes(last_token));
    }

  private:
    static constexpr size_t kMaxDepth = 64;

    bool scalar(const JsonScalar& value) {
        if (skip_depth_ == 0) reader_.on_scalar(value);
        return true;
    }
    template <typename Event>
    bool begin(Event event) {
        if (++depth_ > kMaxDepth) throw FormatError(ErrorKind::kCorrupt, who_ + " nests deeper than " + std::to_string(kMaxDepth) + " levels");
        if (skip_depth_ == 0) {
            event();
            if (reader_.take_skip()) skip_depth_ = depth_;
        }
        return true;
    }
    template <typename Event>
    bool end(Event event) {
        if (skip_depth_ == 0) {
            event();
        } else if (skip_depth_ == depth_) {
            skip_depth_ = 0;
        }
        --depth_;
        return true;
    }

    const std::string& who_;
    JsonReader& reader_;
    size_t depth_ = 0;
    size_t skip_depth_ = 0;  // depth of the value being skipped, 0 for none
};

}  // namespace

const char* kind_text(JsonScalar::Kind kind) {
    switch (kind) {
        case JsonScalar::Kind::kNull:
            return "null";
        case JsonScalar::Kind::kBool:
            return "a boolean";
        case JsonScalar::Kind::kUnsigned:
            return "a number";
        case JsonScalar::Kind::kNegative:
            return "a negative number";
        case JsonScalar::Kind::kReal:
            return "a number that is no 64-bit integer";
        case JsonScalar::Kind::kString:
            return "a string";
    }
    return "a value";
}

void read_json(const std::string& who, std::string_view json, JsonReader& reader) {
    const size_t ill_formed = ill_formed_utf8_at(json);
    if (ill_formed != std::string_view::npos) {
        throw FormatError(ErrorKind::kCorrupt,
                          who + " is not UTF-8 from its byte " + std::to_string(ill_formed) + " on: " + in_quotes(json.substr(ill_formed, 8)));
    }
    Adapter adapter(who, reader);
    Json::sax_parse(json.begin(), json.end(), &adapter);
}

}  // namespace orrery::formats
