// The host's side of the bargain: its float mode, locale, signals, environment, folder and streams stay as they are, and
// have no say in results; callbacks come on the promised thread; nothing spins when idle, nothing is left when closed.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cfenv>
#include <clocale>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <locale>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "faulty.hpp"

extern char** environ;

namespace engine_tests {
namespace {

constexpr int32_t kVocabulary = 41;

#if defined(__x86_64__)
// What a host may have set, x87 too.
struct FloatMode {
    uint32_t sse = 0x1f80;
    uint16_t x87 = 0x037f;
    static FloatMode now() {
        FloatMode m;
        m.sse = _mm_getcsr();
        __asm__ volatile("fnstcw %0" : "=m"(m.x87));
        return m;
    }
    void set() const {
        _mm_setcsr(sse);
        __asm__ volatile("fldcw %0" : : "m"(x87));
    }
    FloatMode settings() const { return {sse & ~0x3fu, x87}; }  // without the flags of what was computed
    bool operator==(const FloatMode&) const = default;
};
void PrintTo(const FloatMode& m, std::ostream* out) { *out << "MXCSR " << m.sse << ", x87 " << m.x87; }
#else
struct FloatMode {
    static FloatMode now() { return {}; }
    bool operator==(const FloatMode&) const = default;
};
#endif

// One call of the API: it leaves the float mode alone to the last flag, and works.
template <class Fn>
void call(Fn&& fn) {
    const FloatMode before = FloatMode::now();
    const orr_status status = fn();
    const FloatMode after = FloatMode::now();
    check(status);
    if (!(before == after)) throw std::runtime_error("a call changed the float mode");
}

using Open = std::function<Model(orr_engine*)>;

// A model and everything that one does with it, in the background and as a task too. Texts of descriptions are added to
// *told. The results' bytes, one behind the other.
std::string use_all(const Open& open, const ChangeEngine& change = {}, std::string* told = nullptr) {
    const Engine engine = make_engine(change);
    const Model model = open(engine.get());
    const Session s = make_session(model, [](orr_session_options& o) { o.threads = 3; });
    std::string bits;
    orr_named_tensor out{};
    out.header = ORR_HEADER(orr_named_tensor);
    const auto keep = [&](const Session& session) {
        call([&] { return orr_session_output(session.get(), "logits", &out); });
        bits.append(static_cast<const char*>(out.data), out.size_bytes);
    };
    const Tensor many = ids_tensor(some_ids(30, kVocabulary)), ids = ids_tensor({5, 6});
    const orr_named_tensor in_many = named("input_ids", many), in = named("input_ids", ids);
    const orr_named_tensor *const ins_many[] = {&in_many}, *const ins[] = {&in};
    call([&] { return orr_session_run(s.get(), "next", 1, ins_many, 0, nullptr); });
    keep(s);
    bool done = false;
    call([&] { return orr_session_start(s.get(), "next", 1, ins, 0, nullptr); });
    call([&] { return orr_session_wait(s.get(), UINT64_MAX, &done); });
    keep(s);
    call([&] { return orr_session_begin(s.get(), "next", 1, ins, 0, nullptr); });
    for (done = false; !done;) call([&] { return orr_session_step(s.get(), 1, &done); });
    keep(s);
    const Session forked = fork(s);
    call([&] { return orr_session_run(forked.get(), "next", 1, ins, 0, nullptr); });
    keep(forked);
    orr_task* task = nullptr;
    orr_text* answer = nullptr;
    call([&] { return orr_task_create(model.get(), nullptr, nullptr, &task); });
    call([&] { return orr_task_run(task, R"({"ids": [1, 2, 3], "max_tokens": 8, "temperature": 0.75, "top_p": 0.925, "seed": 3})", nullptr, nullptr, &answer); });
    bits += Json::parse(orr_text_data(answer))["ids"].dump();
    orr_text_release(answer);
    orr_task_release(task);
    if (told) {
        for (const char* what : {"summary", "entries", "inputs", "outputs", "states", "values", "graph", "weights", "config", "ignored"}) {
            orr_text* description = nullptr;
            call([&] { return orr_model_describe(model.get(), what, nullptr, &description); });
            *told += orr_text_data(description);
            orr_text_release(description);
        }
        *told += describe(s, "plan", "next") + about(engine.get(), "operators").dump() + about(engine.get(), "formats").dump();
    }
    return bits;
}

Model open_denormal(orr_engine* engine) {
    // Logits below the smallest normal number: gone where denormals are flushed.
    static Checkpoint checkpoint = [] {
        Checkpoint c = Checkpoint::golden("llama");
        Tensor& head = c.tensors.at("lm_head.weight");
        for (size_t i = 0; i < head.bytes.size(); i += sizeof(float)) {
            float v;
            std::memcpy(&v, head.bytes.data() + i, sizeof v);
            v *= 1e-39f;
            std::memcpy(head.bytes.data() + i, &v, sizeof v);
        }
        return c;
    }();
    return checkpoint.open(engine);
}

// ---------------------------------------------------------------- float mode

#if defined(__x86_64__)

constexpr uint32_t kDefault = 0x1f80, kFlush = 0x8040, kDown = 0x2000, kUp = 0x4000, kCut = 0x6000, kTrapped = 0x0680, kFlags = 0x3f;

class FloatModes : public testing::TestWithParam<FloatMode> {
  protected:
    void TearDown() override { FloatMode().set(); }
};

// Sets a mode for as long as it lives; whether the mode was the same at the end is `kept`.
class InMode {
  public:
    InMode(const FloatMode& mode, std::atomic<int>& changed) : mode_(mode), changed_(changed) { mode.set(); }
    ~InMode() {
        if (!(FloatMode::now().settings() == mode_.settings())) changed_++;
        FloatMode().set();
    }

  private:
    FloatMode mode_;
    std::atomic<int>& changed_;
};

// A pool whose threads have the host's float mode whenever a job begins.
class ModePool {
  public:
    ModePool(const FloatMode& mode, std::atomic<int>& changed) : mode_(mode), changed_(changed) {}
    const orr_executor* table() const { return &table_; }
    uint64_t jobs() const { return threads_.submitted(); }

  private:
    struct Job {
        ModePool* pool;
        void (*job)(void*);
        void* arg;
    };
    FloatMode mode_;
    std::atomic<int>& changed_;
    Pool threads_{3};
    orr_executor table_{ORR_HEADER(orr_executor), this, 3, [](void* user, void (*job)(void*), void* arg) {
                            auto& p = *static_cast<ModePool*>(user);
                            p.threads_.table()->submit(p.threads_.table()->user, [](void* a) {
                                const std::unique_ptr<Job> j(static_cast<Job*>(a));
                                const InMode mode(j->pool->mode_, j->pool->changed_);
                                j->job(j->arg);
                            }, new Job{&p, job, arg});
                        }};
};

TEST_P(FloatModes, StayAndHaveNoSay) {
    const std::string want = use_all(open_denormal), plain = use_all([](orr_engine* e) { return open_golden("gemma3", e); });
    std::atomic<int> changed{0};
    std::string got, got_plain;
    {
        ModePool pool(GetParam(), changed);
        const auto with_pool = [&](orr_engine_options& o) { o.executor = pool.table(); };
        {
            const InMode mode(GetParam(), changed);
            got = use_all(open_denormal, with_pool);
        }
        {
            const InMode mode(GetParam(), changed);
            got_plain = use_all([](orr_engine* e) { return open_golden("gemma3", e); }, with_pool);
        }
        EXPECT_GT(pool.jobs(), 0u);
    }
    EXPECT_EQ(changed, 0) << "a thread came back with another float mode";
    EXPECT_TRUE(got == want) << "the host's float mode changed a result";
    EXPECT_TRUE(got_plain == plain) << "the host's float mode changed a result";
}

// Each thread that works on a node: the kernel itself tells the mode it sees.
TEST_P(FloatModes, KernelsSeeTheDefaultOnEveryThread) {
    const FaultyPlugin plugin("float_mode");
    std::atomic<int> changed{0};
    for (const bool own : {true, false}) {
        if (own && kThreadSanitizer) continue;
        SCOPED_TRACE(own ? "oneTBB" : "the host's executor");
        ModePool pool(GetParam(), changed);
        std::set<int> threads;
        {
            const InMode mode(GetParam(), changed);
            const Engine engine = plugin.engine([&](orr_engine_options& o) { o.executor = own ? nullptr : pool.table(); });
            const Model model = plugin.open(engine.get());
            const Session session = make_session(model, [](orr_session_options& o) { o.threads = 3; });
            for (int round = 0; round < 50 && threads.size() < 2; round++) {
                const Tensor seen = FaultyPlugin::twice(session, 1);
                for (const float v : seen.floats()) {
                    const int bits = static_cast<int>(v);
                    EXPECT_EQ(bits % 65536, 0x1f80);
                    threads.insert(bits / 65536);
                }
            }
        }
        EXPECT_GE(threads.size(), 2u) << "one thread did it all: the test has seen nothing of the others";
    }
    EXPECT_EQ(changed, 0);
}

INSTANTIATE_TEST_SUITE_P(Cases, FloatModes,
                         testing::Values(FloatMode{kDefault | kFlush}, FloatMode{kDefault | kDown, 0x077f}, FloatMode{kDefault | kUp, 0x0b7f}, FloatMode{kDefault | kCut | kFlush, 0x0f7f},
                                         FloatMode{kDefault & ~kTrapped, 0x0372}, FloatMode{kDefault | kFlags}));

#endif

// ---------------------------------------------------------------- locale

// A comma where numbers have their point: as the C library's locale (a folder that setlocale looks into) and as C++'s.
std::string comma_locale() {
    const std::string folder = scratch("locales");
    std::filesystem::create_directories(folder + "/comma");
    // glibc's compiled LC_NUMERIC of: decimal_point ",", thousands_sep ".", grouping 3;3 (localedef writes these bytes).
    const unsigned char bytes[] = {0x14, 0x11, 0x03, 0x20, 6, 0, 0, 0, 0x20, 0, 0, 0, 0x22, 0, 0, 0, 0x24, 0, 0, 0, 0x28, 0, 0, 0, 0x2c, 0, 0, 0, 0x30, 0, 0, 0,
                                   0x2c, 0, 0x2e, 0, 3, 3, 0, 0, 0x2c, 0, 0, 0, 0x2e, 0, 0, 0, 'A', 'N', 'S', 'I', '_', 'X', '3', '.', '4', '-', '1', '9', '6', '8', 0};
    std::ofstream(folder + "/comma/LC_NUMERIC", std::ios::binary).write(reinterpret_cast<const char*>(bytes), sizeof bytes);
    return folder;
}

struct CommaNumbers : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\1"; }
};

// A model folder with a tokeniser and a template that writes and reads fractions.
std::string model_with_template() {
    const std::string folder = scratch("with_template");
    std::filesystem::create_directories(folder);
    for (const char* name : {"config.json", "model.safetensors"}) std::filesystem::copy_file(golden_folder("llama") + "/" + name, folder + "/" + name, std::filesystem::copy_options::overwrite_existing);
    Json vocabulary;
    for (int i = 0; i < kVocabulary; i++) vocabulary[std::string(1, static_cast<char>('0' + i))] = i;
    const Json tokenizer = {{"version", "1.0"},       {"added_tokens", Json::array()}, {"normalizer", nullptr}, {"pre_tokenizer", nullptr},
                            {"post_processor", nullptr}, {"decoder", {{"type", "Fuse"}}}, {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
    std::ofstream(folder + "/tokenizer.json") << tokenizer;
    const Json config = {{"chat_template", "{{ 2.75 }} {{ '1.5' | float + 1 }} {{ '2.5' | int }} {{ 3.14159 | round(2) }} {{ '%.3f' | format(0.5) }} {{ 1234567 }} {{ [0.25] | tojson }}"}};
    std::ofstream(folder + "/tokenizer_config.json") << config;
    return folder;
}

std::string render(orr_engine* engine, const std::string& folder, const char* messages = R"([{"role": "user", "content": "x"}])") {
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    options.path = folder.c_str();
    orr_model* model = nullptr;
    check(orr_model_open(engine, &options, &model));
    const Model owned(model);
    orr_text* text = nullptr;
    check(orr_apply_chat_template(model, messages, nullptr, &text));
    std::string out = orr_text_data(text);
    orr_text_release(text);
    return out;
}

// What a template cannot make a text of is the caller's; a template that cannot be read is the file's.
TEST(ChatTemplate, TellsWhoseMistakeItIs) {
    const std::string folder = scratch("chat_mistakes");
    std::filesystem::copy(model_with_template(), folder, std::filesystem::copy_options::recursive);
    const auto with = [&](const char* text) { std::ofstream(folder + "/tokenizer_config.json") << Json{{"chat_template", text}}; };
    with("{{ messages[0]['role'] + messages[0]['content'] }}{% if messages[0]['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}");
    EXPECT_EQ(render(shared_engine(), folder), "userx");
    expect_failure([&] { render(shared_engine(), folder, "[]"); }, ORR_INVALID_ARGUMENT, {"messages do not suit", "line 1"});
    expect_failure([&] { render(shared_engine(), folder, R"([{"content": "x"}])"); }, ORR_INVALID_ARGUMENT, {"messages do not suit"});
    expect_failure([&] { render(shared_engine(), folder, R"([{"role": "tool", "content": "x"}])"); }, ORR_INVALID_ARGUMENT, {"no tools"});
    with("{% if %}");
    expect_failure([&] { render(shared_engine(), folder); }, ORR_CORRUPT, {"line 1"});
}

TEST(Detokenize, RefusesTokensThatDoNotExist) {
    const std::string folder = model_with_template();
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    options.path = folder.c_str();
    orr_model* model = nullptr;
    check(orr_model_open(shared_engine(), &options, &model));
    const Model owned(model);
    orr_text* text = nullptr;
    for (const int32_t id : {-1, 1000000})
        expect_failure([&] { check(orr_detokenize(model, &id, 1, 0, &text)); }, ORR_NOT_FOUND, {"token " + std::to_string(id)});
    const int32_t first = 0;
    check(orr_detokenize(model, &first, 1, 0, &text));
    orr_text_release(text);
}

// In a process of its own: the locale is the process's. Tells which of the steps went wrong.
const RegisterChild locale_child("locale", [](const std::vector<std::string>& arguments) {
    const auto open = [](orr_engine* e) { return open_golden("gemma3", e); };
    std::string told, told_again, written, written_again;
    const std::string want = use_all(open, {}, &told), folder = model_with_template();
    written = render(make_engine().get(), folder);
    if (written != "2.75 2.5 2 3.14 0.500 1234567 [0.25]") return 1;
    if (arguments[0] == "c") {
        setenv("LOCPATH", arguments[1].c_str(), 1);
        if (!setlocale(LC_NUMERIC, "comma") || std::string(localeconv()->decimal_point) != ",") return 2;
    } else {
        std::locale::global(std::locale(std::locale::classic(), new CommaNumbers));
    }
    const std::string name = std::locale().name(), c_name = setlocale(LC_ALL, nullptr);
    const std::string got = use_all(open, {}, &told_again);
    written_again = render(make_engine().get(), folder);
    if (got != want) return 3;
    if (told_again != told) return 4;
    if (written_again != written) return 5;
    char half[16];
    std::snprintf(half, sizeof half, "%.1f", 0.5);
    if (std::string(half) != (arguments[0] == "c" ? "0,5" : "0.5")) return 6;
    return std::locale().name() == name && setlocale(LC_ALL, nullptr) == c_name ? 0 : 7;
});

TEST(Locale, OfTheCLibrary) { EXPECT_EQ(run_child("locale", {"c", comma_locale()}), 0); }
TEST(Locale, OfCxx) { EXPECT_EQ(run_child("locale", {"cxx"}), 0); }

// ---------------------------------------------------------------- the process

// What of a process a guest might change.
struct Process {
    std::vector<struct sigaction> actions;
    sigset_t mask{};
    std::vector<std::string> environment;
    std::string folder, locale;
    mode_t file_mode;
    int rounding;
    rlimit stack{}, files{};
    stack_t signal_stack{};

    Process() {
        for (int i = 1; i < NSIG; i++) {
            struct sigaction a{};
            sigaction(i, nullptr, &a);
            actions.push_back(a);
        }
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        for (char** e = environ; *e; e++) environment.emplace_back(*e);
        folder = std::filesystem::current_path();
        locale = setlocale(LC_ALL, nullptr);
        file_mode = umask(0);
        umask(file_mode);
        rounding = fegetround();
        getrlimit(RLIMIT_STACK, &stack);
        getrlimit(RLIMIT_NOFILE, &files);
        sigaltstack(nullptr, &signal_stack);
    }
    // The name of the first thing that differs, "" when none does.
    std::string difference(const Process& o) const {
        for (size_t i = 0; i < actions.size(); i++)
            if (actions[i].sa_handler != o.actions[i].sa_handler || actions[i].sa_flags != o.actions[i].sa_flags) return "signal " + std::to_string(i + 1);
        for (int i = 1; i < NSIG; i++)
            if (sigismember(&mask, i) != sigismember(&o.mask, i)) return "mask of signal " + std::to_string(i);
        if (environment != o.environment) return "environment";
        if (folder != o.folder) return "folder";
        if (locale != o.locale) return "locale";
        if (file_mode != o.file_mode) return "umask";
        if (rounding != o.rounding) return "rounding";
        if (stack.rlim_cur != o.stack.rlim_cur || files.rlim_cur != o.files.rlim_cur) return "limits";
        return signal_stack.ss_sp == o.signal_stack.ss_sp ? "" : "signal stack";
    }
};

void handler(int) {}

// In a process of its own, whose streams are a file; nothing may be written into it.
const RegisterChild process_child("process", [](const std::vector<std::string>& arguments) {
    signal(SIGUSR1, handler);
    signal(SIGPIPE, SIG_IGN);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
    std::filesystem::current_path(std::filesystem::path(arguments[0]).parent_path());
    const int file = open(arguments[0].c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(file, 1);
    dup2(file, 2);
    const long descriptors = std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
    const Process before;
    for (const char* name : {"llama", "gemma3", "llama_gguf", "mamba"}) {
        if (std::string(name) != "mamba") use_all([&](orr_engine* e) { return open_golden(name, e); });
        // Failures are told, not printed.
        const Engine engine = make_engine([](orr_engine_options& o) { o.log_level = ORR_LOG_DEBUG; });
        const Model model = open_golden(name, engine.get());
        const Session s = make_session(model);
        const std::string nowhere = "/nowhere/at/all";
        for (const auto& wrong : std::vector<std::function<void()>>{[&] { feed(s, {1, 999}); }, [&] { check(orr_session_load(s.get(), nowhere.c_str())); },
                                                                    [&] { check(orr_engine_scan(engine.get(), nowhere.c_str())); }, [&] { describe(s, "soul"); },
                                                                    [&] { Checkpoint::golden("llama", {{"hidden_act", "none"}}).open(engine.get()); }})
            try {
                wrong();
                return 1;
            } catch (const Failure&) {
            }
    }
    const FaultyPlugin plugin("entry_throws");
    try {
        plugin.open(plugin.engine().get());
        return 2;
    } catch (const Failure&) {
    }
    const std::string difference = before.difference(Process());
    if (!difference.empty()) return std::fprintf(stderr, "changed: %s\n", difference.c_str()), 3;
    std::fflush(nullptr);
    if (std::filesystem::file_size(arguments[0]) != 0) return 4;
    // Files that were opened are closed again.
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator()) == descriptors ? 0 : 5;
});

TEST(Process, StaysAsItIs) {
    const std::string file = scratch("streams");
    EXPECT_EQ(run_child("process", {file}), 0) << read_file(file);
}

// ---------------------------------------------------------------- loaded by name and closed again

int unload(const std::string& more) {
    const std::string command = std::string(UNLOAD_HOST) + " " + LIBRARY_FILE + " " + golden_folder("llama") + " " + more;
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Unload, LeavesNothingBehind) {
    if (kSanitizer) GTEST_SKIP() << "the sanitizer keeps libraries and threads of its own";
    EXPECT_EQ(unload(""), 0);
}

TEST(Unload, WhileAThreadThatHasRunLivesOn) {
    if (kSanitizer) GTEST_SKIP() << "the sanitizer keeps libraries and threads of its own";
    EXPECT_EQ(unload("thread"), 0);
}

// ---------------------------------------------------------------- threads

// In a process of its own: its threads and processor time are the process's.
const RegisterChild idle_child("idle", [](const std::vector<std::string>&) {
    const Engine engine = make_engine();
    const Model model = open_golden("llama", engine.get());
    std::vector<Session> sessions;
    for (int i = 0; i < 3; i++) {
        sessions.push_back(make_session(model, [](orr_session_options& o) { o.threads = 4; }));
        feed(sessions.back(), some_ids(60, kVocabulary));
        const Tensor ids = ids_tensor({5, 6});
        const orr_named_tensor in = named("input_ids", ids);
        const orr_named_tensor* const ins[] = {&in};
        check(orr_session_start(sessions.back().get(), "next", 1, ins, 0, nullptr));
        bool done = false;
        check(orr_session_wait(sessions.back().get(), UINT64_MAX, &done));
        if (i == 2) {  // a paused run waits without turning round
            orr_session_pause(sessions.back().get(), true);
            check(orr_session_start(sessions.back().get(), "next", 1, ins, 0, nullptr));
        }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    timespec before{}, after{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    const double ms = 1e3 * static_cast<double>(after.tv_sec - before.tv_sec) + 1e-6 * static_cast<double>(after.tv_nsec - before.tv_nsec);
    if (ms >= 30) std::fprintf(stderr, "%.1f ms of processor time in 300 ms\n", ms);
    return ms < 30 ? 0 : 1;
});

TEST(Idle, NothingSpins) { EXPECT_EQ(run_child("idle", {}), 0); }

// On which threads a callback came.
struct Seen {
    std::mutex mutex;
    std::set<std::thread::id> threads;
    void note() {
        const std::lock_guard lock(mutex);
        threads.insert(std::this_thread::get_id());
    }
    static bool progress(void* user, double, const char*) { return static_cast<Seen*>(user)->note(), true; }
    static void log(void* user, int32_t, const char*) { static_cast<Seen*>(user)->note(); }
    static bool event(void* user, const orr_event*) { return static_cast<Seen*>(user)->note(), true; }
    bool only(std::thread::id id) const { return threads == std::set<std::thread::id>{id}; }
};

TEST(Callbacks, ComeOnTheThreadThatMadeTheCall) {
    const auto self = std::this_thread::get_id();
    Seen log, opening, running, stepping, background, events;
    // A manifest that is none is worth a warning.
    const std::string folder = scratch("damaged");
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/damaged.orrery.json") << "{";
    const Engine engine = make_engine([&](orr_engine_options& o) { o.log = Seen::log, o.log_user = &log, o.log_level = ORR_LOG_WARNING; });
    check(orr_engine_scan(engine.get(), folder.c_str()));
    EXPECT_TRUE(log.only(self)) << log.threads.size();
    const std::string path = golden_folder("llama");
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    options.path = path.c_str();
    options.progress = Seen::progress;
    options.progress_user = &opening;
    orr_model* opened = nullptr;
    check(orr_model_open(engine.get(), &options, &opened));
    const Model model(opened);
    EXPECT_TRUE(opening.only(self)) << opening.threads.size();
    const auto session = [&](Seen& seen) {
        return make_session(model, [&](orr_session_options& o) { o.threads = 3, o.progress = Seen::progress, o.progress_user = &seen; });
    };
    const Session a = session(running), b = session(stepping), c = session(background), d = session(events);
    feed(a, some_ids(50, kVocabulary));
    EXPECT_TRUE(running.only(self)) << running.threads.size();
    const Tensor ids = ids_tensor(some_ids(50, kVocabulary));
    const orr_named_tensor in = named("input_ids", ids);
    const orr_named_tensor* const ins[] = {&in};
    // Plans are made on the thread that asks for the run; here they are there already.
    for (const Session* s : {&b, &c}) feed(*s, some_ids(50, kVocabulary));
    EXPECT_TRUE(stepping.only(self) && background.only(self));
    stepping.threads.clear(), background.threads.clear();
    std::thread::id stepper;
    check(orr_session_begin(b.get(), "next", 1, ins, 0, nullptr));
    std::thread([&] {
        stepper = std::this_thread::get_id();
        bool done = false;
        while (!done) check(orr_session_step(b.get(), 1000, &done));
    }).join();
    EXPECT_TRUE(stepping.only(stepper)) << stepping.threads.size();
    check(orr_session_start(c.get(), "next", 1, ins, 0, nullptr));
    bool done = false;
    check(orr_session_wait(c.get(), UINT64_MAX, &done));
    EXPECT_EQ(background.threads.size(), 1u) << "one thread of the engine's";
    EXPECT_FALSE(background.threads.count(self));
    orr_task* task = nullptr;
    check(orr_task_create(model.get(), nullptr, d.get(), &task));
    check(orr_task_run(task, R"({"ids": [1, 2], "max_tokens": 5, "logits_events": true})", Seen::event, &events, nullptr));
    orr_task_release(task);
    EXPECT_TRUE(events.only(self)) << events.threads.size();
}

}  // namespace
}  // namespace engine_tests
