// The state of one answer of a Generator: what generator.cpp and speculate.cpp share.
#ifndef ORRERY_TASKS_ANSWER_HPP
#define ORRERY_TASKS_ANSWER_HPP

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "generator.hpp"

namespace orrery::text_generation {

inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

inline void append_text(void* user, const char* text, uint64_t size) { static_cast<std::string*>(user)->append(text, size); }

// A streaming detokeniser, closed at the end of the answer.
class Stream {
  public:
    explicit Stream(const orr_tokenizer* t) : tokenizer_(t) {}
    ~Stream() {
        if (stream_) tokenizer_->stream_close(stream_);
    }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    orr_status open() { return tokenizer_->stream_open(tokenizer_, ORR_DETOKENIZE_SKIP_SPECIAL, &stream_); }
    orr_status put(int32_t id, std::string& text) { return tokenizer_->stream_put(stream_, id, append_text, &text); }
    orr_status finish(std::string& text) { return tokenizer_->stream_finish(stream_, append_text, &text); }

  private:
    const orr_tokenizer* tokenizer_;
    void* stream_ = nullptr;
};

// What belongs to one request.
struct Generator::Answer {
    Answer(const Request& r, int64_t vocabulary, uint64_t prompt_tokens, orr_event_fn fn, void* u)
        : request(r), sampler(r.sampler, vocabulary, prompt_tokens + capacity(r)), stop(r.stop), on_event(fn), user(u), length(r.speculate.most) {
        // Reserved here, so that a step allocates nothing.
        ids.reserve(capacity(r));
        text.reserve(capacity(r) * 8);
        piece.reserve(256);
        certain.reserve(256);
        draft.reserve(kMostDraft);
        proposed.reserve(kMostDraft);
        verified.reserve(kMostDraft + 1);
    }
    static uint64_t capacity(const Request& r) { return static_cast<uint64_t>(std::min<int64_t>(r.max_tokens, 65536)); }

    const Request& request;
    Sampler sampler;
    StopText stop;
    orr_event_fn on_event;
    void* user;
    std::optional<Stream> stream;
    std::vector<int32_t> ids;
    std::string text, piece, certain;
    const char* finish = "length";
    bool on_device = false;  // tokens are chosen where the logits lie; else from logits here
    uint64_t random = 0;     // for the next token, then
    int32_t token = -1;      // that the last run gave
    uint64_t steps = 0;      // tokens that followed from runs of answered ones

    // The last run was of one token and this draft: row i of its logits follows the first i drafted tokens.
    std::vector<int32_t> draft;
    size_t row = 0;  // whose token is next
    std::vector<int32_t> proposed, verified;  // the draft to come, and what its run is given
    DraftLength length;
    SpeculationCount count;
};

}  // namespace orrery::text_generation
#endif
