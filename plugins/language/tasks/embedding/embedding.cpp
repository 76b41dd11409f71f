// embedding: the vector of a text, pooled and normalised as the checkpoint says.
#include "common/text_task.h"
#include "embedder.hpp"

const orr_task_kind* orr_task_embedding() {
    static const orr_task_kind kind = orrery::TextTask<orrery::embedding::Embedder>::describe(
        "embedding", "Gives the vector of a text, pooled and normalised as the checkpoint says.",
        "text (one text; the result has vector) or texts (a list; the result has vectors). Event: tensor (name vector, id = place in texts).");
    return &kind;
}
