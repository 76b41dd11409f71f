// Manifests that lie, libraries that are missing, what is loaded and when.
#include <filesystem>
#include <fstream>

#include "support.hpp"

namespace engine_tests {
namespace {

namespace fs = std::filesystem;

// A folder of plugins: links to those of this build, with manifests to be changed.
class Plugins : public testing::Test {
  protected:
    void SetUp() override {
        folder_ = scratch(testing::UnitTest::GetInstance()->current_test_info()->name());
        fs::create_directories(folder_);
        for (const auto& entry : fs::directory_iterator(PLUGIN_DIR)) {
            const fs::path to = fs::path(folder_) / entry.path().filename();
            if (entry.path().extension() == ".so") fs::create_symlink(entry.path(), to);
            if (entry.path().extension() == ".json") fs::copy_file(entry.path(), to);
        }
    }
    std::string path(const std::string& name) const { return folder_ + "/" + name; }
    void change(const std::string& name, const Json& patch) const {
        Json j = Json::parse(read_file(path(name)));
        j.merge_patch(patch);
        std::ofstream(path(name)) << j;
    }
    Engine engine() const {
        const char* const folders[] = {folder_.c_str(), nullptr};
        return make_engine([&](orr_engine_options& o) { o.plugin_dirs = folders; });
    }
    void expect_unusable(const std::string& plugin, orr_status status, const std::vector<std::string>& parts) const {
        const Engine e = engine();
        expect_failure([&] { open_golden("llama", e.get()); }, status, parts);
        EXPECT_FALSE(about(e.get(), "plugins").empty()) << plugin;
        expect_failure([&] { open_golden("llama", e.get()); }, status, parts);  // and again: nothing was left half done
    }
    std::string folder_;
};

TEST_F(Plugins, OfThisBuildWork) { feed(make_session(open_golden("llama", engine().get())), {1, 2}); }

TEST_F(Plugins, LibraryIsMissing) {
    fs::remove(path("language.so"));
    expect_unusable("language", ORR_NOT_FOUND, {"language.so"});
}

TEST_F(Plugins, LibraryIsNone) {
    fs::remove(path("language.so"));
    std::ofstream(path("language.so")) << "not a library";
    expect_unusable("language", ORR_NOT_FOUND, {"language.so"});
}

TEST_F(Plugins, OtherAbiMajor) {
    change("language.orrery.json", {{"abi", {{"major", 7}}}});
    expect_unusable("language", ORR_ABI_MISMATCH, {"language.so", "7", "1"});
}

TEST_F(Plugins, OtherSanitizer) {
    change("language.orrery.json", {{"sanitizer", "martian"}});
    expect_unusable("language", ORR_ABI_MISMATCH, {"language.so", "martian"});
}

TEST_F(Plugins, OtherId) {
    change("language.orrery.json", {{"id", "orr.elsewhere"}});
    expect_unusable("language", ORR_CORRUPT, {"language.so", "orr.language", "orr.elsewhere"});
}

TEST_F(Plugins, ListsOtherThingsThanItHolds) {
    Json j = Json::parse(read_file(path("attention.orrery.json")));
    j["operators"].push_back("orr.imagined/1");
    std::ofstream(path("attention.orrery.json")) << j;
    expect_unusable("attention", ORR_CORRUPT, {"attention.so", "operators"});
}

TEST_F(Plugins, DamagedManifestsAreToldAndLeftOut) {
    const std::string whole = read_file(path("vision.orrery.json"));
    std::ofstream(path("vision.orrery.json")) << whole.substr(0, whole.size() / 2);
    change("audio.orrery.json", {{"operators", 5}});
    change("time_series.orrery.json", {{"file", "../time_series.so"}});
    const Engine e = engine();
    const std::string problems = about(e.get(), "conflicts").dump();
    for (const char* name : {"vision.orrery.json", "audio.orrery.json", "time_series.orrery.json", "plain file name"}) EXPECT_NE(problems.find(name), std::string::npos) << problems;
    feed(make_session(open_golden("llama", e.get())), {1});
    // Mended and read again.
    std::ofstream(path("vision.orrery.json")) << whole;
    check(orr_engine_scan(e.get(), nullptr));
    open_golden("vit_classifier", e.get());
}

TEST_F(Plugins, TwoClaimOneId) {
    fs::copy_file(path("vision.orrery.json"), path("zz_vision.orrery.json"));
    const Engine e = engine();
    const std::string problems = about(e.get(), "conflicts").dump();
    EXPECT_NE(problems.find("zz_vision.orrery.json"), std::string::npos) << problems;
    EXPECT_NE(problems.find("already provided by"), std::string::npos) << problems;
    open_golden("vit_classifier", e.get());  // the first keeps it
}

TEST_F(Plugins, WithoutAManifestItIsNotThere) {
    fs::remove(path("language.orrery.json"));
    const Engine e = engine();
    expect_failure([&] { open_golden("llama", e.get()); }, ORR_UNSUPPORTED, {"LlamaForCausalLM", "none of the plugins"});
    fs::copy_file(PLUGIN_DIR "/language.orrery.json", path("language.orrery.json"));
    check(orr_engine_scan(e.get(), folder_.c_str()));
    open_golden("llama", e.get());
}

TEST_F(Plugins, AFolderThatIsNotThere) {
    const std::string nowhere = path("nowhere");
    const char* const folders[] = {nowhere.c_str(), nullptr};
    expect_failure([&] { make_engine([&](orr_engine_options& o) { o.plugin_dirs = folders; }); }, ORR_NOT_FOUND, {nowhere});
    const Engine e = engine();
    expect_failure([&] { check(orr_engine_scan(e.get(), nowhere.c_str())); }, ORR_NOT_FOUND, {nowhere});
}

bool mapped(const char* name) { return read_file("/proc/self/maps").find(std::string("/orrery/") + name + ".so") != std::string::npos; }

// In a process of its own: what other tests loaded would be seen here.
const RegisterChild mapped_child("mapped", [](const std::vector<std::string>&) {
    const Engine engine = make_engine();
    for (const char* name : {"core", "attention", "language", "formats", "ssm", "vision", "audio", "text"})
        if (mapped(name)) return 1;
    const Model model = open_golden("llama", engine.get());
    feed(make_session(model), {1, 2, 3});
    for (const char* name : {"core", "attention", "language", "formats"})
        if (!mapped(name)) return 2;
    for (const char* name : {"ssm", "vision", "audio", "time_series", "multimodal", "text"})
        if (mapped(name)) return 3;
    return 0;
});

TEST(Mapped, OnlyWhatTheModelNeeds) { EXPECT_EQ(run_child("mapped", {}), 0); }

// A child whose exit handler finds the shared engine's plugins ends with 3; so does this program.
void use_shared_engine() {
    open_golden("llama");
    if (!mapped("language")) throw std::runtime_error("the model's plugin is not there");
    std::atexit([] {
        if (!mapped("language")) return;
        std::fputs("an exit handler finds the shared engine's plugins loaded: tests release it too late\n", stderr);
        std::_Exit(3);
    });
}
const RegisterChild exit_child("exit", [](const std::vector<std::string>&) { return use_shared_engine(), 0; });

TEST(SharedEngine, IsReleasedBeforeExitHandlersRun) {
    use_shared_engine();
    EXPECT_EQ(run_child("exit", {}), 0);
}

}  // namespace
}  // namespace engine_tests
