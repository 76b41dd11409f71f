// Attributes of orr.pad/1 as numbers, and its kernels.
#pragma once

#include "common/walk.hpp"

namespace orrery::core {

enum class PadMode { constant, reflect, replicate };

struct Padding {
    PadMode mode = PadMode::constant;
    double value = 0;
    Index before{}, after{};

    // Where output position `at` comes from along an axis of `extent`; -1: the constant.
    int64_t source(int64_t at, int32_t axis, int64_t extent) const {
        const int64_t from = at - before[axis];
        if (from >= 0 && from < extent) return from;
        switch (mode) {
            case PadMode::reflect: return from < 0 ? -from : 2 * (extent - 1) - from;
            case PadMode::replicate: return from < 0 ? 0 : extent - 1;
            default: return -1;
        }
    }
};

// Throws for attributes that contradict each other or the rank.
Padding padding_of(const orr_attrs* attrs, int32_t rank);

orr_status pad_reference(const orr_run* run);
orr_status pad_cpu(const orr_run* run);
extern const KernelDef kPadVulkan;

}  // namespace orrery::core
