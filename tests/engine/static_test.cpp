// Plugins linked into the host: their entries, renamed when they were compiled, given to the engine by hand. No folder is
// looked into.
#include "support.hpp"

extern "C" {
const orr_plugin* orr_plugin_entry_core(const orr_host*);
const orr_plugin* orr_plugin_entry_attention(const orr_host*);
const orr_plugin* orr_plugin_entry_language(const orr_host*);
const orr_plugin* orr_plugin_entry_formats(const orr_host*);
}

namespace engine_tests {
namespace {

Engine bare_engine() {
    return make_engine([](orr_engine_options& o) { o.plugin_dirs = nullptr; });
}

// In a process of its own: what other tests loaded would be seen here.
const RegisterChild static_child("static", [](const std::vector<std::string>&) {
    const Engine engine = bare_engine();
    if (!about(engine.get(), "plugins").empty()) return 1;
    for (const auto entry : {orr_plugin_entry_core, orr_plugin_entry_attention, orr_plugin_entry_language, orr_plugin_entry_formats}) check(orr_engine_add_plugin(engine.get(), entry));
    const Model model = open_golden("llama", engine.get());
    const Tensor got = feed(make_session(model), {1, 2, 3});
    if (read_file("/proc/self/maps").find(std::filesystem::canonical(PLUGIN_DIR).string() + "/") != std::string::npos) return 2;
    orr_task* task = nullptr;
    check(orr_task_create(model.get(), nullptr, nullptr, &task));
    check(orr_task_run(task, R"({"ids": [1, 2, 3], "max_tokens": 4})", nullptr, nullptr, nullptr));
    orr_task_release(task);
    // The same plugins from their files give the same bits.
    return got.bytes == feed(make_session(open_golden("llama")), {1, 2, 3}).bytes ? 0 : 3;
});

TEST(Static, AModelRunsWithoutAnyFolder) { EXPECT_EQ(run_child("static", {}), 0); }

TEST(Static, WithoutThemThereIsNothing) {
    const Engine engine = bare_engine();
    expect_failure([&] { open_golden("llama", engine.get()); }, ORR_UNSUPPORTED, {"no format plugin"});
}

TEST(Static, IsDescribed) {
    const Engine engine = bare_engine();
    check(orr_engine_add_plugin(engine.get(), orr_plugin_entry_core));
    const Json plugins = about(engine.get(), "plugins");
    ASSERT_EQ(plugins.size(), 1u);
    EXPECT_EQ(plugins[0]["id"], "orr.core");
    EXPECT_EQ(plugins[0]["loaded"], true);
    EXPECT_NE(plugins[0]["path"].get<std::string>().find("linked statically"), std::string::npos);
    EXPECT_GT(about(engine.get(), "operators").size(), 10u);
    check(orr_engine_scan(engine.get(), nullptr));  // nothing to read again
}

// What is linked goes before what a folder holds under the same name, when it comes first; else it is refused.
TEST(Static, BesideAFolder) {
    const Engine engine = bare_engine();
    check(orr_engine_add_plugin(engine.get(), orr_plugin_entry_language));
    check(orr_engine_scan(engine.get(), PLUGIN_DIR));
    EXPECT_NE(about(engine.get(), "conflicts").dump().find("language.orrery.json"), std::string::npos);
    feed(make_session(open_golden("llama", engine.get())), {1});
    const Engine other = make_engine();
    expect_failure([&] { check(orr_engine_add_plugin(other.get(), orr_plugin_entry_language)); }, ORR_CONFLICT, {"orr.language", "language.orrery.json"});
}

}  // namespace
}  // namespace engine_tests
