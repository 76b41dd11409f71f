// y[i] = x[i] * scale + offset, two roundings.
#include "common/unary.hpp"
#include "common/unary_vulkan.hpp"
#include "affine_shaders.hpp"

using namespace orrery;

namespace {
struct Affine {
    float scale, offset;
    explicit Affine(const orr_attrs* a)
        : scale(static_cast<float>(a->get_float(a, "scale"))), offset(static_cast<float>(a->get_float(a, "offset"))) {}
    void reference(const float* x, float* y) const { *y = *x * scale + offset; }
    void row(const flt::VectorKernels&, const float* x, float* y, int64_t n) const {
        for (int64_t k = 0; k < n; k++) y[k] = x[k] * scale + offset;
    }
};

core::UnaryArguments arguments(const orr_attrs* attrs) {
    const Affine f(attrs);
    return {0, f.scale, f.offset};
}
}  // namespace

const orr_operator* orr_op_affine() {
    static const Operator op = core::unary_operator<Affine>("orr.affine/1", "y = x * scale + offset", core::kUnaryVulkan<shaders::unary_affine, arguments>)
                                   .attr("scale", ORR_ATTR_FLOAT, "1", "factor")
                                   .attr("offset", ORR_ATTR_FLOAT, "0", "added after the factor");
    return op.table();
}
