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

std::string first_line_printed(const std::string& text, bool on_device) {
    if (on_device && (text.find("Validation ") != std::string::npos || text.find("VUID-") != std::string::npos)) return "";
    const size_t from = text.find_first_not_of('\n');
    if (from == std::string::npos) return text.empty() ? "" : "(an empty line)";
    constexpr size_t kMost = 200;
    return text.substr(from, std::min(kMost, text.find('\n', from) - from));
}

}  // namespace orrery::conformance
