// A host for tests of tasks: a "model" whose next token is a plain function of the last one, a tokeniser of bytes, and a
// session that checks what it is asked. Vocabulary: bytes 0-255, 256 beginning, 257 end of generation.
#ifndef ORRERY_TESTS_FAKE_HOST_HPP
#define ORRERY_TESTS_FAKE_HOST_HPP

#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "orrery/ext/tasks.h"

struct orr_session {
    std::vector<int32_t> ids;
    std::vector<std::vector<int32_t>> runs;  // what each run was given
    uint64_t changes = 0;
};
struct orr_text {
    std::string text;
};

namespace fake {

inline constexpr int32_t kBos = 256, kEnd = 257, kVocabulary = 258;

struct State {
    std::function<int32_t(int32_t last)> next = [](int32_t last) { return last == kBos ? 'a' : (last - 'a' + 1) % 26 + 'a'; };
    std::function<void()> before_run;
    int64_t context = 64;
    bool can_roll_back = true;
    bool adds_bos = true;
    bool cancelled = false;
    std::string error;
    std::vector<float> logits;
    bool broken = false;  // no logit is a number
    std::map<std::string, std::string> files;
    std::string config = "{}", format = "safetensors";
    std::vector<std::string> order;  // names of files by number
    orr_session* session = nullptr;
    std::string hidden = "last_hidden_state";
    std::string info_json = "{}";
    std::vector<std::vector<float>> sampling;  // what each run that gave a token was told; empty: greedy
    std::vector<uint64_t> random;
    int32_t token = -1;
    // of drafts: what next() is while the control layer_plan is set, the controls, what a description of the model gives
    std::function<int32_t(int32_t last)> short_next;
    std::map<std::string, std::string> controls;
    std::map<std::string, std::string> about = {{"states", "[]"}, {"controls", R"([{"name": "layer_plan"}, {"name": "bypass"}, {"name": "exit_confidence"}])"}, {"inputs", R"([{"name": "input_ids", "optional": false}])"}, {"outputs", R"([{"name": "logits"}])"}};
    bool verifies = false;  // the last run was of entry forward
};
inline State* state = nullptr;

inline orr_status fail(orr_status code, const std::string& text) {
    state->error = text;
    return code;
}

// ---- tokeniser
inline orr_status encode(const orr_tokenizer*, const char* text, uint64_t size, uint32_t flags, orr_emit_ids emit, void* user) {
    std::vector<int32_t> ids;
    if ((flags & ORR_TOKENIZE_ADD_SPECIAL) && state->adds_bos) ids.push_back(kBos);
    for (uint64_t i = 0; i < size; i++) ids.push_back(static_cast<unsigned char>(text[i]));
    emit(user, ids.data(), ids.size());
    return ORR_OK;
}
inline orr_status stream_open(const orr_tokenizer*, uint32_t, void** stream) {
    *stream = new int(0);
    return ORR_OK;
}
inline orr_status stream_put(void*, int32_t id, orr_emit_text emit, void* user) {
    const char c = static_cast<char>(id);
    if (id < 256) emit(user, &c, 1);
    return ORR_OK;
}
inline orr_status stream_finish(void*, orr_emit_text, void*) { return ORR_OK; }
inline void stream_close(void* stream) { delete static_cast<int*>(stream); }
inline orr_status chat(const orr_tokenizer*, const char* messages, const char* options, orr_emit_text emit, void* user) {
    const std::string text = std::string(messages) + options;
    emit(user, text.data(), text.size());
    return ORR_OK;
}
inline const orr_tokenizer* tokenizer() {
    static const int32_t eog[] = {kEnd};
    static orr_tokenizer t = [] {
        orr_tokenizer v{};
        v.header = ORR_HEADER(orr_tokenizer);
        v.vocabulary = kVocabulary;
        v.bos = kBos;
        v.eos = kEnd;
        v.n_eog = 1;
        v.eog = eog;
        v.encode = encode;
        v.stream_open = stream_open;
        v.stream_put = stream_put;
        v.stream_finish = stream_finish;
        v.stream_close = stream_close;
        v.chat = chat;
        return v;
    }();
    return &t;
}

// ---- files
inline int32_t file_open(const orr_files*, const char* name) {
    if (!state->files.count(name)) return -1;
    state->order.push_back(name);
    return static_cast<int32_t>(state->order.size()) - 1;
}
inline uint64_t file_size(const orr_files*, int32_t file) { return state->files.at(state->order.at(static_cast<size_t>(file))).size(); }
inline orr_status file_read(const orr_files*, int32_t file, uint64_t offset, uint64_t size, void* dst) {
    const std::string& bytes = state->files.at(state->order.at(static_cast<size_t>(file)));
    if (offset + size > bytes.size()) return ORR_IO;
    std::memcpy(dst, bytes.data() + offset, size);
    return ORR_OK;
}
inline const orr_files* files() {
    static const orr_files f = {ORR_HEADER(orr_files), nullptr, file_open, file_size, file_read, nullptr, "fake"};
    return &f;
}
inline const orr_checkpoint* checkpoint() {
    static orr_checkpoint c{};
    c.header = ORR_HEADER(orr_checkpoint);
    c.format = state->format.c_str();
    c.config_json = state->config.c_str();
    return &c;
}

// ---- session. "next" gives logits that are largest at next(last), "forward" those of every token; the default entry gives hidden[t] = {t, id, 1}.
inline orr_status run(orr_session* s, const char* entry, uint32_t n, const orr_named_tensor* const* inputs, uint32_t, const char* const* outputs) {
    if (state->before_run) state->before_run();
    if (state->cancelled) return state->cancelled = false, fail(ORR_CANCELLED, "cancelled");
    state->verifies = entry && !std::strcmp(entry, "forward");
    const bool samples = entry && !std::strcmp(outputs[0], "token");
    if (samples ? n != 1 && n != 3 : n != 1) return fail(ORR_INVALID_ARGUMENT, "inputs");
    if (std::strcmp(inputs[0]->name, "input_ids") || inputs[0]->rank != 2) return fail(ORR_INVALID_ARGUMENT, "inputs");
    const auto* ids = static_cast<const int32_t*>(inputs[0]->data);
    const int64_t count = inputs[0]->shape[1];
    if (static_cast<int64_t>(s->ids.size()) + count > state->context) return fail(ORR_LIMIT, "context");
    s->ids.insert(s->ids.end(), ids, ids + count);
    s->changes++;
    s->runs.emplace_back(ids, ids + count);
    if (!entry) {
        if (outputs[0] != state->hidden) return fail(ORR_NOT_FOUND, std::string("no value ") + outputs[0]);
        state->logits.clear();
        for (int64_t t = 0; t < count; t++)
            for (const int64_t v : {t, static_cast<int64_t>(ids[t]), int64_t{1}}) state->logits.push_back(static_cast<float>(v));
        return ORR_OK;
    }
    const auto& next = state->controls.count("layer_plan") && state->short_next ? state->short_next : state->next;
    if (state->verifies) {
        state->logits.assign(static_cast<size_t>(count) * kVocabulary, 0);
        for (int64_t t = 0; t < count; t++) state->logits[static_cast<size_t>(t * kVocabulary + next(ids[t]))] = 10;
        return ORR_OK;
    }
    state->logits.assign(kVocabulary, state->broken ? std::numeric_limits<float>::quiet_NaN() : 0);
    if (state->broken) return ORR_OK;
    state->logits[static_cast<size_t>(next(ids[count - 1]))] = 10;
    if (!samples) return ORR_OK;
    state->token = next(ids[count - 1]);
    state->sampling.emplace_back();
    if (n == 1) return ORR_OK;
    if (std::strcmp(inputs[1]->name, "sampling") || std::strcmp(inputs[2]->name, "random")) return fail(ORR_INVALID_ARGUMENT, "inputs");
    const auto* p = static_cast<const float*>(inputs[1]->data);
    state->sampling.back().assign(p, p + 4);
    uint64_t bits;
    std::memcpy(&bits, inputs[2]->data, sizeof bits);
    state->random.push_back(bits);
    return ORR_OK;
}
inline orr_status output(orr_session* s, const char* name, orr_named_tensor* t) {
    if (!std::strcmp(name, "token")) {
        t->type = ORR_TYPE_I32;
        t->rank = 1;
        t->shape[0] = 1;
        t->data = &state->token;
        t->size_bytes = sizeof state->token;
        return ORR_OK;
    }
    const bool logits = !std::strcmp(name, "logits");
    t->type = ORR_TYPE_F32;
    t->rank = logits && !state->verifies ? 2 : 3;
    t->shape[0] = 1;
    t->shape[1] = logits && !state->verifies ? kVocabulary : static_cast<int64_t>(s->runs.back().size());
    t->shape[2] = logits ? kVocabulary : 3;
    t->data = state->logits.data();
    t->size_bytes = state->logits.size() * sizeof(float);
    return ORR_OK;
}
inline orr_status create(orr_model*, const orr_session_options*, orr_session** s) { return *s = state->session = new orr_session, ORR_OK; }
inline orr_status rollback(orr_session* s, int64_t position) {
    if (!state->can_roll_back) return fail(ORR_LIMIT, "a recurrent state has no mark there");
    s->ids.resize(static_cast<size_t>(position));
    s->changes++;
    return ORR_OK;
}
inline orr_status set_control(orr_session*, const char* name, const char* value) {
    if (value && !std::strcmp(value, "\"99\"")) return fail(ORR_INVALID_ARGUMENT, "layer_plan: there is no layer 99");
    if (value)
        state->controls[name] = value;
    else
        state->controls.erase(name);
    return ORR_OK;
}
inline orr_status reset(orr_session* s) { return s->changes++, s->ids.clear(), ORR_OK; }
inline const orr_model_info* info() {
    static const char* const entries[] = {"forward", "next", nullptr};
    static orr_model_info i{};
    i.header = ORR_HEADER(orr_model_info);
    i.info_json = state->info_json.c_str();
    i.entries = entries;
    i.vocabulary = kVocabulary;
    return &i;
}

inline const orr_host* host() {
    static orr_host_api api = [] {
        orr_host_api a{};
        a.header = ORR_HEADER(orr_host_api);
        a.error_text = [] { return state->error.c_str(); };
        a.session_create = create;
        a.session_release = [](orr_session* s) { delete s; };
        a.session_run = run;
        a.session_output = output;
        a.session_cancel = [](orr_session*) { state->cancelled = true; };
        a.session_position = [](orr_session* s) { return static_cast<int64_t>(s->ids.size()); };
        a.session_rollback = rollback;
        a.session_reset = reset;
        a.text_create = [](const char* data, uint64_t size) { return new orr_text{{data, size}}; };
        a.model_tokenizer = [](orr_model*) { return tokenizer(); };
        a.model_files = [](orr_model*) { return files(); };
        a.model_info = [](orr_model*) { return info(); };
        a.model_checkpoint = [](orr_model*) { return checkpoint(); };
        a.session_context = [](orr_session*) { return state->context; };
        a.session_changes = [](orr_session* s) { return s->changes; };
        a.model_describe = [](orr_model*, const char* what, const char*, orr_text** text) -> orr_status { return *text = new orr_text{state->about[what]}, ORR_OK; };
        a.text_data = [](const orr_text* t) { return t->text.c_str(); };
        a.text_size = [](const orr_text* t) -> uint64_t { return t->text.size(); };
        a.text_release = [](orr_text* t) { delete t; };
        a.session_set_control = set_control;
        a.session_control = [](orr_session*, const char* name, orr_text** value) -> orr_status {
            const auto at = state->controls.find(name);
            return *value = at == state->controls.end() ? nullptr : new orr_text{at->second}, ORR_OK;
        };
        return a;
    }();
    static const orr_host h = {ORR_HEADER(orr_host),
                               [](const orr_host*, const char* id) -> const void* { return std::strcmp(id, ORR_EXT_HOST_API) ? nullptr : &api; },
                               nullptr,
                               nullptr,
                               [](const orr_host*, int32_t, const char*) {},
                               [](const orr_host*, orr_status code, const char* text) { return fail(code, text); }};
    return &h;
}

}  // namespace fake
#endif
