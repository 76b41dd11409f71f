// Rounding and denormals as kernels expect them, whatever the host has set on the thread.
#pragma once
#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace orrery::platform {

// Round to nearest, denormals kept, exceptions masked, for the life of the object; then what there was before, down to
// the sticky flags. The x87 unit too: the C library reads numbers by its rounding mode. Tens of cycles.
class DefaultFloatMode {
  public:
    DefaultFloatMode() noexcept {
#if defined(__x86_64__)
        sse_ = _mm_getcsr();
        if ((sse_ & ~kSseFlags) != kSse) _mm_setcsr(kSse);
        __asm__ volatile("fnstcw %0" : "=m"(x87_));
        if ((x87_ & kX87Settings) != (kX87 & kX87Settings)) set_x87(kX87);
#elif defined(__aarch64__)
        __asm__ volatile("mrs %0, fpcr" : "=r"(control_));
        __asm__ volatile("mrs %0, fpsr" : "=r"(flags_));
        if (control_ != 0) __asm__ volatile("msr fpcr, %0" : : "r"(uint64_t{0}));
#endif
    }
    ~DefaultFloatMode() {
#if defined(__x86_64__)
        if (_mm_getcsr() != sse_) _mm_setcsr(sse_);
        if ((x87_ & kX87Settings) != (kX87 & kX87Settings)) set_x87(x87_);
#elif defined(__aarch64__)
        __asm__ volatile("msr fpsr, %0" : : "r"(flags_));
        if (control_ != 0) __asm__ volatile("msr fpcr, %0" : : "r"(control_));
#endif
    }
    DefaultFloatMode(const DefaultFloatMode&) = delete;
    DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;

  private:
#if defined(__x86_64__)
    static constexpr uint32_t kSse = 0x1f80, kSseFlags = 0x3f;
    static constexpr uint16_t kX87 = 0x037f, kX87Settings = 0x0f3f;  // rounding, precision, masks; the rest is reserved
    static void set_x87(uint16_t word) noexcept { __asm__ volatile("fldcw %0" : : "m"(word)); }
    uint32_t sse_;
    uint16_t x87_;
#elif defined(__aarch64__)
    uint64_t control_, flags_;
#endif
};

}  // namespace orrery::platform
