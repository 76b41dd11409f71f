#include "common/params.h"
ORR_PARAMS_BEGIN(UnaryParams)
    ORR_POINTER(F32) x;
    ORR_POINTER(F32) y;    // contiguous
    ORR_UINT n;            // elements
    ORR_FLOAT p0, p1;      // of the function
    ORR_UINT extent[7];    // of the axes from the inside outwards, all but the outermost
    ORR_UINT stride_x[8];  // in elements
ORR_PARAMS_END
