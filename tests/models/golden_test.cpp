// Every folder of golden/: the default entry gives the expected outputs, in exact numerics, however it is run.
#include <gtest/gtest.h>

#include "support.hpp"

namespace model_tests {
namespace {

constexpr double kTolerance = 1e-4;  // of the expected output's standard deviation

class Golden : public testing::TestWithParam<std::string> {
  protected:
    void SetUp() override {
        const std::string folder = golden_folder(GetParam());
        model_ = open_model(folder);
        inputs_ = read_tensors(folder + "/inputs.safetensors");
        want_ = read_tensors(folder + "/outputs.safetensors");
    }
    Tensors run_with(SessionOptions options) const {
        options.batch = inputs_.begin()->second.shape[0];
        return run(open_session(model_, options), inputs_);
    }
    void expect_close(const Tensors& got) const {
        for (const auto& [name, tensor] : want_) {
            ASSERT_TRUE(got.contains(name)) << "no output " << name;
            EXPECT_LE(difference(got.at(name), tensor), kTolerance) << name;
        }
    }
    Model model_;
    Tensors inputs_, want_;
};

TEST_P(Golden, Kernels) { expect_close(run_with({})); }
TEST_P(Golden, WithoutRewrites) { expect_close(run_with({.no_rewrites = true})); }
TEST_P(Golden, Definitions) { expect_close(run_with({.reference = true})); }

TEST_P(Golden, ThreadsGiveTheSameBits) {
    const Tensors one = run_with({.threads = 1}), two = run_with({.threads = 2}), three = run_with({.threads = 3});
    for (const auto& [name, tensor] : one) {
        EXPECT_EQ(tensor.bytes, two.at(name).bytes) << name;
        EXPECT_EQ(tensor.bytes, three.at(name).bytes) << name;
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, testing::ValuesIn(golden()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace model_tests
