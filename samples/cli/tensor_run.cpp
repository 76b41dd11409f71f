#include "tensor_run.hpp"

#include <algorithm>

namespace orrery::cli {

void fit_session(orr_session_options& options, const std::vector<host::Tensor>& inputs) {
    int64_t tokens = 0, sequences = 0;
    for (const host::Tensor& t : inputs) {
        const std::string& n = t.name();
        const bool ids = n.size() >= 9 && n.compare(n.size() - 9, 9, "input_ids") == 0;  // decoder_input_ids too
        if (!ids || t.shape().size() != 2) continue;
        tokens = std::max(tokens, t.shape()[1]);
        sequences = std::max(sequences, t.shape()[0]);
    }
    if (options.context == 0) options.context = tokens;
    if (options.batch == 0) options.batch = sequences;
}

}  // namespace orrery::cli
