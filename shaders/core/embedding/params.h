#include "common/params.h"
ORR_PARAMS_BEGIN(EmbeddingParams)
    ORR_POINTER(uvec2) ids;
    ORR_POINTER(uvec2) table;  // packed: tiles.h
    ORR_POINTER(F32) y;
    ORR_POINTER(uvec2) fault;  // 0: none
    ORR_UINT count;            // ids
    ORR_UINT ids_step;         // elements between ids
    ORR_UINT wide;             // 64-bit ids
    ORR_UINT rows, cols;       // of the table
    ORR_FLOAT scale;
ORR_PARAMS_END
