// y[.., m, n] = scale sum_k a[.., m, k] b[.., k, n]
// a [.., M, K], b [.., K, N] or [.., N, K], at any strides    y [.., M, N] f32    up to four batch axes that do not collapse
// Device half: shaders/core/matmul/matmul.comp
#include "core/matmul/params.h"
#include "matmul_shaders.hpp"
#include "ops/matmul/matmul.hpp"
#include "orrery/vulkan.hpp"

namespace orrery::core {
namespace {

struct Axis {
    int64_t extent = 1, a = 0, b = 0;
};

// Batch axes, inner first, neighbours made one where the strides allow; how many, or -1 past four.
int32_t batch_axes(const orr_tensor& a, const orr_tensor& b, const orr_tensor& y, Axis (&axes)[4]) {
    int32_t count = 0;
    for (int32_t axis = y.rank - 3; axis >= 0; --axis) {
        const Axis next = {y.shape[axis], batch_stride(a, axis, y.rank) / 4, batch_stride(b, axis, y.rank) / 4};
        if (next.extent == 1) continue;
        if (count) {
            Axis& last = axes[count - 1];
            if (next.a == last.a * last.extent && next.b == last.b * last.extent) {
                last.extent *= next.extent;
                continue;
            }
        }
        if (count == 4) return -1;
        axes[count++] = next;
    }
    return count;
}

// Whether 32-bit indices reach every element.
bool in_reach(const orr_tensor& t, const char* name, char* reason, size_t size) {
    int64_t reach = 1;
    for (int32_t axis = 0; axis < t.rank; ++axis) {
        if (t.stride_bytes[axis] < 0 || t.stride_bytes[axis] % 4) return refuse(reason, size, std::string(name) + " has a stride of " + std::to_string(t.stride_bytes[axis]) + " bytes");
        if (t.shape[axis] > 1) reach += (t.shape[axis] - 1) * (t.stride_bytes[axis] / 4);
    }
    return reach < int64_t{1} << 31 || refuse(reason, size, std::string(name) + " reaches over " + std::to_string(reach) + " elements");
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor &a = *p->inputs[0], &b = *p->inputs[1], &y = *p->outputs[0];
    if (*a.layout || *b.layout) return refuse(reason, size, std::string("layout ") + (*a.layout ? a.layout : b.layout));
    if (!is_contiguous(y)) return refuse(reason, size, "y is not contiguous");
    if (!in_reach(a, "a", reason, size) || !in_reach(b, "b", reason, size) || !in_reach(y, "y", reason, size)) return false;
    Axis axes[4];
    if (batch_axes(a, b, y, axes) < 0) return refuse(reason, size, "the batch axes do not collapse to four");
    return vk::can_run(vk::device(p), shaders::matmul, reason, size);
}

orr_status run(const orr_run* run) {
    const orr_tensor &a = *run->inputs[0], &b = *run->inputs[1], &y = *run->outputs[0];
    const MatmulAxes at = matmul_axes(run->attrs, b);
    const auto stride = [](const orr_tensor& t, int32_t axis) { return static_cast<uint32_t>(t.stride_bytes[axis] / 4); };
    Axis axes[4];
    batch_axes(a, b, y, axes);
    shaders::MatmulParams p{};
    p.a = vk::address(&a);
    p.b = vk::address(&b);
    p.y = vk::address(&y);
    p.m = static_cast<uint32_t>(y.shape[y.rank - 2]);
    p.n = static_cast<uint32_t>(y.shape[y.rank - 1]);
    p.k = static_cast<uint32_t>(a.shape[a.rank - 1]);
    p.a_row = stride(a, a.rank - 2);
    p.a_col = stride(a, a.rank - 1);
    p.b_k = stride(b, at.k);
    p.b_n = stride(b, at.n);
    p.scale = static_cast<float>(run->attrs->get_float(run->attrs, "scale"));
    uint32_t* const extents[] = {&p.extent0, &p.extent1, &p.extent2, &p.extent3};
    uint32_t* const a_batches[] = {&p.a_batch0, &p.a_batch1, &p.a_batch2, &p.a_batch3};
    uint32_t* const b_batches[] = {&p.b_batch0, &p.b_batch1, &p.b_batch2, &p.b_batch3};
    uint64_t batches = 1;
    for (int i = 0; i < 4; ++i) {
        *extents[i] = static_cast<uint32_t>(axes[i].extent);
        *a_batches[i] = static_cast<uint32_t>(axes[i].a);
        *b_batches[i] = static_cast<uint32_t>(axes[i].b);
        batches *= static_cast<uint64_t>(axes[i].extent);
    }
    return vk::dispatch(run, shaders::matmul, {}, p, vk::groups(batches * vk::divide_up(p.m, 64) * vk::divide_up(p.n, 64)));
}

// The same product, of smaller matrices and fewer of them.
bool self_test(const orr_prepare* node, uint32_t i, orr_self_test* test) {
    if (i > 0) return false;
    for (uint32_t n = 0; n < 2; ++n)
        for (int32_t axis = 0; axis < node->inputs[n]->rank; ++axis) {
            int64_t& extent = test->inputs[n]->shape[axis];
            extent = std::min<int64_t>(extent, axis + 2 < node->inputs[n]->rank ? 2 : 100);
        }
    return true;
}

}  // namespace

const KernelDef kMatmulVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run, self_test};

}  // namespace orrery::core
