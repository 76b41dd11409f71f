// One text_generation task: a model, a session, and the ids that the session holds.
#ifndef ORRERY_TASKS_GENERATOR_HPP
#define ORRERY_TASKS_GENERATOR_HPP

#include <atomic>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "orrery/ext/tasks.h"
#include "request.hpp"
#include "stop_text.hpp"

namespace orrery::text_generation {

class Generator {
  public:
    // session NULL: makes its own. Throws Error.
    Generator(const orr_host* host, orr_model* model, orr_session* session);
    ~Generator();
    Generator(const Generator&) = delete;
    Generator& operator=(const Generator&) = delete;

    // One request; gives the result. ORR_CANCELLED is thrown as an Error after the "done" event.
    std::string run(const char* request_json, orr_event_fn on_event, void* user);
    void cancel();  // any thread
    const orr_host_api& api() const { return *api_; }

  private:
    struct Answer;
    void check(orr_status status) const;
    int64_t context() const;
    uint64_t changes() const;
    void require_tokenizer() const;
    bool is_eog(int32_t id) const;
    std::vector<int32_t> prompt_ids(const Request& request) const;
    std::vector<int32_t> encode(const std::string& text, uint32_t flags) const;
    uint64_t reuse_prefix(const std::vector<int32_t>& prompt);
    // wanted: the output asked for.
    void forward(const char* entry, const char* wanted, const int32_t* ids, uint64_t count, const sampling::Parameters& parameters, uint64_t random);
    void forward(const int32_t* ids, uint64_t count, const Answer& answer);
    void prefill(const std::vector<int32_t>& prompt, uint64_t from, Answer& answer);
    void step(int32_t id, Answer& answer);
    void finish_step(Answer& answer);
    const float* logits_row(size_t row, size_t& width) const;
    void read_logits(size_t row);
    int32_t read_token() const;
    void generate(Answer& answer);

    // speculate.cpp
    void require_speculation(const Speculation& speculation);
    std::string no_speculation() const;
    uint64_t consumed(const Answer& answer) const;
    void advance(int32_t id, Answer& answer);
    void settle(Answer& answer);
    int64_t draft_room(const Answer& answer) const;
    void propose(int32_t id, Answer& answer);
    void draft_with_controls(int32_t id, int64_t most, Answer& answer);
    void draft_steps(int32_t id, int64_t most, Answer& answer);
    bool verify(int32_t id, Answer& answer);
    nlohmann::json about(const char* what, const char* entry) const;
    std::string control(const char* name) const;
    void set_control(const char* name, const std::string& value) const;
    template <class Fn>
    void with_controls(const Speculation& speculation, Fn&& fn) const;
    bool logits_event(Answer& answer);
    bool put_token(Answer& answer, int32_t id);
    void finish_text(Answer& answer);
    bool emit(Answer& answer, const char* kind, int64_t id, const std::string& text);

    const orr_host* host_;
    const orr_host_api* api_;
    orr_model* model_;
    orr_session* session_;
    bool own_session_;
    const orr_tokenizer* tokenizer_;
    const char* entry_;
    uint64_t rotary_switch_ = 0;  // "rotary_switch" of the model's info: sequences of more tokens rotate all keys in another way; 0: none
    uint64_t rotary_growth_ = 0;  // "rotary_growth" of the model's info: in longer sequences keys are rotated by the length of the run that adds them; 0: none
    bool samples_ = false;        // "samples" of the model's info: entry next has a value "token"
    std::string no_tokenizer_;    // why there is none
    std::optional<std::string> no_speculation_;  // why drafts cannot be verified; "": they can; absent: not asked yet
    std::vector<int32_t> held_;  // ids that the session has consumed
    uint64_t seen_changes_ = 0;   // of the session, when it had consumed them
    std::vector<float> logits_;
    std::atomic<bool> cancelled_{false};
};

}  // namespace orrery::text_generation
#endif
