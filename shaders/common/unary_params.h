#include "common/params.h"
ORR_PARAMS_BEGIN(UnaryParams)
    ORR_POINTER(uvec2) x;
    ORR_POINTER(uvec2) y;    // contiguous
    ORR_UINT n;            // invocations: elements, or fours of them
    ORR_FLOAT p0, p1;      // of the function
    ORR_UINT extent[7];    // of the axes from the inside outwards, all but the outermost
    ORR_UINT stride_x[8];  // in elements, or fours
ORR_PARAMS_END
