#include "common/params.h"
ORR_PARAMS_BEGIN(ArgmaxParams)
    ORR_POINTER(uvec2) x;
    ORR_POINTER(I32) y;      // one a line
    ORR_UINT lines;
    ORR_UINT n;              // elements of a line
    ORR_UINT step_x;         // elements between neighbours of a line
    ORR_UINT extent[6];      // of the other axes from the inside outwards, all but the outermost
    ORR_UINT stride_x[7];    // in elements
ORR_PARAMS_END
