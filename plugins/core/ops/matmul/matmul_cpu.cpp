// y[.., m, n] = scale sum_k a[.., m, k] b[.., k, n]
// f32, one chain of multiply-adds over k an element; b is read in place where its columns fill panels of 16, else packed per chunk.
#include "float/gemm.hpp"
#include "ops/matmul/matmul.hpp"

namespace orrery::core {
namespace {

struct Plan {
    flt::Isa isa;
    flt::MatmulArgs args;  // pointers are filled in by run
};

// Batch axes of y as two axes of (extent, strides in floats); false where they do not collapse that far.
bool collapse(const orr_tensor& a, const orr_tensor& b, const orr_tensor& y, flt::MatmulArgs& args) {
    struct Axis {
        int64_t extent, a, b, y;
    };
    std::vector<Axis> axes;  // inner first
    for (int32_t axis = y.rank - 3; axis >= 0; --axis) {
        const Axis next = {y.shape[axis], batch_stride(a, axis, y.rank) / 4, batch_stride(b, axis, y.rank) / 4, y.stride_bytes[axis] / 4};
        if (next.extent == 1) continue;
        if (!axes.empty()) {
            Axis& last = axes.back();
            if (next.a == last.a * last.extent && next.b == last.b * last.extent && next.y == last.y * last.extent) {
                last.extent *= next.extent;
                continue;
            }
        }
        axes.push_back(next);
    }
    if (axes.size() > 2) return false;
    axes.resize(2, Axis{1, 0, 0, 0});
    args.batch1 = axes[0].extent, args.a_batch1 = axes[0].a, args.b_batch1 = axes[0].b, args.dst_batch1 = axes[0].y;
    args.batch0 = axes[1].extent, args.a_batch0 = axes[1].a, args.b_batch0 = axes[1].b, args.dst_batch0 = axes[1].y;
    return true;
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor &a = *p->inputs[0], &b = *p->inputs[1], &y = *p->outputs[0];
    if (!flt::takes_rows(&a, "a", reason, size) || !flt::takes_rows(&y, "y", reason, size)) return false;
    if (!flt::is_plain(b)) return refuse(reason, size, std::string("b has layout ") + b.layout);
    if (b.stride_bytes[b.rank - 1] != 4 && b.stride_bytes[b.rank - 2] != 4) return refuse(reason, size, "neither matrix axis of b is contiguous");
    flt::MatmulArgs args{};
    try {
        return collapse(a, b, y, args) || refuse(reason, size, "the batch axes do not collapse to two");
    } catch (const std::exception& e) {
        return refuse(reason, size, e.what());
    }
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        Plan* plan = flt::make_plan<Plan>(p);
        if (plan == nullptr) return ORR_OUT_OF_MEMORY;
        const orr_tensor &a = *p->inputs[0], &b = *p->inputs[1], &y = *p->outputs[0];
        flt::MatmulArgs args{};
        collapse(a, b, y, args);
        const MatmulAxes axes = matmul_axes(p->attrs, b);
        args.m = y.shape[y.rank - 2], args.n = y.shape[y.rank - 1], args.k = a.shape[a.rank - 1];
        args.a_row = flt::stride(a, a.rank - 2), args.dst_row = flt::stride(y, y.rank - 2);
        args.b_row = flt::stride(b, axes.k), args.b_col = flt::stride(b, axes.n);
        // An axis of extent 1 may have any stride; the kernel wants one of the two to be 1.
        if (args.b_row != 1 && args.b_col != 1) (b.shape[axes.n] == 1 ? args.b_col : args.b_row) = 1;
        args.scale = static_cast<float>(p->attrs->get_float(p->attrs, "scale"));
        plan->args = args;
        p->workspace(p, flt::matmul_workspace_bytes(args.m, args.n, args.k, static_cast<int>(p->threads)));
        return ORR_OK;
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        flt::MatmulArgs args = plan.args;
        args.a = data<float>(run->inputs[0]);
        args.b = data<float>(run->inputs[1]);
        args.dst = data<float>(run->outputs[0]);
        flt::matmul(plan.isa, args, run->workspace, flt::parallel_of(run));
    });
}

}  // namespace

const KernelDef kMatmulCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::core
