#include "embedder.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/text_task.h"
#include "model/json_text.h"
#include "orrery/plugin.hpp"

namespace orrery::embedding {
namespace {

using nlohmann::json;

// Names of token vectors, in the order in which they are tried: encoders declare the first, decoders name the second.
constexpr const char* kHidden[] = {"last_hidden_state", "norm.output"};

[[noreturn]] void bad(const std::string& text) { throw Error(ORR_INVALID_ARGUMENT, "embedding: " + text); }

void append_ids(void* user, const int32_t* ids, uint64_t count) {
    auto& out = *static_cast<std::vector<int32_t>*>(user);
    out.insert(out.end(), ids, ids + count);
}

struct Request {
    std::vector<std::string> texts;
    bool single = false;
};

Request parse_request(const char* request) {
    const json value = parse_json(request ? request : "");
    if (!value.is_object()) bad("the request is not a valid JSON object");
    Request r;
    for (const auto& [name, item] : value.items()) {
        if (name == "text" && item.is_string()) {
            r.texts.push_back(item.get<std::string>());
            r.single = true;
        } else if (name == "texts" && item.is_array()) {
            for (const json& t : item) {
                if (!t.is_string()) bad("texts holds " + std::string(t.type_name()) + ", it takes texts");
                r.texts.push_back(t.get<std::string>());
            }
        } else if (name == "text" || name == "texts") {
            bad(name + " is " + item.type_name() + ", it takes " + (name == "text" ? "a text" : "a list of texts"));
        } else {
            bad("field \"" + name + "\" is not known; known: text, texts");
        }
    }
    if (value.size() != 1) bad("the request has " + std::to_string(value.size()) + " fields, it takes text or texts");
    return r;
}

}  // namespace

std::string lower_case(std::string_view text) {
    std::string out;
    const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
    for (size_t at = 0; at < text.size();) {
        utf8proc_int32_t point = 0;
        const utf8proc_ssize_t n = utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &point);
        if (n <= 0) {
            out += text[at++];
            continue;
        }
        utf8proc_uint8_t buffer[4];
        const utf8proc_ssize_t size = utf8proc_encode_char(point == 0x130 ? 'i' : utf8proc_tolower(point), buffer);
        out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(size));
        if (point == 0x130) out += "\xcc\x87";  // the one letter whose lower case is two: i and a dot above
        at += static_cast<size_t>(n);
    }
    return out;
}

std::vector<int32_t> truncate(const std::vector<int32_t>& ids, const std::vector<int32_t>& plain, int64_t most) {
    const size_t limit = static_cast<size_t>(most);
    if (most <= 0 || ids.size() <= limit) return ids;
    const auto begin = std::search(ids.begin(), ids.end(), plain.begin(), plain.end());
    const size_t special = ids.size() - plain.size();
    if (begin == ids.end() || plain.empty() || special >= limit) return {ids.begin(), ids.begin() + most};
    std::vector<int32_t> out(ids.begin(), begin + static_cast<ptrdiff_t>(limit - special));
    out.insert(out.end(), begin + static_cast<ptrdiff_t>(plain.size()), ids.end());
    return out;
}

Embedder::Embedder(const orr_host* host, orr_model* model, orr_session* session)
    : api_(static_cast<const orr_host_api*>(host->get_extension(host, ORR_EXT_HOST_API))), session_(session), own_session_(!session) {
    if (!api_ || !ORR_HAS(api_, orr_host_api, model_checkpoint))
        throw Error(ORR_ABI_MISMATCH, std::string("embedding: the engine has no whole ") + ORR_EXT_HOST_API);
    tokenizer_ = api_->model_tokenizer(model);
    if (!tokenizer_) throw Error(ORR_UNSUPPORTED, std::string("embedding: the model's tokeniser cannot be used: ") + api_->error_text());
    const orr_model_info* info = api_->model_info(model);
    recipe_ = read_recipe(api_->model_files(model), api_->model_checkpoint(model), info ? info->context_length : 0);
    if (own_session_) check(api_->session_create(model, nullptr, &session_));
    if (ORR_HAS(api_, orr_host_api, session_context) && api_->session_context) {
        const int64_t context = api_->session_context(session_);
        if (context > 0) recipe_.max_tokens = recipe_.max_tokens > 0 ? std::min(recipe_.max_tokens, context) : context;
    }
}

Embedder::~Embedder() {
    if (own_session_) api_->session_release(session_);
}

void Embedder::check(orr_status status) const {
    if (status != ORR_OK) throw Error(status, api_->error_text());
}

std::vector<int32_t> Embedder::tokens(const std::string& text) const {
    std::string prepared = recipe_.prompt + text;
    if (recipe_.lower_case) prepared = lower_case(prepared);
    std::vector<int32_t> ids, plain;
    check(tokenizer_->encode(tokenizer_, prepared.data(), prepared.size(), ORR_TOKENIZE_ADD_SPECIAL, append_ids, &ids));
    if (recipe_.max_tokens > 0 && static_cast<int64_t>(ids.size()) > recipe_.max_tokens) {
        check(tokenizer_->encode(tokenizer_, prepared.data(), prepared.size(), 0, append_ids, &plain));
        ids = truncate(ids, plain, recipe_.max_tokens);
    }
    if (ids.empty()) bad("the text is empty and the tokeniser adds no tokens of its own");
    return ids;
}

// Runs the default entry on one sequence: no padding, so no mask. [1, T, E] f32.
orr_named_tensor Embedder::hidden(const std::vector<int32_t>& ids) {
    orr_named_tensor input{};
    input.header = ORR_HEADER(orr_named_tensor);
    input.name = "input_ids";
    input.type = ORR_TYPE_I32;
    input.rank = 2;
    input.shape[0] = 1;
    input.shape[1] = static_cast<int64_t>(ids.size());
    input.data = ids.data();
    input.size_bytes = ids.size() * sizeof(int32_t);
    const orr_named_tensor* const inputs[] = {&input};
    check(api_->session_reset(session_));
    if (output_) {
        check(api_->session_run(session_, nullptr, 1, inputs, 1, &output_));
    } else {
        orr_status status = ORR_NOT_FOUND;
        for (const char* const* name = kHidden; name != std::end(kHidden) && (status == ORR_NOT_FOUND || status == ORR_INVALID_ARGUMENT); name++) {
            status = api_->session_run(session_, nullptr, 1, inputs, 1, name);
            if (status == ORR_OK) output_ = *name;
        }
        check(status);
    }
    orr_named_tensor t{};
    t.header = ORR_HEADER(orr_named_tensor);
    check(api_->session_output(session_, output_, &t));
    if (t.type != ORR_TYPE_F32 || t.rank != 3 || t.shape[0] != 1 || t.shape[1] != input.shape[1])
        throw Error(ORR_UNSUPPORTED, std::string("embedding: ") + output_ + " is not one f32 vector for each token");
    return t;
}

std::vector<float> Embedder::embed(const std::string& text) {
    const orr_named_tensor t = hidden(tokens(text));
    std::vector<float> vector;
    pool(recipe_.modes, static_cast<const float*>(t.data), t.shape[1], t.shape[2], vector);
    if (recipe_.normalise) normalise(vector);
    return vector;
}

std::string Embedder::run(const char* request_json, orr_event_fn on_event, void* user) {
    cancelled_ = false;
    const Request request = parse_request(request_json);
    json vectors = json::array();
    for (const std::string& text : request.texts) {
        if (cancelled_) throw Error(ORR_CANCELLED, "embedding: cancelled");
        const std::vector<float> vector = embed(text);
        orr_named_tensor t = vector_tensor("vector", vector);
        orr_event e{};
        e.header = ORR_HEADER(orr_event);
        e.kind = "tensor";
        e.name = "vector";
        e.text = "";
        e.id = static_cast<int64_t>(vectors.size());
        e.tensor = &t;
        if (on_event && !on_event(user, &e))
            throw Error(ORR_CANCELLED, "embedding: cancelled after " + std::to_string(vectors.size() + 1) + " texts");
        vectors.push_back(vector);
    }
    return json_text(request.single ? json{{"vector", vectors[0]}} : json{{"vectors", vectors}});
}

void Embedder::cancel() {
    cancelled_ = true;
    api_->session_cancel(session_);
}

}  // namespace orrery::embedding
