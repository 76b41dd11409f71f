#include "request.hpp"

#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "model/json_text.h"
#include "orrery/plugin.hpp"

namespace orrery::text_generation {

const char* const kRequestDoc =
    "prompt (text), ids (token ids) or messages ([{\"role\", \"content\"}], put through the chat template; chat_options: an object for it); "
    "max_tokens 64; temperature 0.8 (0: the likeliest token); top_k 40 (0: all); top_p 0.95; min_p 0; repetition_penalty 1 (prompt and answer); "
    "presence_penalty 0, frequency_penalty 0 (answer); seed 1 (SplitMix64); stop (text or list of texts, never part of the answer); "
    "logit_bias ({\"id\": number}); logits_events false; ignore_eog false; "
    "speculate: {\"lookup\": 2} (drafts what followed the last 2 tokens before) or controls of the model, {\"layer_plan\": \"0-7,20-27\"}, "
    "{\"ffn_width\": 0.5} (drafts with the smaller model that they make of it), with "
    "\"draft\": 7 (tokens at most): drafts are verified several tokens a step, and the answer is the same without. "
    "Events: token (id, and the text that is certain by now), text (the rest, after the last token), logits (before penalties, writable), done (the "
    "result). "
    "The texts of all token and text events together are the result's text. "
    "Result: ids (new tokens), text, prompt_tokens, reused_tokens, finish (stop, length, eog, cancelled), prompt_s, generate_s, prompt_tokens_per_s, "
    "generate_tokens_per_s, seed; of speculate: speculation (draft, drafted, accepted, acceptance, verify_steps, plain_steps, tokens_per_verify_step, draft_s, "
    "verify_s). "
    "An event callback that returns false ends the answer (finish cancelled); orr_task_cancel makes the call return ORR_CANCELLED.";

namespace {

using nlohmann::json;

[[noreturn]] void bad(const std::string& text) { throw Error(ORR_INVALID_ARGUMENT, "text_generation: " + text); }

std::string shown(const json& value) {
    std::string text = value.is_structured() ? value.type_name() : json_text(value);
    return text.size() > 60 ? text.substr(0, 60) + "…" : text;
}

double number(const std::string& name, const json& value, double low, double high, const char* range) {
    if (!value.is_number() || !(value.get<double>() >= low) || !(value.get<double>() <= high))
        bad(name + " is " + shown(value) + ", it takes " + range);
    return value.get<double>();
}

int64_t integer(const std::string& name, const json& value, int64_t low, int64_t high) {
    const bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= INT64_MAX : value.is_number_integer();
    if (!fits || value.get<int64_t>() < low || value.get<int64_t>() > high)
        bad(name + " is " + shown(value) + ", it takes an integer from " + std::to_string(low) + " to " + std::to_string(high));
    return value.get<int64_t>();
}

bool boolean(const std::string& name, const json& value) {
    if (!value.is_boolean()) bad(name + " is " + shown(value) + ", it takes true or false");
    return value.get<bool>();
}

const std::string& text(const std::string& name, const json& value) {
    if (!value.is_string()) bad(name + " is " + shown(value) + ", it takes a text");
    return value.get_ref<const std::string&>();
}

int32_t token_id(const std::string& name, const json& value, int64_t vocabulary) {
    return static_cast<int32_t>(integer(name, value, 0, vocabulary > 0 ? vocabulary - 1 : INT32_MAX));
}

std::vector<int32_t> token_ids(const json& value, int64_t vocabulary) {
    if (!value.is_array()) bad("ids is " + shown(value) + ", it takes a list of token ids");
    std::vector<int32_t> ids;
    for (size_t i = 0; i < value.size(); i++) ids.push_back(token_id("ids[" + std::to_string(i) + "]", value[i], vocabulary));
    return ids;
}

std::vector<std::string> stops(const json& value) {
    std::vector<std::string> out;
    for (const json& item : value.is_array() ? value : json::array({value})) {
        out.push_back(text("stop", item));
        if (out.back().empty()) bad("stop holds an empty text");
    }
    return out;
}

std::vector<std::pair<int32_t, float>> biases(const json& value, int64_t vocabulary) {
    if (!value.is_object()) bad("logit_bias is " + shown(value) + ", it takes an object of token id to number");
    std::vector<std::pair<int32_t, float>> out;
    for (const auto& [key, bias] : value.items()) {
        const json id = parse_json(key);
        const int32_t token = token_id("logit_bias key", id.is_number_integer() ? id : json(key), vocabulary);
        out.emplace_back(token, static_cast<float>(number("logit_bias " + key, bias, -1e30, 1e30, "a finite number")));
    }
    return out;
}

const std::string& messages(const json& value, std::string& dumped) {
    if (!value.is_array()) bad("messages is " + shown(value) + ", it takes a list of {\"role\", \"content\"}");
    for (const json& m : value)
        if (!m.is_object() || !m.contains("role") || !m["role"].is_string()) bad("messages holds " + shown(m) + ", each is an object with a role");
    return dumped = json_text(value);
}

Speculation speculation(const json& value) {
    if (!value.is_object()) bad("speculate is " + shown(value) + ", it takes an object with lookup, or with controls of the model");
    Speculation s;
    for (const auto& [name, item] : value.items()) {
        if (name == "lookup")
            s.ngram = integer("speculate.lookup", item, 1, 32), s.draft = Speculation::Draft::lookup;
        else if (name == "draft")
            s.most = integer("speculate.draft", item, 1, kMostDraft);
        else if (item.is_null() || item == "")
            bad("speculate." + name + " is " + shown(item) + ", the control's value while drafting is wanted");
        else
            s.controls.emplace_back(name, json_text(item));
    }
    if (s.draft == Speculation::Draft::lookup && !s.controls.empty()) bad("speculate has lookup and the control " + s.controls[0].first + ", it drafts by one of them");
    if (!s.controls.empty()) s.draft = Speculation::Draft::controls;
    if (s.draft == Speculation::Draft::none) bad("speculate tells neither lookup nor a control of the model (layer_plan, ffn_width …) to draft with");
    return s;
}

json parse(const char* request) {
    if (!request) bad("the request is NULL");
    // Bounded nesting, since writing a value out again recurses.
    const auto shallow = [](int depth, json::parse_event_t, json&) {
        if (depth > 64) bad("the request is nested more than 64 deep");
        return true;
    };
    json value;
    try {
        value = json::parse(request, shallow);
    } catch (const json::parse_error& e) {
        bad("the request is not valid JSON: byte " + std::to_string(e.byte) + " of " + std::to_string(std::strlen(request)) + " is not what can stand there");
    } catch (const json::exception&) {
        bad("the request is not valid JSON: a number in it is out of range");
    }
    if (!value.is_object()) bad("the request is " + shown(value) + ", it takes an object");
    return value;
}

}  // namespace

Request parse_request(const char* request_json, int64_t vocabulary) {
    const json value = parse(request_json);
    Request r;
    SamplerOptions& s = r.sampler;
    constexpr int64_t kMany = int64_t{1} << 40;
    std::string dumped;
    const std::map<std::string, std::function<void(const json&)>> fields = {
        {"prompt", [&](const json& v) { r.prompt = text("prompt", v); }},
        {"ids", [&](const json& v) { r.ids = token_ids(v, vocabulary); }},
        {"messages", [&](const json& v) { r.messages_json = messages(v, dumped); }},
        {"chat_options",
         [&](const json& v) {
             if (!v.is_object()) bad("chat_options is " + shown(v) + ", it takes an object");
             r.chat_options_json = json_text(v);
         }},
        {"max_tokens", [&](const json& v) { r.max_tokens = integer("max_tokens", v, 0, kMany); }},
        {"temperature", [&](const json& v) { s.temperature = number("temperature", v, 0, 1e30, "a number from 0 on"); }},
        {"top_k", [&](const json& v) { s.top_k = integer("top_k", v, 0, kMany); }},
        {"top_p", [&](const json& v) { s.top_p = number("top_p", v, 0, 1, "a number from 0 to 1"); }},
        {"min_p", [&](const json& v) { s.min_p = number("min_p", v, 0, 1, "a number from 0 to 1"); }},
        {"repetition_penalty", [&](const json& v) { s.repetition_penalty = number("repetition_penalty", v, 1e-30, 1e30, "a number above 0"); }},
        {"presence_penalty", [&](const json& v) { s.presence_penalty = number("presence_penalty", v, -1e30, 1e30, "a finite number"); }},
        {"frequency_penalty", [&](const json& v) { s.frequency_penalty = number("frequency_penalty", v, -1e30, 1e30, "a finite number"); }},
        {"seed",
         [&](const json& v) {
             s.seed = v.is_number_unsigned() ? v.get<uint64_t>() : static_cast<uint64_t>(integer("seed", v, INT64_MIN, INT64_MAX));
         }},
        {"stop", [&](const json& v) { r.stop = stops(v); }},
        {"logit_bias", [&](const json& v) { s.logit_bias = biases(v, vocabulary); }},
        {"logits_events", [&](const json& v) { r.logits_events = boolean("logits_events", v); }},
        {"ignore_eog", [&](const json& v) { r.ignore_eog = boolean("ignore_eog", v); }},
        {"speculate", [&](const json& v) { r.speculate = speculation(v); }},
    };
    for (const auto& [name, item] : value.items()) {
        const auto field = fields.find(name);
        if (field == fields.end()) {
            std::string known;
            for (const auto& [k, f] : fields) known += (known.empty() ? "" : ", ") + k;
            bad("field \"" + name + "\" is not known; known: " + known);
        }
        field->second(item);
    }
    const int given = r.prompt.has_value() + r.ids.has_value() + r.messages_json.has_value();
    if (given != 1) bad("the request has " + std::to_string(given) + " of prompt, ids and messages, it takes one");
    return r;
}

}  // namespace orrery::text_generation
