#include "common/params.h"
ORR_PARAMS_BEGIN(MatmulParams)
    ORR_POINTER(F32) a;
    ORR_POINTER(F32) b;
    ORR_POINTER(F32) y;                // contiguous
    ORR_UINT m, n, k;
    ORR_UINT a_row, a_col, b_k, b_n;   // elements between neighbours
    ORR_UINT extent0, extent1, extent2, extent3;  // batch axes, inner first
    ORR_UINT a_batch0, a_batch1, a_batch2, a_batch3;
    ORR_UINT b_batch0, b_batch1, b_batch2, b_batch3;
    ORR_FLOAT scale;
ORR_PARAMS_END
