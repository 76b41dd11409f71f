/* Orrery: what the host API (orrery.h) and the plugin API (plugin.h) share.
 *
 * Rules of both ABIs. Every struct that crosses begins with orr_header; a reader uses a member only if it lies inside
 * struct_size (ORR_HAS). A struct grows by appending. No struct is passed by value. Out-parameters stay untouched on
 * failure. Nothing throws, aborts, exits or prints across the boundary. Strings are UTF-8, NUL-terminated unless a size
 * stands beside them. Compiles as C99 and C++11. */
#ifndef ORRERY_BASE_H
#define ORRERY_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ORR_ABI_MAJOR 1
#define ORR_ABI_MINOR 0

#if defined(_WIN32)
#define ORR_EXPORT __declspec(dllexport)
#else
#define ORR_EXPORT __attribute__((visibility("default")))
#endif

/* First member of every struct that crosses. struct_size is the writer's sizeof. */
typedef struct orr_header {
    uint32_t struct_size;
    uint16_t abi_major;
    uint16_t abi_minor;
} orr_header;

#define ORR_HEADER(type) \
    { (uint32_t)sizeof(type), ORR_ABI_MAJOR, ORR_ABI_MINOR }
/* Whether *ptr is large enough to hold `member`. */
#define ORR_HAS(ptr, type, member) ((ptr)->header.struct_size >= offsetof(type, member) + sizeof(((type*)0)->member))

/* Result of every call that can fail. Numbers are fixed for ever; new ones are appended. The text of a failure (what
 * failed, which tensor, both numbers) is orr_error_text() on the thread that saw it. */
typedef int32_t orr_status;
enum {
    ORR_OK = 0,
    ORR_INVALID_ARGUMENT = 1,   /* The caller's mistake (null, wrong shape, unknown name). No retry without a change. */
    ORR_NOT_FOUND = 2,          /* A file, tensor, plugin, entry or token does not exist. No retry without a change. */
    ORR_UNSUPPORTED = 3,        /* Well formed, but nothing here can do it; the text gives the reason. */
    ORR_CORRUPT = 4,            /* A file or stream contradicts itself or its format. No retry. */
    ORR_OUT_OF_MEMORY = 5,      /* The host's allocator refused, or the budget is used up. Retry after freeing. */
    ORR_IO = 6,                 /* Reading or writing failed. Retry may help. */
    ORR_CANCELLED = 7,          /* The host asked for it. The session is as it was before the call. */
    ORR_BUSY = 8,               /* The object is in use (a run is under way). Retry when it has ended. */
    ORR_LIMIT = 9,              /* A declared limit was reached (context length). No retry without a change. */
    ORR_ABI_MISMATCH = 10,      /* Other ABI major, other sanitizer, struct too small. No retry. */
    ORR_DEVICE_LOST = 11,       /* The device went away. A new session may work. */
    ORR_INTERNAL = 12,          /* Our mistake. Please report it. */
    ORR_CONFLICT = 13           /* Two things claim one name. No retry without a change. */
};

struct orr_host;   /* plugin.h */
struct orr_plugin; /* plugin.h */

/* Element types. Plain scalars are numbered here for ever; block (quantised) types come from plugins (orr.types/1),
 * are known by their string id, and get a number from ORR_TYPE_FIRST_BLOCK on that is valid inside one engine. */
enum {
    ORR_TYPE_NONE = 0,
    ORR_TYPE_F32 = 1,
    ORR_TYPE_F16 = 2,
    ORR_TYPE_BF16 = 3,
    ORR_TYPE_F64 = 4,
    ORR_TYPE_I8 = 5,
    ORR_TYPE_U8 = 6,
    ORR_TYPE_I16 = 7,
    ORR_TYPE_I32 = 8,
    ORR_TYPE_I64 = 9,
    ORR_TYPE_BOOL = 10, /* one byte, 0 or 1 */
    ORR_TYPE_U16 = 11,
    ORR_TYPE_U32 = 12,
    ORR_TYPE_U64 = 13,
    ORR_TYPE_FIRST_BLOCK = 64
};

#define ORR_MAX_RANK 8

/* Numerics of a plan. exact: f32 activations and accumulation. default: activations of quantised weights are quantised
 * on the fly. fast: what the device likes. */
enum { ORR_NUMERICS_DEFAULT = 0, ORR_NUMERICS_EXACT = 1, ORR_NUMERICS_FAST = 2 };

/* CPU instruction sets, each with everything below it on its own architecture. */
enum {
    ORR_ISA_AUTO = 0,
    ORR_ISA_GENERIC = 1,
    ORR_ISA_SSE4 = 2,
    ORR_ISA_AVX2 = 3, /* with FMA and F16C */
    ORR_ISA_AVX_VNNI = 4,
    ORR_ISA_AVX512 = 5, /* F, BW, CD, DQ, VL */
    ORR_ISA_AVX512_VNNI = 6,
    ORR_ISA_AVX512_BF16 = 7,
    ORR_ISA_NEON = 16
};

enum { ORR_LOG_ERROR = 0, ORR_LOG_WARNING = 1, ORR_LOG_INFO = 2, ORR_LOG_DEBUG = 3 };

#ifdef __cplusplus
}
#endif
#endif
