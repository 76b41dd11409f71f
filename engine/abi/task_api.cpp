#include "engine/abi/handles.hpp"
#include "engine/registry/error_text.hpp"

using namespace orrery;

namespace {

orr_status session_control(orr_session* session, const char* name, orr_text** value_json) {
    return boundary([&] {
        require(session, "session");
        require(name, "name");
        require(value_json, "value_json");
        *value_json = nullptr;
        if (const std::string* value = session->session->control(name)) *value_json = make_text(*value);
    });
}

const orr_host_api kHostApi = {ORR_HEADER(orr_host_api),
                               orr_error_text,
                               orr_session_create,
                               orr_session_release,
                               orr_session_run,
                               orr_session_output,
                               orr_session_cancel,
                               orr_session_position,
                               orr_session_rollback,
                               orr_session_reset,
                               orr_session_warm_up,
                               orr_model_describe,
                               orr_text_data,
                               orr_text_size,
                               orr_text_release,
                               [](const char* data, uint64_t size) -> orr_text* {
                                   orr_text* text = nullptr;
                                   boundary([&] { text = make_text(std::string(data, size)); });
                                   return text;
                               },
                               [](orr_model* m) -> const orr_tokenizer* {
                                   const orr_tokenizer* t = nullptr;
                                   boundary([&] { t = &m->model->tokenizer(); });
                                   return t;
                               },
                               [](orr_model* m) { return m->model->files(); },
                               [](orr_model* m) { return &m->model->info(); },
                               [](orr_model* m) { return m->model->checkpoint(); },
                               [](orr_session* s) -> int64_t { return s ? s->session->options().context : 0; },
                               [](orr_session* s) -> uint64_t { return s ? s->session->changes() : 0; },
                               orr_session_set_control,
                               session_control};

}  // namespace

const void* orrery::host_api_table() { return &kHostApi; }

extern "C" {

orr_status orr_task_create(orr_model* model, const char* task, orr_session* session, orr_task** out) {
    return boundary([&] {
        require(model, "model");
        require(out, "out");
        Model& m = *model->model;
        const char* const* tasks = m.info().tasks;
        if (!task && (!tasks || !tasks[0])) throw Error(ORR_NOT_FOUND, "this model has no task: run its entries");
        const std::string id = task ? task : tasks[0];
        bool offered = false;
        std::string known;
        for (const char* const* t = tasks; t && *t; t++) {
            offered = offered || id == *t;
            known += (known.empty() ? "" : ", ") + std::string(*t);
        }
        if (!offered) throw Error(ORR_UNSUPPORTED, "this model does not do task \"" + id + "\"; it does " + (known.empty() ? "none" : known));
        if (session && &session->session->model() != &m)
            throw Error(ORR_INVALID_ARGUMENT, "task " + id + ": the session belongs to another model (" + session->session->model().files_path() + ")");
        auto made = std::make_unique<orr_task>();
        made->model = model->model;
        made->model_handle.reset(new orr_model{model->model});
        if (session) made->session_handle.reset(new orr_session{session->session});
        made->kind = &m.engine().registry().find_task(id);
        call_plugin([&] { return made->kind->create(m.engine().host(), made->model_handle.get(), made->session_handle.get(), &made->task); }, [&] { return "task " + id; });
        *out = made.release();
    });
}

void orr_task_release(orr_task* task) {
    if (!task) return;
    if (task->task) task->kind->destroy(task->task);
    delete task;
}

orr_status orr_task_run(orr_task* task, const char* request_json, orr_event_fn on_event, void* user, orr_text** result) {
    return boundary([&] {
        require(task, "task");
        require(request_json, "request_json");
        orr_text* text = nullptr;
        call_plugin([&] { return task->kind->run(task->task, request_json, on_event, user, result ? &text : nullptr); }, [] { return std::string(); });
        if (result) *result = text;
    });
}

void orr_task_cancel(orr_task* task) {
    if (task) task->kind->cancel(task->task);
}

}  // extern "C"
