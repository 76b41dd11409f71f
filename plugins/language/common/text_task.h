// A task kind of a class that answers requests in JSON, for the host.
#ifndef ORRERY_LANGUAGE_TEXT_TASK_H
#define ORRERY_LANGUAGE_TEXT_TASK_H

#include <new>
#include <string>
#include <vector>

#include "orrery/ext/tasks.h"
#include "orrery/plugin.hpp"

namespace orrery {

// An event's tensor over `values`, which outlive the event.
inline orr_named_tensor vector_tensor(const char* name, const std::vector<float>& values) {
    orr_named_tensor t{};
    t.header = ORR_HEADER(orr_named_tensor);
    t.name = name;
    t.type = ORR_TYPE_F32;
    t.rank = 1;
    t.shape[0] = static_cast<int64_t>(values.size());
    t.data = values.data();
    t.size_bytes = values.size() * sizeof(float);
    return t;
}

// Runner: Runner(const orr_host*, orr_model*, orr_session* or null), std::string run(request_json, on_event, user), cancel() from any thread,
// const orr_host_api& api(). All may throw but cancel().
template <class Runner>
class TextTask {
  public:
    static orr_task_kind describe(const char* id, const char* summary, const char* requests) {
        return {ORR_HEADER(orr_task_kind), id, summary, requests, create, run, cancel, destroy};
    }

  private:
    // The host comes along for the text of failures.
    struct Held {
        Held(const orr_host* h, orr_model* model, orr_session* session) : host(h), runner(h, model, session) {}
        const orr_host* host;
        Runner runner;
    };
    static orr_status create(const orr_host* host, orr_model* model, orr_session* session, void** task) {
        return guard(host, [&] { *task = new Held(host, model, session); });
    }
    static orr_status run(void* task, const char* request_json, orr_event_fn on_event, void* user, orr_text** result) {
        Held& held = *static_cast<Held*>(task);
        return guard(held.host, [&] {
            const std::string text = held.runner.run(request_json, on_event, user);
            if (!result) return;
            orr_text* created = held.runner.api().text_create(text.data(), text.size());
            if (!created) throw std::bad_alloc();
            *result = created;
        });
    }
    static void cancel(void* task) { static_cast<Held*>(task)->runner.cancel(); }
    static void destroy(void* task) { delete static_cast<Held*>(task); }
};

}  // namespace orrery
#endif
