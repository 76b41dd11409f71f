// What the engine's tests share: engines, models made of golden/ with another configuration, a host's thread pool.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <thread>

#include "tests/models/support.hpp"

// Of two tensors, without printing their bytes.
#define EXPECT_SAME_BITS(a, b) EXPECT_TRUE((a).bytes == (b).bytes)

namespace engine_tests {

using namespace model_tests;

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitizer = true;
#else
constexpr bool kSanitizer = false;
#endif

// A host's threads, as orr_executor.
class Pool {
  public:
    explicit Pool(uint32_t threads);
    ~Pool();
    const orr_executor* table() const { return &table_; }
    uint64_t submitted() const;

  private:
    void work();
    orr_executor table_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::pair<void (*)(void*), void*>> jobs_;
    uint64_t submitted_ = 0;
    bool stop_ = false;
    std::vector<std::thread> threads_;
};

using ChangeEngine = std::function<void(orr_engine_options&)>;
using ChangeSession = std::function<void(orr_session_options&)>;

// With the plugins of this build. Under the thread sanitizer its threads are a Pool's, which lives to the end.
Engine make_engine(const ChangeEngine& change = {});
orr_engine* shared_engine();

// A checkpoint in memory, to be changed before it is opened. Must outlive the models made of it.
struct Checkpoint {
    Json config;
    Tensors tensors;
    // A folder of golden/ with another config (merge patch).
    static Checkpoint golden(const std::string& name, const Json& change = Json::object());
    std::string safetensors() const;
    bool allow_extra_tensors = false;
    Model open(orr_engine* engine = nullptr, const char* device = nullptr);  // shared_engine() when null

  private:
    std::deque<std::string> kept_;
};
Model open_golden(const std::string& name, orr_engine* engine = nullptr, const char* device = nullptr);

// exact numerics, f32 cache, 1 thread unless changed
Session make_session(const Model& model, const ChangeSession& change = {});
Session fork(const Session& session);

Tensor ids_tensor(const std::vector<int32_t>& ids);  // [1, T]
std::vector<int32_t> some_ids(size_t count, int32_t vocabulary, uint32_t seed = 1);
// Logits of `entry` after feeding the ids.
Tensor feed(const Session& session, const std::vector<int32_t>& ids, const char* entry = "next");
std::vector<int32_t> part(const std::vector<int32_t>& ids, size_t from, size_t to);

Json about(orr_engine* engine, const char* what);  // orr_engine_describe
bool has_vulkan();                                 // whether vulkan:0 is there, whatever can be done on it
std::string describe(const Session& session, const char* what, const char* entry = nullptr);
// A list in a description, by value: made for loops over it.
Json description(const Session& session, const char* what, const char* list, const char* entry = nullptr);

// The failure of fn; an empty one (status ORR_OK) when it did not fail, which is a test failure too.
Failure failure_of(const std::function<void()>& fn);
// That fn fails with the status, and that its text holds all parts.
void expect_failure(const std::function<void()>& fn, orr_status status, const std::vector<std::string>& parts);

// An orr_named_tensor over a name and a tensor; both must stay.
orr_named_tensor named(const char* name, const Tensor& tensor);

// A function that runs in a process of its own: run_child starts this very program again and gives its exit status
// (-1: ended by a signal).
using Child = int (*)(const std::vector<std::string>& arguments);
struct RegisterChild {
    RegisterChild(const std::string& name, Child child);
};
int run_child(const std::string& name, const std::vector<std::string>& arguments);

bool usable(const std::string& device);  // whether tests can run there: no drivers under the thread sanitizer, which are not instrumented

// Of a golden folder and a device, "cpu" or "vulkan".
class GoldenOnDevice : public testing::TestWithParam<std::tuple<const char*, const char*>> {
  protected:
    void SetUp() override;
    std::string device() const { return std::get<1>(GetParam()); }
    Session session() const;  // as wide as the inputs
    std::string folder_;
    Model model_;
    Tensors inputs_;  // of the folder
};

// A path in a folder that is removed at the end of the process.
std::string scratch(const std::string& name);

}  // namespace engine_tests
