// Element functions y[i] = f(x[i]): one shape function and one pair of kernels. A function object is made once per run from
// the attributes, with
//   explicit F(const orr_attrs*);
//   void reference(const float* x, float* y) const;                                              one element, the definition
//   void row(const flt::VectorKernels& kernels, const float* x, float* y, int64_t n) const;      y may be x
#pragma once

#include "common/shapes.hpp"
#include "common/walk.hpp"
#include "float_abi/float_abi.hpp"

namespace orrery::core {

inline void infer_unary(const Infer& i) { i.out(0, i.in(0).type, Infer::dims(i.in(0))); }

// Throws for attribute values that F refuses.
template <class F>
orr_status infer_unary_of(const orr_infer* i) {
    return guard(i->host, [&] {
        (void)F(i->attrs);
        infer_unary(Infer(i));
    });
}

template <class F>
orr_status reference_unary(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const F f(run->attrs);
        const Index sx = strides_of(x), sy = strides_of(y);
        for_each_index(y.rank, shape_of(y), [&](const Index& at) {
            f.reference(&element<float>(x, offset_of(at, x.rank, sx)), &element<float>(y, offset_of(at, y.rank, sy)));
        });
    });
}

inline orr_status prepare_unary(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status { return flt::make_plan(p) ? ORR_OK : p->host->fail(p->host, ORR_OUT_OF_MEMORY, "no memory for the plan"); });
}

template <class F>
orr_status cpu_unary(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const F f(run->attrs);
        const flt::VectorKernels& kernels = flt::vector_kernels(static_cast<const flt::IsaPlan*>(run->data)->isa);
        const auto loop = make_loop<2>(y.rank, shape_of(y), {strides_of(y), strides_of(x)});
        for_pieces(run, loop, [&](const std::array<int64_t, 2>& at, int64_t n) {
            float* dst = &element<float>(y, at[0]);
            const float* src = &element<float>(x, at[1]);
            if (loop.step[1] == sizeof(float) || n == 1) return f.row(kernels, src, dst, n);
            const int64_t step = loop.step[1] / static_cast<int64_t>(sizeof(float));
            for (int64_t k = 0; k < n; k++) dst[k] = src[k * step];
            f.row(kernels, dst, dst, n);
        });
    });
}

template <class F>
void elementwise_unary(const orr_attrs* attrs, const float* const* src, float* dst, int64_t n) {
    F(attrs).row(flt::vector_kernels(flt::best_isa()), src[0], dst, n);
}

template <class F>
Operator unary_operator(const char* id, const char* summary, const KernelDef& vulkan) {
    return Operator(id, summary)
        .input("x", "f32", "any shape")
        .output("y", "the shape of x")
        .traits(ORR_TRAIT_ELEMENTWISE)
        .infer(infer_unary_of<F>)
        .elementwise(elementwise_unary<F>)
        .kernel(vulkan)
        .kernel({"cpu", "cpu", 0, nullptr, prepare_unary, cpu_unary<F>})
        .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, reference_unary<F>});
}

}  // namespace orrery::core
