#include "kit.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "checker.hpp"
#include "lists.hpp"
#include "processes.hpp"
#include "worker.hpp"

namespace orrery::conformance {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

// Takes the worker's events.
class Collector {
  public:
    Collector(KitResult& result, const std::function<void(const OperatorResult&)>& on_operator) : result_(result), on_operator_(on_operator) {}

    void take(const json& e) {
        if (e.contains("begin")) current_ = e["begin"].get<std::string>(), open_ = true;
        if (e.contains("operators")) operators_ = e["operators"].get<std::vector<std::string>>();
        if (e.contains("end")) ended_ = true;
        if (e.contains("error")) throw std::runtime_error(e["error"].get<std::string>());
        if (e.contains("failure")) {
            const json& f = e["failure"];
            result_.failures.push_back({f["check"], f["op"], f["where"], f["what"], f["seed"], ""});
        }
        if (!e.contains("done")) return;
        result_.checks += e["checks"].get<int64_t>();
        result_.cases += e["cases"].get<int64_t>();
        for (const json& r : e["ran"]) result_.ran.push_back(r.get<std::string>());
        for (const json& n : e["notes"])
            if (std::find(result_.notes.begin(), result_.notes.end(), n) == result_.notes.end()) result_.notes.push_back(n.get<std::string>());
        end(e["done"].get<std::string>(), e["checks"].get<int64_t>(), e["cases"].get<int64_t>(), true);
    }
    void add(const char* check, const Progress& p, const std::string& what) { result_.failures.push_back({check, p.op, p.where, what, p.seed, ""}); }
    // The worker has died or was ended.
    void lose(const Progress& p, const char* check, const std::string& what) {
        add(check, p, what);
        // What it was at when it opened the plugin again was done before.
        done_.insert(open_ ? current_ : "");
        ended_ = false;
        if (open_) end(current_, 0, 0, false);
    }
    // Whether a worker came to its end: each operator has told that it is done.
    bool ended() const { return ended_; }
    const std::set<std::string>& done() const { return done_; }
    const std::vector<std::string>& operators() const { return operators_; }

  private:
    void end(const std::string& id, int64_t checks, int64_t cases, bool finished) {
        done_.insert(id);
        open_ = false;
        if (id.empty()) return;
        result_.operators.push_back({id, checks, cases, finished});
        if (on_operator_) on_operator_(result_.operators.back());
    }
    KitResult& result_;
    const std::function<void(const OperatorResult&)>& on_operator_;
    std::set<std::string> done_;
    std::vector<std::string> operators_;
    std::string current_;
    bool open_ = false, ended_ = false;
};

// Memory that a child process shares with this one.
class Shared {
  public:
    Shared() {
        void* memory = mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        progress_ = new (memory) Progress;
    }
    Shared(const Shared&) = delete;
    ~Shared() { munmap(progress_, sizeof(Progress)); }
    Progress& progress() const { return *progress_; }

  private:
    Progress* progress_;
};

// Signals that end this process end the child too.
class EndTogether {
  public:
    explicit EndTogether(pid_t child) {
        child_ = child;
        for (size_t n = 0; n < std::size(kSignals); n++) {
            struct sigaction now = {};
            sigaction(kSignals[n], nullptr, &before_[n]);
            if (before_[n].sa_handler != SIG_DFL) continue;  // the program's own business
            now.sa_handler = end;
            sigaction(kSignals[n], &now, nullptr);
        }
    }
    EndTogether(const EndTogether&) = delete;
    ~EndTogether() {
        for (size_t n = 0; n < std::size(kSignals); n++) sigaction(kSignals[n], &before_[n], nullptr);
        child_ = 0;
    }

  private:
    static constexpr int kSignals[] = {SIGTERM, SIGINT, SIGHUP};
    static void end(int signal) {
        if (child_ > 0) kill(-child_, SIGKILL), kill(child_, SIGKILL);
        std::signal(signal, SIG_DFL);
        std::raise(signal);
    }
    static inline volatile std::sig_atomic_t child_ = 0;
    struct sigaction before_[std::size(kSignals)];
};

// One process that works until it is done, dies, or takes too long over a case.
class Child {
  public:
    Child(const KitOptions& options, const std::set<std::string>& done, Progress& progress) {
        printed_ = new_output();
        if (printed_ < 0) throw std::runtime_error(std::string("a file for what the plugin prints: ") + std::strerror(errno));
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
        std::fflush(nullptr);
        const pid_t parent = getpid();
        pid_ = fork();
        if (pid_ < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
        if (pid_ == 0) {
            close(ends[0]);
            setsid();  // what it starts is of its group
            die_with(parent);
            be_child(options, done, progress, ends[1], printed_);
        }
        close(ends[1]);
        from_ = ends[0];
        together_.emplace(pid_);
    }
    Child(const Child&) = delete;
    ~Child() {
        if (from_ >= 0) close(from_);
        end_all();
        close(printed_);
    }
    // The process and all that the plugin started: nothing of them outlives this.
    void end_all() {
        if (alive_) kill(pid_, SIGKILL);
        wait_for_end(0);
        kill(-pid_, SIGKILL);
        end_children(spare_);
    }
    // What it printed and has not told itself.
    std::string printed() const { return take_output(printed_); }

    // Hands events over until it has ended. False when that was done for it because it took too long: also where it has closed its end and goes on.
    bool listen(Collector& collector, const Progress& progress, double timeout_s) {
        constexpr int kLook_ms = 100;
        std::string text;
        uint64_t steps = progress.steps;
        auto since = Clock::now();
        for (;;) {
            // Looked at first: what it wrote before its end is read after it.
            const bool ended = !wait_for_end(WNOHANG);
            pollfd wait{from_, POLLIN, 0};
            const int ready = poll(&wait, from_ >= 0 ? 1 : 0, ended ? 0 : kLook_ms);
            if (ready > 0) {
                char buffer[65536];
                const ssize_t got = read(from_, buffer, sizeof buffer);
                if (got == 0) close(std::exchange(from_, -1));
                if (got > 0) text.append(buffer, static_cast<size_t>(got));
                for (size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) collector.take(json::parse(text.substr(0, end)));
            } else if (ended) {
                return true;
            }
            if (progress.steps != steps) {
                steps = progress.steps;
                since = Clock::now();
            }
            if (ended || timeout_s <= 0 || std::chrono::duration<double>(Clock::now() - since).count() < timeout_s) continue;
            kill(pid_, SIGKILL);
            wait_for_end(0);
            return false;
        }
    }
    // How it ended; "" when well, which the status alone does not tell: a plugin may end the process with any.
    std::string end(bool told) const {
        if (WIFSIGNALED(status_)) return std::string("crashes: ") + strsignal(WTERMSIG(status_));
        if (told && WIFEXITED(status_) && WEXITSTATUS(status_) == kGood) return "";
        return "ends the process with status " + std::to_string(WEXITSTATUS(status_)) + (told ? " after all checks" : "");
    }

  private:
    static constexpr int kGood = 73;

    // False when it has ended.
    bool wait_for_end(int flags) {
        while (alive_) {
            const pid_t got = waitpid(pid_, &status_, flags);
            if (got == 0) return true;
            if (got == pid_ || errno != EINTR) alive_ = false;
        }
        return false;
    }
    // Of the child: killed when the parent is, however that ends.
    static void die_with(pid_t parent) {
#if defined(__linux__)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
        if (getppid() != parent) _exit(1);
    }

    [[noreturn]] static void be_child(const KitOptions& options, const std::set<std::string>& done, Progress& progress, int to, int printed) {
        dup2(printed, STDOUT_FILENO);  // what a plugin prints is no result
        const Reaper reaper;
        const auto emit = [&](const json& e) {
            const std::string line = e.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
            for (size_t at = 0; at < line.size();) {
                const ssize_t put = write(to, line.data() + at, line.size() - at);
                if (put < 0 && errno != EINTR) _exit(1);
                if (put > 0) at += static_cast<size_t>(put);
            }
        };
        try {
            work(options, done, progress, emit, true);
        } catch (const std::exception& e) {
            emit({{"error", e.what()}});
        }
        std::fflush(nullptr);
#if defined(__SANITIZE_ADDRESS__)
        std::exit(kGood);  // the sanitizer looks for leaks at the end
#else
        _exit(kGood);
#endif
    }
    const Reaper reaper_;
    const std::set<pid_t> spare_ = children();
    pid_t pid_ = 0;
    int from_ = -1, printed_ = -1, status_ = 0;
    bool alive_ = true;
    std::optional<EndTogether> together_;
};

void run_in_children(const KitOptions& o, Collector& collector) {
    Shared shared;
    for (;;) {
        const size_t before = collector.done().size();
        Child child(o, collector.done(), shared.progress());
        const bool in_time = child.listen(collector, shared.progress(), o.timeout_s);
        const std::string how = child.end(collector.ended());
        child.end_all();
        const std::string line = first_line_printed(child.printed(), !o.device.empty());
        if (!line.empty()) collector.add("prints", shared.progress(), "prints \"" + line + "\"");
        if (in_time && how.empty()) return;
        char seconds[32];
        std::snprintf(seconds, sizeof seconds, "%g", o.timeout_s);
        collector.lose(shared.progress(), in_time ? "crash" : "hang", in_time ? how : std::string("hangs: no progress in ") + seconds + " s");
        if (collector.done().size() == before) return;  // it cannot even be opened again
    }
}

// Takes what the lists excuse out of the failures; what is expected to fail and does not is one.
void apply_lists(const KitOptions& o, const std::vector<std::string>& operators, KitResult& result) {
    std::vector<Entry> entries;
    const std::string device = o.device.empty() ? "cpu" : o.device;
    for (const OperatorResult& op : result.operators) try {
            for (Entry& e : read_lists(find_cases(o, op.op))) entries.push_back(std::move(e));
        } catch (const std::exception& e) {
            if (std::string(e.what()).find(".cases is not below") == std::string::npos) result.failures.push_back({"list", op.op, "", e.what(), 0, ""});
        }
    std::vector<Finding> left;
    for (Finding& f : result.failures) {
        Entry* by = nullptr;
        for (Entry& e : entries)
            if (selects(e, {f.check, f.op, f.where, f.what, f.seed}, device)) {
                e.matched++;
                if (!by) by = &e;
            }
        if (!by) {
            left.push_back(std::move(f));
            continue;
        }
        f.reason = by->reason;
        (by->temporary ? result.expected : result.unsupported).push_back(std::move(f));
    }
    result.failures = std::move(left);
    const bool whole = !o.reproduce && o.isa.empty();
    for (const Entry& e : entries) {
        if (std::find(operators.begin(), operators.end(), e.op) == operators.end()) {
            result.failures.push_back({"list", e.op, e.place(), "the plugin has no operator \"" + e.op + "\"", 0, ""});
        } else if (e.temporary && e.matched == 0 && whole && (e.device.empty() || device.substr(0, device.find(':')) == e.device)) {
            result.failures.push_back({"expected", e.op, e.place(), "passes, though it is expected to fail (" + e.reason + "): take the entry out", 0, ""});
        }
    }
}

// As one word of a shell.
std::string quoted(const std::string& word) {
    if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%") == std::string::npos && !word.empty()) return word;
    std::string out = "'";
    for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

}  // namespace

KitResult validate(const KitOptions& o, const std::function<void(const OperatorResult&)>& on_operator) {
    if (o.seed >> 40) throw std::runtime_error("the seed is " + std::to_string(o.seed) + ", the most is " + std::to_string((uint64_t{1} << 40) - 1));
    if (!std::filesystem::is_regular_file(o.plugin)) throw std::runtime_error(o.plugin.string() + " is no file");
    if (!o.isa.empty()) {
        bool known = false;
        for (const uint32_t isa : machine_isas()) known = known || o.isa == isa_name(isa);
        if (!known) throw std::runtime_error("this machine has no instruction set \"" + o.isa + "\"");
    }
    KitResult result;
    Collector collector(result, on_operator);
    if (o.own_process && !o.reproduce) {
        run_in_children(o, collector);
    } else {
        Progress progress;
        work(o, {}, progress, [&](const json& e) { collector.take(e); });
    }
    if (o.reproduce && result.cases == 0 && result.failures.empty())
        throw std::runtime_error("no case has the seed " + std::to_string(*o.reproduce) + ": --reproduce needs the options that the failure was found with, as told with it");
    if (!o.op.empty() && result.operators.empty() && result.failures.empty()) throw std::runtime_error(o.plugin.string() + " has no operator \"" + o.op + "\"");
    apply_lists(o, collector.operators(), result);
    return result;
}

nlohmann::ordered_json to_json(const KitResult& result, const KitOptions& o) {
    using Json = nlohmann::ordered_json;
    Json out;
    out["plugin"] = o.plugin.string();
    out["seed"] = o.seed;
    out["device"] = o.device.empty() ? "cpu" : o.device;
    if (!o.without_shaders.empty()) out["without_shaders"] = o.without_shaders;
    out["cases"] = result.cases;
    out["checks"] = result.checks;
    out["operators"] = Json::array();
    for (const OperatorResult& r : result.operators) out["operators"].push_back({{"op", r.op}, {"cases", r.cases}, {"checks", r.checks}, {"finished", r.finished}});
    const auto list = [&](const char* key, const std::vector<Finding>& findings) {
        out[key] = Json::array();
        for (const Finding& f : findings) {
            Json entry = {{"check", f.check}, {"op", f.op}, {"where", f.where}, {"what", f.what}, {"seed", f.seed}};
            if (f.seed) entry["reproduce"] = reproduce_command(f, o);
            if (!f.reason.empty()) entry["reason"] = f.reason;
            out[key].push_back(entry);
        }
    };
    list("failures", result.failures);
    list("unsupported", result.unsupported);
    list("expected_failures", result.expected);
    out["ran"] = result.ran;
    out["notes"] = result.notes;
    return out;
}

std::string line_of(const Finding& f) { return (f.op.empty() ? "" : f.op + ": ") + (f.where.empty() ? "" : f.where + ": ") + f.what + " [" + f.check + "]"; }

std::string reproduce_command(const Finding& f, const KitOptions& o) {
    if (!f.seed) return "";
    const KitOptions usual;
    std::string out = "orrery-validate " + quoted(o.plugin.string()) + " --op " + f.op;
    const auto add = [&](const char* option, const std::string& value) { out += std::string(" ") + option + " " + quoted(value); };
    if (!o.device.empty()) add("--device", o.device);
    for (const std::string& pattern : o.without_shaders) add("--without-shaders", pattern);
    if (!o.isa.empty()) add("--isa", o.isa);
    if (!o.cases_root.empty()) add("--cases-root", o.cases_root.string());
    for (const auto& types : o.types) add("--types", types.string());
    if (o.derived != usual.derived) add("--derived", std::to_string(o.derived));
    if (o.drawn != usual.drawn) add("--drawn", std::to_string(o.drawn));
    add("--reproduce", std::to_string(f.seed));  // which holds the run's seed
    return out;
}

}  // namespace orrery::conformance
