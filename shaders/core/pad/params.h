#include "common/params.h"
ORR_PARAMS_BEGIN(PadParams)
    ORR_POINTER(uvec2) x;
    ORR_POINTER(uvec2) y;    // contiguous
    ORR_UINT n;              // elements of y
    ORR_UINT constant[2];    // bits of an added element
    ORR_UINT extent[5];      // of y's axes from the inside outwards
    ORR_UINT before[5];      // elements added in front
    ORR_UINT extent_x[5];
    ORR_UINT stride_x[5];    // in elements
ORR_PARAMS_END
