// y[a…, j…, b…] = data[a…, indices[j…], b…]; torch.index_select for one axis of indices, ONNX Gather for more.
#include "common/copy.hpp"
#include "common/number.hpp"
#include "common/shapes.hpp"
#include "ops/gather/gather.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

void infer(const Infer& i) {
    const orr_value_info &x = i.in(0), &indices = i.in(1);
    const int32_t axis = normal_axis(i.attr_int("axis"), x.rank, "gather");
    std::vector<orr_dim> dims(x.dims, x.dims + axis);
    dims.insert(dims.end(), indices.dims, indices.dims + indices.rank);
    dims.insert(dims.end(), x.dims + axis + 1, x.dims + x.rank);
    i.out(0, x.type, dims);
}

int32_t axis_of(const orr_run* run) { return normal_axis(run->attrs->get_int(run->attrs, "axis"), run->inputs[0]->rank, "gather"); }

int64_t checked(int64_t index, int64_t extent) {
    if (index < 0 || index >= extent) throw Error(ORR_INVALID_ARGUMENT, gather_refusal(std::to_string(index), extent));
    return index;
}

orr_status run_reference(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &indices = *run->inputs[1], &y = *run->outputs[0];
        const int32_t axis = axis_of(run);
        for_each_index(y.rank, shape_of(y), [&](const Index& at) {
            Index place{}, src{};
            for (int32_t k = 0; k < indices.rank; k++) place[k] = at[axis + k];
            for (int32_t k = 0; k < axis; k++) src[k] = at[k];
            for (int32_t k = axis + 1; k < x.rank; k++) src[k] = at[k + indices.rank - 1];
            src[axis] = checked(integer_at(indices, offset_of(place, indices.rank, strides_of(indices))), x.shape[axis]);
            std::memcpy(static_cast<char*>(y.data) + offset_of(at, y.rank, strides_of(y)),
                        static_cast<const char*>(x.data) + offset_of(src, x.rank, strides_of(x)), x.block_bytes);
        });
    });
}

// data and indices contiguous.
bool supports(const orr_prepare* p, char* reason, size_t size) {
    for (uint32_t n = 0; n < 2; n++)
        if (!is_contiguous(*p->inputs[n])) return refuse(reason, size, std::string(n ? "indices" : "data") + " must be contiguous");
    return true;
}

orr_status run_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &indices = *run->inputs[1], &y = *run->outputs[0];
        if (is_empty(y.rank, shape_of(y))) return;
        const int32_t axis = axis_of(run);
        const int64_t count = elements(indices), extent = x.shape[axis], size = indices.block_bytes;
        for (int64_t n = 0; n < count; n++) checked(integer_at(indices, n * size), extent);
        const int64_t inner = elements(x, axis + 1), bytes = inner * x.block_bytes;
        for_ranges(run, elements(y) / inner, inner, [&](int64_t begin, int64_t end) {
            for (int64_t n = begin; n < end; n++)
                std::memcpy(static_cast<char*>(y.data) + n * bytes,
                            static_cast<const char*>(x.data) + (n / count * extent + integer_at(indices, n % count * size)) * bytes,
                            static_cast<size_t>(bytes));
        });
    });
}

}  // namespace

const orr_operator* orr_op_gather() {
    static const Operator op = Operator("orr.gather/1", "data's slices at the given indices along an axis; torch.index_select")
                                   .input("data", kPlainTypes, "any shape")
                                   .input("indices", "i32 i64", "any shape, values in [0, data.shape[axis])")
                                   .output("y", "data's shape with `axis` replaced by the shape of indices", kPlainTypes)
                                   .attr("axis", ORR_ATTR_INT, "0", "axis that is indexed; negative ones count from the end", "[-8, 7]")
                                   .infer(infer_guard<infer>)
                                   .kernel(kGatherVulkan)
                                   .kernel({"cpu", "cpu", 0, supports, nullptr, run_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
