// GGUF version 2 and 3, little-endian: typed key/value pairs, tensor descriptions, then aligned tensor data.
// Format: ggml-org/ggml, docs/gguf.md. Where it is silent, as ggml's own reader does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/source.h"
#include "common/tensor_directory.h"

namespace orrery::formats {

enum class GgufType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

// "u8", ..., "string", "array".
std::string_view gguf_type_name(GgufType type);
// Size of one value; 0 for strings and arrays, whose sizes differ.
uint64_t gguf_type_bytes(GgufType type);

// Immutable once parsed; any thread may read it. Values stay in the file's own bytes: a getter that returns a view returns one into the
// object (or into the source's memory where the source has its bytes in memory, so that source has to outlive it).
//
// A getter gives nothing for an absent key, and throws FormatError(kWrongType) naming the key and both types for a value that it cannot
// give exactly.
class Gguf {
  public:
    // Reads header, pairs and tensor descriptions; no tensor is read. Throws FormatError. `file` becomes TensorEntry::file.
    static Gguf parse(const Source& source, uint32_t file = 0);

    uint32_t version() const { return version_; }
    uint64_t alignment() const { return alignment_; }
    const TensorDirectory& directory() const { return directory_; }
    TensorDirectory take_directory() { return std::move(directory_); }

    size_t key_count() const { return pairs_.size(); }
    std::string_view key(size_t index) const { return key_of(pairs_[index]); }
    bool has(std::string_view key) const { return by_key_.count(key) != 0; }
    std::optional<GgufType> type(std::string_view key) const;
    // Type and number of the elements of an array.
    std::optional<GgufType> element_type(std::string_view key) const;
    std::optional<uint64_t> count(std::string_view key) const;

    std::optional<std::string_view> get_string(std::string_view key) const;
    std::optional<uint64_t> get_u64(std::string_view key) const;  // any integer type that is not negative
    std::optional<int64_t> get_i64(std::string_view key) const;   // any integer type
    std::optional<double> get_f64(std::string_view key) const;    // any number
    std::optional<bool> get_bool(std::string_view key) const;

    // One string of an array in constant time; `index` is below count(key).
    std::optional<std::string_view> get_string_at(std::string_view key, uint64_t index) const;
    std::optional<std::vector<std::string_view>> get_strings(std::string_view key) const;
    std::optional<std::vector<float>> get_f32s(std::string_view key) const;    // from f32 and f64
    std::optional<std::vector<int64_t>> get_i64s(std::string_view key) const;  // from any integer type or bool; each has to fit

    // All pairs as one JSON object. Arrays of more than `max_inline` elements and arrays of arrays are left out; NaN and infinities are
    // null; what is not UTF-8 in a string becomes U+FFFD.
    std::string metadata_json(uint64_t max_inline = 64) const;

  private:
    struct Pair {
        uint64_t key_begin, key_size;
        GgufType type;
        GgufType element = GgufType::kU8;  // of an array
        uint64_t count = 0;                // of an array
        uint64_t begin = 0;                // of the value, or of the first element
        size_t strings = 0;                // index in string_begins_ of an array of strings
    };
    class Parser;

    explicit Gguf(const Source& source) : head_(source) {}
    std::string_view key_of(const Pair& pair) const { return head_.view(pair.key_begin, pair.key_size); }
    const Pair* find(std::string_view key) const;
    const Pair* find_array(std::string_view key, const char* wanted) const;
    std::string_view string_at(uint64_t begin) const;
    // An integer as 64 bits in two's complement, with its sign; false where the type is no integer.
    bool integer_at(GgufType type, uint64_t begin, uint64_t& bits, bool& negative) const;
    void append_value(std::string& json, GgufType type, uint64_t begin) const;
    void append_array(std::string& json, const Pair& pair) const;

    Prefix head_;
    uint32_t version_ = 0;
    uint64_t alignment_ = 32;
    std::vector<Pair> pairs_;
    std::unordered_map<std::string_view, size_t> by_key_;  // views into head_
    std::vector<std::vector<uint64_t>> string_begins_;
    TensorDirectory directory_;
};

// The stored type of a ggml type number, or null.
const StoredType* find_ggml_type(uint32_t number);

}  // namespace orrery::formats
