// Taps go along the axis of tokens that the port of a plugin's operator tells: of [B, S, T] both axes are as long as there are tokens, and the
// symbol of tokens alone would find the first of them.
#include <algorithm>

#include "orrery/plugin.hpp"
#include "support.hpp"

namespace engine_tests {
namespace {

using orrery::Graph;
using orrery::Value;

// y[b, s, t] = 10 x[b, s] + x[b, t]
orr_status infer(const orr_infer* i) {
    const orr_value_info& x = *i->inputs[0];
    orr_value_info& y = *i->outputs[0];
    y.type = ORR_TYPE_F32;
    y.rank = 3;
    y.dims[0] = x.dims[0], y.dims[1] = y.dims[2] = x.dims[1];
    return ORR_OK;
}
orr_status run_pairs(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    const auto at = [&](int64_t b, int64_t t) { return *reinterpret_cast<const float*>(static_cast<const char*>(x.data) + b * x.stride_bytes[0] + t * x.stride_bytes[1]); };
    auto* dst = static_cast<float*>(y.data);
    for (int64_t b = 0; b < y.shape[0]; b++)
        for (int64_t s = 0; s < y.shape[1]; s++)
            for (int64_t t = 0; t < y.shape[2]; t++) *dst++ = 10 * at(b, s) + at(b, t);
    return ORR_OK;
}

orrery::Operator pairs(const char* id) {
    return orrery::Operator(id, "y = 10 x[s] + x[t]")
        .input("x", "f32", "[B, T]")
        .output("y", "[B, S, T]")
        .infer(infer)
        .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_pairs});
}

// "older" is what a plugin of before this member hands over: what lies behind its struct is none of its own.
const orr_operator* const* operators() {
    static const orrery::Operator told = pairs("test.told/1").token_axis(2), last = pairs("test.last/1").token_axis(-1), untold = pairs("test.untold/1"), newer = pairs("test.older/1").token_axis(2);
    static const orr_port older_port = [] {
        orr_port port = *newer.table()->outputs[0];
        port.header.struct_size = offsetof(orr_port, token_axis);
        return port;
    }();
    static const orr_port* const older_ports[] = {&older_port};
    static const orr_operator older = [] {
        orr_operator op = *newer.table();
        op.outputs = older_ports;
        return op;
    }();
    static const orr_operator* const items[] = {told.table(), last.table(), untold.table(), &older};
    return items;
}

const char* const kNames[] = {"told", "last", "untold", "older"};
const char* const kNone[] = {nullptr};
const char* const kEntries[] = {"forward", nullptr};
const char* const kSymbolArchitectures[] = {"SymbolModel", nullptr};
const char* const kNumberArchitectures[] = {"NumberModel", nullptr};
const char* const kNeeded[] = {"test.told/1", "test.last/1", "test.untold/1", "test.older/1", nullptr};
constexpr int64_t kTokens = 5;

orr_status configure(const orr_model_source*, void**, orr_model_info* info) {
    info->entries = kEntries;
    info->tasks = kNone;
    info->info_json = "{}";
    return ORR_OK;
}
template <bool kSymbol>
orr_status build(void*, const orr_model_source*, const char*, orr_builder* b) {
    Graph g(b);
    const orr_dim batch = g.symbol("B"), tokens = kSymbol ? g.symbol("T") : kTokens;
    if (kSymbol) {
        g.positions("positions", batch, tokens);
        g.advance(tokens);
    }
    const Value x = g.input("x", ORR_TYPE_F32, {batch, tokens});
    for (const char* name : kNames) g.output((std::string(name) + "_read").c_str(), g.named(name, g.op(("test." + std::string(name) + "/1").c_str(), {x})));
    return ORR_OK;
}
const orr_plugin* plugin(const orr_host*) {
    static const orr_operators ops = {ORR_HEADER(orr_operators), 4, operators()};
    static const orr_model_arch symbol = {ORR_HEADER(orr_model_arch), "symbol", "tokens are a symbol", kSymbolArchitectures, kNone, kNeeded, configure, build<true>, [](void*) {}};
    static const orr_model_arch number = {ORR_HEADER(orr_model_arch), "number", "tokens are a number", kNumberArchitectures, kNone, kNeeded, configure, build<false>, [](void*) {}};
    static const orr_model_arch* const archs[] = {&symbol, &number};
    static const orr_models models = {ORR_HEADER(orr_models), 2, archs};
    static const orr_plugin table = {ORR_HEADER(orr_plugin), "test.pairs", "1.0", "MIT", ORR_SANITIZER, [](const char* id) -> const void* {
                                         return std::string_view(id) == ORR_EXT_OPERATORS ? static_cast<const void*>(&ops) : std::string_view(id) == ORR_EXT_MODELS ? &models : nullptr;
                                     }};
    return &table;
}

class TokenAxis : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        check(orr_engine_add_plugin(engine_.get(), plugin));
        checkpoint_.config = {{"architectures", {GetParam()}}};
        checkpoint_.tensors["w"] = {ORR_TYPE_F32, {1}, std::vector<char>(4)};
        checkpoint_.allow_extra_tensors = true;
        model_ = checkpoint_.open(engine_.get());
    }
    bool symbol() const { return GetParam() == std::string("SymbolModel"); }

    void set_tap(const Session& s, const char* path, const char* kind, int64_t first = 0, int64_t end = 0) const {
        const orr_tap tap = {ORR_HEADER(orr_tap), path, kind, 1, 0, nullptr, first, end, 0, 0};
        const orr_tap* const given[] = {&tap};
        check(orr_session_set_taps(s.get(), 1, given));
    }
    Tensors run_all(const Session& s) const {
        Tensor x{ORR_TYPE_F32, {1, kTokens}, std::vector<char>(kTokens * sizeof(float))};
        const float values[kTokens] = {1, 2, 3, 4, 5};
        std::memcpy(x.bytes.data(), values, sizeof values);
        return run(s, {{"x", x}});
    }
    // y with tokens 1 and 2 of the axis silent.
    static std::vector<float> silenced(int axis) {
        std::vector<float> y;
        for (int64_t s = 0; s < kTokens; s++)
            for (int64_t t = 0; t < kTokens; t++) y.push_back((axis == 1 ? s : t) == 1 || (axis == 1 ? s : t) == 2 ? 0 : static_cast<float>(10 * (s + 1) + t + 1));
        return y;
    }

    Engine engine_ = make_engine();
    Checkpoint checkpoint_;
    Model model_;
};
INSTANTIATE_TEST_SUITE_P(Models, TokenAxis, testing::Values("SymbolModel", "NumberModel"), [](const auto& info) { return std::string(info.param); });

TEST_P(TokenAxis, ToldEditsGoAlongIt) {
    for (const char* path : {"told", "last"}) {
        const Session s = make_session(model_);
        set_tap(s, path, "zero", 1, 3);
        const Tensors got = run_all(s);
        EXPECT_EQ(got.at(std::string(path) + "_read").floats(), silenced(2)) << path;
        EXPECT_NE(got.at("untold_read").floats(), silenced(2));
    }
}

TEST_P(TokenAxis, ToldReadingsGoAlongIt) {
    for (const char* path : {"told", "last"}) {
        const Session s = make_session(model_);
        set_tap(s, path, "last");
        const Tensor got = run_all(s).at(std::string(path) + ":last");
        EXPECT_EQ(got.shape, (std::vector<int64_t>{1, kTokens, 1})) << path;
        EXPECT_EQ(got.floats(), (std::vector<float>{15, 25, 35, 45, 55})) << path;
    }
}

// By the symbol of tokens; without one nothing tells.
TEST_P(TokenAxis, UntoldIsFoundOtherwiseOrRefused) {
    for (const char* path : {"untold", "older"}) {
        const Session s = make_session(model_);
        if (symbol()) {
            set_tap(s, path, "zero", 1, 3);
            EXPECT_EQ(run_all(s).at(std::string(path) + "_read").floats(), silenced(1)) << path;
        } else {
            expect_failure([&] { set_tap(s, path, "zero", 1, 3); }, ORR_UNSUPPORTED, {path, "has no axis of tokens"});
        }
    }
}

TEST_P(TokenAxis, IsAmongWhatIsSaidOfOperators) {
    const auto told = [&](const std::string& id) {
        for (const Json& op : about(engine_.get(), "operators"))
            if (op["id"] == id) return op["outputs"][0].value("token_axis", 99);
        return 98;
    };
    EXPECT_EQ(told("test.told/1"), 2);
    EXPECT_EQ(told("test.last/1"), -1);
    EXPECT_EQ(told("test.untold/1"), 99);
    EXPECT_EQ(told("test.older/1"), 99);
    EXPECT_EQ(told("orr.attention_probabilities/1"), 2);
    EXPECT_EQ(told("orr.rope/1"), 1);
}

}  // namespace
}  // namespace engine_tests
