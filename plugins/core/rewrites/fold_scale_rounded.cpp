// linear(x) * s -> linear(x, scale s) for any s: the product and the factor may round elsewhere, so not in exact numerics.
#include "common/fold_scale.hpp"

const orr_rewrite* orr_rewrite_fold_scale_rounded() {
    using namespace orrery::core;
    static const orr_rewrite rewrite = {ORR_HEADER(orr_rewrite), "orr.fold_scale_rounded/1", "linear(x) * s as one product",
                                        1u << ORR_NUMERICS_DEFAULT | 1u << ORR_NUMERICS_FAST,
                                        apply_guarded<apply_fold_scale<is_factor>>, nullptr};
    return &rewrite;
}
