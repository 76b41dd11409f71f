#include "common/number.hpp"
#include "ops/pad/pad.hpp"

namespace orrery::core {

orr_status pad_reference(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const Padding p = padding_of(run->attrs, x.rank);
        char constant[8];
        if (!encode(x.type, p.value, constant)) throw Error(ORR_UNSUPPORTED, std::string("pad: no constant of type ") + x.type_id);
        for_each_index(y.rank, shape_of(y), [&](const Index& at) {
            const char* src = static_cast<const char*>(x.data);
            bool inside = true;
            for (int32_t axis = 0; axis < x.rank; axis++) {
                const int64_t from = p.source(at[axis], axis, x.shape[axis]);
                inside = inside && from >= 0;
                src += from * x.stride_bytes[axis];
            }
            std::memcpy(static_cast<char*>(y.data) + offset_of(at, y.rank, strides_of(y)), inside ? src : constant, x.block_bytes);
        });
    });
}

}  // namespace orrery::core
