// The choice of a token from a row of logits, in integers from the exponent on: every device and every order of summing gives the same token.
//   key     logits as numbers that order as they do; NaN and -inf: 0, which is never chosen
//   weight  floor(2^40 2^-y) with y = (max - l) * rate in f32, rate = log2(e) / temperature; 0 from y = 41 on
//   kept    top-k, then top-p, then min-p, as plugins/core/ops/sample/README.md says
//   draw    the first id, in ascending order, where the running sum of weights exceeds floor(random * sum / 2^64)
#ifndef ORRERY_COMMON_SAMPLING_H
#define ORRERY_COMMON_SAMPLING_H

#include <cstdint>

namespace orrery::sampling {

// One row of the operator's parameters.
struct Parameters {
    float temperature;  // not above 0: the largest logit
    float top_k;        // below 1: all
    float top_p;        // not below 1: all
    float min_p;        // not above 0: all
};

struct Candidate {
    uint32_t key;
    int32_t id;
    uint64_t weight;
};

uint32_t key_of(float logit);
bool draws(float temperature);       // whether a token is drawn, else the largest is taken
float rate_of(float temperature);
uint64_t weight_of(float top, float logit, float rate);
// top_p * 2^32 rounded down; 2^32: keep all
uint64_t share_of(float top_p);
// The sum of weights that reaches share / 2^32 of all.
uint64_t wanted_of(uint64_t share, uint64_t sum);
uint64_t floor_of(float min_p);      // the smallest weight kept
uint64_t target_of(uint64_t random, uint64_t sum);
// How many of vocabulary logits top-k keeps; 0: all
int64_t count_of(float top_k, int64_t vocabulary);
// Candidates that choose() needs room for.
int64_t room_for(const Parameters& p, int64_t vocabulary);

// -1 when no logit is a number above -inf.
int32_t choose(const float* logits, int64_t vocabulary, const Parameters& p, uint64_t random, Candidate* room);

}  // namespace orrery::sampling
#endif
