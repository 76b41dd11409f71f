#include "common/params.h"
ORR_PARAMS_BEGIN(BinaryParams)
    ORR_POINTER(uvec2) a;
    ORR_POINTER(uvec2) b;
    ORR_POINTER(uvec2) y;  // contiguous
    ORR_UINT n;            // invocations: elements of y, or fours of them
    ORR_UINT extent[7];    // of the axes from the inside outwards, all but the outermost
    ORR_UINT stride_a[8];  // in elements or fours, 0 along broadcast axes
    ORR_UINT stride_b[8];
ORR_PARAMS_END
