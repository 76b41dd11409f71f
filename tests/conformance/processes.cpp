#include "processes.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace orrery::conformance {

namespace fs = std::filesystem;

std::set<pid_t> children() {
    std::set<pid_t> out;
    siginfo_t any{};
    if (waitid(P_ALL, 0, &any, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) != 0) return out;
    std::error_code failed;
    for (fs::directory_iterator it("/proc", failed), end; !failed && it != end; it.increment(failed)) {
        const std::string name = it->path().filename().string();
        if (!std::isdigit(static_cast<unsigned char>(name[0]))) continue;
        std::ifstream in(it->path() / "stat");
        std::string line;
        std::getline(in, line);
        // "number (name) state parent …": the name may hold spaces and brackets.
        char state = 0;
        int parent = 0;
        const size_t at = line.rfind(')');
        if (at != std::string::npos && std::sscanf(line.c_str() + at + 1, " %c %d", &state, &parent) == 2 && parent == getpid()) out.insert(static_cast<pid_t>(std::stol(name)));
    }
    return out;
}

int end_children(const std::set<pid_t>& spare) {
    constexpr int kMost = 1000;
    int count = 0;
    for (bool more = true; more && count < kMost;) {
        more = false;
        for (const pid_t process : children()) {
            if (spare.count(process)) continue;
            kill(process, SIGKILL);
            waitpid(process, nullptr, 0);
            more = true;
            count++;
        }
    }
    return count;
}

Reaper::Reaper() {
#if defined(__linux__)
    prctl(PR_GET_CHILD_SUBREAPER, &before_);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
#endif
}
Reaper::~Reaper() {
#if defined(__linux__)
    prctl(PR_SET_CHILD_SUBREAPER, before_);
#endif
}

int new_output() {
#if defined(__linux__)
    const int file = memfd_create("printed", MFD_CLOEXEC);
#else
    FILE* temporary = std::tmpfile();
    const int file = temporary ? fcntl(fileno(temporary), F_DUPFD_CLOEXEC, 0) : -1;
    if (temporary) std::fclose(temporary);
#endif
    if (file >= 0) fcntl(file, F_SETFL, O_APPEND);
    return file;
}

std::string take_output(int file) {
    constexpr size_t kMost = 65536;
    struct stat state{};
    if (fstat(file, &state) != 0 || !S_ISREG(state.st_mode) || state.st_size == 0) return "";
    std::string text(std::min(kMost, static_cast<size_t>(state.st_size)), ' ');
    const ssize_t got = pread(file, text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    if (ftruncate(file, 0) != 0) return "";
    std::fwrite(text.data(), 1, text.size(), stderr);
    return text;
}

namespace {
std::string current_folder() {
    std::error_code failed;
    const fs::path folder = fs::current_path(failed);
    return failed ? "" : folder.string();
}
bool same_file(int a, int b) {
    struct stat x{}, y{};
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}
}  // namespace

Surroundings::Surroundings() : folder_(current_folder()), locale_(std::setlocale(LC_ALL, nullptr)), mask_(umask(0)) {
    umask(mask_);
    constexpr int kAbove = 3;
    for (int file = 0; file < kAbove; file++) kept_[file] = fcntl(file, F_DUPFD_CLOEXEC, kAbove);
}
Surroundings::~Surroundings() {
    for (const int file : kept_)
        if (file >= 0) close(file);
}

std::vector<std::string> Surroundings::restore() {
    std::vector<std::string> out;
    if (const std::string now = current_folder(); now != folder_) {
        out.push_back("changes the working directory to " + now);
        if (chdir(folder_.c_str()) != 0) folder_ = now;
    }
    if (const std::string now = std::setlocale(LC_ALL, nullptr); now != locale_) {
        out.push_back("changes the locale from " + locale_ + " to " + now);
        std::setlocale(LC_ALL, locale_.c_str());
    }
    if (const mode_t now = umask(mask_); now != mask_) {
        char text[64];
        std::snprintf(text, sizeof text, "changes the mask of new files from %03o to %03o", static_cast<unsigned>(mask_), static_cast<unsigned>(now));
        out.emplace_back(text);
    }
    static const char* const kNames[] = {"stdin", "stdout", "stderr"};
    for (int file = 0; file < 3; file++) {
        if (kept_[file] < 0 || same_file(file, kept_[file])) continue;
        out.push_back(std::string("closes ") + kNames[file] + " or puts another file in its place");
        dup2(kept_[file], file);
    }
    return out;
}

std::string first_line_printed(const std::string& text, bool on_device) {
    if (on_device && (text.find("Validation ") != std::string::npos || text.find("VUID-") != std::string::npos)) return "";
    const size_t from = text.find_first_not_of('\n');
    if (from == std::string::npos) return text.empty() ? "" : "(an empty line)";
    constexpr size_t kMost = 200;
    return text.substr(from, std::min(kMost, text.find('\n', from) - from));
}

}  // namespace orrery::conformance
