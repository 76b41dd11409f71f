// Where the engine's large memory comes from: the host's allocator or the operating system, within a budget.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "orrery/orrery.h"

namespace orrery {

class Memory {
  public:
    Memory(const orr_allocator* allocator, uint64_t budget_bytes);
    // alignment: power of two, at most 2 MiB. Throws Error(ORR_OUT_OF_MEMORY) telling `what`, the bytes and what is left.
    void* allocate(size_t bytes, size_t alignment, const char* what);
    // nullptr instead of throwing.
    void* try_allocate(size_t bytes, size_t alignment) noexcept;
    void release(void* memory, size_t bytes, size_t alignment) noexcept;
    // Counts bytes that nobody takes, where what a model would need is measured; to be given back with discount().
    void count(size_t bytes) noexcept { reserve(bytes); }
    void discount(size_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }
    uint64_t used_bytes() const { return used_.load(std::memory_order_relaxed); }
    uint64_t peak_bytes() const { return peak_.load(std::memory_order_relaxed); }
    uint64_t budget_bytes() const { return budget_; }

  private:
    bool reserve(size_t bytes) noexcept;
    orr_allocator host_{};
    uint64_t budget_;
    std::atomic<uint64_t> used_{0}, peak_{0};
};

// One owned block.
class Buffer {
  public:
    Buffer() = default;
    Buffer(std::shared_ptr<Memory> memory, size_t bytes, size_t alignment, const char* what)
        : memory_(std::move(memory)), data_(memory_->allocate(bytes ? bytes : 1, alignment, what)), bytes_(bytes ? bytes : 1), alignment_(alignment) {}
    Buffer(Buffer&& o) noexcept { swap(o); }
    Buffer& operator=(Buffer&& o) noexcept {
        Buffer gone(std::move(o));
        swap(gone);
        return *this;
    }
    ~Buffer() {
        if (data_) memory_->release(data_, bytes_, alignment_);
    }
    void* data() const { return data_; }
    char* bytes() const { return static_cast<char*>(data_); }
    size_t size() const { return data_ ? bytes_ : 0; }
    explicit operator bool() const { return data_ != nullptr; }

  private:
    void swap(Buffer& o) noexcept {
        std::swap(memory_, o.memory_);
        std::swap(data_, o.data_);
        std::swap(bytes_, o.bytes_);
        std::swap(alignment_, o.alignment_);
    }
    std::shared_ptr<Memory> memory_;
    void* data_ = nullptr;
    size_t bytes_ = 0, alignment_ = 1;
};

}  // namespace orrery
