#include "engine/weights/memory.hpp"

#include <new>

#include "engine/platform/files.hpp"
#include "orrery/plugin.hpp"

namespace orrery {

Memory::Memory(const orr_allocator* allocator, uint64_t budget_bytes) : budget_(budget_bytes) {
    if (allocator) host_ = *allocator;
}

bool Memory::reserve(size_t bytes) noexcept {
    uint64_t used = used_.load(std::memory_order_relaxed);
    do {
        if (budget_ && (bytes > budget_ || used > budget_ - bytes)) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    uint64_t peak = peak_.load(std::memory_order_relaxed);
    while (peak < used + bytes && !peak_.compare_exchange_weak(peak, used + bytes, std::memory_order_relaxed)) {
    }
    return true;
}

void* Memory::try_allocate(size_t bytes, size_t alignment) noexcept {
    if (bytes == 0) bytes = 1;
    if (!reserve(bytes)) return nullptr;
    void* memory = nullptr;
    if (host_.allocate) {
        memory = host_.allocate(host_.user, bytes, alignment);
    } else if (bytes >= platform::kHugePageBytes) {
        memory = platform::map_anonymous(bytes);
    } else {
        memory = ::operator new(bytes, std::align_val_t(alignment), std::nothrow);
    }
    if (!memory) used_.fetch_sub(bytes, std::memory_order_relaxed);
    return memory;
}

void* Memory::allocate(size_t bytes, size_t alignment, const char* what) {
    void* memory = try_allocate(bytes, alignment);
    if (memory) return memory;
    std::string text = std::string(what) + ": " + std::to_string(bytes) + " bytes are not to be had";
    if (budget_) text += ": the budget is " + std::to_string(budget_) + " bytes and " + std::to_string(used_bytes()) + " are in use";
    throw Error(ORR_OUT_OF_MEMORY, text);
}

void Memory::release(void* memory, size_t bytes, size_t alignment) noexcept {
    if (!memory) return;
    if (bytes == 0) bytes = 1;
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    if (host_.allocate) {
        host_.release(host_.user, memory, bytes, alignment);
    } else if (bytes >= platform::kHugePageBytes) {
        platform::unmap_anonymous(memory, bytes);
    } else {
        ::operator delete(memory, std::align_val_t(alignment));
    }
}

}  // namespace orrery
