#include "generator.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include "answer.hpp"
#include "common/text_task.h"
#include "model/json_text.h"
#include "orrery/plugin.hpp"

namespace orrery::text_generation {
namespace {

using nlohmann::json;

constexpr uint64_t kChunk = 512;  // prompt tokens per run: a cancel need not wait for all, and workspaces stay small

void append_ids(void* user, const int32_t* ids, uint64_t count) {
    static_cast<std::vector<int32_t>*>(user)->insert(static_cast<std::vector<int32_t>*>(user)->end(), ids, ids + count);
}

json speculation_report(const Speculation& s, const SpeculationCount& n) {
    const auto of = [](uint64_t a, uint64_t b) { return b ? static_cast<double>(a) / static_cast<double>(b) : 0.0; };
    std::string names;
    for (const auto& [name, value] : s.controls) names += (names.empty() ? "" : "+") + name;
    return {{"draft", s.draft == Speculation::Draft::lookup ? "lookup" : names},
            {"drafted", n.drafted},
            {"accepted", n.accepted},
            {"acceptance", of(n.accepted, n.drafted)},
            {"verify_steps", n.verify_steps},
            {"plain_steps", n.plain_steps},
            {"tokens_per_verify_step", of(n.accepted + n.verify_steps, n.verify_steps)},
            {"draft_s", n.draft_s},
            {"verify_s", n.verify_s}};
}

}  // namespace

Generator::Generator(const orr_host* host, orr_model* model, orr_session* session)
    : host_(host),
      api_(static_cast<const orr_host_api*>(host->get_extension(host, ORR_EXT_HOST_API))),
      model_(model),
      session_(session),
      own_session_(!session) {
    if (!api_ || !ORR_HAS(api_, orr_host_api, model_checkpoint))
        throw Error(ORR_ABI_MISMATCH, std::string("text_generation: the engine has no whole ") + ORR_EXT_HOST_API);
    tokenizer_ = api_->model_tokenizer(model);
    if (!tokenizer_) no_tokenizer_ = api_->error_text();
    const orr_model_info* info = api_->model_info(model);
    bool has_next = false;
    for (const char* const* e = info ? info->entries : nullptr; e && *e; e++) has_next = has_next || !std::strcmp(*e, "next");
    if (!has_next) throw Error(ORR_UNSUPPORTED, "text_generation: the model has no entry \"next\", it predicts no tokens");
    entry_ = "next";
    const json about = parse_json(info->info_json ? info->info_json : "{}");
    if (about.is_object()) {
        rotary_switch_ = about.value("rotary_switch", uint64_t{0});
        rotary_growth_ = about.value("rotary_growth", uint64_t{0});
        samples_ = about.value("samples", false);
    }
    if (own_session_) check(api_->session_create(model, nullptr, &session_));
}

Generator::~Generator() {
    if (own_session_) api_->session_release(session_);
}

void Generator::check(orr_status status) const {
    if (status != ORR_OK) throw Error(status, api_->error_text());
}

// 0 when the engine does not tell; its own check of each run stands then.
int64_t Generator::context() const {
    return ORR_HAS(api_, orr_host_api, session_context) && api_->session_context ? api_->session_context(session_) : 0;
}

void Generator::require_tokenizer() const {
    if (!tokenizer_)
        throw Error(ORR_UNSUPPORTED, "text_generation: without a tokeniser only ids can be a prompt" + (no_tokenizer_.empty() ? "" : " (" + no_tokenizer_ + ")"));
}

// How often somebody has moved the session, the task itself included; always 0 where the engine does not tell.
uint64_t Generator::changes() const { return ORR_HAS(api_, orr_host_api, session_changes) && api_->session_changes ? api_->session_changes(session_) : 0; }

bool Generator::is_eog(int32_t id) const {
    return tokenizer_ && std::find(tokenizer_->eog, tokenizer_->eog + tokenizer_->n_eog, id) != tokenizer_->eog + tokenizer_->n_eog;
}

std::vector<int32_t> Generator::encode(const std::string& text, uint32_t flags) const {
    require_tokenizer();
    std::vector<int32_t> ids;
    check(tokenizer_->encode(tokenizer_, text.data(), text.size(), flags, append_ids, &ids));
    return ids;
}

std::vector<int32_t> Generator::prompt_ids(const Request& r) const {
    std::vector<int32_t> ids;
    if (r.ids) {
        ids = *r.ids;
        if (ids.empty()) throw Error(ORR_INVALID_ARGUMENT, "text_generation: ids is empty, a prompt has at least one token");
    } else if (r.prompt) {
        ids = encode(*r.prompt, ORR_TOKENIZE_ADD_SPECIAL);
        if (ids.empty())
            throw Error(ORR_INVALID_ARGUMENT, "text_generation: the prompt is empty and the tokeniser adds no token at its start; give some text");
    } else {
        require_tokenizer();
        json options = {{"add_generation_prompt", true}};
        if (!r.chat_options_json.empty()) options.update(parse_json(r.chat_options_json));
        std::string text;
        check(tokenizer_->chat(tokenizer_, r.messages_json->c_str(), json_text(options).c_str(), append_text, &text));
        ids = encode(text, 0);  // the template writes the special tokens itself
        if (ids.empty()) throw Error(ORR_INVALID_ARGUMENT, "text_generation: the chat template made an empty text of the messages");
    }
    const int64_t most = context();
    if (most > 0 && static_cast<int64_t>(ids.size()) > most)
        throw Error(ORR_LIMIT,
                    "text_generation: the prompt has " + std::to_string(ids.size()) + " tokens, the context holds " + std::to_string(most));
    return ids;
}

// Takes the session back to what it shares with the prompt; at least one token is left to run. Returns how much is shared.
uint64_t Generator::reuse_prefix(const std::vector<int32_t>& prompt) {
    if (changes() != seen_changes_ || api_->session_position(session_) != static_cast<int64_t>(held_.size())) held_.clear();  // the host has used the session
    if (rotary_switch_ && (held_.size() > rotary_switch_) != (prompt.size() > rotary_switch_)) held_.clear();  // its keys are rotated otherwise
    const uint64_t most = std::min(held_.size(), prompt.size() - 1);
    const uint64_t shared =
        static_cast<uint64_t>(std::mismatch(held_.begin(), held_.begin() + static_cast<ptrdiff_t>(most), prompt.begin()).first - held_.begin());
    const int64_t position = api_->session_position(session_);
    if (shared > 0 && position == static_cast<int64_t>(shared)) return shared;
    if (shared > 0 && api_->session_rollback(session_, static_cast<int64_t>(shared)) == ORR_OK) {
        held_.resize(shared);
        seen_changes_ = changes();
        return shared;
    }
    if (position != 0) check(api_->session_reset(session_));
    held_.clear();
    return 0;
}

void Generator::forward(const char* entry, const char* wanted, const int32_t* ids, uint64_t count, const sampling::Parameters& p, uint64_t random_number) {
    if (cancelled_) throw Error(ORR_CANCELLED, "text_generation: cancelled");
    const auto tensor = [](const char* name, uint32_t type, int64_t columns, const void* data) {
        orr_named_tensor t{};
        t.header = ORR_HEADER(orr_named_tensor);
        t.name = name;
        t.type = type;
        t.rank = 2;
        t.shape[0] = 1;
        t.shape[1] = columns;
        t.data = data;
        t.size_bytes = static_cast<uint64_t>(columns) * sizeof(int32_t);
        return t;
    };
    const float numbers[] = {p.temperature, p.top_k, p.top_p, p.min_p};
    const uint32_t random[] = {static_cast<uint32_t>(random_number), static_cast<uint32_t>(random_number >> 32)};
    const orr_named_tensor tensors[] = {tensor("input_ids", ORR_TYPE_I32, static_cast<int64_t>(count), ids), tensor("sampling", ORR_TYPE_F32, 4, numbers), tensor("random", ORR_TYPE_I32, 2, random)};
    const orr_named_tensor* const inputs[] = {&tensors[0], &tensors[1], &tensors[2]};
    const bool draws = !std::strcmp(wanted, "token") && sampling::draws(p.temperature);
    check(api_->session_run(session_, entry, draws ? 3 : 1, inputs, 1, &wanted));
    seen_changes_ = changes();
}

void Generator::forward(const int32_t* ids, uint64_t count, const Answer& a) {
    forward(entry_, a.on_device ? "token" : "logits", ids, count, a.sampler.parameters(), a.random);
    held_.insert(held_.end(), ids, ids + count);
}

void Generator::prefill(const std::vector<int32_t>& prompt, uint64_t from, Answer& a) {
    for (uint64_t at = from, count; at < prompt.size(); at += count) {
        count = std::min(kChunk, prompt.size() - at);
        // The run that ends beyond the switch rotates all its keys in the new way.
        if (prompt.size() > rotary_switch_ && at + count <= rotary_switch_) count = rotary_switch_ + 1 - at;
        forward(prompt.data() + at, count, a);
    }
    finish_step(a);
}

// One more token. Where it makes the sequence so long that all keys are rotated in another way (LongRoPE), the whole is run again.
void Generator::step(int32_t id, Answer& a) {
    if (!rotary_switch_ || held_.size() != rotary_switch_) {
        forward(&id, 1, a);
        finish_step(a);
        return;
    }
    std::vector<int32_t> all = held_;
    all.push_back(id);
    check(api_->session_reset(session_));
    held_.clear();
    prefill(all, 0, a);
}

void Generator::finish_step(Answer& a) {
    if (a.on_device)
        a.token = read_token();
    else
        read_logits(a.row);
}

int32_t Generator::read_token() const {
    orr_named_tensor t{};
    t.header = ORR_HEADER(orr_named_tensor);
    check(api_->session_output(session_, "token", &t));
    if (t.type != ORR_TYPE_I32 || t.size_bytes < sizeof(int32_t)) throw Error(ORR_UNSUPPORTED, "text_generation: entry next gives no i32 token");
    int32_t id;
    std::memcpy(&id, t.data, sizeof id);
    return id;
}

// Of the last run: entry next gives one row, entry forward one of each token.
const float* Generator::logits_row(size_t row, size_t& width) const {
    orr_named_tensor t{};
    t.header = ORR_HEADER(orr_named_tensor);
    check(api_->session_output(session_, "logits", &t));
    width = t.rank > 0 && t.shape[t.rank - 1] > 0 ? static_cast<size_t>(t.shape[t.rank - 1]) : 0;
    if (t.type != ORR_TYPE_F32 || width < 1 || t.size_bytes < (row + 1) * width * sizeof(float))
        throw Error(ORR_UNSUPPORTED, "text_generation: the model gives no f32 logits");
    return static_cast<const float*>(t.data) + row * width;
}

// A copy: the callback and the penalties write into it.
void Generator::read_logits(size_t row) {
    size_t width;
    const float* from = logits_row(row, width);
    logits_.assign(from, from + width);
}

bool Generator::emit(Answer& a, const char* kind, int64_t id, const std::string& text) {
    if (!a.on_event) return true;
    orr_event e{};
    e.header = ORR_HEADER(orr_event);
    e.kind = kind;
    e.name = "";
    e.text = text.c_str();
    e.text_size = text.size();
    e.id = id;
    return a.on_event(a.user, &e);
}

bool Generator::logits_event(Answer& a) {
    if (!a.request.logits_events || !a.on_event) return true;
    orr_named_tensor t = vector_tensor("logits", logits_);
    orr_event e{};
    e.header = ORR_HEADER(orr_event);
    e.kind = "logits";
    e.name = "logits";
    e.text = "";
    e.id = -1;
    e.tensor = &t;
    e.logits = logits_.data();
    return a.on_event(a.user, &e);
}

// Tells one token of the answer. False: the host wants no more.
bool Generator::put_token(Answer& a, int32_t id) {
    a.ids.push_back(id);
    a.sampler.accept(id, true);
    a.piece.clear();
    a.certain.clear();
    if (a.stream) check(a.stream->put(id, a.piece));
    a.stop.put(a.piece, a.certain);
    a.text += a.certain;
    return emit(a, "token", id, a.certain);
}

void Generator::finish_text(Answer& a) {
    a.piece.clear();
    a.certain.clear();
    if (a.stream) check(a.stream->finish(a.piece));
    a.stop.put(a.piece, a.certain);
    a.stop.finish(a.certain);
    if (a.certain.empty()) return;
    a.text += a.certain;
    if (std::strcmp(a.finish, "cancelled")) emit(a, "text", -1, a.certain);
}

// From logits of the prompt's last token to the end of the answer; sets a.finish.
void Generator::generate(Answer& a) {
    const int64_t most = context();
    while (static_cast<int64_t>(a.ids.size()) < a.request.max_tokens) {
        if (!logits_event(a)) {
            a.finish = "cancelled";
            return;
        }
        const int32_t id = a.on_device ? a.token : a.sampler.sample(logits_.data());
        if (id < 0) {
            const bool changed = a.request.logits_events && a.on_event;
            throw Error(changed ? ORR_INVALID_ARGUMENT : ORR_CORRUPT, "text_generation: after " + std::to_string(held_.size()) + " tokens no logit is a number" +
                                                                          (changed ? "; the event callback may have written them" : "; the checkpoint's weights give none"));
        }
        a.count.accepted += a.row < a.draft.size() && a.draft[a.row] == id;
        if (!a.request.ignore_eog && is_eog(id)) {
            a.finish = "eog";
            return;
        }
        const bool go_on = put_token(a, id);
        if (!go_on || a.stop.stopped()) {
            a.finish = a.stop.stopped() ? "stop" : "cancelled";
            return;
        }
        if (static_cast<int64_t>(a.ids.size()) == a.request.max_tokens) return;
        if (most > 0 && static_cast<int64_t>(consumed(a)) >= most) return;  // the context is full
        try {
            if (a.on_device) a.random = a.sampler.next_random();
            advance(id, a);
        } catch (const Error& e) {
            if (e.code() != ORR_LIMIT) throw;
            return;
        }
        a.steps++;
    }
}

std::string Generator::run(const char* request_json, orr_event_fn on_event, void* user) {
    cancelled_ = false;
    const orr_model_info* info = api_->model_info(model_);
    const Request request = parse_request(request_json, info ? info->vocabulary : 0);
    const std::vector<int32_t> prompt = prompt_ids(request);
    require_speculation(request.speculate);
    const double start = now();
    const uint64_t reused = reuse_prefix(prompt);
    std::optional<Answer> answer;
    bool cancelled = false;
    double prompt_s = 0, generate_s = 0;
    try {
        held_.reserve(prompt.size() + Answer::capacity(request) + kMostDraft + 1);
        const int64_t vocabulary = info ? info->vocabulary : 0;
        answer.emplace(request, vocabulary, prompt.size(), on_event, user);
        answer->on_device = samples_ && answer->sampler.plain() && !(request.logits_events && on_event) && request.speculate.draft == Speculation::Draft::none;
        if (answer->on_device) answer->random = answer->sampler.next_random();
        prefill(prompt, reused, *answer);
        prompt_s = now() - start;
        if (!answer->on_device && static_cast<int64_t>(logits_.size()) != vocabulary) {  // not all models say how many there are
            for (const auto& [id, bias] : request.sampler.logit_bias)
                if (static_cast<size_t>(id) >= logits_.size())
                    throw Error(ORR_INVALID_ARGUMENT,
                                "text_generation: logit_bias names token " + std::to_string(id) + ", the model has " + std::to_string(logits_.size()));
            answer.emplace(request, static_cast<int64_t>(logits_.size()), prompt.size(), on_event, user);
        }
        for (const int32_t id : prompt) answer->sampler.accept(id, false);
        if (tokenizer_) check(answer->stream.emplace(tokenizer_).open());
        const double generate_start = now();
        generate(*answer);
        generate_s = now() - generate_start;
    } catch (const Error& e) {
        if (e.code() != ORR_CANCELLED) throw;
        cancelled = true;
        if (!answer) answer.emplace(request, 1, 0, on_event, user);
        answer->finish = "cancelled";
    }
    settle(*answer);
    finish_text(*answer);
    const double ran = static_cast<double>(prompt.size() - reused);
    json result = {{"ids", answer->ids},
                         {"text", answer->text},
                         {"prompt_tokens", prompt.size()},
                         {"reused_tokens", reused},
                         {"finish", answer->finish},
                         {"prompt_s", prompt_s},
                         {"generate_s", generate_s},
                         {"prompt_tokens_per_s", prompt_s > 0 ? ran / prompt_s : 0},
                         {"generate_tokens_per_s", generate_s > 0 ? static_cast<double>(answer->steps) / generate_s : 0},
                         {"seed", request.sampler.seed}};
    if (request.speculate.draft != Speculation::Draft::none) result["speculation"] = speculation_report(request.speculate, answer->count);
    const std::string text = json_text(result);
    emit(*answer, "done", -1, text);
    if (cancelled) throw Error(ORR_CANCELLED, "text_generation: cancelled after " + std::to_string(answer->ids.size()) + " tokens");
    return text;
}

void Generator::cancel() {
    cancelled_ = true;
    api_->session_cancel(session_);
}

}  // namespace orrery::text_generation
