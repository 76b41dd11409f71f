// The definition.
#include <vector>

#include "common/rotation.hpp"
#include "ops/rope/rope.hpp"

namespace orrery::attention {
namespace {

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[kRopeX], &y = *run->outputs[0];
        const Rotation rotation(RotationAttrs(run->attrs), *run->inputs[kRopePositions], *run->inputs[kRopeFreq], flt::input(run, kRopeLongFreq));
        std::vector<double> turned(static_cast<size_t>(x.shape[3]));
        for (int64_t b = 0; b < x.shape[0]; ++b)
            for (int64_t t = 0; t < x.shape[1]; ++t)
                for (int64_t h = 0; h < x.shape[2]; ++h) {
                    rotation.turn(x, b, t, h, turned.data());
                    char* to = data<char>(&y) + b * y.stride_bytes[0] + t * y.stride_bytes[1] + h * y.stride_bytes[2];
                    for (int64_t d = 0; d < x.shape[3]; ++d) {
                        const auto f = static_cast<float>(turned[static_cast<size_t>(d)]);
                        std::memcpy(to + d * y.stride_bytes[3], &f, 4);
                    }
                }
    });
}

}  // namespace

const KernelDef kRopeReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace orrery::attention
