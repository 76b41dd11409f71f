// A copy of an operator with one fault passes not: the kit must find each, by the check that looks for it. A copy without one passes.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "kit.hpp"
#include "orrery/plugin.h"

namespace fs = std::filesystem;
using namespace orrery::conformance;

namespace {

struct Planted {
    std::string name, device, check, what;
};
void PrintTo(const Planted& p, std::ostream* out) { *out << p.name; }

std::vector<Planted> read_faults() {
    std::vector<Planted> out;
    std::ifstream in(PLANTED_FAULTS);
    for (std::string line; std::getline(in, line);) {
        if (line.empty() || line[0] == '#') continue;
        std::istringstream words(line);
        Planted p;
        words >> p.name >> p.device >> p.check >> std::ws;
        std::getline(words, p.what);
        out.push_back(p);
    }
    return out;
}
std::vector<Planted> faults_of(const std::string& device) {
    std::vector<Planted> out;
    for (const Planted& p : read_faults())
        if (p.device == device) out.push_back(p);
    return out;
}

KitOptions options_for(const std::string& name, const std::string& device) {
    KitOptions o;
    o.plugin = fs::path(PLANTED_FOLDER) / (name + ".so");
    o.types = {PLANTED_CORE};
    o.cases_root = name.starts_with("st_") ? PLANTED_STATES : PLANTED_CASES;
    o.device = device;
    o.timeout_s = name == "hangs" || name == "closes_files" || name == "loops_at_load" ? 1 : 60;
    return o;
}

std::string all(const KitResult& r) {
    std::string out;
    for (size_t n = 0; n < std::min<size_t>(r.failures.size(), 20); n++) out += line_of(r.failures[n]) + "\n";
    return out;
}
bool found_by(const KitResult& r, const std::string& check) {
    return std::any_of(r.failures.begin(), r.failures.end(), [&](const Finding& f) { return f.check == check; });
}
bool has_vulkan() {
    try {
        KitOptions o = options_for("none", "vulkan");
        o.op = "rms_norm";
        o.derived = o.drawn = 0;
        return validate(o).checks > 0;
    } catch (const std::exception&) {
        return false;
    }
}

TEST(Planted, CopyWithoutFaultPasses) {
    const KitResult r = validate(options_for("none", ""));
    EXPECT_TRUE(r.good()) << all(r);
    EXPECT_GT(r.checks, 1000);
    EXPECT_EQ(r.operators.size(), 1u);
    const auto ran = [&](const std::string& text) { return std::any_of(r.ran.begin(), r.ran.end(), [&](const std::string& s) { return s.find(text) != std::string::npos; }); };
    EXPECT_TRUE(ran("cpu/generic: eight_lanes"));
    EXPECT_TRUE(ran("decomposition"));
    EXPECT_TRUE(ran("drawn cases"));
}

TEST(Planted, CopyWithStatesPasses) {
    const KitResult r = validate(options_for("st_none", ""));
    EXPECT_TRUE(r.good()) << all(r);
    EXPECT_EQ(r.operators.size(), 3u);
    const auto ran = [&](const std::string& text) { return std::any_of(r.ran.begin(), r.ran.end(), [&](const std::string& s) { return s.find(text) != std::string::npos; }); };
    EXPECT_TRUE(ran("planted.trail/1 drawn cases"));
    EXPECT_TRUE(ran("with states"));
    EXPECT_TRUE(ran("planted.rest/1 view"));
    EXPECT_TRUE(ran("planted.twice/1 elementwise"));
}

class PlantedCpu : public testing::TestWithParam<Planted> {};
TEST_P(PlantedCpu, IsFound) {
    const KitResult r = validate(options_for(GetParam().name, ""));
    EXPECT_TRUE(found_by(r, GetParam().check)) << GetParam().what << "; found instead:\n" << all(r);
}
INSTANTIATE_TEST_SUITE_P(All, PlantedCpu, testing::ValuesIn(faults_of("cpu")), [](const auto& i) { return i.param.name; });

TEST(Planted, VulkanCopyWithoutFaultPasses) {
    if (!has_vulkan()) GTEST_SKIP() << "Vulkan: this machine has no device";
    const KitResult r = validate(options_for("none", "vulkan"));
    EXPECT_TRUE(r.good()) << all(r);
    const auto ran = [&](const std::string& text) { return std::any_of(r.ran.begin(), r.ran.end(), [&](const std::string& s) { return s.find(text) != std::string::npos; }); };
    EXPECT_TRUE(ran("shaders planted_wide"));
    EXPECT_TRUE(ran("shaders planted_narrow"));
}

// What the definition refuses for its data alone, a device's kernel refuses too: a case that wants what it does not do is told.
TEST(Planted, VulkanRefusalsAreAskedFor) {
    if (!has_vulkan()) GTEST_SKIP() << "Vulkan: this machine has no device";
    const fs::path root = fs::temp_directory_path() / ("orrery-planted-" + std::to_string(getpid())), file = root / "ops/embedding/embedding.cases";
    fs::create_directories(file.parent_path());
    const auto found = [&](const std::string& ids, const std::string& error) {
        const std::string inputs = R"("inputs":[{"type":"i32","shape":[2],"data":)", table = R"(},{"shape":[2,3],"data":[1,2,3,4,5,6],"constant":true}])";
        std::ofstream(file) << "{" << inputs << "[1,0]" << table << R"(,"outputs":[{"shape":[2,3],"data":[4,5,6,1,2,3]}]})" << "\n"
                            << "{" << inputs << ids << table << R"(,"error":")" << error << "\"}\n";
        KitOptions o = options_for("none", "vulkan");
        o.plugin = PLANTED_CORE;
        o.op = "embedding";
        o.cases_root = root;
        o.derived = o.drawn = 0;
        const KitResult r = validate(o);
        return r.good() ? std::string() : all(r);
    };
    EXPECT_EQ(found("[0,2]", "id 2 at index 1, the table has 2 rows"), "");
    EXPECT_EQ(found("[-3,2]", "id -3 at index 0, the table has 2 rows"), "");
    EXPECT_NE(found("[0,2]", "id 3 at index 1").find("which does not mention \"id 3 at index 1\""), std::string::npos);
    EXPECT_NE(found("[0,1]", "id 1 at index 1").find("wants the failure \"id 1 at index 1\""), std::string::npos);
    fs::remove_all(root);
}

class PlantedVulkan : public testing::TestWithParam<Planted> {};
TEST_P(PlantedVulkan, IsFound) {
    if (!has_vulkan()) GTEST_SKIP() << "Vulkan: this machine has no device";
    const KitResult r = validate(options_for(GetParam().name, "vulkan"));
    EXPECT_TRUE(found_by(r, GetParam().check)) << GetParam().what << "; found instead:\n" << all(r);
}
INSTANTIATE_TEST_SUITE_P(All, PlantedVulkan, testing::ValuesIn(faults_of("vulkan")), [](const auto& i) { return i.param.name; });

// What died names operator, case, kernel and seed; the seed alone brings the same unit of work back.
TEST(Planted, CrashNamesItsSeed) {
    const KitResult r = validate(options_for("aborts", ""));
    const auto crash = std::find_if(r.failures.begin(), r.failures.end(), [](const Finding& f) { return f.check == "crash"; });
    ASSERT_NE(crash, r.failures.end()) << all(r);
    EXPECT_EQ(crash->op, "planted.rms_norm/1");
    EXPECT_NE(crash->where.find("case 0 (line 2), cpu, "), std::string::npos) << crash->where;
    EXPECT_GT(crash->seed, 0u);
    ASSERT_EQ(r.operators.size(), 1u);
    EXPECT_FALSE(r.operators[0].finished);

    KitOptions again = options_for("sign", "");
    const KitResult first = validate(again);
    ASSERT_FALSE(first.failures.empty());
    again.reproduce = first.failures[0].seed;
    const KitResult second = validate(again);
    ASSERT_FALSE(second.failures.empty());
    EXPECT_EQ(line_of(second.failures[0]), line_of(first.failures[0]));
    EXPECT_EQ(second.cases, 1);
}

// Told by the line and by what was called then; what the command gives on stdout stays its own.
TEST(Planted, PrintingNamesItsLine) {
    const KitResult r = validate(options_for("prints", ""));
    const auto printing = std::find_if(r.failures.begin(), r.failures.end(), [](const Finding& f) { return f.check == "prints"; });
    ASSERT_NE(printing, r.failures.end()) << all(r);
    EXPECT_EQ(printing->what, "prints \"one run done\"");
    EXPECT_NE(printing->where.find("case 0 (line 2), cpu, "), std::string::npos) << printing->where;
    EXPECT_GT(printing->seed, 0u);
    const KitOptions o = options_for("prints", "");
    const std::string command = std::string(PLANTED_COMMAND) + " " + o.plugin.string() + " --types " + PLANTED_CORE + " --cases-root " + PLANTED_CASES + " --json --isa generic 2>/dev/null";
    FILE* out = popen(command.c_str(), "r");
    ASSERT_NE(out, nullptr);
    std::string text;
    for (int c; (c = std::fgetc(out)) != EOF;) text += static_cast<char>(c);
    EXPECT_EQ(WEXITSTATUS(pclose(out)), 1);
    EXPECT_TRUE(nlohmann::json::accept(text)) << text.substr(0, 400);
}

// A result that nobody can read is a failure, whatever it was.
TEST(Planted, LostResultFails) {
    const KitOptions o = options_for("none", "");
    for (const char* more : {"--json", "", "--verbose"}) {
        const std::string command = std::string(PLANTED_COMMAND) + " " + o.plugin.string() + " --types " + PLANTED_CORE + " --cases-root " + PLANTED_CASES + " --isa generic " + more + " 2>&1 >/dev/full";
        FILE* out = popen(command.c_str(), "r");
        ASSERT_NE(out, nullptr);
        std::string text;
        for (int c; (c = std::fgetc(out)) != EOF;) text += static_cast<char>(c);
        EXPECT_EQ(WEXITSTATUS(pclose(out)), 1) << more;
        EXPECT_NE(text.find("the result is lost"), std::string::npos) << more << ": " << text;
    }
}

// The command that does it again has every option that the unit depends on; a seed of nothing is told, not passed over.
TEST(Planted, ReproduceNeedsItsOptions) {
    KitOptions o = options_for("sign", "");
    o.isa = "generic";
    o.drawn = 40;
    o.derived = 3;
    o.types.push_back("/tmp/a folder/it's.so");
    const std::string command = reproduce_command({"values", "planted.rms_norm/1", "", "", 4711, ""}, o);
    for (const std::string& part : {std::string("--types ") + PLANTED_CORE, std::string(R"(--types '/tmp/a folder/it'\''s.so')"), std::string("--drawn 40"), std::string("--derived 3"),
                                    std::string("--isa generic"), std::string("--reproduce 4711")})
        EXPECT_NE(command.find(part), std::string::npos) << part << " in " << command;
    o = options_for("none", "");
    o.reproduce = 4711;
    try {
        validate(o);
        ADD_FAILURE() << "nothing has the seed 4711";
    } catch (const std::runtime_error& e) {
        EXPECT_NE(std::string(e.what()).find("4711"), std::string::npos) << e.what();
    }
}

#if defined(__linux__)
// "S" of a process, "Z" of one that has ended and that nobody has asked for, "" of none.
std::string state_of(pid_t process) {
    std::ifstream in("/proc/" + std::to_string(process) + "/stat");
    std::string number, name, state;
    in >> number >> name >> state;
    return state;
}
pid_t child_of(pid_t process) {
    for (const auto& entry : fs::directory_iterator("/proc")) {
        std::ifstream in(entry.path() / "stat");
        std::string name, state;
        pid_t number = 0, parent = 0;
        if (in >> number >> name >> state >> parent && parent == process) return number;
    }
    return 0;
}

// What the plugin's process started ends with it, in a session of its own and after a crash too.
class PlantedProcess : public testing::TestWithParam<const char*> {};
TEST_P(PlantedProcess, EndsWithThePlugin) {
    char name[] = "/tmp/orrery-process-XXXXXX";
    const int file = mkstemp(name);
    ASSERT_GE(file, 0);
    close(file);
    setenv("ORRERY_PLANTED_PROCESS", name, 1);
    const KitResult r = validate(options_for(GetParam(), ""));
    unsetenv("ORRERY_PLANTED_PROCESS");
    EXPECT_FALSE(r.good());
    pid_t process = 0;
    std::ifstream(name) >> process;
    fs::remove(name);
    ASSERT_GT(process, 0);
    EXPECT_EQ(state_of(process), "");
    if (state_of(process) != "") kill(process, SIGKILL);
}
INSTANTIATE_TEST_SUITE_P(All, PlantedProcess, testing::Values("forks", "forks_and_aborts"), [](const auto& i) { return std::string(i.param); });

// Whatever ends the kit ends the plugin's process too.
class PlantedEnd : public testing::TestWithParam<int> {};
TEST_P(PlantedEnd, TakesThePluginWithIt) {
    const pid_t kit = fork();
    ASSERT_GE(kit, 0);
    if (kit == 0) {
        std::signal(GetParam(), SIG_DFL);  // a shell may have it ignored
        KitOptions o = options_for("hangs", "");
        o.timeout_s = 0;
        try {
            validate(o);
        } catch (const std::exception&) {
        }
        _exit(0);
    }
    constexpr int kLooks = 500;
    const auto wait_for = [](const auto& done) {
        for (int n = 0; n < kLooks && !done(); n++) usleep(20'000);
        return done();
    };
    EXPECT_TRUE(wait_for([&] { return child_of(kit) > 0; }));
    const pid_t plugin = child_of(kit);
    kill(kit, GetParam());
    int status = 0;
    waitpid(kit, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == GetParam());
    ASSERT_GT(plugin, 0);
    EXPECT_TRUE(wait_for([&] { return state_of(plugin).empty() || state_of(plugin) == "Z"; })) << "runs on";
    if (state_of(plugin) != "" && state_of(plugin) != "Z") kill(plugin, SIGKILL);
}
INSTANTIATE_TEST_SUITE_P(All, PlantedEnd, testing::Values(SIGTERM, SIGINT, SIGKILL));
#endif

TEST(Planted, OptionsThatMakeNoSense) {
    KitOptions o = options_for("none", "");
    o.op = "rms";
    EXPECT_THROW(validate(o), std::runtime_error);
    o = options_for("none", "");
    o.isa = "sse9";
    EXPECT_THROW(validate(o), std::runtime_error);
    o = options_for("nothing", "");
    EXPECT_THROW(validate(o), std::runtime_error);
}

// ---------------------------------------------------------------- the two lists

class Lists : public testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/orrery-lists-XXXXXX";
        folder_ = mkdtemp(name);
        fs::create_directories(folder_ / "ops/rms_norm");
        fs::copy(fs::path(PLANTED_CASES) / "core/ops/rms_norm/rms_norm.cases", folder_ / "ops/rms_norm/rms_norm.cases");
    }
    void TearDown() override { fs::remove_all(folder_); }
    KitResult check(const std::string& fault, const char* list, const std::string& entry) {
        std::ofstream(folder_ / "ops/rms_norm" / (std::string("rms_norm.") + list)) << "# a test\n" << entry << "\n";
        KitOptions o = options_for(fault, "");
        o.cases_root = folder_;
        return validate(o);
    }
    fs::path folder_;
};

constexpr const char* kEntry = R"({"op": "planted.rms_norm/1", "select": "special: *NaN*", "reason": "NaN counts as 0"})";

TEST_F(Lists, Unsupported) {
    const KitResult r = check("hides_nan", "unsupported", kEntry);
    EXPECT_TRUE(r.good()) << all(r);
    ASSERT_FALSE(r.unsupported.empty());
    EXPECT_EQ(r.unsupported[0].reason, "NaN counts as 0");
    EXPECT_TRUE(to_json(r, KitOptions())["unsupported"][0].contains("reason"));
    EXPECT_TRUE(check("none", "unsupported", kEntry).good()) << "what is listed as unsupported may work";
}
TEST_F(Lists, ExpectedFailure) {
    const KitResult r = check("hides_nan", "expected_failures", kEntry);
    EXPECT_TRUE(r.good()) << all(r);
    EXPECT_FALSE(r.expected.empty());
}
TEST_F(Lists, ExpectedFailureThatPassesFails) {
    const KitResult r = check("none", "expected_failures", kEntry);
    ASSERT_EQ(r.failures.size(), 1u) << all(r);
    EXPECT_EQ(r.failures[0].check, "expected");
    EXPECT_NE(r.failures[0].what.find("NaN counts as 0"), std::string::npos);
}
// Cases that say nothing of outputs are as good as none.
TEST_F(Lists, CasesAreThere) {
    for (const char* text : {"", "# made by nobody\n", R"({"inputs":[{"shape":[],"data":[1]}],"error":"rank 0"})"}) {
        std::ofstream(folder_ / "ops/rms_norm/rms_norm.cases") << text;
        const KitResult r = check("none", "unsupported", kEntry);
        EXPECT_TRUE(found_by(r, "case")) << text << all(r);
    }
}
TEST_F(Lists, EntriesAreRead) {
    EXPECT_TRUE(found_by(check("none", "unsupported", R"({"op": "planted.rms_norm/1", "select": "*"})"), "list"));
    EXPECT_TRUE(found_by(check("none", "unsupported", R"({"op": "planted.other/1", "select": "*", "reason": "none"})"), "list"));
    EXPECT_TRUE(found_by(check("sign", "unsupported", R"({"op": "planted.rms_norm/1", "select": "*", "device": "vulkan", "reason": "elsewhere"})"), "values"));
}

}  // namespace
