// The formats through the plugin ABI, with a host that serves files from memory.
#include "orrery/plugin.hpp"

#include <map>
#include <thread>

#include "tests/gguf_bytes.h"
#include "tests/support.h"

const orr_format* orr_format_gguf();
const orr_format* orr_format_safetensors();

namespace orrery::formats::test {

namespace {

std::string g_failure;

using Files = std::map<std::string, std::string>;

class Host {
  public:
    explicit Host(Files contents, bool mapped = true) : contents_(std::move(contents)), mapped_(mapped) {
        open_.reserve(contents_.size());
        host_.header = ORR_HEADER(orr_host);
        host_.fail = [](const orr_host*, orr_status code, const char* text) {
            g_failure = text;
            return code;
        };
        table_.header = ORR_HEADER(orr_files);
        table_.host = &host_;
        table_.path = "folder/model";
        table_.open = [](const orr_files* f, const char* name) { return self(f).open(name); };
        table_.size = [](const orr_files* f, int32_t file) -> uint64_t { return self(f).open_[static_cast<size_t>(file)]->size(); };
        table_.read = [](const orr_files* f, int32_t file, uint64_t offset, uint64_t size, void* dst) -> orr_status {
            const std::string& bytes = *self(f).open_[static_cast<size_t>(file)];
            if (self(f).broken || offset > bytes.size() || size > bytes.size() - offset) return ORR_IO;
            std::memcpy(dst, bytes.data() + offset, size);
            return ORR_OK;
        };
        table_.map = [](const orr_files* f, int32_t file) -> const void* {
            return self(f).mapped_ ? self(f).open_[static_cast<size_t>(file)]->data() : nullptr;
        };
        owner_ = this;
    }
    Host(const Host&) = delete;
    const orr_files* files() const { return &table_; }
    const std::string& bytes(int32_t file) const { return *open_[static_cast<size_t>(file)]; }
    bool broken = false;

  private:
    int32_t open(const char* name) {
        const auto it = contents_.find(name);
        if (it == contents_.end()) return -1;
        for (size_t i = 0; i < open_.size(); ++i) {
            if (open_[i] == &it->second) return static_cast<int32_t>(i);
        }
        open_.push_back(&it->second);
        return static_cast<int32_t>(open_.size()) - 1;
    }
    static Host& self(const orr_files*) { return *owner_; }
    inline static Host* owner_ = nullptr;  // one host at a time

    Files contents_;
    bool mapped_;
    std::vector<const std::string*> open_;
    orr_host host_{};
    orr_files table_{};
};

struct Close {
    void operator()(orr_checkpoint* c) const { c->close(c); }
};
using Opened = std::unique_ptr<orr_checkpoint, Close>;

Opened open(const orr_format* format, const Host& host) {
    orr_checkpoint* checkpoint = nullptr;
    EXPECT_EQ(format->open(host.files(), &checkpoint), ORR_OK) << g_failure;
    return Opened(checkpoint);
}

std::string failure(const orr_format* format, const Host& host, orr_status code) {
    orr_checkpoint* checkpoint = nullptr;
    g_failure.clear();
    EXPECT_EQ(format->open(host.files(), &checkpoint), code) << g_failure;
    EXPECT_EQ(checkpoint, nullptr);
    expect_parts(g_failure, {"folder/model"});
    return g_failure;
}

Files sharded() {
    Files files;
    for (const char* name : {"config.json", "model.safetensors.index.json", "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                             "model-00003-of-00003.safetensors"}) {
        files[name] = read_file(std::string("sharded/") + name);
    }
    return files;
}

}  // namespace

TEST(FormatsPlugin, Gguf) {
    const std::string bytes = read_file("types.gguf");
    for (const bool mapped : {true, false}) {
        const Host host(Files{{"", bytes}}, mapped);
        const Opened c = open(orr_format_gguf(), host);
        EXPECT_STREQ(c->format, "gguf");
        EXPECT_STREQ(c->architectures[0], "tiny");
        EXPECT_EQ(c->architectures[1], nullptr);
        const Json config = Json::parse(c->config_json);
        EXPECT_EQ(config["k.i16"], -30000);
        EXPECT_FALSE(config.contains("long.string"));
        const Json expected = read_json_file("types.gguf.json")["tensors"];
        ASSERT_EQ(c->tensor_count, expected.size());
        for (uint64_t i = 0; i < c->tensor_count; ++i) {
            const orr_tensor_entry* t = c->tensor(c.get(), i);
            ASSERT_TRUE(expected.contains(t->name));
            EXPECT_EQ(expected[t->name]["type"], t->type_id);
            EXPECT_EQ(expected[t->name]["offset"].get<uint64_t>(), t->offset);
            EXPECT_EQ(expected[t->name]["shape"], Json(std::vector<int64_t>(t->shape, t->shape + t->rank)));
        }
        EXPECT_EQ(c->tensor(c.get(), c->tensor_count), nullptr);
        const char* const* strings = nullptr;
        const uint64_t* sizes = nullptr;
        ASSERT_EQ(c->get_strings(c.get(), "long.string", &strings, &sizes), 300u);
        EXPECT_EQ(std::string(strings[7], sizes[7]), "token 7");
        const float* floats = nullptr;
        ASSERT_EQ(c->get_floats(c.get(), "long.f32", &floats), 300u);
        EXPECT_EQ(floats[2], static_cast<float>(2.0 / 3));
        const int64_t* ints = nullptr;
        ASSERT_EQ(c->get_ints(c.get(), "long.i32", &ints), 300u);
        EXPECT_EQ(ints[0], -150);
        for (const char* key : {"none", "k.u8", "a.f32"}) {
            EXPECT_EQ(c->get_strings(c.get(), key, &strings, &sizes), 0u) << key;
            EXPECT_EQ(c->get_ints(c.get(), key, &ints), 0u) << key;
        }
        for (const char* key : {"none", "k.f32", "a.i32", "a.string"}) EXPECT_EQ(c->get_floats(c.get(), key, &floats), 0u) << key;
        std::vector<std::thread> threads;  // first use from several threads at once
        std::vector<const char* const*> seen(4);
        for (size_t i = 0; i < seen.size(); ++i) {
            threads.emplace_back([&, i] {
                const uint64_t* lengths = nullptr;
                c->get_strings(c.get(), "a.string", &seen[i], &lengths);
            });
        }
        for (std::thread& t : threads) t.join();
        for (const auto* pointer : seen) EXPECT_EQ(pointer, seen[0]);
    }
}

TEST(FormatsPlugin, GgufFailures) {
    expect_parts(failure(orr_format_gguf(), Host(Files{{"", "GGUF"}}), ORR_CORRUPT), {"gguf", "version", "4 bytes"});
    expect_parts(failure(orr_format_gguf(), Host(Files{{"", GgufBytes().header(0, 0, 9).bytes}}), ORR_UNSUPPORTED), {"version 9"});
    expect_parts(failure(orr_format_gguf(), Host(Files{{"", GgufBytes().header(0, 0).bytes}}), ORR_CORRUPT), {"general.architecture"});
    const auto part = GgufBytes().header(0, 2).key("split.no", GgufType::kU16).put(uint16_t{1}).key("split.count", GgufType::kU16).put(uint16_t{3});
    expect_parts(failure(orr_format_gguf(), Host(Files{{"", part.bytes}}), ORR_UNSUPPORTED), {"part 2 of 3"});
    Host host(Files{{"", read_file("types.gguf")}}, false);
    host.broken = true;
    expect_parts(failure(orr_format_gguf(), host, ORR_IO), {"reading", "offset 0"});
    expect_parts(failure(orr_format_gguf(), Host(Files{}), ORR_NOT_FOUND), {"single file"});
}

TEST(FormatsPlugin, SafetensorsFolder) {
    for (const bool mapped : {true, false}) {
        const Host host(sharded(), mapped);
        const Opened c = open(orr_format_safetensors(), host);
        EXPECT_STREQ(c->format, "safetensors");
        EXPECT_STREQ(c->architectures[0], "TinyForCausalLM");
        EXPECT_EQ(c->architectures[1], nullptr);  // model_type is only asked where no class is named
        EXPECT_EQ(c->config_json, read_file("sharded/config.json"));
        const Json expected = read_json_file("sharded.json");
        ASSERT_EQ(c->tensor_count, expected.size());
        for (uint64_t i = 0; i < c->tensor_count; ++i) {
            const orr_tensor_entry* t = c->tensor(c.get(), i);
            EXPECT_EQ(hex(std::string_view(host.bytes(t->file)).substr(t->offset, t->size_bytes)), expected[t->name].get<std::string>());
        }
        const float* floats = nullptr;
        EXPECT_EQ(c->get_floats(c.get(), "any", &floats), 0u);
    }
    const Opened single =
        open(orr_format_safetensors(),
             Host(Files{{"config.json", "{\"model_type\":\"x\",\"architectures\":null}"}, {"model.safetensors", read_file("types.safetensors")}}));
    EXPECT_STREQ(single->architectures[0], "x");
    EXPECT_EQ(single->tensor_count, read_json_file("types.safetensors.json")["tensors"].size());
    const Opened lone = open(orr_format_safetensors(), Host(Files{{"", read_file("types.safetensors")}}));
    EXPECT_EQ(lone->architectures[0], nullptr);
    EXPECT_EQ(Json::parse(lone->config_json)["format"], "pt");
}

TEST(FormatsPlugin, SafetensorsFailures) {
    const auto* format = orr_format_safetensors();
    expect_parts(failure(format, Host(Files{}), ORR_NOT_FOUND), {"config.json"});
    expect_parts(failure(format, Host(Files{{"config.json", "{}"}}), ORR_NOT_FOUND), {"model.safetensors", "model.safetensors.index.json"});
    expect_parts(failure(format, Host(Files{{"config.json", "{"}}), ORR_CORRUPT), {"config.json", "not valid JSON"});
    expect_parts(failure(format, Host(Files{{"config.json", "[]"}}), ORR_CORRUPT), {"config.json", "array"});
    expect_parts(failure(format, Host(Files{{"config.json", "7"}}), ORR_CORRUPT), {"config.json", "a number"});
    expect_parts(failure(format, Host(Files{{"config.json", "{\"architectures\":\"x\"}"}}), ORR_CORRUPT), {"'architectures'", "list of strings"});
    expect_parts(failure(format, Host(Files{{"config.json", "{\"architectures\":[7]}"}}), ORR_CORRUPT), {"'architectures'", "a number"});
    expect_parts(failure(format, Host(Files{{"config.json", "{\"model_type\":[]}"}, {"model.safetensors", "x"}}), ORR_CORRUPT), {"1 bytes"});
    auto files = sharded();
    files.erase("model-00002-of-00003.safetensors");
    expect_parts(failure(format, Host(files), ORR_NOT_FOUND), {"'model-00002-of-00003.safetensors'", "missing", "3"});
    files = sharded();
    files["model-00003-of-00003.safetensors"].pop_back();
    expect_parts(failure(format, Host(files), ORR_CORRUPT), {"'model-00003-of-00003.safetensors'", "tensor 'layers.2."});
    files = sharded();
    files["model-00003-of-00003.safetensors"] = files["model-00001-of-00003.safetensors"];
    expect_parts(failure(format, Host(files), ORR_CORRUPT),
                 {"two files", "'model-00001-of-00003.safetensors'", "'model-00003-of-00003.safetensors'"});
    files["model.safetensors.index.json"] = "{\"weight_map\":{\"w\":\"../secret\"}}";
    expect_parts(failure(format, Host(files), ORR_CORRUPT), {"'../secret'"});
}

// Opens and asks for an array with the n-th allocation failing, for every n: a status, no leak, and the next try works.
void expect_survives_allocation_failures(const orr_format* format, const Host& host) {
    g_failure.reserve(1000);
    int64_t n = 0;
    for (bool failed = true; failed; ++n) {
        ASSERT_LT(n, 100'000);
        orr_checkpoint* checkpoint = nullptr;
        const uint64_t before = heap_bytes();
        fail_allocation(n + 1);
        const orr_status status = format->open(host.files(), &checkpoint);
        const char* const* strings = nullptr;
        const uint64_t* sizes = nullptr;
        if (status == ORR_OK) checkpoint->get_strings(checkpoint, "long.string", &strings, &sizes);
        failed = allocation_failed();
        fail_allocation(0);
        EXPECT_EQ(status == ORR_OK, checkpoint != nullptr);
        if (checkpoint) checkpoint->close(checkpoint);
        EXPECT_TRUE(status == ORR_OK || status == ORR_OUT_OF_MEMORY) << g_failure;
        EXPECT_EQ(heap_bytes(), before) << "allocation " << n;
    }
    EXPECT_GT(n, 20);
}

TEST(FormatsPlugin, EveryAllocationMayFail) {
    for (const bool mapped : {true, false}) {
        expect_survives_allocation_failures(orr_format_gguf(), Host(Files{{"", read_file("types.gguf")}}, mapped));
        expect_survives_allocation_failures(orr_format_safetensors(), Host(sharded(), mapped));
    }
}

}  // namespace orrery::formats::test
