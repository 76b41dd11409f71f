#include "common/params.h"
ORR_PARAMS_BEGIN(MoeRouteParams)
    ORR_POINTER(F32) logits;
    ORR_POINTER(I32) ids;
    ORR_POINTER(F32) weights;
    ORR_UINT rows, experts, top_k;
    ORR_UINT row_stride;     // elements between rows of logits
    ORR_UINT softmax_first;  // over all experts, else over the chosen
    ORR_UINT normalise;
    ORR_FLOAT scale;
ORR_PARAMS_END
