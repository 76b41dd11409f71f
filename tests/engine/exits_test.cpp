// Early exits and attentions that a router passes by: what PyTorch gives for the same model and controls (golden/<case>/exits.json, by
// tests/models/make_exits.py), nothing of it at neutral values, and what a session tells of the work that was left out.
#include "support.hpp"

namespace engine_tests {
namespace {

constexpr double kTolerance = 1e-4;  // of the expected value's standard deviation

void set_control(const Session& session, const std::string& name, const Json& value) { check(orr_session_set_control(session.get(), name.c_str(), value.dump().c_str())); }

Json work_of(const Session& session) { return Json::parse(describe(session, "work")); }

Tensor rows(const Tensor& ids, int64_t batch, int64_t from, int64_t to) {
    Tensor out{ORR_TYPE_I32, {batch, to - from}, {}};
    const auto all = ids.integers();
    for (int64_t b = 0; b < batch; b++)
        for (int64_t i = from; i < to; i++) {
            const auto id = static_cast<int32_t>(all[static_cast<size_t>(b * ids.shape[1] + i)]);
            out.bytes.insert(out.bytes.end(), reinterpret_cast<const char*>(&id), reinterpret_cast<const char*>(&id) + sizeof id);
        }
    return out;
}

// Entry forward, then next, so that both are seen in prompts and in steps.
class Exits : public testing::TestWithParam<std::tuple<const char*, const char*, const char*>> {
  protected:
    void SetUp() override {
        if (!usable(device())) GTEST_SKIP() << "no Vulkan device";
        folder_ = golden_folder(std::get<0>(GetParam()));
        model_ = open_golden(std::get<0>(GetParam()), nullptr, device().c_str());
        golden_ = Json::parse(read_file(folder_ + "/exits.json"));
        values_ = read_tensors(folder_ + "/exits.safetensors");
    }
    std::string device() const { return std::get<1>(GetParam()); }
    std::string entry() const { return std::get<2>(GetParam()); }
    Session session(const Json& run) const {
        Session s = make_session(model_, [&](orr_session_options& o) { o.batch = run["batch"]; });
        for (const auto& [name, value] : run["controls"].items()) set_control(s, name, name == "mindskip" ? Json(folder_ + "/" + value.get<std::string>()) : value);
        return s;
    }
    std::string folder_;
    Model model_;
    Json golden_;
    Tensors values_;
};
INSTANTIATE_TEST_SUITE_P(Cases, Exits, testing::Combine(testing::Values("llama", "gpt2"), testing::Values("cpu", "vulkan"), testing::Values("forward", "next")),
                         [](const auto& info) { return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param) + "_" + std::get<2>(info.param); });

TEST_P(Exits, GiveWhatPyTorchGives) {
    ASSERT_FALSE(golden_["runs"].empty());
    const Tensor& ids = values_.at("ids");
    for (const Json& run : golden_["runs"]) {
        const Session s = session(run);
        const int64_t batch = run["batch"], prompt = golden_["prompt"];
        const Tensor& want = values_.at(run["name"]);  // [B, runs, V]
        std::vector<int64_t> depths;
        for (int64_t at = 0, step = 0; at < ids.shape[1]; at += at ? 1 : prompt, step++) {
            Tensor got = model_tests::run(s, {{"input_ids", rows(ids, batch, at, at ? at + 1 : prompt)}}, entry().c_str()).at("logits");
            if (got.shape.size() == 3) got = got.cut(1, got.shape[1] - 1, got.shape[1]);
            Tensor expected = want.cut(1, step, step + 1);
            got.shape = expected.shape;
            EXPECT_LE(difference(got, expected), kTolerance) << run["name"] << ", run " << step;
            depths.push_back(work_of(s)["last"]["layers"]["run"]);
        }
        EXPECT_EQ(depths, run["depths"].get<std::vector<int64_t>>()) << run["name"];
        // By layer and occurrence: the plan runs layers 0 and 1 several times.
        std::map<std::string, int64_t> skipped;
        const Json work = work_of(s);
        for (const Json& one : work["skipped"]) skipped[one["path"]] = one["runs"];
        if (!run["controls"].contains("mindskip") || run["controls"].contains("exit_confidence")) continue;
        for (const size_t step : {size_t{0}, size_t{1}})  // those that the plain model has as well
            EXPECT_EQ(skipped["layers." + std::to_string(step) + ".mixer"], run["mixers_skipped"][step]) << run["name"];
    }
}

TEST_P(Exits, NeutralValuesLeaveThePlanAlone) {
    const Session plain = make_session(model_), neutral = make_session(model_);
    for (const auto& [name, value] : std::map<std::string, Json>{{"exit_confidence", 1.0}, {"exit_similarity", 1}, {"exit_from", 1}, {"exit_every", 2}}) set_control(neutral, name, value);
    const std::vector<int32_t> ids = some_ids(6, 41);
    EXPECT_SAME_BITS(feed(neutral, ids, entry().c_str()), feed(plain, ids, entry().c_str()));
    // The steps alone: how a device's submissions are cut follows its speed.
    EXPECT_EQ(description(neutral, "plan", "steps", entry().c_str()), description(plain, "plan", "steps", entry().c_str()));
    const Json work = work_of(plain);
    for (const char* what : {"layers", "mixers", "ffns", "flops", "weight_bytes"}) EXPECT_EQ(work["total"][what]["run"], work["total"][what]["plain"]) << what;
    EXPECT_TRUE(work["skipped"].empty());
}

class LeavingOut : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        if (!usable(GetParam())) GTEST_SKIP() << "no Vulkan device";
        model_ = open_golden("llama", nullptr, GetParam());
        const Tensors weights = read_tensors(golden_folder("llama") + "/model.safetensors");
        for (const auto& [name, tensor] : weights) {
            const size_t at = name.find("layers.1.");
            if (tensor.shape.size() != 2 || name.find("embed") != std::string::npos) continue;
            bytes_ += tensor.bytes.size();
            if (at == std::string::npos) continue;
            layer_ += tensor.bytes.size();
            if (name.find("mlp") != std::string::npos) ffn_ += tensor.bytes.size();
            if (name.find("k_proj") != std::string::npos || name.find("v_proj") != std::string::npos) keys_ += tensor.bytes.size();
        }
    }
    Model model_;
    uint64_t bytes_ = 0, layer_ = 0, ffn_ = 0, keys_ = 0;  // of weights: all that are multiplied by; layer 1; of it the ffn; keys and values
    const std::vector<int32_t> ids_ = some_ids(8, 41);
};
INSTANTIATE_TEST_SUITE_P(Devices, LeavingOut, testing::Values("cpu", "vulkan"), [](const auto& info) { return std::string(info.param); });

TEST_P(LeavingOut, IsCountedInFlopsAndBytes) {
    const Session s = make_session(model_);
    const auto last = [&](const char* what) { return work_of(s)["last"][what]; };
    const auto step = [&](const char* control, const Json& value) {
        check(orr_session_reset(s.get()));
        set_control(s, control, value);
        feed(s, {ids_[0]});
        check(orr_session_set_control(s.get(), control, nullptr));
        return last("weight_bytes");
    };
    feed(s, {ids_[0]});
    EXPECT_EQ(last("weight_bytes")["run"], bytes_);
    // 2 FLOPs a weight, and q k^T and p v of one key: 2 layers, 4 heads, 6 wide
    EXPECT_EQ(last("flops")["run"], 2 * (bytes_ / 4) + 2 * 4 * 2 * (6 + 6));
    feed(s, {ids_[1]});
    EXPECT_EQ(last("flops")["run"], 2 * (bytes_ / 4) + 2 * 2 * 4 * 2 * (6 + 6));
    EXPECT_EQ(work_of(s)["total"]["runs"], 2);
    EXPECT_EQ(work_of(s)["depths"], Json({{"2", 2}}));
    EXPECT_GT(work_of(s)["total"]["time_ns"], 0);

    Json bytes = step("layer_plan", "0");
    EXPECT_EQ(bytes["run"], bytes_ - layer_);
    EXPECT_EQ(bytes["plain"], bytes_);
    EXPECT_EQ(last("layers"), Json({{"run", 1}, {"plain", 2}}));
    bytes = step("bypass", "1.ffn");
    EXPECT_EQ(bytes["run"], bytes_ - ffn_);
    EXPECT_EQ(last("layers"), Json({{"run", 2}, {"plain", 2}}));
    EXPECT_EQ(last("ffns"), Json({{"run", 1}, {"plain", 2}}));
    EXPECT_EQ(work_of(s)["skipped"][0]["path"], "layers.1.ffn");
    bytes = step("exit_similarity", -1);  // behind layer 0, always
    EXPECT_EQ(bytes["run"], bytes_ - layer_ + keys_);
    EXPECT_EQ(last("mixers"), Json({{"run", 1}, {"plain", 2}}));
    EXPECT_LT(last("flops")["run"], last("flops")["plain"]);
    EXPECT_EQ(work_of(s)["depths"], Json({{"1", 1}}));
}

TEST_P(LeavingOut, ReadsAsZeros) {
    const Session s = make_session(model_), plain = make_session(model_);
    feed(s, ids_), feed(plain, ids_);
    set_control(s, "exit_confidence", 0);
    orr_tap tap{}, norm{};
    tap = {ORR_HEADER(orr_tap), "layers.*.output", "read", 1, 0, nullptr, 0, 0, 0, 0};
    norm = {ORR_HEADER(orr_tap), "layers.1.mixer.output", "norm", 1, 0, nullptr, 0, 0, 0, 0};
    const orr_tap* taps[] = {&tap, &norm};
    check(orr_session_set_taps(s.get(), 2, taps));
    check(orr_session_set_taps(plain.get(), 2, taps));
    const Tensors got = run(s, {{"input_ids", ids_tensor({7})}}, "next"), want = run(plain, {{"input_ids", ids_tensor({7})}}, "next");
    EXPECT_LE(difference(got.at("layers.0.output"), want.at("layers.0.output")), kTolerance);
    for (const char* name : {"layers.1.output", "layers.1.mixer.output:norm"}) {
        const auto there = want.at(name).floats(), left_out = got.at(name).floats();
        EXPECT_TRUE(std::any_of(there.begin(), there.end(), [](float x) { return x != 0; })) << name;
        EXPECT_TRUE(std::all_of(left_out.begin(), left_out.end(), [](float x) { return x == 0; })) << name;
    }
}

TEST_P(LeavingOut, TokensThatLeftEarlyAreSeenByLaterOnes) {
    // A full run behind early exits: no state lacks a token, and what the layers left out keep of them is not what they would have made.
    const Session s = make_session(model_), plain = make_session(model_), again = make_session(model_);
    for (const Session* one : {&s, &plain, &again}) set_control(*one, "layer_plan", "0,1,0,1");
    set_control(s, "exit_confidence", 0);
    for (const int32_t id : ids_) feed(s, {id}), feed(plain, {id});
    check(orr_session_set_control(s.get(), "exit_confidence", nullptr));
    EXPECT_GT(difference(feed(s, {3}), feed(plain, {3})), 1e-3);
    const Session forked = fork(s);
    check(orr_session_rollback(forked.get(), 4));
    set_control(forked, "exit_confidence", 0);
    set_control(again, "exit_confidence", 0);
    for (size_t i = 0; i < 4; i++) feed(again, {ids_[i]});
    EXPECT_SAME_BITS(feed(forked, {9}), feed(again, {9}));
}

TEST_P(LeavingOut, SessionsOfABatchLeaveTogether) {
    const Session a = make_session(model_), b = make_session(model_), both = make_session(model_, [](orr_session_options& o) { o.batch = 2; });
    for (const Session* s : {&a, &b, &both}) set_control(*s, "exit_confidence", 0.3);
    feed(a, {ids_[0], ids_[1]}), feed(b, {ids_[2], ids_[3]});
    Tensor prompt = ids_tensor(part(ids_, 0, 4)), pair = ids_tensor({5, 6});
    prompt.shape = {2, 2}, pair.shape = {2, 1};
    run(both, {{"input_ids", prompt}}, "next");
    const Tensor want = run(both, {{"input_ids", pair}}, "next").at("logits");
    const orr_named_tensor ids = named("input_ids", pair);
    const orr_named_tensor* inputs[] = {&ids};
    orr_session* sessions[] = {a.get(), b.get()};
    check(orr_session_run_batch(2, sessions, "next", 1, inputs, 0, nullptr));
    orr_named_tensor out{};
    out.header = ORR_HEADER(orr_named_tensor);
    check(orr_session_output(a.get(), "logits", &out));
    ASSERT_EQ(out.size_bytes, want.bytes.size());
    EXPECT_EQ(std::memcmp(out.data, want.bytes.data(), want.bytes.size()), 0);
}

TEST_P(LeavingOut, SaysWhatIsWrong) {
    const Session s = make_session(model_);
    const auto fails = [&](const char* name, const Json& value, const std::vector<std::string>& parts) { expect_failure([&] { set_control(s, name, value); }, ORR_INVALID_ARGUMENT, parts); };
    fails("exit_confidence", 1.5, {"exit_confidence", "1.5", "from 0.0 to 1.0"});
    fails("exit_similarity", "much", {"exit_similarity", "much", "number"});
    fails("exit_from", -1, {"exit_from", "-1", "from 0.0 to 1000.0"});
    fails("exit_every", 1.5, {"exit_every", "1.5", "whole"});
    fails("mindskip", 3, {"mindskip", "path"});
    fails("mindskip", golden_folder("llama") + "/inputs.safetensors", {"mindskip", "no router", "[1, 24]"});
    expect_failure([&] { set_control(s, "mindskip", "/nowhere.safetensors"); }, ORR_NOT_FOUND, {"/nowhere.safetensors"});
    const Model wide = open_golden("gemma3_width", nullptr, GetParam());
    const Session other = make_session(wide);
    expect_failure([&] { set_control(other, "mindskip", golden_folder("llama") + "/routers.safetensors"); }, ORR_INVALID_ARGUMENT, {"model.layers.1.router.weight", "[1, 24]"});
    feed(s, ids_);  // as if nothing had been tried
}

class EncoderExits : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Devices, EncoderExits, testing::Values("cpu", "vulkan"), [](const auto& info) { return std::string(info.param); });

TEST_P(EncoderExits, BySimilarity) {
    if (!usable(GetParam())) GTEST_SKIP() << "no Vulkan device";
    const Model model = open_golden("bert", nullptr, GetParam());
    const Json golden = Json::parse(read_file(golden_folder("bert") + "/exits.json"));
    const Tensors values = read_tensors(golden_folder("bert") + "/exits.safetensors");
    for (const Json& one : golden["runs"]) {
        const Session s = make_session(model, [](orr_session_options& o) { o.batch = 2; });
        for (const auto& [name, value] : one["controls"].items()) set_control(s, name, value);
        EXPECT_LE(difference(run(s, {{"input_ids", values.at("ids")}}).at("last_hidden_state"), values.at(one["name"])), kTolerance) << one["name"];
        EXPECT_EQ(work_of(s)["last"]["layers"]["run"], one["depth"]) << one["name"];
    }
}

}  // namespace
}  // namespace engine_tests
