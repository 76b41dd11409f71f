#include "sampling.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>

#include "interrupt.hpp"

namespace orrery::cli {

namespace {
// Range takes nan, and without one all is taken.
const CLI::Validator kNumber(
    [](const std::string& text) {
        double value = 0;
        return CLI::detail::lexical_cast(text, value) && std::isfinite(value) ? "" : text + " is no finite number";
    },
    "");
const CLI::Validator kNonEmpty([](const std::string& text) { return text.empty() ? std::string("the text is empty") : ""; }, "");

// The member "speculate" of a request.
json speculation(const Sampling& s) {
    if (s.speculate.empty()) throw UsageError("--draft goes with --speculate");
    json out = json::object();
    for (const std::string& given : s.speculate) {
        const size_t colon = given.find(':');
        const std::string how = given.substr(0, colon), argument = colon == std::string::npos ? "" : given.substr(colon + 1);
        int64_t ngram = 2;
        if (out.contains(how)) throw UsageError("--speculate " + how + " is given twice");
        if (how == "lookup") {
            if (colon != std::string::npos && !(CLI::detail::lexical_cast(argument, ngram) && ngram >= 1 && ngram <= 32)) throw UsageError("--speculate " + given + ": wanted lookup, or lookup:N with N from 1 to 32");
            out[how] = ngram;
        } else {
            if (how.empty() || how == "draft" || argument.empty())
                throw UsageError("--speculate " + given + ": wanted lookup, lookup:N, or NAME:VALUE with a control of the model, layer_plan:PLAN or ffn_width:SHARE");
            const json value = json::parse(argument, nullptr, false);
            out[how] = value.is_discarded() ? json(argument) : value;  // what is no JSON is a string
        }
    }
    if (s.draft) out["draft"] = *s.draft;
    return out;
}
}  // namespace

void add_sampling(CLI::App& app, Sampling& s) {
    const std::string group = "Generation";
    app.add_option("-n,--max-tokens", s.max_tokens, "most tokens to generate")->check(CLI::Range(int64_t{0}, int64_t{1} << 31))->group(group);
    app.add_option("--temperature", s.temperature, "0: the likeliest token each time")->check(CLI::Range(0.0, 1e6))->check(kNumber)->group(group);
    app.add_option("--top-k", s.top_k, "keep the k likeliest tokens; 0: all")->check(CLI::Range(int64_t{0}, int64_t{1} << 31))->group(group);
    app.add_option("--top-p", s.top_p, "keep the likeliest tokens that make up this probability")->check(CLI::Range(0.0, 1.0))->check(kNumber)->group(group);
    app.add_option("--min-p", s.min_p, "keep tokens at least this likely relative to the likeliest")->check(CLI::Range(0.0, 1.0))->check(kNumber)->group(group);
    app.add_option("--repetition-penalty", s.repetition_penalty, "divides logits of tokens seen; 1: none")->check(CLI::PositiveNumber)->check(kNumber)->group(group);
    app.add_option("--presence-penalty", s.presence_penalty, "subtracted once from tokens generated before")->check(kNumber)->group(group);
    app.add_option("--frequency-penalty", s.frequency_penalty, "subtracted each time a token was generated before")->check(kNumber)->group(group);
    app.add_option("--seed", s.seed, "of the random generator; the same seed gives the same text")->group(group);
    app.add_option("--stop", s.stop, "text that ends the answer; may be given several times")->check(kNonEmpty)->allow_extra_args(false)->group(group);
    app.add_flag("--ignore-eog", s.ignore_eog, "go on after tokens that end an answer")->group(group);
    app.add_option("--speculate", s.speculate, "draft tokens and verify several a step, the answer stays the same: lookup[:N] copies what followed the last N tokens (2) before; NAME:VALUE, repeatable, drafts with the smaller model that controls make: layer_plan:PLAN, ffn_width:0.5")
        ->allow_extra_args(false)
        ->group(group);
    app.add_option("--draft", s.draft, "with --speculate: most tokens of a draft; 7 if not given")->check(CLI::Range(int64_t{1}, int64_t{7}))->group(group);
}

json sampling_request(const Sampling& s) {
    const uint64_t seed = s.seed ? *s.seed : std::random_device{}();
    json request = {{"max_tokens", s.max_tokens},
            {"temperature", s.temperature},
            {"top_k", s.top_k},
            {"top_p", s.top_p},
            {"min_p", s.min_p},
            {"repetition_penalty", s.repetition_penalty},
            {"presence_penalty", s.presence_penalty},
            {"frequency_penalty", s.frequency_penalty},
            {"seed", seed},
            {"stop", s.stop},
            {"ignore_eog", s.ignore_eog}};
    if (!s.speculate.empty() || s.draft) request["speculate"] = speculation(s);
    return request;
}

json generate(host::Task& task, const json& request, bool quiet, ProgressLine& progress, bool& cancelled) {
    const ProgressLine::Scope shown(progress);
    const Interrupt interrupt([&] { task.cancel(); });
    json summary;
    const auto on_event = [&](const orr_event& e) {
        progress.end();
        if (std::strcmp(e.kind, "done") == 0) {
            summary = parse_json({e.text, static_cast<size_t>(e.text_size)});
        } else if (!quiet && e.text_size && (std::strcmp(e.kind, "token") == 0 || std::strcmp(e.kind, "text") == 0)) {
            std::fwrite(e.text, 1, static_cast<size_t>(e.text_size), stdout);
            std::fflush(stdout);
        }
        return !interrupt.seen();
    };
    cancelled = false;
    try {
        json result = parse_json(task.run(request.dump(-1, ' ', false, json::error_handler_t::replace), on_event));
        cancelled = interrupt.seen();
        return result;
    } catch (const host::Error& e) {
        if (e.status() != ORR_CANCELLED || !interrupt.seen()) throw;
        cancelled = true;
        return summary;
    }
}

std::string speed_line(const json& r) {
    char text[160];
    std::snprintf(text, sizeof text, "%lld prompt tokens at %.1f/s, %zu tokens at %.1f/s",
                  static_cast<long long>(r.value("prompt_tokens", int64_t{0})), r.value("prompt_tokens_per_s", 0.0),
                  r.contains("ids") ? r["ids"].size() : 0, r.value("generate_tokens_per_s", 0.0));
    std::string line = text;
    if (const json d = r.value("speculation", json()); d.is_object()) {
        std::snprintf(text, sizeof text, "; %lld of %lld drafted tokens accepted (%.0f %%), %.2f tokens a verified step", static_cast<long long>(d.value("accepted", int64_t{0})),
                      static_cast<long long>(d.value("drafted", int64_t{0})), 100 * d.value("acceptance", 0.0), d.value("tokens_per_verify_step", 0.0));
        line += text;
    }
    return line;
}

}  // namespace orrery::cli
