// Speculation of the text_generation task on the host of fake_host.hpp: whatever is drafted, what comes out is what single steps give.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "fake_host.hpp"
#include "tasks/text_generation/draft.hpp"

const orr_task_kind* orr_task_text_generation();

namespace {

using nlohmann::json;
using namespace orrery::text_generation;

std::vector<int32_t> looked_up(const std::string& text, int64_t ngram, int64_t most) {
    std::vector<int32_t> draft = {99};
    look_up({text.begin(), text.end()}, ngram, most, draft);
    return draft;
}
std::vector<int32_t> ids(const std::string& text) { return {text.begin(), text.end()}; }

TEST(LookUp, CopiesWhatFollowed) {
    EXPECT_EQ(looked_up("the cat sat. the c", 3, 4), ids("at s"));
    EXPECT_EQ(looked_up("the cat sat. the c", 3, 0), ids(""));
    EXPECT_EQ(looked_up("one two", 1, 4), ids("ne t"));
    EXPECT_EQ(looked_up("one twx", 1, 4), ids(""));
    EXPECT_EQ(looked_up("", 2, 4), ids(""));
    EXPECT_EQ(looked_up("a", 1, 4), ids(""));
}

TEST(LookUp, TheLongestAgreementThenTheLatest) {
    EXPECT_EQ(looked_up("xab1 ab2 xab", 2, 1), ids("1"));
    EXPECT_EQ(looked_up("ab1 ab2 xab", 2, 1), ids("2"));
    EXPECT_EQ(looked_up("ab1 ab2 xab", 3, 1), ids(""));
    EXPECT_EQ(looked_up("ab1 ab2 ab", 3, 1), ids("2"));
}

TEST(LookUp, WhatRunsIntoTheEndGoesOnWithItself) {
    EXPECT_EQ(looked_up("xyzxyz", 2, 7), ids("xyzxyzx"));
    EXPECT_EQ(looked_up("baaaa", 2, 3), ids("aaa"));
    EXPECT_EQ(looked_up(std::string(5000, 'a'), 2, 2), ids("aa"));
}

TEST(DraftLength, GrowsWithSuccess) {
    DraftLength length(7);
    EXPECT_EQ(length.get(), 7);
    for (const auto& [drafted, accepted, next] : {std::tuple{7, 2, 3}, {3, 3, 6}, {6, 0, 1}, {1, 1, 2}, {2, 2, 4}, {4, 4, 7}, {1, 1, 7}, {7, 6, 7}}) {
        length.learn(drafted, accepted);
        EXPECT_EQ(length.get(), next);
    }
}

struct Outcome {
    orr_status status;
    std::string error;
    json result;
    std::vector<std::string> events;
    std::vector<int32_t> held;
    std::vector<size_t> runs;
};

class SpeculationTest : public testing::Test {
  protected:
    // A session of its own, so that two outcomes do not know of each other.
    Outcome run(json request, const json& speculate) {
        fake::state = &state_;
        if (!request.contains("temperature")) request["temperature"] = 0;
        if (!speculate.is_null()) request["speculate"] = speculate;
        EXPECT_EQ(kind_->create(fake::host(), nullptr, nullptr, &task_), ORR_OK);
        Outcome o;
        outcome_ = &o;
        tokens_ = 0;
        state_.cancelled = false;
        orr_text* text = nullptr;
        o.status = kind_->run(task_, request.dump().c_str(), on_event, this, &text);
        if (text) o.result = json::parse(text->text);
        delete text;
        if (o.status != ORR_OK) o.error = state_.error;
        o.held = state_.session->ids;
        for (const auto& r : state_.session->runs) o.runs.push_back(r.size());
        kind_->destroy(task_);
        return o;
    }
    static bool on_event(void* user, const orr_event* e) {
        auto& self = *static_cast<SpeculationTest*>(user);
        if (std::string(e->kind) != "done") self.outcome_->events.push_back(std::string(e->kind) + " " + std::to_string(e->id) + " " + std::string(e->text, e->text_size));
        self.tokens_ += std::string(e->kind) == "token";
        if (self.cancel_after_ && self.tokens_ == self.cancel_after_) self.kind_->cancel(self.task_);
        return !self.stop_after_ || self.tokens_ < self.stop_after_;
    }
    // Both ways; gives what was drafted.
    json same(const json& request, const json& speculate) {
        const Outcome plain = run(request, nullptr), drafted = run(request, speculate);
        const std::string where = request.dump() + speculate.dump();
        EXPECT_EQ(plain.status, drafted.status) << where;
        EXPECT_EQ(plain.error, drafted.error) << where;
        EXPECT_EQ(plain.events, drafted.events) << where;
        EXPECT_EQ(plain.held, drafted.held) << where;
        for (const char* what : {"ids", "text", "finish", "prompt_tokens", "reused_tokens"})
            if (!plain.result.is_null()) EXPECT_EQ(plain.result[what], drafted.result[what]) << where;
        last_ = drafted;
        return drafted.result.is_null() ? json() : drafted.result["speculation"];
    }

    fake::State state_;
    const orr_task_kind* kind_ = orr_task_text_generation();
    void* task_ = nullptr;
    Outcome* outcome_ = nullptr;
    Outcome last_;
    size_t tokens_ = 0, stop_after_ = 0, cancel_after_ = 0;
};

const std::string kAlphabet = "abcdefghijklmnopqrstuvwxyz";
const json kLookUp = {{"lookup", 2}};

TEST_F(SpeculationTest, CopiesAreVerifiedEightAtATime) {
    const json s = same({{"prompt", kAlphabet + "ab"}, {"max_tokens", 17}}, kLookUp);
    EXPECT_EQ(last_.result["text"], "cdefghijklmnopqrs");
    EXPECT_EQ(last_.runs, (std::vector<size_t>{29, 8, 8}));
    EXPECT_EQ(s["draft"], "lookup");
    EXPECT_EQ(s["drafted"], 14);
    EXPECT_EQ(s["accepted"], 14);
    EXPECT_EQ(s["acceptance"], 1.0);
    EXPECT_EQ(s["verify_steps"], 2);
    EXPECT_EQ(s["plain_steps"], 0);
    EXPECT_EQ(s["tokens_per_verify_step"], 8.0);
    EXPECT_FALSE(run({{"prompt", "a"}, {"max_tokens", 1}}, nullptr).result.contains("speculation"));
}

TEST_F(SpeculationTest, WrongDraftsAreTakenBack) {
    // After "ab" came "X" before; the model says "c".
    const json s = same({{"prompt", "abXYZabXYZab"}, {"max_tokens", 12}}, {{"lookup", 2}, {"draft", 3}});
    EXPECT_EQ(last_.result["text"], "cdefghijklmn");
    EXPECT_EQ(s["accepted"], 0);
    EXPECT_EQ(s["drafted"], 0);  // "bc" was never there
    const json wrong = same({{"prompt", "bcXYZabcXYZab"}, {"max_tokens", 12}}, {{"lookup", 2}, {"draft", 3}});
    EXPECT_EQ(wrong["drafted"], 3);
    EXPECT_EQ(wrong["accepted"], 0);
    EXPECT_EQ(wrong["verify_steps"], 1);
    EXPECT_EQ(wrong["plain_steps"], 10);
    // "de" was right, "f" was not there; then "h".
    const json half = same({{"prompt", "abcdeXYZWVUfgh..ab"}, {"max_tokens", 9}}, kLookUp);
    EXPECT_EQ(half["accepted"], 2 + 1);
}

TEST_F(SpeculationTest, EveryTokenLimit) {
    for (int n = 0; n < 30; n++) same({{"prompt", kAlphabet + "ab"}, {"max_tokens", n}}, kLookUp);
}

TEST_F(SpeculationTest, EveryContext) {
    for (int n = 29; n < 64; n++) {
        state_.context = n;
        same({{"prompt", kAlphabet + "ab"}, {"max_tokens", 100}}, kLookUp);
    }
}

TEST_F(SpeculationTest, StopTextsAndTheEndInsideADraft) {
    for (const char* stop : {"c", "d", "fg", "ijk", "klm", "m", "zab", "!"}) {
        const json s = same({{"prompt", kAlphabet + "ab"}, {"stop", stop}, {"max_tokens", 30}}, kLookUp);
        EXPECT_GT(s["drafted"].get<int>() + (*stop == 'c'), 0);
    }
    EXPECT_EQ(last_.result["finish"], "length");
    for (const char end : {'d', 'g', 'k'}) {
        state_.next = [=](int32_t last) { return last == end ? fake::kEnd : (last - 'a' + 1) % 26 + 'a'; };
        same({{"prompt", kAlphabet + "ab"}, {"max_tokens", 30}}, kLookUp);
        EXPECT_EQ(last_.result["finish"], "eog");
    }
    // An end that was drafted and is the answer's end too.
    std::vector<int> prompt = {'a', 'b', 'c', 'd', fake::kEnd, 'a', 'b'};
    state_.next = [](int32_t last) { return last == 'd' ? fake::kEnd : last == fake::kEnd ? 'a' : last + 1; };
    same({{"ids", prompt}, {"max_tokens", 30}}, kLookUp);
    EXPECT_EQ(last_.result["text"], "cd");
    same({{"ids", prompt}, {"max_tokens", 30}, {"ignore_eog", true}}, kLookUp);
}

TEST_F(SpeculationTest, StoppedAndCancelledAtEveryToken) {
    for (stop_after_ = 1; stop_after_ < 20; stop_after_++) same({{"prompt", kAlphabet + "ab"}, {"max_tokens", 30}}, kLookUp);
    stop_after_ = 0;
    for (cancel_after_ = 1; cancel_after_ < 20; cancel_after_++) {
        same({{"prompt", kAlphabet + "ab"}, {"max_tokens", 30}}, kLookUp);
        EXPECT_EQ(last_.status, ORR_CANCELLED);
    }
}

TEST_F(SpeculationTest, DrawnTokensAndPenaltiesAreThoseOfSingleSteps) {
    int accepted = 0;
    for (const json& more : {json{{"temperature", 2}}, json{{"temperature", 1.5}, {"top_k", 9}}, json{{"repetition_penalty", 3}}, json{{"frequency_penalty", 6}, {"presence_penalty", 1}},
                             json{{"logit_bias", {{"120", 9.5}}}}, json{{"temperature", 1}, {"top_k", 0}, {"top_p", 1}, {"logits_events", true}}})
        for (int seed = 0; seed < 8; seed++) {
            json request = {{"prompt", kAlphabet + "ab"}, {"max_tokens", 34}, {"seed", seed}};
            request.update(more);
            accepted += same(request, kLookUp)["accepted"].get<int>();
            same(request, {{"layer_plan", "0-3"}});
        }
    EXPECT_GT(accepted, 50);
}

// Runs end before the length at which all keys are rotated in another way, or where the rotation begins to follow the length.
TEST_F(SpeculationTest, NoDraftReachesBeyondAChangeOfRotations) {
    for (const int at : {29, 30, 31, 35, 36, 37, 40, 44}) {
        state_.info_json = R"({"rotary_switch": )" + std::to_string(at) + "}";
        same({{"prompt", kAlphabet + "ab"}, {"max_tokens", 30}}, kLookUp);
        size_t held = 0;
        for (const size_t n : last_.runs) {
            if (n == static_cast<size_t>(at) + 1) held = 0;  // the whole again
            EXPECT_FALSE(held > 0 && held <= static_cast<size_t>(at) && held + n > static_cast<size_t>(at)) << held << " + " << n << ", switch at " << at;
            held += n;
        }
        state_.info_json = R"({"rotary_growth": )" + std::to_string(at) + "}";
        same({{"prompt", kAlphabet + "ab"}, {"max_tokens", 30}}, kLookUp);
        held = 0;
        for (const size_t n : last_.runs) {
            EXPECT_TRUE(n == 1 || held == 0 || held + n <= static_cast<size_t>(at)) << held << " + " << n << ", growth at " << at;
            held += n;
        }
    }
}

TEST_F(SpeculationTest, AShortenedPlanDrafts) {
    for (const bool samples : {false, true}) {
        state_.info_json = samples ? R"({"samples": true})" : "{}";
        state_.short_next = state_.next;
        json s = same({{"prompt", "a"}, {"max_tokens", 9}}, {{"layer_plan", "0-3"}});
        EXPECT_EQ(s["draft"], "layer_plan");
        EXPECT_EQ(s["drafted"], 7);
        EXPECT_EQ(s["accepted"], 7);
        EXPECT_EQ(last_.runs, (std::vector<size_t>{2, 1, 1, 1, 1, 1, 1, 1, 8}));
        // Wrong after every "d" and "k".
        state_.short_next = [this](int32_t last) { return last == 'd' || last == 'k' ? 'A' : state_.next(last); };
        s = same({{"prompt", "a"}, {"max_tokens", 20}}, {{"layer_plan", "0-3"}, {"draft", 4}});
        EXPECT_LT(s["accepted"], s["drafted"]);
        EXPECT_GT(s["accepted"], 8);
        EXPECT_TRUE(state_.controls.empty());
        // The session's own plan comes back.
        state_.controls["layer_plan"] = "\"0-5\"";
        run({{"prompt", "a"}, {"max_tokens", 20}}, {{"layer_plan", "0-3"}});
        EXPECT_EQ(state_.controls["layer_plan"], "\"0-5\"");
        state_.controls.clear();
    }
}

TEST_F(SpeculationTest, SeveralControlsDraft) {
    state_.short_next = state_.next;
    state_.controls["bypass"] = "\"2.ffn\"";
    std::vector<std::map<std::string, std::string>> seen;
    state_.before_run = [&] { seen.push_back(state_.controls); };
    const Outcome o = run({{"prompt", "a"}, {"max_tokens", 9}}, {{"layer_plan", "0-3"}, {"bypass", "1.ffn"}, {"draft", 2}});
    EXPECT_EQ(o.result["speculation"]["draft"], "bypass+layer_plan");
    EXPECT_GT(o.result["speculation"]["accepted"], 3);
    const std::map<std::string, std::string> own = {{"bypass", "\"2.ffn\""}}, drafting = {{"bypass", "\"1.ffn\""}, {"layer_plan", "\"0-3\""}};
    EXPECT_EQ(seen.front(), own);
    EXPECT_EQ(seen[1], drafting);
    EXPECT_EQ(seen[2], drafting);
    EXPECT_EQ(seen[3], own);
    EXPECT_EQ(state_.controls, own);
}

TEST_F(SpeculationTest, ADraftThatFailsLeavesTheSessionAsItWas) {
    int runs = 0;
    state_.before_run = [&] {
        if (++runs == 4) state_.cancelled = true;  // the third drafted token
    };
    const Outcome o = run({{"prompt", "a"}, {"max_tokens", 9}}, {{"layer_plan", "0-3"}});
    EXPECT_EQ(o.status, ORR_CANCELLED);
    EXPECT_EQ(o.held, (std::vector<int32_t>{fake::kBos, 'a'}));
    EXPECT_TRUE(state_.controls.empty());
}

TEST_F(SpeculationTest, RefusesWhatItCannotVerify) {
    const auto refused = [&](const json& speculate, orr_status status, const std::string& named) {
        const Outcome o = run({{"prompt", "abab"}}, speculate);
        EXPECT_EQ(o.status, status) << speculate;
        EXPECT_NE(o.error.find(named), std::string::npos) << o.error;
        EXPECT_TRUE(o.runs.empty());
        EXPECT_TRUE(state_.controls.empty());
    };
    for (const auto& [speculate, named] : {std::pair<json, std::string>{3, "speculate is 3"}, {"lookup", "speculate is \"lookup\""}, {json::object(), "neither lookup nor a control"}, {{{"draft", 2}}, "neither lookup nor a control"},
                                           {{{"lookup", 2}, {"layer_plan", "0"}}, "lookup and the control layer_plan"}, {{{"layer_plan", ""}}, "speculate.layer_plan is \"\""},
                                           {{{"bypass", nullptr}}, "speculate.bypass is null"}, {{{"bypass", "0.ffn"}, {"layer_plan", "99"}}, "layer 99"}, {{{"lookup", 0}}, "speculate.lookup is 0"},
                                           {{{"lookup", 2}, {"draft", 8}}, "speculate.draft is 8"}, {{{"look", 3}}, "no field \"look\"; of this model it has lookup, draft, layer_plan, bypass, exit_confidence"}, {{{"layer_plan", "99"}}, "layer 99"}})
        refused(speculate, ORR_INVALID_ARGUMENT, named);
    state_.controls["bypass"] = "\"1.ffn\"";
    EXPECT_EQ(run({{"prompt", "abab"}}, kLookUp).status, ORR_OK);
    state_.controls = {{"exit_confidence", "0.9"}};
    const Outcome exits = run({{"prompt", "abab"}}, kLookUp);
    EXPECT_EQ(exits.status, ORR_UNSUPPORTED);
    EXPECT_NE(exits.error.find("control exit_confidence is set"), std::string::npos) << exits.error;
    EXPECT_TRUE(exits.runs.empty());
    state_.controls.clear();
    state_.about["states"] = R"([{"name": "k", "kind": "append"}, {"name": "layers.0.mixer.conv", "kind": "recurrent"}])";
    refused(kLookUp, ORR_UNSUPPORTED, "layers.0.mixer.conv is recurrent");
    state_.about["states"] = "[]";
    state_.about["inputs"] = R"([{"name": "input_ids", "optional": false}, {"name": "mask", "optional": true}, {"name": "sound", "optional": false}])";
    refused(kLookUp, ORR_UNSUPPORTED, "input sound");
    state_.about["inputs"] = "[]";
    state_.about["outputs"] = R"([{"name": "hidden"}])";
    refused(kLookUp, ORR_UNSUPPORTED, "no logits");
}

}  // namespace
