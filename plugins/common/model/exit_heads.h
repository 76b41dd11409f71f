// The control "exit_heads": a file of output classifiers and halting predictors that were trained for the exits of a stack.
// Elbayad et al. 2020, arXiv:1910.10073 (a classifier behind each block; token-specific depth, its multinomial and its geometric-like or Poisson
// binomial form); their code: fairseq, dynamic halters (an affine map, sigmoid at least 0.5: exit; or the best of N classes behind the first block).
#ifndef ORRERY_COMMON_MODEL_EXIT_HEADS_H
#define ORRERY_COMMON_MODEL_EXIT_HEADS_H

#include <functional>
#include <string>
#include <vector>

#include "model/arch.h"

namespace orrery {

// The stack that a file is for, and the norm in front of its head: build(x, weight, bias), bias where the norm has one.
struct ExitShape {
    int64_t layers = 0, width = 0, vocabulary = 0;  // vocabulary 0: the model predicts nothing, and there is no such control
    bool norm_bias = false;
};

class ExitHeads {
  public:
    struct Affine {
        Value weight, bias;
        explicit operator bool() const { return static_cast<bool>(weight); }
    };

    ExitHeads() = default;
    // Reads the graph's control, with `prefix` in front of its name. Throws Error naming the control, the file and what is wrong.
    ExitHeads(Graph& g, const std::string& prefix, const ExitShape& shape);
    // Of the layer; absent where the file has none.
    const Affine& head(int64_t layer) const { return at(heads_, layer); }
    const Affine& norm(int64_t layer) const { return at(norms_, layer); }
    const Affine& halt(int64_t layer) const { return at(halts_, layer); }
    const Affine& depth() const { return depth_; }
    bool has_heads() const { return has_heads_; }
    bool halts() const { return has_halts_ || depth_; }
    int64_t layers() const { return static_cast<int64_t>(heads_.size()); }

  private:
    static const Affine& at(const std::vector<Affine>& list, int64_t layer);
    std::vector<Affine> heads_, norms_, halts_;
    Affine depth_;
    bool has_heads_ = false, has_halts_ = false;
};

// x W^T + b
Value affine(Graph& g, const ExitHeads::Affine& map, Value x);

}  // namespace orrery
#endif
