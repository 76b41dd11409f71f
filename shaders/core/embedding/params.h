#include "common/params.h"
ORR_PARAMS_BEGIN(EmbeddingParams)
    ORR_POINTER(U32) ids;
    ORR_POINTER(uvec2) table;  // packed: tiles.h
    ORR_POINTER(F32) y;
    ORR_UINT count;            // ids
    ORR_UINT ids_step;         // words between ids
    ORR_UINT wide;             // 64-bit ids
    ORR_UINT rows, cols;       // of the table
    ORR_FLOAT scale;
ORR_PARAMS_END
