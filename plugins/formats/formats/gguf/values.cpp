// Typed access to the pairs of a parsed GGUF, and their JSON form.
#include <charconv>
#include <cmath>
#include <limits>

#include "formats/gguf/gguf.h"

namespace orrery::formats {

namespace {

[[noreturn]] void wrong_type(std::string_view key, const std::string& found, const char* wanted) {
    throw FormatError(ErrorKind::kWrongType, "gguf: key " + in_quotes(key) + " is " + found + "; " + wanted + " was expected");
}

std::string type_text(GgufType type, GgufType element) {
    std::string text = "of type " + std::string(gguf_type_name(type));
    if (type == GgufType::kArray) text += " of " + std::string(gguf_type_name(element));
    return text;
}

void append_real(std::string& json, double value, bool single) {
    if (!std::isfinite(value)) {
        json += "null";
        return;
    }
    char digits[40];
    const auto end =
        single ? std::to_chars(digits, digits + sizeof digits, static_cast<float>(value)) : std::to_chars(digits, digits + sizeof digits, value);
    json.append(digits, end.ptr);
}

}  // namespace

const Gguf::Pair* Gguf::find(std::string_view key) const {
    const auto it = by_key_.find(key);
    return it == by_key_.end() ? nullptr : &pairs_[it->second];
}

const Gguf::Pair* Gguf::find_array(std::string_view key, const char* wanted) const {
    const Pair* pair = find(key);
    if (pair && pair->type != GgufType::kArray) wrong_type(key, type_text(pair->type, pair->element), wanted);
    return pair;
}

std::optional<GgufType> Gguf::type(std::string_view key) const {
    const Pair* pair = find(key);
    return pair ? std::optional(pair->type) : std::nullopt;
}

std::optional<GgufType> Gguf::element_type(std::string_view key) const {
    const Pair* pair = find_array(key, "an array");
    return pair ? std::optional(pair->element) : std::nullopt;
}

std::optional<uint64_t> Gguf::count(std::string_view key) const {
    const Pair* pair = find_array(key, "an array");
    return pair ? std::optional(pair->count) : std::nullopt;
}

std::string_view Gguf::string_at(uint64_t begin) const { return head_.view(begin + 8, load_le<uint64_t>(head_.bytes() + begin)); }

bool Gguf::integer_at(GgufType type, uint64_t begin, uint64_t& bits, bool& negative) const {
    const std::byte* src = head_.bytes() + begin;
    const auto take_signed = [&](int64_t value) {
        bits = static_cast<uint64_t>(value);
        negative = value < 0;
    };
    negative = false;
    switch (type) {
        case GgufType::kU8:
            bits = load_le<uint8_t>(src);
            return true;
        case GgufType::kU16:
            bits = load_le<uint16_t>(src);
            return true;
        case GgufType::kU32:
            bits = load_le<uint32_t>(src);
            return true;
        case GgufType::kU64:
            bits = load_le<uint64_t>(src);
            return true;
        case GgufType::kI8:
            take_signed(load_le<int8_t>(src));
            return true;
        case GgufType::kI16:
            take_signed(load_le<int16_t>(src));
            return true;
        case GgufType::kI32:
            take_signed(load_le<int32_t>(src));
            return true;
        case GgufType::kI64:
            take_signed(load_le<int64_t>(src));
            return true;
        default:
            return false;
    }
}

std::optional<std::string_view> Gguf::get_string(std::string_view key) const {
    const Pair* pair = find(key);
    if (!pair) return std::nullopt;
    if (pair->type != GgufType::kString) wrong_type(key, type_text(pair->type, pair->element), "a string");
    return string_at(pair->begin);
}

std::optional<uint64_t> Gguf::get_u64(std::string_view key) const {
    const Pair* pair = find(key);
    if (!pair) return std::nullopt;
    uint64_t bits = 0;
    bool negative = false;
    if (!integer_at(pair->type, pair->begin, bits, negative)) wrong_type(key, type_text(pair->type, pair->element), "an integer");
    if (negative) wrong_type(key, std::to_string(static_cast<int64_t>(bits)), "an integer that is not negative");
    return bits;
}

std::optional<int64_t> Gguf::get_i64(std::string_view key) const {
    const Pair* pair = find(key);
    if (!pair) return std::nullopt;
    uint64_t bits = 0;
    bool negative = false;
    if (!integer_at(pair->type, pair->begin, bits, negative)) wrong_type(key, type_text(pair->type, pair->element), "an integer");
    if (!negative && bits > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        wrong_type(key, std::to_string(bits), "a signed 64-bit integer");
    return static_cast<int64_t>(bits);
}

std::optional<double> Gguf::get_f64(std::string_view key) const {
    const Pair* pair = find(key);
    if (!pair) return std::nullopt;
    const std::byte* src = head_.bytes() + pair->begin;
    if (pair->type == GgufType::kF32) return load_le<float>(src);
    if (pair->type == GgufType::kF64) return load_le<double>(src);
    uint64_t bits = 0;
    bool negative = false;
    if (!integer_at(pair->type, pair->begin, bits, negative)) wrong_type(key, type_text(pair->type, pair->element), "a number");
    return negative ? static_cast<double>(static_cast<int64_t>(bits)) : static_cast<double>(bits);
}

std::optional<bool> Gguf::get_bool(std::string_view key) const {
    const Pair* pair = find(key);
    if (!pair) return std::nullopt;
    if (pair->type != GgufType::kBool) wrong_type(key, type_text(pair->type, pair->element), "a bool");
    return load_le<uint8_t>(head_.bytes() + pair->begin) != 0;
}

std::optional<std::string_view> Gguf::get_string_at(std::string_view key, uint64_t index) const {
    const Pair* pair = find_array(key, "an array of string");
    if (!pair) return std::nullopt;
    if (pair->element != GgufType::kString) wrong_type(key, type_text(pair->type, pair->element), "an array of string");
    if (index >= pair->count) {
        throw FormatError(ErrorKind::kNotFound, "gguf: key " + in_quotes(key) + " has " + std::to_string(pair->count) + " strings; number " +
                                                    std::to_string(index) + " was asked for");
    }
    return string_at(string_begins_[pair->strings][static_cast<size_t>(index)]);
}

std::optional<std::vector<std::string_view>> Gguf::get_strings(std::string_view key) const {
    const Pair* pair = find_array(key, "an array of string");
    if (!pair) return std::nullopt;
    if (pair->element != GgufType::kString) wrong_type(key, type_text(pair->type, pair->element), "an array of string");
    std::vector<std::string_view> strings;
    strings.reserve(static_cast<size_t>(pair->count));
    for (const uint64_t begin : string_begins_[pair->strings]) strings.push_back(string_at(begin));
    return strings;
}

std::optional<std::vector<float>> Gguf::get_f32s(std::string_view key) const {
    const Pair* pair = find_array(key, "an array of f32");
    if (!pair) return std::nullopt;
    const bool single = pair->element == GgufType::kF32;
    if (!single && pair->element != GgufType::kF64) wrong_type(key, type_text(pair->type, pair->element), "an array of f32 or f64");
    std::vector<float> values(static_cast<size_t>(pair->count));
    const std::byte* src = head_.bytes() + pair->begin;
    for (size_t i = 0; i < values.size(); ++i) values[i] = single ? load_le<float>(src + 4 * i) : static_cast<float>(load_le<double>(src + 8 * i));
    return values;
}

std::optional<std::vector<int64_t>> Gguf::get_i64s(std::string_view key) const {
    const Pair* pair = find_array(key, "an array of integers");
    if (!pair) return std::nullopt;
    const GgufType element = pair->element == GgufType::kBool ? GgufType::kU8 : pair->element;
    const uint64_t bytes = gguf_type_bytes(element);
    if (element == GgufType::kF32 || element == GgufType::kF64 || bytes == 0)
        wrong_type(key, type_text(pair->type, pair->element), "an array of integers");
    std::vector<int64_t> values;
    values.reserve(static_cast<size_t>(pair->count));
    uint64_t bits = 0;
    bool negative = false;
    for (uint64_t i = 0; i < pair->count; ++i) {
        integer_at(element, pair->begin + i * bytes, bits, negative);
        if (!negative && bits > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
            wrong_type(key, std::to_string(bits) + " at index " + std::to_string(i), "a signed 64-bit integer");
        }
        values.push_back(static_cast<int64_t>(bits));
    }
    return values;
}

void Gguf::append_value(std::string& json, GgufType type, uint64_t begin) const {
    const std::byte* src = head_.bytes() + begin;
    uint64_t bits = 0;
    bool negative = false;
    if (type == GgufType::kString) {
        append_json_string(json, string_at(begin));
    } else if (type == GgufType::kBool) {
        json += load_le<uint8_t>(src) ? "true" : "false";
    } else if (type == GgufType::kF32) {
        append_real(json, load_le<float>(src), true);
    } else if (type == GgufType::kF64) {
        append_real(json, load_le<double>(src), false);
    } else if (integer_at(type, begin, bits, negative)) {
        json += negative ? std::to_string(static_cast<int64_t>(bits)) : std::to_string(bits);
    }
}

void Gguf::append_array(std::string& json, const Pair& pair) const {
    json += '[';
    for (uint64_t i = 0; i < pair.count; ++i) {
        if (i != 0) json += ',';
        const bool is_string = pair.element == GgufType::kString;
        append_value(json, pair.element,
                     is_string ? string_begins_[pair.strings][static_cast<size_t>(i)] : pair.begin + i * gguf_type_bytes(pair.element));
    }
    json += ']';
}

std::string Gguf::metadata_json(uint64_t max_inline) const {
    std::string json = "{";
    for (const Pair& pair : pairs_) {
        const bool is_array = pair.type == GgufType::kArray;
        if (is_array && (pair.count > max_inline || pair.element == GgufType::kArray)) continue;
        if (json.size() > 1) json += ',';
        append_json_string(json, key_of(pair));
        json += ':';
        if (is_array) {
            append_array(json, pair);
        } else {
            append_value(json, pair.type, pair.begin);
        }
    }
    return json + "}";
}

}  // namespace orrery::formats
