// The definition.
#include <vector>

#include "common/rotation.hpp"
#include "ops/rope_append/rope_append.hpp"

namespace orrery::attention {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    return takes_pages(*p->inputs[kTurnKeyState], "k_state", reason, size) && takes_pages(*p->inputs[kTurnValueState], "v_state", reason, size);
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &q = *run->inputs[kTurnQuery], &k = *run->inputs[kTurnKey], &v = *run->inputs[kTurnValue], &y = *run->outputs[0];
        const orr_tensor &k_state = *run->inputs[kTurnKeyState], &v_state = *run->inputs[kTurnValueState];
        check_states(run);
        const Rotation rotation(run->attrs, *run->inputs[kTurnPositions], *run->inputs[kTurnFreq], flt::input(run, kTurnLongFreq));
        std::vector<double> row(static_cast<size_t>(std::max(q.shape[3], v.shape[3])));
        for (int64_t b = 0; b < q.shape[0]; ++b)
            for (int64_t t = 0; t < q.shape[1]; ++t) {
                for (int64_t h = 0; h < q.shape[2]; ++h) {
                    rotation.turn(q, b, t, h, row.data());
                    char* to = data<char>(&y) + b * y.stride_bytes[0] + t * y.stride_bytes[1] + h * y.stride_bytes[2];
                    for (int64_t d = 0; d < q.shape[3]; ++d) {
                        const auto f = static_cast<float>(row[static_cast<size_t>(d)]);
                        std::memcpy(to + d * y.stride_bytes[3], &f, 4);
                    }
                }
                for (int64_t h = 0; h < k.shape[2]; ++h) {
                    rotation.turn(k, b, t, h, row.data());
                    for (double& x : row) x = static_cast<float>(x);  // as rope leaves it to cache_append
                    store_row(k_state, b, page_table(k_state, b).past + t, h, row.data());
                    for (int64_t d = 0; d < v.shape[3]; ++d) row[static_cast<size_t>(d)] = flt::number(v, {b, t, h, d});
                    store_row(v_state, b, page_table(v_state, b).past + t, h, row.data());
                }
            }
    });
}

}  // namespace

const KernelDef kRopeAppendReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, nullptr, run};

}  // namespace orrery::attention
