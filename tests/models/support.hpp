// What model tests share: safetensors files, and the host API with its failures as exceptions.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "orrery/orrery.h"

namespace model_tests {

using Json = nlohmann::json;

// A tensor of any plain type; bytes as in the file.
struct Tensor {
    uint32_t type = ORR_TYPE_F32;
    std::vector<int64_t> shape;
    std::vector<char> bytes;

    int64_t elements() const;
    std::vector<float> floats() const;      // of f32
    std::vector<int64_t> integers() const;  // of i32 or i64
    // Rows [from, to) of an axis.
    Tensor cut(size_t axis, int64_t from, int64_t to) const;
};
using Tensors = std::map<std::string, Tensor>;

std::string read_file(const std::string& path);
Tensors read_tensors(const std::string& path);

struct Failure : std::runtime_error {
    Failure(orr_status status, const std::string& text) : std::runtime_error(text), status(status) {}
    orr_status status;
};
void check(orr_status status);  // throws Failure

struct Release {
    void operator()(orr_engine* e) const { orr_engine_release(e); }
    void operator()(orr_model* m) const { orr_model_release(m); }
    void operator()(orr_session* s) const { orr_session_release(s); }
};
using Engine = std::unique_ptr<orr_engine, Release>;
using Model = std::unique_ptr<orr_model, Release>;
using Session = std::unique_ptr<orr_session, Release>;

// One for all tests of a program, made where it is first asked for and released behind the last of them: once exit handlers run, Vulkan's
// drivers may be gone. Declare it at namespace scope, as a pointer: GoogleTest owns it.
class SharedEngine : public testing::Environment {
  public:
    explicit SharedEngine(std::function<Engine()> make) : make_(std::move(make)) { testing::AddGlobalTestEnvironment(this); }
    orr_engine* get();
    void TearDown() override;

  private:
    std::function<Engine()> make_;
    std::mutex mutex_;
    Engine engine_;
};

orr_engine* engine();  // one for all tests
Model open_model(const std::string& folder);
// Of files in memory, which must outlive it.
Model open_blobs(orr_engine* owner, const std::vector<orr_blob>& blobs, bool allow_extra_tensors = false, const char* device = nullptr);
orr_blob blob_of(const char* name, const std::string& bytes);
// The folder's checkpoint with another config.json, from memory.
Model open_changed(const std::string& folder, const Json& config);

struct SessionOptions {
    uint32_t threads = 2;
    int64_t batch = 1;
    bool reference = false, no_rewrites = false;
    uint32_t numerics = ORR_NUMERICS_EXACT;
};
// f32 states
Session open_session(const Model& model, const SessionOptions& options = {});
Tensors run(const Session& session, const Tensors& inputs, const char* entry = nullptr, const std::vector<std::string>& outputs = {});

// max |got - want| / std(want), of tensors of one shape; infinity where shapes differ or something is not finite.
double difference(const Tensor& got, const Tensor& want);

// Folders of golden/ whose names begin with `prefix`.
std::vector<std::string> golden(const std::string& prefix = "");
std::string golden_folder(const std::string& name);

}  // namespace model_tests
