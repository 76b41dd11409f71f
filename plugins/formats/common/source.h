// Bytes to parse: a mapped file, memory, or callbacks of the host. Readers ask only for ranges that they have checked.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/format_error.h"

namespace orrery::formats {

class Source {
  public:
    virtual ~Source() = default;
    virtual uint64_t size() const = 0;
    // Copies [offset, offset + size) to dst; the caller has checked that the range lies inside. Throws FormatError(kIo).
    virtual void read(uint64_t offset, uint64_t size, void* dst) const = 0;
    // All bytes where they lie in memory already (they stay valid as long as the source), else null.
    virtual const std::byte* data() const { return nullptr; }
};

// Memory of somebody else, which outlives the source.
class MemorySource final : public Source {
  public:
    MemorySource(const void* data, uint64_t size) : data_(static_cast<const std::byte*>(data)), size_(size) {}
    uint64_t size() const override { return size_; }
    void read(uint64_t offset, uint64_t size, void* dst) const override;
    const std::byte* data() const override { return data_; }

  private:
    const std::byte* data_;
    uint64_t size_;
};

// Callbacks: `read_at` returns false where it could not give all the bytes.
class CallbackSource final : public Source {
  public:
    using ReadAt = std::function<bool(uint64_t offset, uint64_t size, void* dst)>;
    CallbackSource(uint64_t size, ReadAt read_at) : size_(size), read_at_(std::move(read_at)) {}
    uint64_t size() const override { return size_; }
    void read(uint64_t offset, uint64_t size, void* dst) const override;

  private:
    uint64_t size_;
    ReadAt read_at_;
};

// The head of a source as one contiguous, growing block: in place where the source lies in memory, otherwise read in steps that
// double. It never holds more than twice what was asked for, nor more than the source has.
class Prefix {
  public:
    // `source` outlives the prefix when it lies in memory.
    explicit Prefix(const Source& source) : source_(&source), mapped_(source.data()), size_(source.size()) {}

    uint64_t source_size() const { return size_; }
    // Makes [0, end) available. False when the source is shorter.
    bool ensure(uint64_t end);
    // Only bytes that `ensure` made available; the pointer moves when a later `ensure` grows the block.
    const std::byte* bytes() const { return mapped_ ? mapped_ : block_.data(); }
    std::string_view view(uint64_t offset, uint64_t size) const {
        return {reinterpret_cast<const char*>(bytes()) + offset, static_cast<size_t>(size)};
    }
    // Gives back what was read beyond `end`, and forgets the source unless it lies in memory.
    void finish(uint64_t end);

  private:
    const Source* source_;
    const std::byte* mapped_;
    uint64_t size_;
    std::vector<std::byte> block_;
};

static_assert(std::endian::native == std::endian::little, "both formats are little-endian and are read in place");

// Little-endian value at any address (no alignment is assumed).
template <typename T>
T load_le(const std::byte* src) {
    T value;
    std::memcpy(&value, src, sizeof value);
    return value;
}

}  // namespace orrery::formats
