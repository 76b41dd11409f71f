// Models that come from the host: through its I/O (a pak file), from its memory; reads that fail; and every byte of its
// allocator given back, whatever went wrong.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "faulty.hpp"

namespace engine_tests {
namespace {

// All files of a model in one string; reads are counted and may be made to fail.
class Pak {
  public:
    // A folder, or one file under the name "".
    explicit Pak(const std::string& path) {
        if (std::filesystem::is_regular_file(path)) add("", read_file(path));
        else
            for (const auto& entry : std::filesystem::directory_iterator(path))
                if (entry.is_regular_file() && entry.path().filename().string().rfind("model.gguf", 0) != 0) add(entry.path().filename().string(), read_file(entry.path()));
    }
    Model open(orr_engine* engine = nullptr) const {
        orr_model_options options{};
        options.header = ORR_HEADER(orr_model_options);
        options.io = &io_;
        orr_model* model = nullptr;
        check(orr_model_open(engine ? engine : shared_engine(), &options, &model));
        return Model(model);
    }
    std::atomic<int64_t> reads{0}, fail_at{-1};
    int64_t cut = 0;  // bytes that the end of each file lacks; negative: the size cannot be told

  private:
    struct File {
        std::string name;
        uint64_t at, bytes;
    };
    void add(const std::string& name, const std::string& bytes) {
        files_.push_back({name, data_.size(), bytes.size()});
        data_ += bytes;
    }
    static Pak& of(void* user) { return *static_cast<Pak*>(user); }
    std::string data_;
    std::vector<File> files_;
    orr_io io_{ORR_HEADER(orr_io), this,
               [](void* user, const char* name) -> int32_t {
                   for (size_t i = 0; i < of(user).files_.size(); i++)
                       if (of(user).files_[i].name == name) return static_cast<int32_t>(i);
                   return -1;
               },
               [](void* user, int32_t file) {
                   const uint64_t bytes = of(user).files_.at(static_cast<size_t>(file)).bytes;
                   return of(user).cut < 0 ? UINT64_MAX : bytes - std::min(bytes, static_cast<uint64_t>(of(user).cut));
               },
               [](void* user, int32_t file, uint64_t offset, uint64_t size, void* dst) -> int32_t {
                   Pak& p = of(user);
                   const File& f = p.files_.at(static_cast<size_t>(file));
                   if (offset + size > f.bytes) return 2;
                   const int64_t n = p.reads++;
                   const bool fails = p.fail_at >= 0 && n >= p.fail_at;
                   std::memcpy(dst, p.data_.data() + f.at + offset, fails ? size / 2 : size);  // a short read: half of it came
                   return fails ? 1 : 0;
               }};
};

class HostIo : public testing::TestWithParam<const char*> {
  protected:
    static std::string path() {
        const std::string folder = golden_folder(GetParam());
        return std::filesystem::exists(folder + "/model.gguf") ? folder + "/model.gguf" : folder;
    }
    Tensor want_ = feed(make_session(open_golden(GetParam())), {1, 2, 3});
};

TEST_P(HostIo, GivesTheBitsOfTheFile) {
    const Pak pak(path());
    EXPECT_SAME_BITS(feed(make_session(pak.open()), {1, 2, 3}), want_);
    EXPECT_GT(pak.reads, 0);
}

// The n-th read and all behind it come short, wherever that is: opening, planning.
TEST_P(HostIo, EveryReadMayFail) {
    Pak pak(path());
    int64_t n = 0;
    for (;; n++) {
        ASSERT_LT(n, 1000);
        pak.reads = 0;
        pak.fail_at = n;
        Tensor got;
        try {
            got = feed(make_session(pak.open()), {1, 2, 3});
        } catch (const Failure& failure) {
            ASSERT_STREQ(orr_status_name(failure.status), "ORR_IO") << "read " << n << ": " << failure.what();
            ASSERT_NE(std::string(failure.what()).find("host I/O"), std::string::npos) << failure.what();
            continue;
        }
        EXPECT_SAME_BITS(got, want_);
        break;
    }
    EXPECT_GT(n, 2) << "hardly anything was read";
}

// A read that failed in a run: once the host can read again, so can the same session.
TEST_P(HostIo, ASessionLivesOn) {
    Pak pak(path());
    const Model model = pak.open();
    const Session session = make_session(model);
    pak.fail_at = pak.reads.load();
    expect_failure([&] { feed(session, {1, 2, 3}); }, ORR_IO, {"host I/O", "failed"});
    EXPECT_EQ(orr_session_position(session.get()), 0);
    pak.fail_at = -1;
    EXPECT_SAME_BITS(feed(session, {1, 2, 3}), want_);
}

TEST_P(HostIo, FilesThatAreCutAreNoticed) {
    for (const int64_t cut : {1, 40, 1000}) {
        Pak pak(path());
        pak.cut = cut;
        const Failure failure = failure_of([&] { feed(make_session(pak.open()), {1, 2, 3}); });
        EXPECT_STREQ(orr_status_name(failure.status), "ORR_CORRUPT") << failure.what();
        EXPECT_STRNE(failure.what(), "");
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, HostIo, testing::Values("llama", "llama_gguf", "mamba", "mixtral"), [](const auto& info) { return std::string(info.param); });

TEST_P(HostIo, SizesThatAreNoneAreNamed) {
    Pak pak(path());
    pak.cut = -1;
    expect_failure([&] { pak.open(); }, ORR_IO, {"host I/O", "18446744073709551615"});
}

TEST(HostIoTable, LacksAFunction) {
    const orr_io io{ORR_HEADER(orr_io), nullptr, nullptr, nullptr, nullptr};
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    options.io = &io;
    orr_model* model = nullptr;
    expect_failure([&] { check(orr_model_open(shared_engine(), &options, &model)); }, ORR_INVALID_ARGUMENT, {"orr_io", "open, size and read"});
    options.path = "somewhere";
    expect_failure([&] { check(orr_model_open(shared_engine(), &options, &model)); }, ORR_INVALID_ARGUMENT, {"exactly one", "2"});
    options.path = nullptr, options.io = nullptr;
    expect_failure([&] { check(orr_model_open(shared_engine(), &options, &model)); }, ORR_INVALID_ARGUMENT, {"exactly one", "0"});
}

// One file in memory, under no name; read where it lies, never written.
TEST(Blobs, OneFile) {
    const std::string bytes = read_file(golden_folder("llama_gguf") + "/model.gguf");
    for (const char* name : {static_cast<const char*>(nullptr), ""}) {
        const orr_blob blob{ORR_HEADER(orr_blob), name, bytes.data(), bytes.size()};
        EXPECT_SAME_BITS(feed(make_session(open_blobs(shared_engine(), {blob})), {1, 2, 3}), feed(make_session(open_golden("llama_gguf")), {1, 2, 3}));
    }
    EXPECT_TRUE(bytes == read_file(golden_folder("llama_gguf") + "/model.gguf"));
}

TEST(Blobs, WithoutData) {
    const orr_blob blob{ORR_HEADER(orr_blob), "config.json", nullptr, 12};
    expect_failure([&] { open_blobs(shared_engine(), {blob}); }, ORR_INVALID_ARGUMENT, {"blob 0"});
}

// ---------------------------------------------------------------- the host's memory

// Keeps book: each block must come back with the size and alignment that it was asked for with, and at its address.
class Book {
  public:
    ~Book() { EXPECT_EQ(blocks_.size(), 0u) << "blocks were not given back"; }
    size_t blocks() const {
        const std::lock_guard lock(mutex_);
        return blocks_.size();
    }
    uint64_t calls() const { return calls_; }
    orr_allocator table{ORR_HEADER(orr_allocator), this,
                        [](void* user, size_t bytes, size_t alignment) -> void* {
                            auto& b = *static_cast<Book*>(user);
                            void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
                            const std::lock_guard lock(b.mutex_);
                            b.calls_++;
                            b.blocks_[memory] = {bytes, alignment};
                            return memory;
                        },
                        [](void* user, void* memory, size_t bytes, size_t alignment) {
                            auto& b = *static_cast<Book*>(user);
                            {
                                const std::lock_guard lock(b.mutex_);
                                const auto it = b.blocks_.find(memory);
                                if (it == b.blocks_.end() || it->second != std::make_pair(bytes, alignment)) {
                                    ADD_FAILURE() << memory << " of " << bytes << " bytes was never given out like that";
                                    return;
                                }
                                b.blocks_.erase(it);
                            }
                            std::free(memory);
                        }};

  private:
    mutable std::mutex mutex_;
    std::map<void*, std::pair<size_t, size_t>> blocks_;
    uint64_t calls_ = 0;
};

TEST(HostMemory, EveryByteComesBack) {
    for (const char* name : {"llama", "llama_gguf", "mamba", "qwen3_moe", "bert"}) {
        SCOPED_TRACE(name);
        Book book;
        const Engine engine = make_engine([&](orr_engine_options& o) { o.allocator = &book.table; });
        const size_t empty = book.blocks();
        {
            const Model model = open_golden(name, engine.get());
            const Session session = make_session(model, [](orr_session_options& o) { o.threads = 2, o.numerics = ORR_NUMERICS_DEFAULT; });
            run(session, {{"input_ids", ids_tensor({1, 2, 3})}});
            const Session forked = fork(session);
            run(forked, {{"input_ids", ids_tensor({4})}});
            check(orr_session_trim(session.get()));
        }
        EXPECT_EQ(book.blocks(), empty) << "a released model left something behind";
        EXPECT_GT(book.calls(), 5u) << "the host's allocator was hardly asked";
    }
}

TEST(HostMemory, AfterFailuresToo) {
    Book book;
    const FaultyPlugin runs("run_throws"), prepares("prepare_throws");
    const Engine engine = runs.engine([&](orr_engine_options& o) { o.allocator = &book.table; });
    const Engine other = prepares.engine([&](orr_engine_options& o) { o.allocator = &book.table; });
    {
        Pak pak(golden_folder("llama"));
        for (int64_t n = 0; n < 40; n++) {
            pak.reads = 0;
            pak.fail_at = n;
            try {
                feed(make_session(pak.open(engine.get())), {1, 2, 3});
            } catch (const Failure&) {
            }
        }
        expect_failure([&] { Checkpoint::golden("llama", {{"hidden_act", "softsign"}}).open(engine.get()); }, ORR_UNSUPPORTED, {"softsign"});
        expect_failure([&] { Checkpoint::golden("llama", {{"vocab_size", 50}}).open(engine.get()); }, ORR_INVALID_ARGUMENT, {"50"});
        const Model model = open_golden("llama", engine.get());
        const Session session = make_session(model);
        expect_failure([&] { feed(session, {1, 99}); }, ORR_INVALID_ARGUMENT, {"99"});
        expect_failure([&] { feed(session, some_ids(200, 41)); }, ORR_LIMIT, {"200"});
        feed(session, {1, 2});
        const Model faulty = runs.open(engine.get());
        const Session s = make_session(faulty);
        expect_failure([&] { FaultyPlugin::twice(s, -1); }, ORR_INTERNAL, {"thrown by run"});
        const Model unplanned = prepares.open(other.get());
        const Session t = make_session(unplanned);
        expect_failure([&] { FaultyPlugin::twice(t, 1); }, ORR_INTERNAL, {"thrown by prepare"});
    }
    EXPECT_EQ(book.blocks(), 0u);
    EXPECT_GT(book.calls(), 20u);
}

}  // namespace
}  // namespace engine_tests
