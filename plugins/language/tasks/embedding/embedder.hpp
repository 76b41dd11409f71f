// One embedding task: a model, a session, and the checkpoint's recipe.
#ifndef ORRERY_TASKS_EMBEDDER_HPP
#define ORRERY_TASKS_EMBEDDER_HPP

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "orrery/ext/tasks.h"
#include "recipe.hpp"

namespace orrery::embedding {

// Lower case by Unicode, as the tokenizers library's Lowercase has it. Bytes that are not UTF-8 stay.
std::string lower_case(std::string_view text);

// At most `most` of the ids: the special tokens round the text stay, the text loses its end. plain: the text's ids alone.
std::vector<int32_t> truncate(const std::vector<int32_t>& ids, const std::vector<int32_t>& plain, int64_t most);

class Embedder {
  public:
    // session NULL: makes its own. Throws Error.
    Embedder(const orr_host* host, orr_model* model, orr_session* session);
    ~Embedder();
    Embedder(const Embedder&) = delete;
    Embedder& operator=(const Embedder&) = delete;

    // {"text": "…"} gives {"vector": […]}, {"texts": […]} gives {"vectors": […]}.
    std::string run(const char* request_json, orr_event_fn on_event, void* user);
    void cancel();  // any thread
    const orr_host_api& api() const { return *api_; }

  private:
    void check(orr_status status) const;
    std::vector<int32_t> tokens(const std::string& text) const;
    std::vector<float> embed(const std::string& text);
    orr_named_tensor hidden(const std::vector<int32_t>& ids);

    const orr_host_api* api_;
    orr_session* session_ = nullptr;
    bool own_session_;
    const orr_tokenizer* tokenizer_;
    Recipe recipe_;
    const char* output_ = nullptr;  // found by the first run
    std::atomic<bool> cancelled_{false};
};

}  // namespace orrery::embedding
#endif
