#include "engine/platform/files.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "orrery/plugin.hpp"

namespace orrery::platform {

MappedFile::MappedFile(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // else a pipe would be waited for
    if (fd < 0) throw Error(errno == ENOENT ? ORR_NOT_FOUND : ORR_IO, path + ": " + std::strerror(errno));
    struct stat info{};
    if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        ::close(fd);
        throw Error(ORR_IO, path + ": not a regular file");
    }
    size_ = static_cast<uint64_t>(info.st_size);
    if (size_ > 0) {
        data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data_ == MAP_FAILED) {
            data_ = nullptr;
            const std::string why = std::strerror(errno);
            ::close(fd);
            throw Error(ORR_IO, path + ": cannot map " + std::to_string(size_) + " bytes: " + why);
        }
    }
    ::close(fd);
}

MappedFile::~MappedFile() {
    if (data_) ::munmap(data_, size_);
}

namespace {
void advise(const void* data, uint64_t bytes, int advice) {
    const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + page - 1) & ~(page - 1);
    const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) & ~(page - 1);
    if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}
}  // namespace

void release_pages(const void* data, uint64_t bytes) { advise(data, bytes, MADV_DONTNEED); }
void will_need(const void* data, uint64_t bytes) { advise(data, bytes, MADV_WILLNEED); }

void* map_anonymous(size_t bytes) {
    const size_t padded = bytes + kHugePageBytes;
    void* raw = ::mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) return nullptr;
    const auto address = reinterpret_cast<uintptr_t>(raw);
    const uintptr_t aligned = (address + kHugePageBytes - 1) & ~(kHugePageBytes - 1);
    if (aligned > address) ::munmap(raw, aligned - address);
    const uintptr_t tail = address + padded - (aligned + bytes);
    if (tail) ::munmap(reinterpret_cast<void*>(aligned + bytes), tail);
    ::madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
    return reinterpret_cast<void*>(aligned);
}

void unmap_anonymous(void* memory, size_t bytes) { ::munmap(memory, bytes); }

bool is_folder(const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string why_not_there(const std::string& path) {
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0) return "is neither a regular file nor a folder";
    return errno == ENOENT ? "no such file or folder" : std::strerror(errno);
}

bool is_file(const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

uint64_t available_memory_bytes() {
    uint64_t available = 0;
    if (FILE* f = std::fopen("/proc/meminfo", "re")) {
        char line[128];
        unsigned long long kib = 0;
        while (std::fgets(line, sizeof line, f))
            if (std::sscanf(line, "MemAvailable: %llu kB", &kib) == 1) available = kib * 1024;
        std::fclose(f);
    }
    return available;
}

std::string own_folder() {
    Dl_info info{};
    if (!::dladdr(reinterpret_cast<const void*>(&own_folder), &info) || !info.dli_fname) return "";
    char* resolved = ::realpath(info.dli_fname, nullptr);
    if (!resolved) return "";
    std::string path = resolved;
    ::free(resolved);
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string cache_folder() {
    if (is_elevated()) return "";
    if (const char* x = std::getenv("XDG_CACHE_HOME"); x && *x == '/') return std::string(x) + "/orrery";
    if (const char* h = std::getenv("HOME"); h && *h == '/') return std::string(h) + "/.cache/orrery";
    return "";
}

void* vulkan_loader() {
    // Never closed: drivers leave threads and handlers behind that do not survive it.
    void* library = ::dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    return library ? ::dlsym(library, "vkGetInstanceProcAddr") : nullptr;
}

bool replace_file(const std::string& path, const void* data, uint64_t bytes) {
    static std::atomic<uint32_t> files{0};
    const std::string partial = path + "." + std::to_string(::getpid()) + "-" + std::to_string(files++) + kPartial;
    std::FILE* f = std::fopen(partial.c_str(), "wbe");
    if (!f) return false;
    const bool whole = std::fwrite(data, 1, bytes, f) == bytes;
    if (std::fclose(f) == 0 && whole && std::rename(partial.c_str(), path.c_str()) == 0) return true;
    std::remove(partial.c_str());
    return false;
}

void remove_abandoned(const std::string& folder, const std::string& prefix) {
    namespace fs = std::filesystem;
    std::error_code none;
    const auto latest = fs::file_time_type::clock::now() - std::chrono::hours(1);
    for (fs::directory_iterator i(folder, none), end; !none && i != end; i.increment(none)) {
        const std::string name = i->path().filename().string();
        const std::string_view last = kPartial;
        if (name.compare(0, prefix.size(), prefix) != 0 || name.size() < last.size() || name.compare(name.size() - last.size(), last.size(), last) != 0) continue;
        std::error_code error;
        if (!fs::is_regular_file(i->symlink_status(error)) || error) continue;
        const auto written = i->last_write_time(error);
        if (!error && written < latest) fs::remove(i->path(), error);
    }
}

bool is_elevated() { return ::getauxval(AT_SECURE) != 0; }

void keep_library(const void* code) {
    Dl_info info{};
    if (::dladdr(code, &info) && info.dli_fname) ::dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

void name_thread(const char* name) { ::pthread_setname_np(::pthread_self(), name); }

}  // namespace orrery::platform
