// One vector of a text from the vectors of its tokens, as sentence-transformers' Pooling module does it
// (sentence_transformers/sentence_transformer/modules/pooling.py), h: [T, E].
//   cls: h[0]   max: max_t h[t]   mean: sum_t h[t] / T   mean_sqrt_len_tokens: sum_t h[t] / sqrt(T)
//   weightedmean: sum_t (t+1) h[t] / sum_t (t+1)   lasttoken: h[T-1]
#ifndef ORRERY_TASKS_POOLING_HPP
#define ORRERY_TASKS_POOLING_HPP

#include <cstdint>
#include <string>
#include <vector>

namespace orrery::embedding {

enum class Pooling { kCls, kMax, kMean, kMeanSqrtLength, kWeightedMean, kLastToken };

// Throws Error(ORR_UNSUPPORTED) for another name.
Pooling pooling_of(const std::string& name);

// Appends E values for each mode to `vector`. tokens >= 1; sums in f64.
void pool(const std::vector<Pooling>& modes, const float* hidden, int64_t tokens, int64_t width, std::vector<float>& vector);

// x / max(|x|, 1e-12), as torch.nn.functional.normalize
void normalise(std::vector<float>& vector);

}  // namespace orrery::embedding
#endif
