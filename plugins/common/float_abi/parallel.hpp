// The engine's threads as the float library takes them.
#pragma once

#include <cstdint>

#include "float/parallel.hpp"
#include "orrery/plugin.hpp"

namespace orrery::flt {

inline Parallel parallel_of(const orr_run* run) {
    using Fn = void (*)(void*, int64_t, int);
    struct Call {
        Fn fn;
        void* arg;
    };
    return {[](void* self, int64_t chunks, Fn fn, void* arg) {
                Call call{fn, arg};
                const auto* run = static_cast<const orr_run*>(self);
                run->parallel_for(
                    run, chunks,
                    [](void* data, int64_t chunk, uint32_t thread) {
                        const Call* call = static_cast<const Call*>(data);
                        call->fn(call->arg, chunk, static_cast<int>(thread));
                    },
                    &call);
            },
            const_cast<orr_run*>(run), static_cast<int>(run->threads)};
}

}  // namespace orrery::flt
