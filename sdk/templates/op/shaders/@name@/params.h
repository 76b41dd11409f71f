#include "common/params.h"
ORR_PARAMS_BEGIN(@Name@Params)
    ORR_POINTER(F32) x;
    ORR_POINTER(F32) w;
    ORR_POINTER(F32) y;
    ORR_UINT count;     // elements in all
    ORR_UINT n;         // elements of a row
    ORR_UINT x_stride;  // elements between rows of x
    ORR_FLOAT scale;
ORR_PARAMS_END
