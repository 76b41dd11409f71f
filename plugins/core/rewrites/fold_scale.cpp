// linear(x) * 2^k -> linear(x, scale 2^k): multiplying by a power of two is exact, so the bits stay.
#include "common/fold_scale.hpp"

const orr_rewrite* orr_rewrite_fold_scale() {
    using namespace orrery::core;
    static const orr_rewrite rewrite = {ORR_HEADER(orr_rewrite), "orr.fold_scale/1", "linear(x) * 2^k as one product", kAllNumerics,
                                        apply_guarded<apply_fold_scale<is_power_of_two>>, nullptr};
    return &rewrite;
}
