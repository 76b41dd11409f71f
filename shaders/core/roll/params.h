#include "common/params.h"
ORR_PARAMS_BEGIN(RollParams)
    ORR_POINTER(uvec2) x;
    ORR_POINTER(uvec2) y;   // contiguous
    ORR_UINT n;             // elements
    ORR_UINT extent[8];     // of the axes from the inside outwards
    ORR_UINT origin[8];     // where position 0 of y comes from
    ORR_UINT stride_x[8];   // in elements
ORR_PARAMS_END
