// text_generation: continues a prompt, or answers in a conversation, with a model that has an entry "next"
// (input_ids [1, T] -> logits [1, V] of the last token).
#include "generator.hpp"
#include "orrery/plugin.hpp"

namespace {

using orrery::text_generation::Generator;

// The task as the engine holds it: the host comes along for the text of failures.
struct Task {
    Task(const orr_host* h, orr_model* model, orr_session* session) : host(h), generator(h, model, session) {}
    const orr_host* host;
    Generator generator;
};

orr_status create(const orr_host* host, orr_model* model, orr_session* session, void** task) {
    return orrery::guard(host, [&] { *task = new Task(host, model, session); });
}

orr_status run(void* task, const char* request_json, orr_event_fn on_event, void* user, orr_text** result) {
    Task& t = *static_cast<Task*>(task);
    return orrery::guard(t.host, [&] {
        const std::string text = t.generator.run(request_json, on_event, user);
        if (!result) return;
        orr_text* created = t.generator.api().text_create(text.data(), text.size());
        if (!created) throw std::bad_alloc();
        *result = created;
    });
}

void cancel(void* task) { static_cast<Task*>(task)->generator.cancel(); }
void destroy(void* task) { delete static_cast<Task*>(task); }

}  // namespace

const orr_task_kind* orr_task_text_generation() {
    static const orr_task_kind kind = {ORR_HEADER(orr_task_kind),
                                       "text_generation",
                                       "Continues a prompt or a conversation, token by token.",
                                       orrery::text_generation::kRequestDoc,
                                       create,
                                       run,
                                       cancel,
                                       destroy};
    return &kind;
}
