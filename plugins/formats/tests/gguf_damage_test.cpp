// Wrong GGUF bytes: each gets its own error, and no more memory than its size explains.
#include "formats/gguf/gguf.h"
#include "tests/gguf_bytes.h"
#include "tests/support.h"

namespace orrery::formats::test {

namespace {

// The error of a file, which has to be the same through memory and through callbacks.
std::string error_in(const std::string& bytes, ErrorKind kind = ErrorKind::kCorrupt) {
    const MemorySource memory(bytes.data(), bytes.size());
    const std::string text = error_of(kind, [&] { Gguf::parse(memory); });
    EXPECT_EQ(error_of(kind, [&] { Gguf::parse(callbacks(bytes)); }), text);
    return text;
}

std::string error_in(const GgufBytes& b, ErrorKind kind = ErrorKind::kCorrupt) { return error_in(b.bytes, kind); }

constexpr uint32_t kF32 = 0, kQ4_0 = 2;

}  // namespace

TEST(GgufDamage, Header) {
    expect_parts(error_in(""), {"magic", "4 bytes", "0 bytes"});
    expect_parts(error_in("GGU"), {"magic", "3 bytes"});
    expect_parts(error_in("GGUX1234"), {"'GGUX'", "'GGUF'"});
    expect_parts(error_in("GGUF\x03"), {"version", "5 bytes"});
    expect_parts(error_in(GgufBytes().header(0, 0, 1), ErrorKind::kUnsupported), {"version 1", "2 and 3"});
    expect_parts(error_in(GgufBytes().header(0, 0, 4), ErrorKind::kUnsupported), {"version 4", "2 and 3"});
    expect_parts(error_in(GgufBytes().header(0, 0, 0), ErrorKind::kUnsupported), {"version 0", "2 and 3"});
    expect_parts(error_in(GgufBytes().header(0, 0, 0x03000000), ErrorKind::kUnsupported), {"50331648", "big-endian"});
    const Gguf empty = Gguf::parse(callbacks(GgufBytes().header(0, 0).bytes));
    EXPECT_EQ(empty.key_count(), 0u);
}

TEST(GgufDamage, CountsBeyondTheFile) {
    const uint64_t before = heap_bytes();
    reset_heap_peak();
    expect_parts(error_in(GgufBytes().header(0, UINT64_MAX)), {"18446744073709551615 keys", "0 bytes"});
    expect_parts(error_in(GgufBytes().header(UINT64_MAX, 0)), {"18446744073709551615 tensors", "0 bytes"});
    expect_parts(error_in(GgufBytes().header(1ull << 40, 0).data(1000)), {"1099511627776 tensors", "1000 bytes"});
    expect_parts(error_in(GgufBytes().header(0, 1).array("a", GgufType::kString, 1ull << 61)), {"2305843009213693952 strings", "'a'"});
    expect_parts(error_in(GgufBytes().header(0, 1).array("a", GgufType::kF64, 1ull << 61)), {"2305843009213693952 elements", "'a'"});
    expect_parts(error_in(GgufBytes().header(0, 1).array("a", GgufType::kArray, 1ull << 61)), {"2305843009213693952 arrays", "'a'"});
    expect_parts(error_in(GgufBytes().header(0, 1).key("k", GgufType::kString).u64(1ull << 63).data(9)), {"'k'", "9223372036854775808"});
    expect_parts(error_in(GgufBytes().header(0, 1).u64(UINT64_MAX).data(30)), {"key 0", "18446744073709551615"});
    expect_parts(error_in(GgufBytes().header(0, 1).array("a", GgufType::kString, 2).text("x").u64(100)), {"string 1 of key 'a'", "100 bytes"});
    EXPECT_LT(heap_peak_bytes() - before, 256u << 10);
}

TEST(GgufDamage, Keys) {
    expect_parts(error_in(GgufBytes().header(0, 1).key("", GgufType::kU8).u8(1).u8(0)), {"key 0", "empty"});
    expect_parts(error_in(GgufBytes().header(0, 1).key("a\xFF", GgufType::kU8).u8(1)), {"key 0", "not UTF-8", "byte 1", "\\xff"});
    expect_parts(error_in(GgufBytes().header(0, 1).key(std::string("a\0b", 3), GgufType::kU8).u8(1)), {"key 0", "NUL"});
    expect_parts(error_in(GgufBytes().header(0, 1).key(std::string(65536, 'k'), GgufType::kU8).u8(1)), {"65536 bytes", "65535"});
    expect_parts(error_in(GgufBytes().header(0, 2).key("a", GgufType::kU8).u8(1).key("a", GgufType::kU8).u8(1)),
                 {"'a'", "twice", "pair 0", "pair 1"});
    expect_parts(error_in(GgufBytes().header(0, 1).key("a", static_cast<GgufType>(13)).u64(1)), {"'a'", "type 13", "0 to 12"});
    expect_parts(error_in(GgufBytes().header(0, 1).array("a", static_cast<GgufType>(99), 1).u64(1)), {"elements of key 'a'", "type 99"});
    expect_parts(error_in(GgufBytes().header(0, 1).key("a", GgufType::kBool).u8(2)), {"'a'", "bool of value 2"});
    expect_parts(error_in(GgufBytes().header(0, 1).array("a", GgufType::kBool, 3).u8(1).u8(0).u8(7)), {"element 2", "'a'", "value 7"});
    expect_parts(error_in(GgufBytes().header(0, 1).key("a", GgufType::kU64).u32(1)), {"'a'", "8 bytes", "truncated"});
}

TEST(GgufDamage, NestedArrays) {
    GgufBytes b;
    b.header(0, 1).array("deep", GgufType::kArray, 1);
    for (int i = 0; i < 1000; ++i) b.u32(static_cast<uint32_t>(GgufType::kArray)).u64(1);
    expect_parts(error_in(b), {"'deep'", "deeper than 4"});
    GgufBytes wide;  // each level may hold no more than the file has room for
    wide.header(0, 1).array("wide", GgufType::kArray, 2).u32(static_cast<uint32_t>(GgufType::kU32)).u64(1).u32(5);
    wide.u32(static_cast<uint32_t>(GgufType::kU32)).u64(1ull << 62);
    expect_parts(error_in(wide), {"'wide'", "4611686018427387904"});
}

TEST(GgufDamage, Alignment) {
    const auto file = [](uint32_t alignment) { return GgufBytes().header(0, 1).key("general.alignment", GgufType::kU32).u32(alignment); };
    expect_parts(error_in(file(0)), {"general.alignment", "is 0", "multiple of 8"});
    expect_parts(error_in(file(33)), {"general.alignment", "is 33", "multiple of 8"});
    expect_parts(error_in(file(4)), {"is 4"});
    expect_parts(error_in(GgufBytes().header(0, 1).key("general.alignment", GgufType::kU64).u64(32)), {"general.alignment", "u64", "u32"});
    const std::string large = file(4294967288u).bytes;
    EXPECT_EQ(Gguf::parse(callbacks(large)).alignment(), 4294967288u);
}

TEST(GgufDamage, TensorDescriptions) {
    const auto one = [](const std::string& name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset = 0, size_t data = 64) {
        return GgufBytes().header(1, 0).tensor(name, dims, type, offset).pad().data(data);
    };
    EXPECT_EQ(Gguf::parse(callbacks(one("w", {4, 4}, kF32).bytes)).directory().tensors().size(), 1u);
    expect_parts(error_in(one("", {4}, kF32)), {"name of tensor 0", "empty"});
    expect_parts(error_in(one("\xED\xA0\x80", {4}, kF32)), {"name of tensor 0", "not UTF-8"});
    expect_parts(error_in(one("w", {1, 1, 1, 1, 1}, kF32)), {"'w'", "5 dimensions", "at most 4"});
    expect_parts(error_in(one("w", {4}, 4), ErrorKind::kUnsupported), {"'w'", "type 4", "removed"});
    expect_parts(error_in(one("w", {4}, 77), ErrorKind::kUnsupported), {"'w'", "type 77", "not known"});
    expect_parts(error_in(one("w", {40}, kQ4_0)), {"'w'", "40", "blocks of 32"});
    expect_parts(error_in(one("w", {1ull << 32, 1ull << 32}, kF32)), {"'w'", "2^64 elements"});
    expect_parts(error_in(one("w", {1ull << 62}, kF32)), {"'w'", "2^64 bytes"});
    expect_parts(error_in(one("w", {0, 1ull << 63}, kF32)), {"'w'", "9223372036854775808"});
    expect_parts(error_in(one("w", {4}, kF32, 8)), {"'w'", "offset 8", "alignment 32"});
    expect_parts(error_in(one("w", {4}, kF32, 96)), {"'w'", "16 bytes at offset 96", "64"});
    expect_parts(error_in(one("w", {32}, kF32)), {"'w'", "128 bytes", "which has 64", "truncated"});
    expect_parts(error_in(one("w", {4}, kF32, UINT64_MAX - 31)), {"'w'", "18446744073709551584"});
    expect_parts(error_in(one("w", {4}, kF32, 32)), {"'w'", "the tensor data begins"});
    expect_parts(error_in(one("w", {4}, kF32)), {"last tensor ends", "48 more", "32"});
}

TEST(GgufDamage, Placement) {
    const auto two = [](uint64_t a, uint64_t b, const char* second = "b", size_t data = 64) {
        return GgufBytes().header(2, 0).tensor("a", {8}, kF32, a).tensor(second, {8}, kF32, b).pad().data(data);
    };
    EXPECT_EQ(Gguf::parse(callbacks(two(32, 0).bytes)).directory().find("a")->offset,
              Gguf::parse(callbacks(two(0, 32).bytes)).directory().find("b")->offset);
    expect_parts(error_in(two(0, 0)), {"inside tensor"});
    expect_parts(error_in(two(0, 64, "b", 96)), {"'b'", "'a' ends at byte"});
    expect_parts(error_in(two(0, 32, "a")), {"'a'", "twice", "tensor 1"});
    // Fewer tensors announced than described: what follows is no padding.
    std::string fewer = two(0, 32).bytes;
    fewer[8] = 1;
    EXPECT_NE(error_in(fewer), "");
}

TEST(GgufDamage, Truncation) {
    const std::string bytes = read_file("types.gguf");
    for (size_t size = 0; size < bytes.size(); size += size < 2000 ? 1 : 37) {
        const std::string part = bytes.substr(0, size);
        const MemorySource memory(part.data(), part.size());
        EXPECT_NE(error_of(ErrorKind::kCorrupt, [&] { Gguf::parse(memory); }), "") << size;
    }
}

TEST(GgufDamage, EveryByteMayBeWrong) {
    const std::string bytes = read_file("types.gguf");
    const uint64_t head = read_json_file("types.gguf.json")["data"].get<uint64_t>();
    const uint64_t before = heap_bytes();
    reset_heap_peak();
    for (size_t at = 0; at < head; ++at) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ (at % 2 ? 0xFF : 0x01));
        try {
            const MemorySource memory(damaged.data(), damaged.size());
            const Gguf file = Gguf::parse(memory);
            for (const TensorEntry& t : file.directory().tensors()) {
                ASSERT_LE(t.size_bytes, damaged.size());
                ASSERT_LE(t.offset, damaged.size() - t.size_bytes);
            }
            EXPECT_TRUE(Json::accept(file.metadata_json(1000)));
        } catch (const FormatError& error) {
            EXPECT_EQ(std::string(error.what()).rfind("gguf: ", 0), 0u) << error.what();
        }
    }
    EXPECT_LT(heap_peak_bytes() - before, 32 * bytes.size());
}

}  // namespace orrery::formats::test
