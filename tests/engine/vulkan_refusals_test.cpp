// Numbers of rows that only a device sees, since its own steps compute them: runs fail as the processor's do, and the session goes on.
#include <cstring>

#include "orrery/plugin.hpp"
#include "support.hpp"

namespace engine_tests {
namespace {

using orrery::Attrs;
using orrery::Graph;
using orrery::Value;

constexpr int64_t kRows = 40, kWidth = 256, kNumbers = 300;

std::vector<float> some_floats(int64_t n, uint32_t seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> draw(-0.1f, 0.1f);
    std::vector<float> out(static_cast<size_t>(n));
    for (float& v : out) v = draw(random);
    return out;
}

// Rows at the numbers `early`, products, where `flag` is not 0 rows at `within`, products, rows at `late`: the first, an inner and the last part
// of a plan that is cut.
orr_status build(void*, const orr_model_source*, const char*, orr_builder* b) {
    Graph g(b);
    const orr_dim n = g.symbol("N");
    const auto rows = [&](const char* name, const char* type) {
        const Value numbers = g.op("orr.cast/1", {g.input(name, ORR_TYPE_F32, {n})}, Attrs().set("type", type));
        return g.named(std::string(name) + ".rows", g.op("orr.embedding/1", {numbers, g.constant(std::string(name) + ".table", some_floats(kRows * kWidth, 1), {kRows, kWidth})}));
    };
    Value x = rows("early", "i32");
    const auto products = [&](uint32_t seed) {
        for (const uint32_t i : {0u, 1u}) x = g.op("orr.linear/1", {x, g.constant("w" + std::to_string(seed + i), some_floats(kWidth * kWidth, seed + i), {kWidth, kWidth})});
    };
    products(10);
    const Value flag = g.input("flag", ORR_TYPE_F32, {1});
    Value inner;
    g.when(flag, false, [&] { inner = g.op("orr.add/1", {x, rows("within", "i64")}); });
    x = g.op("orr.where/1", {g.op("orr.cast/1", {flag}, Attrs().set("type", "bool")), inner, x});
    products(20);
    g.output("y", g.named("y", g.op("orr.add/1", {x, rows("late", "i64")})));
    return ORR_OK;
}

const orr_plugin* plugin(const orr_host*) {
    static const char* const entries[] = {"forward", nullptr};
    static const char* const names[] = {"RowsModel", nullptr};
    static const char* const none[] = {nullptr};
    static const char* const operators[] = {"orr.embedding/1", nullptr};
    static const orr_model_arch arch = {ORR_HEADER(orr_model_arch), "rows_model", "for this test", names, none, operators,
                                        [](const orr_model_source*, void** config, orr_model_info* info) -> orr_status {
                                            *config = nullptr;
                                            info->entries = entries;
                                            info->tasks = none;
                                            info->info_json = "{}";
                                            return ORR_OK;
                                        },
                                        build, [](void*) {}};
    static const orr_model_arch* const items[] = {&arch};
    static const orr_models models = {ORR_HEADER(orr_models), 1, items};
    static const orr_plugin table = {ORR_HEADER(orr_plugin), "test.rows", "1.0.0", "MIT", ORR_SANITIZER, [](const char* id) -> const void* { return std::strcmp(id, ORR_EXT_MODELS) ? nullptr : &models; }};
    return &table;
}

Tensor numbers(std::vector<float> values) {
    Tensor t{ORR_TYPE_F32, {static_cast<int64_t>(values.size())}, std::vector<char>(values.size() * 4)};
    std::memcpy(t.bytes.data(), values.data(), t.bytes.size());
    return t;
}

void expect_no_output(const Session& s) {
    orr_named_tensor out{};
    out.header = ORR_HEADER(orr_named_tensor);
    EXPECT_EQ(orr_session_output(s.get(), "y", &out), ORR_NOT_FOUND);
}

struct Where {
    const char* name;
    const char* device;
    uint32_t submission_ms;
};
void PrintTo(const Where& where, std::ostream* out) { *out << where.name; }

class Refusals : public testing::TestWithParam<Where> {
  protected:
    void SetUp() override {
        if (!usable(GetParam().device)) GTEST_SKIP() << "no Vulkan device";
        engine = make_engine([](orr_engine_options& o) { o.device_submission_ms = GetParam().submission_ms; });
    }
    bool there() const { return GetParam().device == std::string("vulkan"); }
    Engine engine;
};
INSTANTIATE_TEST_SUITE_P(Devices, Refusals, testing::Values(Where{"Processor", "cpu", 0}, Where{"Device", "vulkan", 0}, Where{"DeviceInParts", "vulkan", 1}),
                         [](const auto& info) { return info.param.name; });

class RefusalsOfRows : public Refusals {
  protected:
    void SetUp() override {
        Refusals::SetUp();
        if (IsSkipped()) return;
        check(orr_engine_add_plugin(engine.get(), plugin));
        checkpoint.config = {{"architectures", {"RowsModel"}}};
        model = checkpoint.open(engine.get(), GetParam().device);
        session = make_session(model);
        for (int64_t i = 0; i < kNumbers; i++) good.push_back(static_cast<float>(i * 7 % kRows));
        want = answer(inputs());
    }
    using Changes = std::vector<std::pair<size_t, float>>;
    Tensors inputs(const std::string& name = "", const Changes& changes = {}, float flag = 1) const {
        Tensors in = {{"early", numbers(good)}, {"within", numbers(good)}, {"late", numbers(good)}, {"flag", numbers({flag})}};
        std::vector<float> bad = good;
        for (const auto& [at, value] : changes) bad[at] = value;
        if (!name.empty()) in[name] = numbers(bad);
        return in;
    }
    Tensor answer(const Tensors& in) const { return run(session, in).at("y"); }
    void expect_refused(const Tensors& in, const std::string& name, const std::string& what) const {
        expect_failure([&] { answer(in); }, ORR_INVALID_ARGUMENT,
                       {std::string("orr.embedding/1, kernel ") + GetParam().device + " (" + name + ".rows): orr.embedding/1: id " + what + ", the table has " + std::to_string(kRows) + " rows"});
        expect_no_output(session);
    }
    Checkpoint checkpoint;
    Model model;
    Session session;
    std::vector<float> good;
    Tensor want;
};
INSTANTIATE_TEST_SUITE_P(Devices, RefusalsOfRows, testing::Values(Where{"Processor", "cpu", 0}, Where{"Device", "vulkan", 0}, Where{"DeviceInParts", "vulkan", 1}),
                         [](const auto& info) { return info.param.name; });

TEST_P(RefusalsOfRows, NameStepNumberAndRows) {
    for (const char* name : {"early", "within", "late"}) {
        expect_refused(inputs(name, {{3, -1}}), name, "-1 at index 3");
        expect_refused(inputs(name, {{0, 40}}), name, "40 at index 0");
        expect_refused(inputs(name, {{299, 2147483520.0f}}), name, "2147483520 at index 299");
        EXPECT_SAME_BITS(answer(inputs()), want) << name;
    }
    expect_refused(inputs("late", {{7, 0x1p40f}}), "late", "1099511627776 at index 7");
    expect_refused(inputs("late", {{7, -0x1p40f}}), "late", "-1099511627776 at index 7");
    EXPECT_SAME_BITS(answer(inputs()), want);
    if (!there()) return;
    for (const Json& step : description(session, "plan", "steps"))
        if (step["op"] == "orr.embedding/1" || step["op"] == "orr.cast/1") {
            EXPECT_EQ(step["device"], "vulkan:0") << step;
        }
    const int submissions = Json::parse(describe(session, "plan"))["submissions"];
    bool software = false;
    const Json found = about(engine.get(), "capabilities");
    for (const Json& device : found["devices"]) software = software || device.value("kind", "") == "software";
    EXPECT_GE(submissions, GetParam().submission_ms && software ? 5 : 3);
}

TEST_P(RefusalsOfRows, TellTheFirst) {
    expect_refused(inputs("early", {{299, 50}, {120, 99}, {121, -5}, {260, 41}}), "early", "99 at index 120");
    std::vector<float> all(kNumbers, 77);
    Tensors in = inputs();
    in["late"] = numbers(all);
    expect_refused(in, "late", "77 at index 0");
    in["early"] = numbers(all);
    expect_refused(in, "early", "77 at index 0");
    EXPECT_SAME_BITS(answer(inputs()), want);
}

TEST_P(RefusalsOfRows, AreOfWhatRunsAlone) {
    const Tensor without = answer(inputs("", {}, 0));
    EXPECT_FALSE(without.bytes == want.bytes);
    EXPECT_SAME_BITS(answer(inputs("within", {{5, 40}}, 0)), without);
    expect_refused(inputs("within", {{5, 40}}), "within", "40 at index 5");
    EXPECT_SAME_BITS(answer(inputs("within", {{5, 40}}, 0)), without);
}

TEST_P(RefusalsOfRows, ComeToThoseThatWait) {
    const Tensors in = inputs("late", {{3, 40}});
    std::vector<orr_named_tensor> list;
    for (const auto& [name, t] : in) list.push_back(named(name.c_str(), t));
    std::vector<const orr_named_tensor*> given;
    for (const auto& t : list) given.push_back(&t);
    check(orr_session_start(session.get(), nullptr, static_cast<uint32_t>(given.size()), given.data(), 0, nullptr));
    bool done = false;
    expect_failure([&] { check(orr_session_wait(session.get(), UINT64_MAX, &done)); }, ORR_INVALID_ARGUMENT, {"(late.rows)", "id 40 at index 3"});
    EXPECT_SAME_BITS(answer(inputs()), want);
}

// Places are counted from the ids, behind the padding's number: with 32 of them the 31st token has none.
TEST_P(Refusals, OfTextsThatAreTooLong) {
    for (const char* name : {"roberta", "mpnet", "roberta_positions"}) {
        const Model model = open_golden(name, engine.get(), GetParam().device);
        const Session session = make_session(model), fresh = make_session(model);
        const auto text = [](size_t tokens) {
            std::vector<int32_t> ids;
            for (size_t i = 0; i < tokens; i++) ids.push_back(static_cast<int32_t>(2 + i % 30));
            return Tensors{{"input_ids", ids_tensor(ids)}};
        };
        const Tensor want = run(fresh, text(30)).at("last_hidden_state");
        for (const size_t tokens : {31u, 40u})
            expect_failure([&] { run(session, text(tokens)); }, ORR_INVALID_ARGUMENT, {"orr.embedding/1, kernel ", "id 32 at index 30, the table has 32 rows"});
        EXPECT_SAME_BITS(run(session, text(30)).at("last_hidden_state"), want) << name;
    }
}

}  // namespace
}  // namespace engine_tests
