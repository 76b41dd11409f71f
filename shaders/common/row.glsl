// Rows of n elements, each worked on by `lanes` neighbouring invocations of a workgroup of 256: 32 for short rows, else all. An
// invocation keeps its elements, at most 16, in registers; of longer rows (kept 0) it reads them again.
// An operator defines row_element(i), element i of this invocation's row, and loops
//   float v[16];
//   ROW_LOOP(j, i) v[j % 16] = …     loads, where kept is not 0
//   ROW_LOOP(j, i) … ROW_VALUE(j, i) …
#ifndef ORR_ROW_GLSL
#define ORR_ROW_GLSL
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
layout(constant_id = 0) const uint lanes = 256;
layout(constant_id = 1) const uint kept = 0;
#define ORR_LANES lanes
#include "common/reduce.glsl"

// Which row; may lie past the last one, and must get to every barrier all the same.
uint row_index() { return (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * (ORR_GROUP / lanes) + gl_LocalInvocationID.x / lanes; }

#define ROW_LOOP(j, i) \
    [[unroll]] for (uint j = 0, i = gl_LocalInvocationID.x % lanes; j < (kept != 0 ? kept : (n + lanes - 1) / lanes); j++, i += lanes) if (i < n)
#define ROW_VALUE(j, i) (kept != 0 ? v[j % 16] : row_element(i))
#define ROW_LOAD(j, i) \
    if (kept != 0) ROW_LOOP(j, i) v[j % 16] = row_element(i)
#endif
