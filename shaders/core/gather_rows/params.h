#include "common/params.h"
ORR_PARAMS_BEGIN(GatherRowsParams)
    ORR_POINTER(uvec2) x;
    ORR_POINTER(uvec2) indices;
    ORR_POINTER(uvec2) y;       // contiguous
    ORR_POINTER(uvec2) fault;   // 0: none
    ORR_UINT n;                 // elements of y
    ORR_UINT row_elems;         // of them, of one row
    ORR_UINT rows_x;            // T
    ORR_UINT batch_x, row_x;    // elements of x between sequences, between rows
    ORR_UINT step_indices;      // elements
    ORR_UINT extent[6];         // of a row's axes from the inside outwards, all but the outermost
    ORR_UINT stride_x[7];       // in elements
ORR_PARAMS_END
