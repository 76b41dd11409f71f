#include "common/params.h"
ORR_PARAMS_BEGIN(CacheAppendParams)
    ORR_POINTER(PagedRows) state;
    ORR_POINTER(F32) x;
    ORR_UINT B, T, H, D;
    ORR_UINT x_batch, x_token, x_head;  // elements between neighbours of x
    ORR_UINT type;                      // ORR_TYPE_F32, F16, BF16; with NARROW also ORR_Q8_0
ORR_PARAMS_END
