#include "engine/abi/handles.hpp"
#include "engine/registry/json_text.hpp"
#include "engine/registry/error_text.hpp"
#include "engine/run/options.hpp"

using namespace orrery;

namespace {

Session& of(orr_session* s) {
    require(s, "session");
    return *s->session;
}

RunRequest request(const char* entry, uint32_t input_count, const orr_named_tensor* const* inputs, uint32_t output_count, const char* const* outputs) {
    if (input_count) require(inputs, "inputs");
    if (output_count) require(outputs, "outputs");
    for (uint32_t i = 0; i < output_count; i++) require(outputs[i], "outputs[i]");
    return {entry, input_count, inputs, output_count, outputs};
}

}  // namespace

extern "C" {

orr_status orr_session_create(orr_model* model, const orr_session_options* options, orr_session** session) {
    return boundary([&] {
        require(model, "model");
        require(session, "session");
        if (!model->model->info().entries) throw Error(ORR_INVALID_ARGUMENT, "this handle has only a tokeniser: it cannot run");
        *session = new orr_session{std::make_shared<Session>(model->model, options)};
    });
}

void orr_session_release(orr_session* session) {
    if (session) boundary([&] { session->session->finish(); });
    delete session;
}

orr_status orr_session_run(orr_session* session, const char* entry, uint32_t input_count, const orr_named_tensor* const* inputs, uint32_t output_count, const char* const* outputs) {
    return boundary([&] { of(session).run(request(entry, input_count, inputs, output_count, outputs), nullptr, 0); });
}

orr_status orr_session_share(orr_session* session, const orr_vulkan_share* share) {
    return boundary([&] { of(session).share(share); });
}

orr_status orr_session_output(orr_session* session, const char* name, orr_named_tensor* tensor) {
    return boundary([&] {
        require(name, "name");
        require(tensor, "tensor");
        of(session).output(name, tensor);
    });
}

const char* orr_session_output_name(orr_session* session, uint32_t index) { return session ? session->session->output_name(index) : nullptr; }

orr_status orr_session_start(orr_session* session, const char* entry, uint32_t input_count, const orr_named_tensor* const* inputs, uint32_t output_count, const char* const* outputs) {
    return boundary([&] { of(session).start(request(entry, input_count, inputs, output_count, outputs)); });
}

orr_status orr_session_begin(orr_session* session, const char* entry, uint32_t input_count, const orr_named_tensor* const* inputs, uint32_t output_count, const char* const* outputs) {
    return boundary([&] { of(session).begin(request(entry, input_count, inputs, output_count, outputs), nullptr, 0); });
}

orr_status orr_session_step(orr_session* session, uint64_t budget_ns, bool* done) {
    return boundary([&] {
        require(done, "done");
        try {
            *done = of(session).step(budget_ns);
        } catch (...) {
            *done = !of(session).running();
            throw;
        }
    });
}

orr_status orr_session_poll(orr_session* session, bool* done) {
    return boundary([&] {
        require(done, "done");
        of(session).poll(done);
    });
}

orr_status orr_session_wait(orr_session* session, uint64_t timeout_ns, bool* done) {
    return boundary([&] {
        require(done, "done");
        of(session).wait(timeout_ns, done);
    });
}

void orr_session_pause(orr_session* session, bool paused) {
    boundary([&] { of(session).pause(paused); });
}
void orr_session_set_priority(orr_session* session, int32_t priority) {
    boundary([&] { of(session).set_priority(priority); });
}
void orr_session_cancel(orr_session* session) {
    boundary([&] { of(session).cancel(); });
}

orr_status orr_session_run_batch(uint32_t session_count, orr_session* const* sessions, const char* entry, uint32_t input_count, const orr_named_tensor* const* inputs,
                                 uint32_t output_count, const char* const* outputs) {
    return boundary([&] {
        require(sessions, "sessions");
        if (session_count == 0) throw Error(ORR_INVALID_ARGUMENT, "a batch of no sessions");
        std::vector<Session*> others;
        for (uint32_t i = 1; i < session_count; i++) others.push_back(&of(sessions[i]));
        of(sessions[0]).run(request(entry, input_count, inputs, output_count, outputs), others.data(), others.size());
    });
}

int64_t orr_session_position(orr_session* session) { return session ? session->session->position() : 0; }

orr_status orr_session_fork(orr_session* session, orr_session** fork) {
    return boundary([&] {
        require(fork, "fork");
        Session& s = of(session);
        if (s.running()) throw Error(ORR_BUSY, "a run of this session is under way");
        *fork = new orr_session{std::make_shared<Session>(s, 1)};
    });
}

orr_status orr_session_mark(orr_session* session) {
    return boundary([&] { of(session).mark(); });
}
orr_status orr_session_rollback(orr_session* session, int64_t position) {
    return boundary([&] { of(session).rollback(position); });
}
orr_status orr_session_reset(orr_session* session) {
    return boundary([&] { of(session).reset(); });
}
orr_status orr_session_save(orr_session* session, const char* path) {
    return boundary([&] {
        require(path, "path");
        of(session).save(path);
    });
}
orr_status orr_session_load(orr_session* session, const char* path) {
    return boundary([&] {
        require(path, "path");
        of(session).load(path);
    });
}
orr_status orr_session_trim(orr_session* session) {
    return boundary([&] { of(session).trim(); });
}
orr_status orr_session_warm_up(orr_session* session, const char* entry, int64_t tokens) {
    return boundary([&] { of(session).warm_up(entry, tokens); });
}

orr_status orr_session_set_taps(orr_session* session, uint32_t count, const orr_tap* const* taps) {
    return boundary([&] {
        if (count) require(taps, "taps");
        of(session).set_taps(count, taps);
    });
}

orr_status orr_session_set_control(orr_session* session, const char* name, const char* value_json) {
    return boundary([&] {
        require(name, "name");
        of(session).set_control(name, value_json);
    });
}

orr_status orr_session_fit_control(orr_session* session, const char* name, const orr_fit* limits, orr_text** report) {
    return boundary([&] {
        require(name, "name");
        require(limits, "limits");
        const auto told = of(session).fit_control(name, copy_options(limits, "orr_fit"));
        if (report) *report = make_text(json_text(told));
    });
}

orr_status orr_session_describe(orr_session* session, const char* what, const char* entry, orr_text** json) {
    return boundary([&] {
        require(what, "what");
        require(json, "json");
        *json = make_text(json_text(of(session).describe(what, entry)));
    });
}

}  // extern "C"
