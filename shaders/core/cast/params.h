#include "common/params.h"
ORR_PARAMS_BEGIN(CastParams)
    ORR_POINTER(uvec2) x;
    ORR_POINTER(uvec2) y;  // contiguous
    ORR_UINT n;            // elements
    ORR_UINT extent[7];    // of the axes from the inside outwards, all but the outermost
    ORR_UINT stride_x[8];  // in elements
ORR_PARAMS_END
