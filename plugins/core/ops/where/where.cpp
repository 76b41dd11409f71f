// y[i] = condition[i] ? a[i] : b[i] with broadcasting; torch.where.
#include "common/copy.hpp"
#include "common/number.hpp"
#include "common/shapes.hpp"
#include "ops/where/where.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

void infer(const Infer& i) {
    same_type(i.in(1), i.in(2), "where", "a", "b");
    i.out(0, i.in(1).type, broadcast(i, {Infer::dims(i.in(0)), Infer::dims(i.in(1)), Infer::dims(i.in(2))}, "where"));
}

inline bool holds(const orr_tensor& c, int64_t offset) {
    switch (c.type) {
        case ORR_TYPE_I32:
        case ORR_TYPE_I64: return integer_at(c, offset) != 0;
        case ORR_TYPE_F32: return element<float>(c, offset) != 0.0f;
        default: return element<uint8_t>(c, offset) != 0;
    }
}

orr_status run_reference(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &c = *run->inputs[0], &a = *run->inputs[1], &b = *run->inputs[2], &y = *run->outputs[0];
        const Index sc = broadcast_strides(c, y.rank), sa = broadcast_strides(a, y.rank), sb = broadcast_strides(b, y.rank);
        for_each_index(y.rank, shape_of(y), [&](const Index& at) {
            const bool first = holds(c, offset_of(at, y.rank, sc));
            const char* src = static_cast<const char*>(first ? a.data : b.data) + offset_of(at, y.rank, first ? sa : sb);
            std::memcpy(static_cast<char*>(y.data) + offset_of(at, y.rank, strides_of(y)), src, y.block_bytes);
        });
    });
}

template <class T>
void select(const uint8_t* c, int64_t step_c, const char* a, int64_t step_a, const char* b, int64_t step_b, T* y, int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        const T left = *reinterpret_cast<const T*>(a + k * step_a), right = *reinterpret_cast<const T*>(b + k * step_b);
        y[k] = c[k * step_c] ? left : right;
    }
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    if (p->inputs[0]->type != ORR_TYPE_BOOL) return refuse(reason, size, "takes a bool condition");
    const uint32_t bytes = p->inputs[1]->block_bytes;
    return bytes == 4 || bytes == 8 || refuse(reason, size, "takes elements of 4 or 8 bytes");
}

orr_status run_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &c = *run->inputs[0], &a = *run->inputs[1], &b = *run->inputs[2], &y = *run->outputs[0];
        const auto loop = make_loop<4>(
            y.rank, shape_of(y), {strides_of(y), broadcast_strides(c, y.rank), broadcast_strides(a, y.rank), broadcast_strides(b, y.rank)});
        for_pieces(run, loop, [&](const std::array<int64_t, 4>& at, int64_t n) {
            const auto row = [&]<class T>(T* dst) {
                select<T>(&element<uint8_t>(c, at[1]), loop.step[1], static_cast<const char*>(a.data) + at[2], loop.step[2],
                          static_cast<const char*>(b.data) + at[3], loop.step[3], dst, n);
            };
            if (y.block_bytes == 4) return row(&element<uint32_t>(y, at[0]));
            row(&element<uint64_t>(y, at[0]));
        });
    });
}

}  // namespace

const orr_operator* orr_op_where() {
    static const Operator op = Operator("orr.where/1", "a where the condition holds, else b; torch.where")
                                   .input("condition", "bool i32 i64 f32", "holds where it is not 0")
                                   .input("a", kPlainTypes, "broadcast with the others")
                                   .input("b", kPlainTypes, "the type of a, broadcast with the others")
                                   .output("y", "the broadcast shape", kPlainTypes)
                                   .infer(infer_guard<infer>)
                                   .kernel(kWhereVulkan)
                                   .kernel({"cpu", "cpu", 0, supports, nullptr, run_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
