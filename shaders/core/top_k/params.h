#include "common/params.h"
ORR_PARAMS_BEGIN(TopKParams)
    ORR_POINTER(U32) x;
    ORR_POINTER(U32) values;   // [rows, k]
    ORR_POINTER(U32) indices;  // [rows, k]
    ORR_UINT rows;
    ORR_UINT n;                // elements of a row
    ORR_UINT x_stride;         // elements between rows of x
    ORR_UINT k;
ORR_PARAMS_END
