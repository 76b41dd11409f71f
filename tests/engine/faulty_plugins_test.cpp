// Plugins that break the rules: each is told by its own text, naming the file and what was met, and the engine goes on.
#include <filesystem>
#include <fstream>

#include "faulty.hpp"
#include "orrery/plugin.h"

namespace engine_tests {
namespace {

struct Case {
    const char* fault;
    orr_status status;
    std::vector<std::string> parts;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.fault; }

// The engine, and the model that other plugins give it, work as ever.
void expect_usable(orr_engine* engine) {
    static const Tensor want = feed(make_session(open_golden("llama")), {1, 2, 3});
    EXPECT_SAME_BITS(feed(make_session(open_golden("llama", engine)), {1, 2, 3}), want);
}

bool mapped(const std::string& name) { return read_file("/proc/self/maps").find(name) != std::string::npos; }

class Faulty : public testing::TestWithParam<Case> {
  protected:
    FaultyPlugin plugin_{GetParam().fault};
    Engine engine_ = plugin_.engine();
};

// ---------------------------------------------------------------- refused when it is loaded

class Unloadable : public Faulty {};

TEST_P(Unloadable, IsToldAndLeftOut) {
    std::vector<std::string> parts = GetParam().parts;
    parts.push_back(plugin_.library_name());
    for (int again = 0; again < 2; again++) {  // the second time nothing is left half done
        expect_failure([&] { plugin_.open(engine_.get()); }, GetParam().status, parts);
        EXPECT_FALSE(mapped(plugin_.library_name())) << "the library stayed";
    }
    expect_usable(engine_.get());
}

INSTANTIATE_TEST_SUITE_P(Cases, Unloadable,
                         testing::Values(Case{"entry_throws", ORR_ABI_MISMATCH, {"entry threw", "thrown by the entry"}}, Case{"entry_throws_7", ORR_ABI_MISMATCH, {"entry threw"}},
                                         Case{"entry_null", ORR_UNSUPPORTED, {"entry failed", "no reason was given"}},
                                         Case{"entry_refuses", ORR_UNSUPPORTED, {"entry failed", "left-handed"}}, Case{"entry_missing", ORR_ABI_MISMATCH, {"exports no orr_plugin_entry"}},
                                         Case{"plugin_major", ORR_ABI_MISMATCH, {"plugin ABI 2", "this engine has 1"}}, Case{"plugin_small", ORR_ABI_MISMATCH, {"24 bytes", "at least 48"}},
                                         Case{"sanitizer_other", ORR_ABI_MISMATCH, {"\"martian\"", "the engine with \"" ORR_SANITIZER "\""}},
                                         Case{"id_other", ORR_CORRUPT, {"\"test.elsewhere\"", "\"test.faulty\""}}, Case{"id_null", ORR_CORRUPT, {"its id is NULL"}},
                                         Case{"extension_null", ORR_CORRUPT, {"its get_extension is NULL"}}, Case{"extension_throws", ORR_ABI_MISMATCH, {"thrown by get_extension"}},
                                         Case{"operators_null", ORR_CORRUPT, {"orr.operators/1", "items is NULL"}}, Case{"operator_null", ORR_CORRUPT, {"operator 0", "descriptor is NULL"}},
                                         Case{"operator_small", ORR_ABI_MISMATCH, {"operator 0", "40 bytes", "at least 120"}},
                                         Case{"operator_major", ORR_ABI_MISMATCH, {"operator 0", "plugin ABI 9", "has 1"}},
                                         Case{"operator_no_infer", ORR_CORRUPT, {"\"test.twice/1\"", "infer is NULL"}},
                                         Case{"operator_no_output", ORR_CORRUPT, {"\"test.twice/1\"", "no output"}},
                                         Case{"operator_no_kernel", ORR_CORRUPT, {"\"test.twice/1\"", "no kernel and no decomposition"}},
                                         Case{"ports_null", ORR_CORRUPT, {"\"test.twice/1\"", "input is NULL"}},
                                         Case{"input_axis", ORR_CORRUPT, {"\"test.twice/1\"", "input 0 (x)", "token_axis tells axis 0", "of an input none is told"}},
                                         Case{"output_axis", ORR_CORRUPT, {"\"test.twice/1\"", "output 0 (y)", "token_axis tells axis 8", "outside [-8, 7]"}},
                                         Case{"output_axis_last", ORR_CORRUPT, {"output 0 (y)", "token_axis tells axis -9", "outside [-8, 7]"}}, Case{"kernels_null", ORR_CORRUPT, {"\"test.twice/1\"", "kernels is NULL"}},
                                         Case{"kernel_null", ORR_CORRUPT, {"kernel 0", "descriptor is NULL"}}, Case{"kernel_no_run", ORR_CORRUPT, {"kernel 0", "run is NULL"}},
                                         Case{"kernel_small", ORR_ABI_MISMATCH, {"kernel 0", "24 bytes", "at least 56"}},
                                         Case{"operator_other", ORR_CORRUPT, {"\"test.twice/1\" in the manifest", "\"test.thrice/1\" in the library"}},
                                         Case{"architecture_other", ORR_CORRUPT, {"[FaultyModel]", "[FaultlessModel]"}},
                                         Case{"model_no_build", ORR_CORRUPT, {"model \"faulty\"", "build is NULL"}}),
                         [](const auto& info) { return std::string(info.param.fault); });

// ---------------------------------------------------------------- met while a model is opened

class Unopenable : public Faulty {};

TEST_P(Unopenable, IsToldAndLeftOut) {
    expect_failure([&] { plugin_.open(engine_.get()); }, GetParam().status, GetParam().parts);
    expect_usable(engine_.get());
    expect_failure([&] { plugin_.open(engine_.get()); }, GetParam().status, GetParam().parts);
}

INSTANTIATE_TEST_SUITE_P(Cases, Unopenable,
                         testing::Values(Case{"configure_throws", ORR_INTERNAL, {"(memory)", "threw an exception", "thrown by configure"}},
                                         Case{"configure_silent", ORR_CORRUPT, {"(memory)", "ORR_CORRUPT", "no reason"}},
                                         Case{"build_throws", ORR_INTERNAL, {"(memory)", "threw an exception", "thrown by build"}},
                                         Case{"build_silent", ORR_UNSUPPORTED, {"(memory)", "ORR_UNSUPPORTED", "no reason"}},
                                         Case{"infer_throws", ORR_INTERNAL, {"faulty.forward", "test.twice/1", "thrown by infer"}},
                                         Case{"infer_silent", ORR_UNSUPPORTED, {"faulty.forward", "test.twice/1", "ORR_UNSUPPORTED", "no reason"}},
                                         Case{"infer_rank", ORR_INTERNAL, {"faulty.forward", "test.twice/1", "y rank 9", "the most is 8"}},
                                         Case{"infer_axis", ORR_INVALID_ARGUMENT, {"faulty.forward", "test.twice/1", "y has rank 2", "axis 2 as that of tokens"}}),
                         [](const auto& info) { return std::string(info.param.fault); });

// ---------------------------------------------------------------- met while it is planned

class Unplannable : public Faulty {};

TEST_P(Unplannable, IsToldAndTheSessionLives) {
    const Model model = plugin_.open(engine_.get());
    const Session session = make_session(model);
    for (int again = 0; again < 2; again++) expect_failure([&] { FaultyPlugin::twice(session, 1); }, GetParam().status, GetParam().parts);
    expect_usable(engine_.get());
}

INSTANTIATE_TEST_SUITE_P(Cases, Unplannable,
                         testing::Values(Case{"supports_throws", ORR_INTERNAL, {"test.twice/1", "kernel plain", "thrown by supports"}},
                                         Case{"supports_nothing", ORR_UNSUPPORTED, {"no kernel", "test.twice/1", "plain: no reason given"}},
                                         Case{"prepare_throws", ORR_INTERNAL, {"preparing test.twice/1", "thrown by prepare"}},
                                         Case{"prepare_silent", ORR_UNSUPPORTED, {"preparing test.twice/1", "ORR_UNSUPPORTED", "no reason"}}),
                         [](const auto& info) { return std::string(info.param.fault); });

// ---------------------------------------------------------------- met while it runs

class Unrunnable : public Faulty {};

TEST_P(Unrunnable, IsToldAndTheSessionGoesOn) {
    const Model model = plugin_.open(engine_.get());
    for (const uint32_t threads : {1u, 3u}) {
        const Session session = make_session(model, [&](orr_session_options& o) { o.threads = threads; });
        const Tensor want = FaultyPlugin::twice(session, 1);
        EXPECT_EQ(want.floats()[5], 12);
        for (int again = 0; again < 5; again++) {
            expect_failure([&] { FaultyPlugin::twice(session, -1); }, GetParam().status, GetParam().parts);
            EXPECT_SAME_BITS(FaultyPlugin::twice(session, 1), want);
        }
    }
    expect_usable(engine_.get());
}

INSTANTIATE_TEST_SUITE_P(Cases, Unrunnable,
                         testing::Values(Case{"run_throws", ORR_INTERNAL, {"test.twice/1, kernel plain", "thrown by run"}},
                                         Case{"run_silent", ORR_INTERNAL, {"test.twice/1, kernel plain", "ORR_INTERNAL", "no reason"}},
                                         Case{"chunk_throws", ORR_INTERNAL, {"test.twice/1, kernel plain", "parallel_for", "thrown by a chunk"}},
                                         Case{"chunk_throws_7", ORR_INTERNAL, {"test.twice/1, kernel plain", "parallel_for"}}),
                         [](const auto& info) { return std::string(info.param.fault); });

// ---------------------------------------------------------------- met before a device is trusted

TEST(FaultySelfTest, WithoutEndIsToldAndTheProcessorDoesIt) {
    if (!usable("vulkan")) GTEST_SKIP() << "no Vulkan device";
    const FaultyPlugin plugin("self_test_endless");
    std::string log;
    const Engine engine = plugin.engine([&](orr_engine_options& o) {
        o.log_user = &log, o.log_level = ORR_LOG_WARNING;
        o.log = [](void* to, int32_t level, const char* text) {
            if (level == ORR_LOG_WARNING) static_cast<std::string*>(to)->append(text).append("\n");
        };
    });
    const Model model = plugin.open(engine.get(), "vulkan");
    for (int again = 0; again < 2; again++) {
        const Session session = make_session(model);
        EXPECT_EQ(FaultyPlugin::twice(session, 1).floats()[5], 12);
        EXPECT_NE(describe(session, "plan").find("asks for more than 64 self-tests"), std::string::npos) << describe(session, "plan");
    }
    for (const char* part : {"test.twice/1", "kernel tried", "asks for more than 64 self-tests", "out of use"}) EXPECT_NE(log.find(part), std::string::npos) << part << " in " << log;
    expect_usable(engine.get());
}

TEST(FaultySelfTest, ThatThrowsIsToldAndTheSessionLives) {
    if (!usable("vulkan")) GTEST_SKIP() << "no Vulkan device";
    for (const auto& [fault, text] : std::map<std::string, std::string>{{"self_test_throws", "thrown by self_test"}, {"self_test_throws_7", "no std::exception"}}) {
        const FaultyPlugin plugin(fault);
        const Engine engine = plugin.engine();
        const Model model = plugin.open(engine.get(), "vulkan");
        const Session session = make_session(model);
        for (int again = 0; again < 2; again++) expect_failure([&] { FaultyPlugin::twice(session, 1); }, ORR_INTERNAL, {"test.twice/1 for a self-test", text});
        expect_usable(engine.get());
    }
}

// ---------------------------------------------------------------- manifests

TEST(FaultyManifest, WithoutAFault) {
    const FaultyPlugin plugin("none");
    const Engine engine = plugin.engine();
    EXPECT_EQ(FaultyPlugin::twice(make_session(plugin.open(engine.get())), 1).floats()[5], 12);
}

TEST(FaultyManifest, OfOneOperatorInTwoPlugins) {
    const FaultyPlugin plugin("none");
    Json second = plugin.manifest();
    second["id"] = "test.second";
    second["models"] = Json::array();
    plugin.write(second, "second.orrery.json");
    const Engine engine = plugin.engine();
    const std::string problems = about(engine.get(), "conflicts").dump();
    for (const char* part : {"second.orrery.json", "operator", "test.twice/1", "already provided by", "none.orrery.json"}) EXPECT_NE(problems.find(part), std::string::npos) << problems;
    EXPECT_EQ(FaultyPlugin::twice(make_session(plugin.open(engine.get())), 1).floats()[5], 12) << "the first keeps it";
}

// A number that is none must not spoil the opening of every other model.
TEST(FaultyManifest, WithFirstBytesThatAreNoHex) {
    const FaultyPlugin plugin("none");
    for (const char* magic : {"zz", "123"}) {
        Json j = plugin.manifest();
        j["formats"] = {{{"id", "f"}, {"endings", ""}, {"folder_files", ""}, {"magic_hex", magic}}};
        plugin.write(j, "none.orrery.json");
        const Engine engine = plugin.engine();
        const std::string problems = about(engine.get(), "conflicts").dump();
        for (const char* part : {"none.orrery.json", "magic_hex", magic}) EXPECT_NE(problems.find(part), std::string::npos) << problems;
        expect_usable(engine.get());
    }
}

TEST(FaultyManifest, OfEveryKindOfDamage) {
    const FaultyPlugin plugin("none");
    const Json whole = plugin.manifest();
    for (const auto& [key, value] : whole.items())
        for (const Json& wrong : {Json(nullptr), Json(17), Json({{"a", 1}}), Json({1, 2})}) {
            if (wrong.type() == value.type() && key != "operators" && key != "models") continue;
            Json j = whole;
            j[key] = wrong;
            plugin.write(j, "none.orrery.json");
            const Engine engine = plugin.engine();
            const Json problems = about(engine.get(), "conflicts");
            ASSERT_EQ(problems.size(), 1u) << key << " = " << wrong;
            EXPECT_NE(problems.dump().find("none.orrery.json"), std::string::npos) << problems;
            EXPECT_NE(problems.dump().find(key), std::string::npos) << problems;
            expect_failure([&] { plugin.open(engine.get()); }, ORR_UNSUPPORTED, {"FaultyModel"});
        }
}

// ---------------------------------------------------------------- linked statically

const orr_plugin* throws(const orr_host*) { throw std::runtime_error("thrown by the entry"); }
const orr_plugin* nothing(const orr_host*) { return nullptr; }
const orr_plugin* refuses(const orr_host* host) { return host->fail(host, ORR_UNSUPPORTED, "wants a left-handed processor"), nullptr; }
const orr_plugin* other_major(const orr_host*) {
    static const orr_plugin p = {{sizeof(orr_plugin), 3, 0}, "test.static", "1", "MIT", ORR_SANITIZER, [](const char*) -> const void* { return nullptr; }};
    return &p;
}
const orr_plugin* taken(const orr_host*) {
    static const orr_plugin p = {ORR_HEADER(orr_plugin), "orr.core", "1", "MIT", ORR_SANITIZER, [](const char*) -> const void* { return nullptr; }};
    return &p;
}

TEST(FaultyStatic, IsToldAndLeftOut) {
    const Engine engine = make_engine();
    const auto add = [&](orr_plugin_entry_fn entry) { return [&engine, entry] { check(orr_engine_add_plugin(engine.get(), entry)); }; };
    expect_failure(add(throws), ORR_ABI_MISMATCH, {"linked statically", "thrown by the entry"});
    expect_failure(add(nothing), ORR_UNSUPPORTED, {"linked statically", "no reason was given"});
    expect_failure(add(refuses), ORR_UNSUPPORTED, {"linked statically", "left-handed"});
    expect_failure(add(other_major), ORR_ABI_MISMATCH, {"linked statically", "plugin ABI 3", "has 1"});
    expect_failure(add(taken), ORR_CONFLICT, {"orr.core", "already provided by", "core.orrery.json"});
    expect_usable(engine.get());
}

}  // namespace
}  // namespace engine_tests
