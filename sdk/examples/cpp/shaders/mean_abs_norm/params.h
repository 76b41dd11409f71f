#include "common/params.h"
ORR_PARAMS_BEGIN(MeanAbsNormParams)
    ORR_POINTER(F32) x;
    ORR_POINTER(F32) y;
    ORR_UINT rows;
    ORR_UINT n;         // elements of a row
    ORR_UINT x_stride;  // elements between rows of x
    ORR_FLOAT eps;
ORR_PARAMS_END
