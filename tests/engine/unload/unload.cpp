// unload LIBRARY MODEL [thread]: a host that knows the library by its file name alone. Opens it, runs the model in every
// way, releases everything, closes it; prints "what is left behind" and exits with 1 when threads or mappings are.
// With "thread" another thread has run the model too and lives on: its exit must find nothing missing.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>

#include "orrery/orrery.h"

namespace {

struct Library {
    void* handle;
    template <class Fn>
    Fn* find(const char* name) const {
        void* symbol = dlsym(handle, name);
        if (!symbol) throw std::runtime_error(dlerror());
        return reinterpret_cast<Fn*>(symbol);
    }
};
#define CALL(name) library.find<decltype(name)>(#name)

long threads() {
    long n = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) n += !entry.path().empty();
    return n;
}

bool mapped(const std::string& part) {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);)
        if (line.find(part) != std::string::npos) return std::printf("still mapped: %s\n", line.c_str()), true;
    return false;
}

void good(const Library& library, orr_status status) {
    if (status != ORR_OK) throw std::runtime_error(CALL(orr_error_text)());
}

struct Input {
    int32_t ids[4] = {1, 2, 3, 4};
    orr_named_tensor tensor{ORR_HEADER(orr_named_tensor), "input_ids", ORR_TYPE_I32, 2, {1, 4}, ids, sizeof ids};
    const orr_named_tensor* pointers[1] = {&tensor};
};

void use(const Library& library, orr_model* model) {
    Input in;
    orr_session_options options{};
    options.header = ORR_HEADER(orr_session_options);
    options.threads = 3;
    orr_session* session = nullptr;
    good(library, CALL(orr_session_create)(model, &options, &session));
    good(library, CALL(orr_session_run)(session, "next", 1, in.pointers, 0, nullptr));
    good(library, CALL(orr_session_start)(session, "next", 1, in.pointers, 0, nullptr));
    bool done = false;
    good(library, CALL(orr_session_wait)(session, UINT64_MAX, &done));
    orr_task* task = nullptr;
    good(library, CALL(orr_task_create)(model, nullptr, nullptr, &task));
    good(library, CALL(orr_task_run)(task, R"({"ids": [1, 2, 3], "max_tokens": 4})", nullptr, nullptr, nullptr));
    CALL(orr_task_release)(task);
    CALL(orr_session_release)(session);
}

int run(const char* file, const char* path, bool other) {
    const long before = threads();
    const std::string plugins = std::filesystem::canonical(file).parent_path() / "orrery" / "";
    std::promise<void> used, closed;
    std::thread thread;
    for (int round = 0; round < 3; round++) {  // and once more: nothing of the first is in the way
        const Library library{dlopen(file, RTLD_NOW | RTLD_LOCAL)};
        if (!library.handle) throw std::runtime_error(dlerror());
        orr_engine* engine = nullptr;
        orr_model* model = nullptr;
        good(library, CALL(orr_engine_create)(nullptr, &engine));
        orr_model_options options{};
        options.header = ORR_HEADER(orr_model_options);
        options.path = path;
        good(library, CALL(orr_model_open)(engine, &options, &model));
        use(library, model);
        if (other && round == 0) {
            thread = std::thread([&] {
                use(library, model);
                used.set_value();
                closed.get_future().wait();
            });
            used.get_future().wait();
        }
        CALL(orr_model_release)(model);
        CALL(orr_engine_release)(engine);
        if (mapped(plugins)) return 1;
        if (!other && threads() != before) return std::printf("%ld threads before, %ld after the release\n", before, threads()), 1;
        dlclose(library.handle);
        if (mapped("liborrery")) return 1;
    }
    usleep(50'000);  // a thread whose code is gone would fall over now
    if (other) {
        closed.set_value();
        thread.join();
        return 0;
    }
    return threads() == before ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
    return argc < 3 ? 2 : run(argv[1], argv[2], argc > 3);
} catch (const std::exception& e) {
    std::printf("%s\n", e.what());
    return 3;
}
