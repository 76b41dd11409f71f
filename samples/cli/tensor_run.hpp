// One entry of a model on named tensors, as `eval` and `bench --inputs` do it.
#ifndef ORRERY_CLI_TENSOR_RUN_HPP
#define ORRERY_CLI_TENSOR_RUN_HPP

#include <vector>

#include "common.hpp"

namespace orrery::cli {

// Makes the session large enough for these inputs: context from the tokens, batch from the sequences.
void fit_session(orr_session_options& options, const std::vector<host::Tensor>& inputs);

}  // namespace orrery::cli
#endif
