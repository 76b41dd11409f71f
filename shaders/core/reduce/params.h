#include "common/params.h"
ORR_PARAMS_BEGIN(ReduceParams)
    ORR_POINTER(uvec2) x;
    ORR_POINTER(uvec2) y;   // contiguous
    ORR_UINT outputs;
    ORR_UINT n;             // elements behind one output
    ORR_FLOAT divisor;      // mean: n; var, std: n or n - 1
    ORR_UINT extent[8];     // axes that y keeps, from the inside outwards, then those that are reduced
    ORR_UINT stride[8];     // of x, in elements
ORR_PARAMS_END
