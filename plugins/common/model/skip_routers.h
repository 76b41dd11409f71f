// The controls "mindskip" and "mindskip_threshold": a router in front of each attention decides for each sequence whether it is worth running.
// He et al. 2024, arXiv:2410.13184 (Router-Tuning, MindSkip); their routers are linear maps to one score, of the normalised input, sequence by
// sequence: github.com/CASE-Lab-UMD/Router-Tuning-Mixture-of-Depths, utils/model/model_patch.py.
#ifndef ORRERY_COMMON_MODEL_SKIP_ROUTERS_H
#define ORRERY_COMMON_MODEL_SKIP_ROUTERS_H

#include <string>

#include "model/arch.h"

namespace orrery {

class SkipRouters {
  public:
    // Reads the graph's controls. Throws Error naming the control, the file and what is wrong.
    SkipRouters(Graph& g, int64_t layers, int64_t width);
    // [1, E]; 0 where the file has no router for the layer: it always attends.
    Value weight(Graph& g, int64_t layer) const;
    // f32 [B, 1, 1]: 1 where sigmoid(router(mean over tokens of x)) is at least the threshold. x [B, T, E]
    Value gate(Graph& g, Value x, Value router, const std::string& layer_path) const;
    // Of one element, not zero where any sequence's gate is open.
    Value any(Graph& g, Value gate) const;

  private:
    std::string file_;
    double threshold_;
    int64_t width_;
};

void declare_skip_controls(Summary& summary);

}  // namespace orrery
#endif
