// Early exits and attentions that a router passes by: what PyTorch gives for the same model and controls (golden/<case>/exits.json, by
// tests/models/make_exits.py), nothing of it at neutral values, and what a session tells of the work that was left out.
#include <fstream>

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
    bool speech() const { return std::get<0>(GetParam()) == std::string("whisper"); }
    std::string entry() const { return speech() && std::get<2>(GetParam()) == std::string("forward") ? "decode" : std::get<2>(GetParam()); }
    std::string prefix() const { return speech() ? "decoder." : ""; }
    // What a decoder of another's output reads is there already. row: -1: all of the batch
    void encode(const Session& s, int64_t batch, int64_t row = -1) const {
        if (!speech()) return;
        const Tensor features = read_tensors(folder_ + "/inputs.safetensors").at("input_features");
        model_tests::run(s, {{"input_features", row < 0 ? features.cut(0, 0, batch) : features.cut(0, row, row + 1)}}, "encode");
    }
    Tensor logits(const Session& s, const Tensor& ids) const { return model_tests::run(s, {{speech() ? "decoder_input_ids" : "input_ids", ids}}, entry().c_str()).at("logits"); }
    // How many layers ran for each sequence.
    std::vector<int64_t> exits(const Session& s, int64_t batch) const {
        const Json last = work_of(s)["last"];
        if (last.contains("exits")) return last["exits"][prefix() + "layers"];
        return std::vector<int64_t>(static_cast<size_t>(batch), last["layers"]["run"]);
    }
    Session session(const Json& run) const {
        Session s = make_session(model_, [&](orr_session_options& o) { o.batch = run["batch"]; });
        for (const auto& [name, value] : run["controls"].items()) set_control(s, name, value.is_string() && value.get<std::string>().ends_with(".safetensors") ? Json(folder_ + "/" + value.get<std::string>()) : value);
        return s;
    }
    std::string folder_;
    Model model_;
    Json golden_;
    Tensors values_;
};
INSTANTIATE_TEST_SUITE_P(Cases, Exits, testing::Combine(testing::Values("llama", "gpt2", "whisper"), testing::Values("cpu", "vulkan"), testing::Values("forward", "next")),
                         [](const auto& info) { return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param) + "_" + std::get<2>(info.param); });

TEST_P(Exits, GiveWhatPyTorchGives) {
    ASSERT_FALSE(golden_["runs"].empty());
    const Tensor& ids = values_.at("ids");
    for (const Json& run : golden_["runs"]) {
        const Session s = session(run);
        const int64_t batch = run["batch"], prompt = golden_["prompt"];
        encode(s, batch);
        const Json before = work_of(s);
        const Tensor& want = values_.at(run["name"]);  // [B, runs, V]
        std::vector<std::vector<int64_t>> depths;
        for (int64_t at = 0, step = 0; at < ids.shape[1]; at += at ? 1 : prompt, step++) {
            Tensor got = logits(s, rows(ids, batch, at, at ? at + 1 : prompt));
            if (got.shape.size() == 3) got = got.cut(1, got.shape[1] - 1, got.shape[1]);
            Tensor expected = want.cut(1, step, step + 1);
            got.shape = expected.shape;
            EXPECT_LE(difference(got, expected), kTolerance) << run["name"] << ", run " << step;
            const Json last = work_of(s)["last"];
            depths.push_back(exits(s, batch));
            EXPECT_EQ(last["layers"]["run"], *std::max_element(depths.back().begin(), depths.back().end())) << run["name"];
            EXPECT_EQ(last["tokens"], batch * (at ? 1 : prompt));
        }
        EXPECT_EQ(depths, run["depths"].get<std::vector<std::vector<int64_t>>>()) << run["name"];
        std::map<std::string, int64_t> by_depth = before["depths"].get<std::map<std::string, int64_t>>();
        for (const auto& one : depths)
            for (const int64_t d : one) by_depth[std::to_string(d)]++;
        EXPECT_EQ(work_of(s)["depths"], Json(by_depth)) << run["name"];
        // By layer and occurrence: the plan runs layers 0 and 1 several times.
        std::map<std::string, int64_t> skipped;
        const Json work = work_of(s);
        for (const Json& one : work["skipped"]) skipped[one["path"]] = one["runs"];
        if (!run["controls"].contains("mindskip") || run["controls"].contains("exit_confidence")) continue;
        for (const size_t step : {size_t{0}, size_t{1}})  // those that the plain model has as well
            EXPECT_EQ(skipped["layers." + std::to_string(step) + ".mixer"], run["mixers_skipped"][step]) << run["name"];
    }
}

TEST_P(Exits, SequencesOfABatchLeaveAsTheyWouldAlone) {
    const Tensor& ids = values_.at("ids");
    const int64_t prompt = golden_["prompt"];
    bool apart = false;
    for (Json run : golden_["runs"]) {
        if (run["batch"] != 2) continue;
        const Session both = session(run);
        run["batch"] = 1;
        const Session one[] = {session(run), session(run)};
        encode(both, 2);
        for (int64_t b = 0; b < 2; b++) encode(one[b], 1, b);
        for (int64_t at = 0; at < ids.shape[1]; at += at ? 1 : prompt) {
            const Tensor tokens = rows(ids, 2, at, at ? at + 1 : prompt);
            const Tensor got = logits(both, tokens);
            for (int64_t b = 0; b < 2; b++) {
                Tensor own{ORR_TYPE_I32, {1, tokens.shape[1]}, tokens.cut(0, b, b + 1).bytes};
                EXPECT_SAME_BITS(got.cut(0, b, b + 1), logits(one[b], own)) << run["name"] << ", tokens from " << at;
            }
            const std::vector<int64_t> depths = exits(both, 2);
            apart = apart || depths[0] != depths[1];
        }
    }
    EXPECT_TRUE(apart);
}

TEST_P(Exits, NeutralValuesLeaveThePlanAlone) {
    const Session plain = make_session(model_), neutral = make_session(model_);
    for (const auto& [name, value] : std::map<std::string, Json>{{"exit_confidence", 1.0}, {"exit_similarity", 1}, {"exit_from", 1}, {"exit_every", 2}}) set_control(neutral, prefix() + name, value);
    for (const Session* s : {&plain, &neutral}) encode(*s, 1);
    const Tensor ids = ids_tensor(some_ids(6, 41));
    EXPECT_SAME_BITS(logits(neutral, ids), logits(plain, ids));
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
    // Softmax's best of the logits behind layer 0 for one more token, between those of two sequences.
    double confidence_between(const std::vector<int32_t>& first, int32_t then, const std::vector<int32_t>& second, int32_t other) const {
        double sum = 0;
        for (const auto& [ids, token] : {std::pair(first, then), std::pair(second, other)}) {
            const Session s = make_session(model_);
            set_control(s, "exit_confidence", 0);
            feed(s, ids);
            const auto logits = feed(s, {token}).floats();
            const double most = *std::max_element(logits.begin(), logits.end());
            double all = 0;
            for (const float x : logits) all += std::exp(x - most);
            sum += 1 / all;
        }
        return sum / 2;
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
    orr_tap left{};
    left = {ORR_HEADER(orr_tap), "layers.0.exit", "read", 1, 0, nullptr, 0, 0, 0, 0};
    const orr_tap* taps[] = {&tap, &norm, &left};
    check(orr_session_set_taps(s.get(), 3, taps));
    check(orr_session_set_taps(plain.get(), 2, taps));
    const Tensors got = run(s, {{"input_ids", ids_tensor({7})}}, "next"), want = run(plain, {{"input_ids", ids_tensor({7})}}, "next");
    EXPECT_LE(difference(got.at("layers.0.output"), want.at("layers.0.output")), kTolerance);
    EXPECT_EQ(got.at("layers.0.exit").floats(), std::vector<float>{1});
    EXPECT_EQ(got.at("layers.0.exit").shape, (std::vector<int64_t>{1, 1, 1}));
    EXPECT_EQ(got.at("exit.depth").floats(), std::vector<float>{1});
    EXPECT_FALSE(want.count("exit.depth"));
    for (const char* name : {"layers.1.output", "layers.1.mixer.output:norm"}) {
        const auto there = want.at(name).floats(), left_out = got.at(name).floats();
        EXPECT_TRUE(std::any_of(there.begin(), there.end(), [](float x) { return x != 0; })) << name;
        EXPECT_TRUE(std::all_of(left_out.begin(), left_out.end(), [](float x) { return x == 0; })) << name;
    }
}

// What is read of a sequence behind its exit, or in an attention that its router passes by, is what it is alone, whoever else is in the batch.
TEST_P(LeavingOut, ReadsAsZerosInABatchToo) {
    const auto close = [](const Tensors& all, const Tensors& one, int64_t b, const std::string& context, int* zeros) {
        ASSERT_EQ(all.size(), one.size());
        for (const auto& [name, alone] : one) {
            Tensor row = all.at(name).cut(0, b, b + 1);
            EXPECT_SAME_BITS(row, alone) << context << name << " of sequence " << b;
            if (row.type != ORR_TYPE_F32 || name == "exit.depth" || name.ends_with(".exit")) continue;
            const auto numbers = row.floats();
            *zeros += std::all_of(numbers.begin(), numbers.end(), [](float x) { return x == 0; });
        }
    };
    std::deque<std::string> paths;
    std::deque<orr_tap> taps;
    std::vector<const orr_tap*> list;
    for (const char* path : {"layers.*.output", "layers.*.mixer.output", "layers.*.ffn.output", "layers.*.mixer.k", "layers.*.mixer.probabilities"})
        for (const char* kind : {"read", "norm", "mean", "last", "entropy", "top_k"}) {
            taps.push_back({ORR_HEADER(orr_tap), path, kind, 1, std::string_view(kind) == "top_k" ? 1 : 0, nullptr, 0, 0, 0, 0});
            list.push_back(&taps.back());
        }
    const auto compare = [&](const Model& model, const std::vector<std::pair<std::string, Json>>& controls, const std::string& context) {
        constexpr int64_t kBatch = 6, kTokens = 5;
        Tensor ids = ids_tensor(some_ids(kBatch * kTokens, 41));
        ids.shape = {kBatch, kTokens};
        const auto prepared = [&](int64_t batch) {
            Session s = make_session(model, [&](orr_session_options& o) { o.batch = batch; });
            for (const auto& [name, value] : controls) set_control(s, name, value);
            check(orr_session_set_taps(s.get(), static_cast<uint32_t>(list.size()), list.data()));
            return s;
        };
        const Tensors all = run(prepared(kBatch), {{"input_ids", ids}}, "next");
        int zeros = 0;
        for (int64_t b = 0; b < kBatch; b++) {
            const Tensors one = run(prepared(1), {{"input_ids", {ORR_TYPE_I32, {1, kTokens}, ids.cut(0, b, b + 1).bytes}}}, "next");
            close(all, one, b, context + ": ", &zeros);
        }
        const auto depths = all.count("exit.depth") ? all.at("exit.depth").floats() : std::vector<float>{0, 1};
        return zeros > 0 && std::adjacent_find(depths.begin(), depths.end(), std::not_equal_to<>()) != depths.end();
    };
    // Thresholds between what the sequences have, so that some leave behind layer 0 and others do not.
    for (const char* name : {"llama", "gpt2"}) {
        const Model model = open_golden(name, nullptr, GetParam());
        bool apart = false;
        for (const double threshold : {0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95}) {
            const std::string context = std::string(name) + ", exit_similarity " + std::to_string(threshold);
            apart = compare(model, {{"exit_similarity", threshold}}, context) || apart;
        }
        EXPECT_TRUE(apart) << name;
    }
    EXPECT_TRUE(compare(model_, {{"mindskip", golden_folder("llama") + "/routers.safetensors"}}, "mindskip"));
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

TEST_P(LeavingOut, SessionsSteppedTogetherLeaveEachByItself) {
    const Session a = make_session(model_), b = make_session(model_), both = make_session(model_, [](orr_session_options& o) { o.batch = 2; });
    // Between what the two are confident of behind layer 0.
    for (const Session* s : {&a, &b, &both}) set_control(*s, "exit_confidence", confidence_between(part(ids_, 0, 2), 5, part(ids_, 2, 4), 6));
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
    const Json exits = work_of(both)["last"]["exits"]["layers"], depths = {work_of(a)["depths"], work_of(b)["depths"]};
    EXPECT_NE(exits[0], exits[1]);
    for (size_t i = 0; i < 2; i++)  // the prompt, then this step
        EXPECT_EQ(depths[i], exits[i] == 2 ? Json({{"2", 2}}) : Json({{"1", 1}, {"2", 1}}));
    EXPECT_EQ(work_of(both)["depths"], Json({{"1", 1}, {"2", 3}}));
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

// Files of routers, classifiers and predictors, as they should not be.
class BadFiles : public testing::Test {
  protected:
    static Tensor filled(std::vector<int64_t> shape, float value = 0.5F) {
        Tensor t{ORR_TYPE_F32, std::move(shape), {}};
        for (int64_t i = 0; i < t.elements(); i++) t.bytes.insert(t.bytes.end(), reinterpret_cast<const char*>(&value), reinterpret_cast<const char*>(&value) + sizeof value);
        return t;
    }
    static Tensor spoiled(std::vector<int64_t> shape, float value) {
        Tensor t = filled(std::move(shape));
        std::memcpy(t.bytes.data() + 4 * sizeof value, &value, sizeof value);
        return t;
    }
    static Tensor whole(std::vector<int64_t> shape) {
        Tensor t = filled(std::move(shape));
        t.type = ORR_TYPE_I32;
        return t;
    }
    std::string write(Tensors tensors) {
        Checkpoint c;
        c.tensors = std::move(tensors);
        const std::string path = scratch("bad_exits_" + std::to_string(count_++) + ".safetensors");
        std::ofstream(path, std::ios::binary) << c.safetensors();
        return path;
    }
    void refuses(const char* control, Tensors tensors, orr_status status, std::vector<std::string> parts) {
        const std::string path = write(std::move(tensors));
        parts.push_back(path);
        expect_failure([&] { set_control(session_, control, path); }, status, parts);
    }
    const Model model_ = open_golden("llama");  // V 41, E 24, 2 layers
    const Session session_ = make_session(model_);
    int count_ = 0;
};

TEST_F(BadFiles, OfExitHeadsAreRefused) {
    const Tensor head = filled({41, 24}), halt = filled({1, 24});
    const auto bad = [&](Tensors tensors, orr_status status, const std::vector<std::string>& parts) { refuses("exit_heads", std::move(tensors), status, parts); };
    bad({{"model.norm.weight", filled({24})}}, ORR_INVALID_ARGUMENT, {"exit_heads", "neither", "layers.0.exit.head.weight [41, 24]", "layers.0.halt.weight [1, 24]", "depth.weight [2, 24]"});
    bad({{"layers.0.exit.head.weight", head}, {"layers.0.exit.scale", halt}}, ORR_INVALID_ARGUMENT, {"layers.0.exit.scale [1, 24]", "no use"});
    bad({{"layers.0.exit.head.weight", head}, {"layers.2.exit.head.weight", head}}, ORR_INVALID_ARGUMENT, {"layers.2.exit.head.weight"});
    bad({{"layers.1.exit.head.weight", filled({40, 24})}}, ORR_INVALID_ARGUMENT, {"layers.1.exit.head.weight", "[40, 24]", "[41, 24]"});
    bad({{"layers.1.exit.head.weight", whole({41, 24})}}, ORR_UNSUPPORTED, {"layers.1.exit.head.weight", "i32", "f32"});
    bad({{"layers.0.halt.weight", spoiled({1, 24}, std::nanf(""))}}, ORR_CORRUPT, {"layers.0.halt.weight", "nan", "index 4"});
    bad({{"layers.0.exit.head.weight", spoiled({41, 24}, -INFINITY)}}, ORR_CORRUPT, {"layers.0.exit.head.weight", "inf", "index 4"});
    bad({{"layers.0.halt.weight", halt}, {"layers.1.halt.bias", filled({1})}}, ORR_INVALID_ARGUMENT, {"layers.1.halt.bias", "no layers.1.halt.weight"});
    bad({{"layers.0.halt.weight", halt}, {"layers.0.exit.norm.weight", filled({24})}}, ORR_INVALID_ARGUMENT, {"layers.0.exit.norm.weight", "no layers.0.exit.head.weight"});
    bad({{"layers.0.halt.weight", halt}, {"depth.weight", filled({2, 24})}}, ORR_INVALID_ARGUMENT, {"depth.weight", "halting predictors"});
    bad({{"depth.weight", filled({3, 24})}}, ORR_INVALID_ARGUMENT, {"depth.weight", "[3, 24]", "[2, 24]"});
    bad({{"layers.0.exit.head.weight", head}, {"layers.0.exit.norm.weight", filled({24})}, {"layers.0.exit.norm.bias", filled({24})}}, ORR_INVALID_ARGUMENT, {"layers.0.exit.norm.bias", "no use"});
    const Model other = open_golden("gpt2");
    const Session gpt = make_session(other);
    const std::string lacks = write({{"layers.0.exit.head.weight", filled({41, 24})}, {"layers.0.exit.norm.weight", filled({24})}});
    expect_failure([&] { set_control(gpt, "exit_heads", lacks); }, ORR_INVALID_ARGUMENT, {lacks, "no layers.0.exit.norm.bias"});
    expect_failure([&] { set_control(session_, "exit_heads", 3); }, ORR_INVALID_ARGUMENT, {"exit_heads", "path"});
    expect_failure([&] { set_control(session_, "exit_halt", 2); }, ORR_INVALID_ARGUMENT, {"exit_halt", "2", "from 0.0 to 1.0"});
    const Model without = open_golden("bert");
    const Session encoder = make_session(without);
    expect_failure([&] { set_control(encoder, "exit_heads", lacks); }, ORR_NOT_FOUND, {"exit_heads"});
}

TEST_F(BadFiles, OfRoutersAreRefused) {
    const Tensor router = filled({1, 24});
    const std::string name = "model.layers.0.router.weight";
    const auto bad = [&](Tensors tensors, orr_status status, const std::vector<std::string>& parts) { refuses("mindskip", std::move(tensors), status, parts); };
    bad({{name, router}, {"model.layers.7.router.weight", router}}, ORR_INVALID_ARGUMENT, {"model.layers.7.router.weight [1, 24]", "no use"});
    bad({{name, spoiled({1, 24}, std::nanf(""))}}, ORR_CORRUPT, {name, "nan", "index 4"});
    bad({{name, spoiled({1, 24}, INFINITY)}}, ORR_CORRUPT, {name, "inf", "index 4"});
    bad({{name, whole({1, 24})}}, ORR_UNSUPPORTED, {name, "i32"});
    bad({{name, filled({24})}}, ORR_INVALID_ARGUMENT, {name, "[24]", "[1, 24]"});
}

TEST_F(BadFiles, AreReadAgainOnceMended) {
    const std::string path = write({{"model.layers.0.router.weight", spoiled({1, 24}, INFINITY)}});
    expect_failure([&] { set_control(session_, "mindskip", path); }, ORR_CORRUPT, {path});
    count_--;
    ASSERT_EQ(write({{"model.layers.1.router.weight", filled({1, 24})}}), path);
    set_control(session_, "mindskip", path);
    feed(session_, some_ids(4, 41));
}

TEST_F(BadFiles, AndThoseThatNobodyAsksChangeNothing) {
    const Session plain = make_session(model_);
    const std::vector<int32_t> ids = some_ids(6, 41);
    set_control(session_, "exit_heads", golden_folder("llama") + "/exit_heads.safetensors");  // classifiers, and exit_confidence is neutral
    EXPECT_SAME_BITS(feed(session_, ids), feed(plain, ids));
    EXPECT_EQ(description(session_, "plan", "steps", "next"), description(plain, "plan", "steps", "next"));
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
        Tensors inputs{{"input_ids", values.at("ids")}};
        if (one["padded"]) inputs["attention_mask"] = values.at("mask");
        EXPECT_LE(difference(run(s, inputs).at("last_hidden_state"), values.at(one["name"])), kTolerance) << one["name"];
        EXPECT_EQ(work_of(s)["last"]["exits"]["layers"], one["depths"]) << one["name"];
    }
}

// Every stack by itself: CLIP's towers, Whisper's encoder.
class StackExits : public testing::TestWithParam<std::tuple<const char*, const char*>> {
  protected:
    void SetUp() override {
        const auto [name, device] = GetParam();
        if (!usable(device)) GTEST_SKIP() << "no Vulkan device";
        model_ = open_golden(name, nullptr, device);
        golden_ = Json::parse(read_file(golden_folder(name) + "/encoder_exits.json"));
        values_ = read_tensors(golden_folder(name) + "/encoder_exits.safetensors");
        inputs_ = read_tensors(golden_folder(name) + "/inputs.safetensors");
        entry_ = golden_["entry"];
        if (entry_ == "encode") inputs_.erase("decoder_input_ids");
    }
    Tensors run_with(const Json& controls, Json* work = nullptr) const {
        const Session s = make_session(model_, [](orr_session_options& o) { o.batch = 2; });
        for (const auto& [name, value] : controls.items()) set_control(s, name, value);
        Tensors outputs = run(s, inputs_, entry_.c_str());
        if (work) *work = work_of(s)["last"];
        return outputs;
    }
    Model model_;
    Json golden_;
    Tensors values_, inputs_;
    std::string entry_;
};
INSTANTIATE_TEST_SUITE_P(Cases, StackExits, testing::Combine(testing::Values("clip_first_eos", "patchtst_std_masked", "vit_classifier", "whisper"), testing::Values("cpu", "vulkan")),
                         [](const auto& info) { return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param); });

TEST_P(StackExits, BySimilarity) {
    ASSERT_FALSE(golden_["runs"].empty());
    for (size_t i = 0; i < golden_["runs"].size(); i++) {
        const Json& one = golden_["runs"][i];
        Json work;
        const Tensors got = run_with(one["controls"], &work);
        for (const std::string name : golden_["outputs"]) EXPECT_LE(difference(got.at(name), values_.at(std::to_string(i) + ":" + name)), kTolerance) << one["controls"];
        EXPECT_EQ(work["exits"], one["depths"]) << one["controls"];
    }
}

TEST_P(StackExits, NotAtNeutralValues) {
    Json neutral;
    for (const auto& [name, value] : golden_["runs"][0]["controls"].items())
        if (name.ends_with("exit_similarity")) neutral[name] = 1;
    const Tensors plain = run_with(Json::object()), same = run_with(neutral);
    ASSERT_EQ(plain.size(), same.size());
    for (const auto& [name, value] : plain) EXPECT_SAME_BITS(same.at(name), value);
}

}  // namespace
}  // namespace engine_tests
