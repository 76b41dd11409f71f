// What the passes of orr.sample/1 leave for each other, in words of a row; read as GLSL and as C++.
#ifndef ORR_SAMPLE_WORK_H
#define ORR_SAMPLE_WORK_H
#ifdef __cplusplus
#include <cstdint>
namespace orrery::shaders {
using uint = uint32_t;
#endif
const uint SAMPLE_CHUNK = 2048u;       // logits that a workgroup reads; each lane of the last pass 8 neighbours
const uint SAMPLE_MOST_CHUNKS = 2048u; // 8 a lane of the last pass; and sums of 21 bits a chunk stay in a word
const uint SAMPLE_BINS = 2048u;        // a key's digits have 11, 11 and 10 bits
const uint SAMPLE_COUNTS = 0u;         // [3, BINS] logits with that digit
const uint SAMPLE_SHARES = 3u * SAMPLE_BINS;              // [3, BINS, 3] the sum of their weights: 21 bits a word
const uint SAMPLE_STATES = 12u * SAMPLE_BINS;             // [7, 4] where the search stands before each pass
const uint SAMPLE_TOPS = SAMPLE_STATES + 32u;             // [chunks, 2] largest key, its id
const uint SAMPLE_CHUNK_WORDS = 5u;                       // behind the tops [chunks, 3]: kept weight, equals of the threshold
#ifdef __cplusplus
}
#endif
#endif
