// y = x, contiguous: what the engine runs where a kernel takes no strided input; torch.Tensor.contiguous.
// x: any plain type and strides    y: the shape and type of x. Bits are moved, not changed.
#include "common/copy.hpp"

#include "common/copy_vulkan.hpp"
#include "common/shapes.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

void infer(const Infer& i) { i.out(0, i.in(0).type, Infer::dims(i.in(0))); }

orr_status run_reference(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        copy_reference(y, strides_of(y), x, 0, strides_of(x));
    });
}

orr_status run_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        copy_strided(run, y.rank, shape_of(y), static_cast<char*>(y.data), strides_of(y), static_cast<const char*>(x.data), strides_of(x),
                     y.block_bytes);
    });
}

bool supports_vulkan(const orr_prepare* p, char* reason, size_t size) {
    return can_index(p, reason, size) && can_copy(p, p->inputs[0]->block_bytes, reason, size);
}

orr_status run_vulkan(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    return record_copy(run, y.rank, shape_of(y), vk::address(&y), strides_of(y), vk::address(&x), strides_of(x), y.block_bytes);
}

}  // namespace

const orr_operator* orr_op_copy() {
    static const Operator op = Operator("orr.copy/1", "y = x, contiguous; torch.Tensor.contiguous")
                                   .input("x", kPlainTypes, "any shape and strides")
                                   .output("y", "the shape of x", kPlainTypes)
                                   .traits(ORR_TRAIT_COPY)
                                   .infer(infer_guard<infer>)
                                   .kernel({"vulkan", "vulkan", 0, supports_vulkan, nullptr, run_vulkan})
                                   .kernel({"cpu", "cpu", 0, nullptr, nullptr, run_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
