// h[c, n] = e^(d A[c, n]) h[c, n] + d B[t, n] u[t, c],  y[t, c] = (sum_n h[c, n] C[t, n] + D[c] u[t, c]) silu(z[t, c])
// with d = softplus(delta[t, c] + delta_bias[c]); h is the state, carried over runs
// u, delta, z, y [B, T, C]    A [C, N]    B, C [B, T, N]    D, delta_bias [C]    state, new_state [B, C, N] layout rows    all f32
// Gu & Dao 2023, arXiv:2312.00752, algorithm 2; upstream: transformers' modeling_mamba.py, mamba_selective_scan
#include "ops/selective_scan/selective_scan.hpp"

namespace orrery::ssm {
namespace {

void check_shapes(const Infer& i) {
    const std::string op = "orr.selective_scan/1: ";
    struct Want {
        uint32_t port;
        const char* name;
        int32_t rank;
    };
    constexpr Want kWanted[] = {{kScanU, "u", 3}, {kScanDelta, "delta", 3}, {kScanA, "A", 2}, {kScanB, "B", 3}, {kScanC, "C", 3},
                                {kScanD, "D", 1}, {kScanZ, "z", 3},         {kScanDeltaBias, "delta_bias", 1}, {kScanState, "state", 3}};
    for (const Want& w : kWanted)
        if (i.has(w.port)) i.rank(w.port, w.rank, (op + w.name).c_str());
    const orr_value_info &u = i.in(kScanU), &a = i.in(kScanA);
    const orr_dim channels = u.dims[2], states = a.dims[1];
    const auto same = [&](uint32_t port, const char* name, std::initializer_list<orr_dim> dims) {
        if (!i.has(port)) return;
        int32_t axis = 0;
        for (const orr_dim want : dims) {
            i.same(i.in(port).dims[axis], want, op + "axis " + std::to_string(axis) + " of " + name);
            ++axis;
        }
    };
    same(kScanDelta, "delta", {u.dims[0], u.dims[1], channels});
    same(kScanA, "A", {channels, states});
    same(kScanB, "B", {u.dims[0], u.dims[1], states});
    same(kScanC, "C", {u.dims[0], u.dims[1], states});
    same(kScanD, "D", {channels});
    same(kScanZ, "z", {u.dims[0], u.dims[1], channels});
    same(kScanDeltaBias, "delta_bias", {channels});
    same(kScanState, "state", {u.dims[0], channels, states});
    i.out(0, ORR_TYPE_F32, Infer::dims(u));
}

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        check_shapes(Infer(raw));
        flt::copy_info(raw, 1, kScanState);
    });
}

}  // namespace
}  // namespace orrery::ssm

const orr_operator* orr_op_selective_scan() {
    using namespace orrery;
    static const Operator op = Operator("orr.selective_scan/1", "Mamba's selective state space recurrence; arXiv:2312.00752")
                                   .input("u", "f32", "[B, T, C]")
                                   .input("delta", "f32", "[B, T, C], before bias and softplus")
                                   .input("A", "f32", "[C, N], already -exp(A_log)")
                                   .input("B", "f32", "[B, T, N]")
                                   .input("C", "f32", "[B, T, N]")
                                   .input("D", "f32 f16 bf16", "[C]", ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT)
                                   .input("z", "f32", "[B, T, C], gate", ORR_PORT_OPTIONAL)
                                   .input("delta_bias", "f32 f16 bf16", "[C]", ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT)
                                   .input("state", "f32", "[B, C, N], layout rows", 0, "rows")
                                   .output("y", "[B, T, C]")
                                   .token_axis(1)
                                   .output("new_state", "[B, C, N], layout rows; may be the state", "f32", 0, "rows")
                                   .attr("delta_softplus", ORR_ATTR_BOOL, "true", "d = softplus(delta + delta_bias), else the sum itself")
                                   .traits(ORR_TRAIT_STATEFUL)
                                   .infer(ssm::infer)
                                   .kernel(ssm::kSelectiveScanVulkan)
                                   .kernel(ssm::kSelectiveScanCpu)
                                   .kernel(ssm::kSelectiveScanReference);
    return op.table();
}
