// The text_generation task on the host of fake_host.hpp: after the beginning comes "abc…z", round and round.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fake_host.hpp"

const orr_task_kind* orr_task_text_generation();

namespace {

using nlohmann::json;

struct Event {
    std::string kind, text;
    int64_t id;
};

class TextGeneration : public testing::Test {
  protected:
    void SetUp() override {
        fake::state = &state_;
        ASSERT_EQ(kind_->create(fake::host(), nullptr, nullptr, &task_), ORR_OK);
    }
    void TearDown() override { kind_->destroy(task_); }

    orr_status run(const json& request) { return run_text(request.dump()); }
    orr_status run_text(const std::string& request) {
        events_.clear();
        orr_text* text = nullptr;
        const orr_status status = kind_->run(task_, request.c_str(), on_event, this, &text);
        result_ = text ? json::parse(text->text) : json();
        delete text;
        return status;
    }
    static bool on_event(void* user, const orr_event* e) {
        auto& self = *static_cast<TextGeneration*>(user);
        self.events_.push_back({e->kind, {e->text, e->text_size}, e->id});
        if (e->logits && self.edit_) self.edit_(e->logits);
        return !self.stop_after_ || self.count("token") < self.stop_after_;
    }
    size_t count(const std::string& kind) const {
        size_t n = 0;
        for (const Event& e : events_) n += e.kind == kind;
        return n;
    }
    std::string streamed() const {
        std::string text;
        for (const Event& e : events_)
            if (e.kind == "token" || e.kind == "text") text += e.text;
        return text;
    }
    json greedy(json more) const {
        more["temperature"] = 0;
        return more;
    }

    fake::State state_;
    const orr_task_kind* kind_ = orr_task_text_generation();
    void* task_ = nullptr;
    json result_;
    std::vector<Event> events_;
    size_t stop_after_ = 0;
    std::function<void(float*)> edit_;
};

TEST_F(TextGeneration, ContinuesAndStreams) {
    ASSERT_EQ(run(greedy({{"prompt", "ab"}, {"max_tokens", 5}})), ORR_OK);
    EXPECT_EQ(result_["text"], "cdefg");
    EXPECT_EQ(result_["ids"], (std::vector<int>{'c', 'd', 'e', 'f', 'g'}));
    EXPECT_EQ(result_["finish"], "length");
    EXPECT_EQ(result_["prompt_tokens"], 3);
    EXPECT_EQ(streamed(), "cdefg");
    EXPECT_EQ(count("token"), 5u);
    EXPECT_EQ(events_.back().kind, "done");
    EXPECT_EQ(json::parse(events_.back().text), result_);
    EXPECT_EQ(state_.session->ids.size(), 7u);  // the last token has not been run
}

TEST_F(TextGeneration, EndsAtTheEndToken) {
    state_.next = [](int32_t last) { return last == 'c' ? fake::kEnd : last + 1; };
    ASSERT_EQ(run(greedy({{"prompt", "a"}})), ORR_OK);
    EXPECT_EQ(result_["text"], "bc");
    EXPECT_EQ(result_["finish"], "eog");
    EXPECT_EQ(result_["ids"].size(), 2u);
    ASSERT_EQ(run(greedy({{"prompt", "a"}, {"ignore_eog", true}, {"max_tokens", 3}})), ORR_OK);
    EXPECT_EQ(result_["ids"][2], fake::kEnd);
}

TEST_F(TextGeneration, StopStringsAreNeverGivenOut) {
    ASSERT_EQ(run(greedy({{"prompt", "a"}, {"stop", {"fgh"}}})), ORR_OK);
    EXPECT_EQ(result_["text"], "bcde");
    EXPECT_EQ(result_["finish"], "stop");
    EXPECT_EQ(streamed(), "bcde");
    EXPECT_EQ(result_["ids"].size(), 7u);
    // Held back, and then the tokens run out: it is text after all.
    ASSERT_EQ(run(greedy({{"prompt", "a"}, {"stop", "cdX"}, {"max_tokens", 3}})), ORR_OK);
    EXPECT_EQ(result_["text"], "bcd");
    EXPECT_EQ(streamed(), "bcd");
    EXPECT_EQ(count("text"), 1u);
}

TEST_F(TextGeneration, EmptyPrompt) {
    ASSERT_EQ(run(greedy({{"prompt", ""}, {"max_tokens", 2}})), ORR_OK);
    EXPECT_EQ(result_["text"], "ab");
    EXPECT_EQ(result_["prompt_tokens"], 1);
    state_.adds_bos = false;
    EXPECT_EQ(run(greedy({{"prompt", ""}})), ORR_INVALID_ARGUMENT);
    EXPECT_NE(state_.error.find("empty"), std::string::npos);
    EXPECT_EQ(run(greedy({{"ids", json::array()}})), ORR_INVALID_ARGUMENT);
}

TEST_F(TextGeneration, PromptBeyondTheContextTellsBothNumbers) {
    EXPECT_EQ(run({{"prompt", std::string(100, 'a')}}), ORR_LIMIT);
    EXPECT_NE(state_.error.find("101"), std::string::npos);
    EXPECT_NE(state_.error.find("64"), std::string::npos);
    EXPECT_TRUE(state_.session->runs.empty());
}

TEST_F(TextGeneration, AFullContextEndsTheAnswer) {
    ASSERT_EQ(run(greedy({{"prompt", std::string(60, 'a')}, {"max_tokens", 1000}})), ORR_OK);
    EXPECT_EQ(result_["finish"], "length");
    EXPECT_EQ(result_["ids"].size(), 4u);  // 61 + 3 run, and one that needs no run
}

TEST_F(TextGeneration, LongPromptsRunInChunks) {
    state_.context = 4096;
    ASSERT_EQ(run(greedy({{"prompt", std::string(1199, 'x')}, {"max_tokens", 1}})), ORR_OK);
    std::vector<size_t> sizes;
    for (const auto& r : state_.session->runs) sizes.push_back(r.size());
    EXPECT_EQ(sizes, (std::vector<size_t>{512, 512, 176}));
}

// LongRoPE: sequences of more than rotary_switch tokens rotate every key otherwise.
TEST_F(TextGeneration, RunsTheWholeAgainBeyondTheRotarySwitch) {
    TearDown();
    state_.context = 4096;
    state_.info_json = R"({"rotary_switch": 8})";
    SetUp();
    const auto sizes = [&] {
        std::vector<size_t> out;
        for (const auto& r : state_.session->runs) out.push_back(r.size());
        state_.session->runs.clear();
        return out;
    };
    // bos and four letters, then up to eight tokens one by one; the ninth runs all nine, the tenth is alone again.
    ASSERT_EQ(run(greedy({{"prompt", "hell"}, {"max_tokens", 6}})), ORR_OK);
    EXPECT_EQ(result_["text"], "mnopqr");
    EXPECT_EQ(sizes(), (std::vector<size_t>{5, 1, 1, 1, 9, 1}));
    // What it holds now is rotated for long sequences: a short prompt cannot use it, a long one can.
    ASSERT_EQ(run(greedy({{"prompt", "hell"}, {"max_tokens", 1}})), ORR_OK);
    EXPECT_EQ(result_["reused_tokens"], 0);
    EXPECT_EQ(sizes(), (std::vector<size_t>{5}));
    ASSERT_EQ(run(greedy({{"prompt", "hello, you all"}, {"max_tokens", 1}})), ORR_OK);
    EXPECT_EQ(result_["reused_tokens"], 0);
    EXPECT_EQ(sizes(), (std::vector<size_t>{15}));
    ASSERT_EQ(run(greedy({{"prompt", "hello, your"}, {"max_tokens", 1}})), ORR_OK);
    EXPECT_EQ(result_["reused_tokens"], 11);
    EXPECT_EQ(sizes(), (std::vector<size_t>{1}));
}

TEST_F(TextGeneration, APromptBeyondTheRotarySwitchStartsWithARunThatPassesIt) {
    TearDown();
    state_.context = 4096;
    state_.info_json = R"({"rotary_switch": 600})";
    SetUp();
    ASSERT_EQ(run(greedy({{"prompt", std::string(1199, 'x')}, {"max_tokens", 1}})), ORR_OK);
    std::vector<size_t> sizes;
    for (const auto& r : state_.session->runs) sizes.push_back(r.size());
    EXPECT_EQ(sizes, (std::vector<size_t>{601, 512, 87}));
}

TEST_F(TextGeneration, ReusesTheCommonPrefix) {
    ASSERT_EQ(run(greedy({{"prompt", "hello"}, {"max_tokens", 3}})), ORR_OK);  // session: bos hello p q
    state_.session->runs.clear();
    ASSERT_EQ(run(greedy({{"prompt", "hellopqr, then"}, {"max_tokens", 1}})), ORR_OK);
    EXPECT_EQ(result_["reused_tokens"], 8);
    EXPECT_EQ(state_.session->runs[0].size(), 7u);
    ASSERT_EQ(run(greedy({{"prompt", "help"}, {"max_tokens", 1}})), ORR_OK);
    EXPECT_EQ(result_["reused_tokens"], 4);
    EXPECT_EQ(result_["text"], "q");
    // The same prompt again: one token is run, since its logits are wanted.
    ASSERT_EQ(run(greedy({{"prompt", "help"}, {"max_tokens", 1}})), ORR_OK);
    EXPECT_EQ(result_["reused_tokens"], 4);
    EXPECT_EQ(result_["text"], "q");
}

// The session stands where the task left it, but the host has put something else there.
TEST_F(TextGeneration, ReusesNothingThatTheHostHasMoved) {
    const json request = greedy({{"prompt", "hello"}, {"max_tokens", 1}});
    ASSERT_EQ(run(request), ORR_OK);
    ASSERT_EQ(run(request), ORR_OK);
    EXPECT_EQ(result_["reused_tokens"], 5);
    state_.session->changes++;
    ASSERT_EQ(run(request), ORR_OK);
    EXPECT_EQ(result_["reused_tokens"], 0);
    ASSERT_EQ(run(request), ORR_OK);
    EXPECT_EQ(result_["reused_tokens"], 5);
}

TEST_F(TextGeneration, ResetsWhereAStateCannotRollBack) {
    state_.can_roll_back = false;
    ASSERT_EQ(run(greedy({{"prompt", "hello"}, {"max_tokens", 3}})), ORR_OK);
    ASSERT_EQ(run(greedy({{"prompt", "help"}, {"max_tokens", 2}})), ORR_OK);
    EXPECT_EQ(result_["reused_tokens"], 0);
    EXPECT_EQ(result_["text"], "qr");
    EXPECT_EQ(state_.session->ids.size(), 6u);
}

TEST_F(TextGeneration, NoticesThatTheHostUsedTheSession) {
    ASSERT_EQ(run(greedy({{"prompt", "hello"}, {"max_tokens", 1}})), ORR_OK);
    state_.session->ids.push_back('!');
    ASSERT_EQ(run(greedy({{"prompt", "hello"}, {"max_tokens", 1}})), ORR_OK);
    EXPECT_EQ(result_["reused_tokens"], 0);
    EXPECT_EQ(result_["text"], "p");
}

TEST_F(TextGeneration, TheCallbackEndsTheAnswer) {
    stop_after_ = 2;
    ASSERT_EQ(run(greedy({{"prompt", "a"}})), ORR_OK);
    EXPECT_EQ(result_["text"], "bc");
    EXPECT_EQ(result_["finish"], "cancelled");
    EXPECT_EQ(result_["ids"].size(), 2u);
}

TEST_F(TextGeneration, CancelEndsThePromptToo) {
    state_.context = 4096;
    int runs = 0;
    state_.before_run = [&] {
        if (++runs == 2) kind_->cancel(task_);
    };
    EXPECT_EQ(run(greedy({{"prompt", std::string(3000, 'x')}})), ORR_CANCELLED);
    EXPECT_EQ(runs, 2);
    EXPECT_TRUE(result_.is_null());
    ASSERT_FALSE(events_.empty());
    EXPECT_EQ(json::parse(events_.back().text)["finish"], "cancelled");
    state_.before_run = nullptr;  // the task goes on from what the session holds
    ASSERT_EQ(run(greedy({{"prompt", std::string(3000, 'x')}, {"max_tokens", 1}})), ORR_OK);
    EXPECT_EQ(result_["reused_tokens"], 512);
}

TEST_F(TextGeneration, LogitsMayBeEdited) {
    edit_ = [](float* logits) { logits['z'] = 99; };
    ASSERT_EQ(run(greedy({{"prompt", "a"}, {"max_tokens", 2}, {"logits_events", true}})), ORR_OK);
    EXPECT_EQ(result_["text"], "zz");
    EXPECT_EQ(count("logits"), 2u);
    ASSERT_EQ(run(greedy({{"prompt", "a"}, {"max_tokens", 2}, {"logit_bias", {{"122", 50}}}})), ORR_OK);
    EXPECT_EQ(result_["text"], "zz");
}

TEST_F(TextGeneration, MessagesGoThroughTheTemplate) {
    state_.context = 1000;
    ASSERT_EQ(run(greedy({{"messages", {{{"role", "user"}, {"content", "hi"}}}}, {"chat_options", {{"x", 1}}}, {"max_tokens", 1}})), ORR_OK);
    const std::vector<int32_t>& ids = state_.session->ids;
    EXPECT_EQ(std::string(ids.begin(), ids.end()),
              R"([{"content":"hi","role":"user"}]{"add_generation_prompt":true,"x":1})");  // and no special token
}

// No logit that is a number: the callback's doing where there is one, else the checkpoint's.
// Made anew, since a task reads the model's info when it is made.
TEST_F(TextGeneration, TokensChosenByTheModel) {
    kind_->destroy(task_);
    state_.info_json = R"({"samples": true})";
    ASSERT_EQ(kind_->create(fake::host(), nullptr, nullptr, &task_), ORR_OK);
    ASSERT_EQ(run({{"prompt", "a"}, {"max_tokens", 3}, {"temperature", 0.5}, {"top_k", 7}, {"top_p", 0.75}, {"min_p", 0.25}, {"seed", 1234567}}), ORR_OK);
    EXPECT_EQ(result_["text"], "bcd");
    EXPECT_EQ(state_.sampling, (std::vector<std::vector<float>>(3, {0.5f, 7, 0.75f, 0.25f})));
    // The generator's published sequence, one number a token.
    EXPECT_EQ(state_.random, (std::vector<uint64_t>{6457827717110365317u, 3203168211198807973u, 9817491932198370423u}));
    state_.sampling.clear();
    ASSERT_EQ(run({{"prompt", "a"}, {"max_tokens", 3}, {"temperature", 0}}), ORR_OK);
    EXPECT_EQ(state_.sampling, std::vector<std::vector<float>>(3));
    // What the model cannot do goes by the logits.
    state_.sampling.clear();
    for (const json& more : {json{{"repetition_penalty", 1.1}}, json{{"presence_penalty", 1}}, json{{"frequency_penalty", 1}}, json{{"logit_bias", {{"3", 1}}}}, json{{"logits_events", true}}}) {
        json request = {{"prompt", "a"}, {"max_tokens", 2}, {"top_k", 1}};
        request.update(more);
        ASSERT_EQ(run(request), ORR_OK);
        EXPECT_TRUE(state_.sampling.empty()) << more;
    }
}

TEST_F(TextGeneration, LogitsThatAreNoNumbers) {
    edit_ = [](float* logits) { std::fill_n(logits, fake::kVocabulary, NAN); };
    EXPECT_EQ(run(greedy({{"prompt", "a"}, {"logits_events", true}})), ORR_INVALID_ARGUMENT);
    EXPECT_NE(state_.error.find("callback"), std::string::npos) << state_.error;
    edit_ = nullptr;
    state_.broken = true;
    EXPECT_EQ(run(greedy({{"prompt", "b"}})), ORR_CORRUPT);
    EXPECT_NE(state_.error.find("weights"), std::string::npos) << state_.error;
}

TEST_F(TextGeneration, SaysWhereJsonEnds) {
    for (const char* request : {"x", "{\"prompt\": }", "{\"prompt\": 1e999}"}) {
        EXPECT_EQ(run_text(request), ORR_INVALID_ARGUMENT);
        EXPECT_NE(state_.error.find("the request is not valid JSON: "), std::string::npos) << state_.error;
        EXPECT_EQ(state_.error.find("exception"), std::string::npos) << state_.error;
    }
    run_text("{\"prompt\": }");
    EXPECT_NE(state_.error.find("byte 12 of 12"), std::string::npos) << state_.error;
}

TEST_F(TextGeneration, RefusesBadRequestsByName) {
    const std::pair<const char*, const char*> cases[] = {
        {"", "JSON"},
        {"[1]", "object"},
        {"{\"prompt\": 3}", "prompt"},
        {"{}", "prompt, ids and messages"},
        {"{\"prompt\": \"a\", \"ids\": [1]}", "2 of prompt"},
        {"{\"prompt\": \"a\", \"max_token\": 3}", "max_token"},
        {"{\"prompt\": \"a\", \"max_tokens\": -1}", "-1"},
        {"{\"prompt\": \"a\", \"max_tokens\": 1.5}", "1.5"},
        {"{\"prompt\": \"a\", \"temperature\": -0.5}", "-0.5"},
        {"{\"prompt\": \"a\", \"temperature\": \"hot\"}", "temperature"},
        {"{\"prompt\": \"a\", \"top_p\": 1.5}", "top_p"},
        {"{\"prompt\": \"a\", \"repetition_penalty\": 0}", "repetition_penalty"},
        {"{\"prompt\": \"a\", \"stop\": [\"\"]}", "stop"},
        {"{\"prompt\": \"a\", \"stop\": 1}", "stop"},
        {"{\"prompt\": \"a\", \"logit_bias\": {\"x\": 1}}", "logit_bias"},
        {"{\"prompt\": \"a\", \"logit_bias\": {\"258\": 1}}", "258"},
        {"{\"ids\": [258]}", "258"},
        {"{\"ids\": [-1]}", "-1"},
        {"{\"ids\": \"x\"}", "ids"},
        {"{\"messages\": [\"hi\"]}", "role"},
        {"{\"prompt\": \"a\", \"seed\": 1e3}", "seed"},
        {"{\"prompt\": \"a\", \"logits_events\": 1}", "logits_events"},
    };
    for (const auto& [request, named] : cases) {
        EXPECT_EQ(run_text(request), ORR_INVALID_ARGUMENT) << request;
        EXPECT_NE(state_.error.find(named), std::string::npos) << request << " -> " << state_.error;
    }
    std::string deep = "{\"prompt\": ";
    for (int i = 0; i < 100000; i++) deep += '[';
    EXPECT_EQ(run_text(deep), ORR_INVALID_ARGUMENT);
    EXPECT_EQ(kind_->run(task_, nullptr, nullptr, nullptr, nullptr), ORR_INVALID_ARGUMENT);
    EXPECT_EQ(run(greedy({{"prompt", "a"}, {"max_tokens", 1}})), ORR_OK);  // still usable
}

TEST_F(TextGeneration, ZeroTokensRunThePromptAlone) {
    ASSERT_EQ(run({{"prompt", "abc"}, {"max_tokens", 0}}), ORR_OK);
    EXPECT_TRUE(result_["ids"].empty());
    EXPECT_EQ(state_.session->ids.size(), 4u);
}

}  // namespace
