/* Constants that were cut out of larger ones: "orr.parts/1", by host->get_extension(host, ORR_EXT_PARTS). NULL where the engine
 * has none. A kernel whose packed form lets it read some rows, or the first columns, of a matrix packs the whole one: then
 * every part of it, and the whole itself, are one packed form in memory. Kernels that know nothing of it pack each part by
 * itself. */
#ifndef ORRERY_EXT_PARTS_H
#define ORRERY_EXT_PARTS_H

#include "orrery/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ORR_EXT_PARTS "orr.parts/1"

/* Where a part lies. */
typedef struct orr_part {
    orr_header header;
    const orr_tensor* whole;     /* contiguous, of the part's type and rank, without data; valid in prepare */
    int64_t first[ORR_MAX_RANK]; /* of each axis, the index in `whole` at which the part begins */
} orr_part;

/* Both are called in prepare, with its own orr_prepare; in others' they find nothing. */
typedef struct orr_parts {
    orr_header header;
    /* Whether input is a part of a larger constant, and where it lies. */
    bool (*find)(orr_prepare* p, uint32_t input, orr_part* part);
    /* Like p->prepack, of the whole constant: bytes and chunks are of that, and pack gets it as src. In run the input keeps its
     * own shape, its data is the packed whole. */
    orr_status (*prepack_whole)(orr_prepare* p, uint32_t input, const orr_pack* pack);
} orr_parts;

#ifdef __cplusplus
}
#endif
#endif
