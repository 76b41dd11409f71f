// y[i] = a[i] ? b[i] with broadcasting; torch.eq, ne, lt, le, gt, ge. Comparisons with NaN are false, but for ne.
#include "common/walk.hpp"
#include "ops/compare/compare.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        const Infer i(raw);
        relation_of(raw->attrs);
        same_type(i.in(0), i.in(1), "compare", "a", "b");
        i.out(0, ORR_TYPE_BOOL, broadcast(i, {Infer::dims(i.in(0)), Infer::dims(i.in(1))}, "compare"));
    });
}

template <Relation R, class T>
void row(const char* a, int64_t step_a, const char* b, int64_t step_b, uint8_t* y, int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        const T l = *reinterpret_cast<const T*>(a + k * step_a), r = *reinterpret_cast<const T*>(b + k * step_b);
        if constexpr (R == Relation::eq) y[k] = l == r;
        if constexpr (R == Relation::ne) y[k] = l != r;
        if constexpr (R == Relation::lt) y[k] = l < r;
        if constexpr (R == Relation::le) y[k] = l <= r;
        if constexpr (R == Relation::gt) y[k] = l > r;
        if constexpr (R == Relation::ge) y[k] = l >= r;
    }
}

using RowFn = void (*)(const char*, int64_t, const char*, int64_t, uint8_t*, int64_t);

template <class T>
RowFn row_for(Relation r) {
    constexpr RowFn rows[] = {row<Relation::eq, T>, row<Relation::ne, T>, row<Relation::lt, T>, row<Relation::le, T>, row<Relation::gt, T>, row<Relation::ge, T>};
    return rows[static_cast<int>(r)];
}

RowFn row_of(const orr_run* run) {
    const Relation r = relation_of(run->attrs);
    switch (run->inputs[0]->type) {
        case ORR_TYPE_F32: return row_for<float>(r);
        case ORR_TYPE_I32: return row_for<int32_t>(r);
        case ORR_TYPE_I64: return row_for<int64_t>(r);
        case ORR_TYPE_BOOL: return row_for<uint8_t>(r);
        default: throw Error(ORR_UNSUPPORTED, std::string("compare: no kernel for ") + type_name(run->inputs[0]->type));
    }
}

orr_status run_reference(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &a = *run->inputs[0], &b = *run->inputs[1], &y = *run->outputs[0];
        const RowFn one = row_of(run);
        const Index sa = broadcast_strides(a, y.rank), sb = broadcast_strides(b, y.rank), sy = strides_of(y);
        for_each_index(y.rank, shape_of(y), [&](const Index& at) {
            one(static_cast<const char*>(a.data) + offset_of(at, y.rank, sa), 0, static_cast<const char*>(b.data) + offset_of(at, y.rank, sb), 0,
                &element<uint8_t>(y, offset_of(at, y.rank, sy)), 1);
        });
    });
}

orr_status run_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &a = *run->inputs[0], &b = *run->inputs[1], &y = *run->outputs[0];
        const RowFn row = row_of(run);
        const auto loop = make_loop<3>(y.rank, shape_of(y), {strides_of(y), broadcast_strides(a, y.rank), broadcast_strides(b, y.rank)});
        for_pieces(run, loop, [&](const std::array<int64_t, 3>& at, int64_t n) {
            row(static_cast<const char*>(a.data) + at[1], loop.step[1], static_cast<const char*>(b.data) + at[2], loop.step[2],
                &element<uint8_t>(y, at[0]), n);
        });
    });
}

}  // namespace

const orr_operator* orr_op_compare() {
    static const Operator op = Operator("orr.compare/1", "whether a stands in a relation to b, element by element; torch.eq, ne, lt, le, gt, ge")
                                   .input("a", "f32 i32 i64 bool", "any shape")
                                   .input("b", "f32 i32 i64 bool", "the same type, broadcast against a")
                                   .output("y", "the broadcast shape", "bool")
                                   .attr("function", ORR_ATTR_STRING, nullptr, "relation of a and b", "eq|ne|lt|le|gt|ge")
                                   .infer(infer)
                                   .kernel(kCompareVulkan)
                                   .kernel({"cpu", "cpu", 0, nullptr, nullptr, run_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
