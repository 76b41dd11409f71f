#include "common/params.h"
ORR_PARAMS_BEGIN(WhereParams)
    ORR_POINTER(uvec2) c;  // of type c_type
    ORR_POINTER(uvec2) a;
    ORR_POINTER(uvec2) b;
    ORR_POINTER(uvec2) y;  // contiguous
    ORR_UINT n;            // elements of y
    ORR_UINT extent[5];    // of the axes from the inside outwards, all but the outermost
    ORR_UINT stride_c[6];  // in elements, 0 along broadcast axes
    ORR_UINT stride_a[6];
    ORR_UINT stride_b[6];
ORR_PARAMS_END
