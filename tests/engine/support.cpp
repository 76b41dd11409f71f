#include "support.hpp"

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

namespace engine_tests {

Pool::Pool(uint32_t threads) {
    table_ = {ORR_HEADER(orr_executor), this, threads, [](void* user, void (*job)(void*), void* arg) {
                  Pool& pool = *static_cast<Pool*>(user);
                  {
                      const std::lock_guard lock(pool.mutex_);
                      pool.jobs_.emplace_back(job, arg);
                      pool.submitted_++;
                  }
                  pool.wake_.notify_one();
              }};
    for (uint32_t i = 0; i < threads; i++) threads_.emplace_back([this] { work(); });
}

Pool::~Pool() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    for (auto& t : threads_) t.join();
}

uint64_t Pool::submitted() const {
    const std::lock_guard lock(mutex_);
    return submitted_;
}

void Pool::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [&] { return stop_ || !jobs_.empty(); });
        if (jobs_.empty()) return;  // what was submitted is called, even at the end
        const auto [job, arg] = jobs_.front();
        jobs_.pop_front();
        lock.unlock();
        job(arg);
        lock.lock();
    }
}

Engine make_engine(const ChangeEngine& change) {
    orr_engine_options options{};
    options.header = ORR_HEADER(orr_engine_options);
    static const char* const folders[] = {PLUGIN_DIR, nullptr};
    options.plugin_dirs = folders;
    options.no_default_plugins = true;
    if (kThreadSanitizer) {
        static Pool pool(3);
        options.executor = pool.table();
    }
    if (change) change(options);
    orr_engine* engine = nullptr;
    check(orr_engine_create(&options, &engine));
    return Engine(engine);
}

namespace {
SharedEngine* const shared = new SharedEngine([] { return make_engine(); });
}

orr_engine* shared_engine() { return shared->get(); }

Checkpoint Checkpoint::golden(const std::string& name, const Json& change) {
    Checkpoint c;
    c.config = Json::parse(read_file(golden_folder(name) + "/config.json"));
    c.config.merge_patch(change);
    c.tensors = read_tensors(golden_folder(name) + "/model.safetensors");
    return c;
}

std::string Checkpoint::safetensors() const {
    static const std::map<uint32_t, const char*> names = {{ORR_TYPE_F32, "F32"}, {ORR_TYPE_F16, "F16"}, {ORR_TYPE_BF16, "BF16"}, {ORR_TYPE_I32, "I32"}, {ORR_TYPE_I64, "I64"}, {ORR_TYPE_BOOL, "BOOL"}};
    Json header = Json::object();
    uint64_t offset = 0;
    for (const auto& [name, t] : tensors) {
        header[name] = {{"dtype", names.at(t.type)}, {"shape", t.shape}, {"data_offsets", {offset, offset + t.bytes.size()}}};
        offset += t.bytes.size();
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t size = text.size();
    std::string out(reinterpret_cast<const char*>(&size), sizeof size);
    out += text;
    for (const auto& [name, t] : tensors) out.append(t.bytes.data(), t.bytes.size());
    return out;
}

Model Checkpoint::open(orr_engine* engine, const char* device) {
    const std::string& text = kept_.emplace_back(config.dump());
    const std::string& file = kept_.emplace_back(safetensors());
    return open_blobs(engine ? engine : shared_engine(), {blob_of("config.json", text), blob_of("model.safetensors", file)}, allow_extra_tensors, device);
}

Model open_golden(const std::string& name, orr_engine* engine, const char* device) {
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    const std::string gguf = golden_folder(name) + "/model.gguf", path = std::filesystem::exists(gguf) ? gguf : golden_folder(name);
    options.path = path.c_str();
    options.device = device;
    orr_model* model = nullptr;
    check(orr_model_open(engine ? engine : shared_engine(), &options, &model));
    return Model(model);
}

Session make_session(const Model& model, const ChangeSession& change) {
    orr_session_options options{};
    options.header = ORR_HEADER(orr_session_options);
    options.threads = 1;
    options.numerics = ORR_NUMERICS_EXACT;
    options.cache_type = "f32";
    if (change) change(options);
    orr_session* session = nullptr;
    check(orr_session_create(model.get(), &options, &session));
    return Session(session);
}

Session fork(const Session& session) {
    orr_session* forked = nullptr;
    check(orr_session_fork(session.get(), &forked));
    return Session(forked);
}

Tensor ids_tensor(const std::vector<int32_t>& ids) {
    Tensor t{ORR_TYPE_I32, {1, static_cast<int64_t>(ids.size())}, std::vector<char>(ids.size() * sizeof(int32_t))};
    if (!ids.empty()) std::memcpy(t.bytes.data(), ids.data(), t.bytes.size());
    return t;
}

std::vector<int32_t> some_ids(size_t count, int32_t vocabulary, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<int32_t> ids(count);
    for (auto& id : ids) id = static_cast<int32_t>(random() % static_cast<uint32_t>(vocabulary));
    return ids;
}

Tensor feed(const Session& session, const std::vector<int32_t>& ids, const char* entry) { return run(session, {{"input_ids", ids_tensor(ids)}}, entry).at("logits"); }

std::vector<int32_t> part(const std::vector<int32_t>& ids, size_t from, size_t to) { return {ids.begin() + static_cast<ptrdiff_t>(from), ids.begin() + static_cast<ptrdiff_t>(to)}; }

Json about(orr_engine* engine, const char* what) {
    orr_text* text = nullptr;
    check(orr_engine_describe(engine, what, &text));
    Json j = Json::parse(orr_text_data(text));
    orr_text_release(text);
    return j;
}

bool has_vulkan() {
    const Json capabilities = about(shared_engine(), "capabilities");
    for (const Json& d : capabilities["devices"])
        if (d["id"] == "vulkan:0" && !d.contains("problem")) return true;
    return false;
}

std::string describe(const Session& session, const char* what, const char* entry) {
    orr_text* text = nullptr;
    check(orr_session_describe(session.get(), what, entry, &text));
    std::string out(orr_text_data(text), orr_text_size(text));
    orr_text_release(text);
    return out;
}

Json description(const Session& session, const char* what, const char* list, const char* entry) {
    Json all = Json::parse(describe(session, what, entry));
    EXPECT_FALSE(all[list].empty()) << "nothing to look at: " << what << ", " << list;
    return all[list];
}

Failure failure_of(const std::function<void()>& fn) {
    try {
        fn();
    } catch (const Failure& failure) {
        return failure;
    }
    ADD_FAILURE() << "nothing failed";
    return Failure(ORR_OK, "");
}

void expect_failure(const std::function<void()>& fn, orr_status status, const std::vector<std::string>& parts) {
    const Failure failure = failure_of(fn);
    EXPECT_STREQ(orr_status_name(failure.status), orr_status_name(status)) << failure.what();
    for (const auto& text : parts) EXPECT_NE(std::string(failure.what()).find(text), std::string::npos) << failure.what() << " lacks " << text;
}

orr_named_tensor named(const char* name, const Tensor& tensor) {
    orr_named_tensor t{};
    t.header = ORR_HEADER(orr_named_tensor);
    t.name = name;
    t.type = tensor.type;
    t.rank = static_cast<int32_t>(tensor.shape.size());
    std::copy(tensor.shape.begin(), tensor.shape.end(), t.shape);
    t.data = tensor.bytes.data();
    t.size_bytes = tensor.bytes.size();
    return t;
}

namespace {

#if defined(__SANITIZE_ADDRESS__)
// Mesa's software driver keeps memory when the Vulkan loader closes it; the sanitizer counts that as lost unless the driver stays open.
[[maybe_unused]] void* const kept_driver = dlopen("libvulkan_lvp.so", RTLD_NOW | RTLD_NODELETE);
#endif
std::map<std::string, Child>& children() {
    static std::map<std::string, Child> known;
    return known;
}
}  // namespace

RegisterChild::RegisterChild(const std::string& name, Child child) { children()[name] = child; }

int run_child(const std::string& name, const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {"/proc/self/exe", "--child", name};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (auto& w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid == 0) {
        execv(argv[0], argv.data());
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string scratch(const std::string& name) {
    static const struct Folder {
        std::filesystem::path path = std::filesystem::temp_directory_path() / ("orrery-engine-tests-" + std::to_string(getpid()));
        Folder() { std::filesystem::create_directories(path); }
        ~Folder() {
            std::error_code ignored;
            std::filesystem::remove_all(path, ignored);
        }
    } folder;
    return (folder.path / name).string();
}

bool usable(const std::string& device) { return device != "vulkan" || (!kThreadSanitizer && has_vulkan()); }

void GoldenOnDevice::SetUp() {
    if (!usable(device())) GTEST_SKIP() << "no Vulkan device";
    folder_ = golden_folder(std::get<0>(GetParam()));
    model_ = open_golden(std::get<0>(GetParam()), nullptr, std::get<1>(GetParam()));
    inputs_ = read_tensors(folder_ + "/inputs.safetensors");
}

Session GoldenOnDevice::session() const {
    return make_session(model_, [&](orr_session_options& o) { o.batch = inputs_.begin()->second.shape[0]; });
}

}  // namespace engine_tests

int main(int argc, char** argv) {
    if (argc >= 3 && std::string(argv[1]) == "--child") try {
            const int status = engine_tests::children().at(argv[2])({argv + 3, argv + argc});
            engine_tests::shared->TearDown();
            return status;
        } catch (const std::exception& e) {
            std::fprintf(stderr, "%s: %s\n", argv[2], e.what());
            return 99;
        }
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
