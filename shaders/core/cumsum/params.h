#include "common/params.h"
ORR_PARAMS_BEGIN(CumsumParams)
    ORR_POINTER(uvec2) x;
    ORR_POINTER(uvec2) y;
    ORR_UINT lines;
    ORR_UINT n;               // elements of a line
    ORR_UINT step_x, step_y;  // elements between neighbours of a line
    ORR_UINT extent[6];       // of the other axes from the inside outwards, all but the outermost
    ORR_UINT stride_x[7];     // in elements
    ORR_UINT stride_y[7];
ORR_PARAMS_END
