// embedding: the vector of a text, pooled and normalised as the checkpoint says.
#include "embedder.hpp"
#include "orrery/plugin.hpp"

namespace {

using orrery::embedding::Embedder;

struct Task {
    Task(const orr_host* h, orr_model* model, orr_session* session) : host(h), embedder(h, model, session) {}
    const orr_host* host;
    Embedder embedder;
};

orr_status create(const orr_host* host, orr_model* model, orr_session* session, void** task) {
    return orrery::guard(host, [&] { *task = new Task(host, model, session); });
}

orr_status run(void* task, const char* request_json, orr_event_fn on_event, void* user, orr_text** result) {
    Task& t = *static_cast<Task*>(task);
    return orrery::guard(t.host, [&] {
        const std::string text = t.embedder.run(request_json, on_event, user);
        if (!result) return;
        orr_text* created = t.embedder.api().text_create(text.data(), text.size());
        if (!created) throw std::bad_alloc();
        *result = created;
    });
}

void cancel(void* task) { static_cast<Task*>(task)->embedder.cancel(); }
void destroy(void* task) { delete static_cast<Task*>(task); }

}  // namespace

const orr_task_kind* orr_task_embedding() {
    static const orr_task_kind kind = {
        ORR_HEADER(orr_task_kind),
        "embedding",
        "Gives the vector of a text, pooled and normalised as the checkpoint says.",
        "text (one text; the result has vector) or texts (a list; the result has vectors). Event: tensor (name vector, id = place in texts).",
        create,
        run,
        cancel,
        destroy};
    return &kind;
}
