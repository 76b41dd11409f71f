// Counts the heap of the test program, so that tests can bound what hostile files make a parser allocate.
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/support.h"

namespace {

std::atomic<uint64_t> g_bytes{0}, g_peak{0};
std::atomic<int64_t> g_until_failure{0};

void* counted_allocate(std::size_t size) {
    if (g_until_failure > 0 && --g_until_failure == 0) throw std::bad_alloc();
    void* memory = std::malloc(size ? size : 1);
    if (!memory) throw std::bad_alloc();
    const uint64_t now = g_bytes += malloc_usable_size(memory);
    uint64_t peak = g_peak;
    while (now > peak && !g_peak.compare_exchange_weak(peak, now)) {
    }
    return memory;
}

void counted_release(void* memory) noexcept {
    if (memory) g_bytes -= malloc_usable_size(memory);
    std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return counted_allocate(size); }
void* operator new[](std::size_t size) { return counted_allocate(size); }
void operator delete(void* memory) noexcept { counted_release(memory); }
void operator delete[](void* memory) noexcept { counted_release(memory); }
void operator delete(void* memory, std::size_t) noexcept { counted_release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { counted_release(memory); }

namespace orrery::formats::test {

uint64_t heap_bytes() { return g_bytes; }
void reset_heap_peak() { g_peak = g_bytes.load(); }
uint64_t heap_peak_bytes() { return g_peak; }
void fail_allocation(int64_t n) { g_until_failure = n; }
bool allocation_failed() { return g_until_failure == 0; }

}  // namespace orrery::formats::test
