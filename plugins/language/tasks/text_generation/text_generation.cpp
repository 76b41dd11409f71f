// text_generation: continues a prompt, or answers in a conversation, with a model that has an entry "next"
// (input_ids [1, T] -> logits [1, V] of the last token).
#include "common/text_task.h"
#include "generator.hpp"

const orr_task_kind* orr_task_text_generation() {
    static const orr_task_kind kind = orrery::TextTask<orrery::text_generation::Generator>::describe(
        "text_generation", "Continues a prompt or a conversation, token by token.", orrery::text_generation::kRequestDoc);
    return &kind;
}
