// What every weight format gives: the tensors of one or more files, each with its type, shape and place.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace orrery::formats {

// An element type as it is stored. A block of `block_elems` elements along the last axis takes `block_bytes` bytes.
struct StoredType {
    std::string_view id;  // "f32", "bf16", "q4_k", ...: the id that the engine's type table uses
    uint32_t block_elems;
    uint32_t block_bytes;
};

struct TensorEntry {
    std::string name;
    const StoredType* type = nullptr;
    std::vector<uint64_t> shape;  // row-major: the last axis is contiguous
    uint32_t file = 0;            // index of the file (0 where there is one)
    uint64_t offset = 0;          // from the start of that file, in bytes
    uint64_t size_bytes = 0;
};

class TensorDirectory {
  public:
    const std::vector<TensorEntry>& tensors() const { return tensors_; }
    const TensorEntry* find(std::string_view name) const;
    // False, without a change, when a tensor of that name is there already.
    bool add(TensorEntry entry);
    void reserve(size_t count);

  private:
    std::vector<TensorEntry> tensors_;
    std::unordered_map<std::string, size_t> by_name_;
};

// "[2, 3, 4]", for messages.
std::string shape_text(const std::vector<uint64_t>& shape);

// Bytes that `shape` takes in `type`. Throws FormatError(kCorrupt) naming `who` (such as "gguf: tensor 'x'") when an axis
// exceeds 63 bits, the element or byte count 64, or the last axis does not fill whole blocks.
uint64_t stored_bytes(const std::string& who, const StoredType& type, const std::vector<uint64_t>& shape);

// Where tensors lie in one file: sorted by offset, each has to begin where the one before ended (rounded up to `alignment`), the
// first at `data_begin`. Throws FormatError(kCorrupt) naming both tensors on an overlap, and the gap otherwise. Returns the end.
uint64_t check_contiguous(const std::string& format, const std::vector<TensorEntry>& tensors, uint64_t data_begin, uint64_t alignment);

}  // namespace orrery::formats
