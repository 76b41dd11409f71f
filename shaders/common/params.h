// Push constants written once: read as GLSL and as C++. An operator's params.h is
//   #include "common/params.h"
//   ORR_PARAMS_BEGIN(RmsNormParams)
//       ORR_POINTER(F32) x;   // first the pointers: 8 bytes each
//       ORR_UINT rows;        // then 4-byte members
//   ORR_PARAMS_END
// In GLSL the members are globals; in C++ the struct is orrery::shaders::RmsNormParams.
#ifdef __cplusplus
#include <cstdint>
#define ORR_PARAMS_BEGIN(name) namespace orrery::shaders { struct name {
#define ORR_PARAMS_END }; }
#define ORR_POINTER(type) uint64_t
#define ORR_UINT uint32_t
#define ORR_INT int32_t
#define ORR_FLOAT float
#else
#define ORR_PARAMS_BEGIN(name) layout(push_constant, std430) uniform name {
#define ORR_PARAMS_END };
#define ORR_POINTER(type) type
#define ORR_UINT uint
#define ORR_INT int
#define ORR_FLOAT float
#endif
