#include "pooling.hpp"

#include <algorithm>
#include <cmath>

#include "orrery/plugin.hpp"

namespace orrery::embedding {
namespace {

// sum_t weight(t) h[t, e] / divisor
template <class Weight>
void weighted_sum(const float* hidden, int64_t tokens, int64_t width, double divisor, Weight weight, std::vector<float>& vector) {
    for (int64_t e = 0; e < width; e++) {
        double sum = 0;
        for (int64_t t = 0; t < tokens; t++) sum += weight(t) * hidden[t * width + e];
        vector.push_back(static_cast<float>(sum / divisor));
    }
}

}  // namespace

Pooling pooling_of(const std::string& name) {
    if (name == "cls") return Pooling::kCls;
    if (name == "max") return Pooling::kMax;
    if (name == "mean") return Pooling::kMean;
    if (name == "mean_sqrt_len_tokens") return Pooling::kMeanSqrtLength;
    if (name == "weightedmean") return Pooling::kWeightedMean;
    if (name == "lasttoken") return Pooling::kLastToken;
    throw Error(ORR_UNSUPPORTED,
                "embedding: pooling mode \"" + name + "\" is not known; known: cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken");
}

void pool(const std::vector<Pooling>& modes, const float* hidden, int64_t tokens, int64_t width, std::vector<float>& vector) {
    const double count = static_cast<double>(tokens);
    const auto one = [](int64_t) { return 1.0; };
    for (const Pooling mode : modes) {
        switch (mode) {
            case Pooling::kCls:
                vector.insert(vector.end(), hidden, hidden + width);
                break;
            case Pooling::kLastToken:
                vector.insert(vector.end(), hidden + (tokens - 1) * width, hidden + tokens * width);
                break;
            case Pooling::kMax:
                for (int64_t e = 0; e < width; e++) {
                    float top = hidden[e];
                    for (int64_t t = 1; t < tokens; t++) top = std::max(top, hidden[t * width + e]);
                    vector.push_back(top);
                }
                break;
            case Pooling::kMean:
                weighted_sum(hidden, tokens, width, count, one, vector);
                break;
            case Pooling::kMeanSqrtLength:
                weighted_sum(hidden, tokens, width, std::sqrt(count), one, vector);
                break;
            case Pooling::kWeightedMean:
                weighted_sum(
                    hidden, tokens, width, count * (count + 1) / 2, [](int64_t t) { return static_cast<double>(t + 1); }, vector);
                break;
        }
    }
}

void normalise(std::vector<float>& vector) {
    double sum = 0;
    for (const float v : vector) sum += static_cast<double>(v) * v;
    const double divisor = std::max(std::sqrt(sum), 1e-12);
    for (float& v : vector) v = static_cast<float>(v / divisor);
}

}  // namespace orrery::embedding
