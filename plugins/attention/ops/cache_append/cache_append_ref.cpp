// The definition, row by row; store_row rounds by search over neighbours rather than by bit tricks.
#include <vector>

#include "ops/cache_append/cache_append.hpp"

namespace orrery::attention {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) { return takes_pages(*p->inputs[0], "state", reason, size); }

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &state = *run->inputs[0], &x = *run->inputs[1];
        check_pages("orr.cache_append/1", state, x.shape[1]);
        std::vector<double> row(static_cast<size_t>(x.shape[3]));
        for (int64_t b = 0; b < x.shape[0]; ++b)
            for (int64_t t = 0; t < x.shape[1]; ++t)
                for (int64_t h = 0; h < x.shape[2]; ++h) {
                    for (int64_t d = 0; d < x.shape[3]; ++d) row[static_cast<size_t>(d)] = flt::number(x, {b, t, h, d});
                    store_row(state, b, page_table(state, b).past + t, h, row.data());
                }
    });
}

}  // namespace

const KernelDef kCacheAppendReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, nullptr, run};

}  // namespace orrery::attention
