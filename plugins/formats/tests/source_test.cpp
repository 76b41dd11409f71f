#include "tests/support.h"

namespace orrery::formats::test {

TEST(Source, FailingCallbackIsAnIoError) {
    const CallbackSource source(100, [](uint64_t, uint64_t, void*) { return false; });
    char byte;
    expect_parts(error_of(ErrorKind::kIo, [&] { source.read(40, 1, &byte); }), {"1 bytes", "offset 40", "100"});
}

TEST(Source, PrefixReadsNoMoreThanTwiceWhatWasAsked) {
    const std::string bytes(1 << 20, 'x');
    uint64_t read = 0;
    const CallbackSource source(bytes.size(), [&](uint64_t offset, uint64_t size, void* dst) {
        read += size;
        std::memcpy(dst, bytes.data() + offset, size);
        return true;
    });
    Prefix head(source);
    EXPECT_TRUE(head.ensure(8));
    EXPECT_LE(read, 64u << 10);
    EXPECT_TRUE(head.ensure(100'000));
    EXPECT_LE(read, 200'000u);
    EXPECT_EQ(head.view(99'990, 10), "xxxxxxxxxx");
    EXPECT_FALSE(head.ensure(bytes.size() + 1));
    EXPECT_TRUE(head.ensure(bytes.size()));
    EXPECT_EQ(read, bytes.size());
}

TEST(Source, PrefixOfMemoryCopiesNothing) {
    const std::string bytes(1000, 'y');
    const MemorySource source(bytes.data(), bytes.size());
    Prefix head(source);
    EXPECT_TRUE(head.ensure(1000));
    EXPECT_EQ(static_cast<const void*>(head.bytes()), bytes.data());
}

TEST(Text, Utf8) {
    for (const char* good : {"", "plain", "größe", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF"})
        EXPECT_EQ(ill_formed_utf8_at(good), std::string::npos) << good;
    // Overlong forms, surrogates, beyond U+10FFFF, lone continuation, cut characters.
    for (const char* bad : {"\xC0\x80", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\x80", "\xE2\x82", "\xFF"}) {
        EXPECT_EQ(ill_formed_utf8_at(std::string("ab") + bad), 2u) << hex(bad);
    }
}

TEST(Text, JsonStrings) {
    using namespace std::string_literals;
    std::string json;
    // Python: '…'.decode('utf-8', 'replace') gives one U+FFFD for each maximal ill-formed part.
    append_json_string(json, "q\"b\\n\nt\tc\x01 \xE2\x82 \xFFz\0e"s);
    EXPECT_EQ(Json::parse(json).get<std::string>(), "q\"b\\n\nt\tc\x01 \xEF\xBF\xBD \xEF\xBF\xBDz\0e"s);
}

TEST(Text, Quotes) {
    EXPECT_EQ(in_quotes("a\nb\xFF é"), "'a\\x0ab\\xff é'");
    EXPECT_LT(in_quotes(std::string(100'000, 'x')).size(), 200u);
}

TEST(Directory, BytesOfShapes) {
    const StoredType f32{"f32", 1, 4}, q4{"q4_0", 32, 18};
    EXPECT_EQ(stored_bytes("t", f32, {}), 4u);
    EXPECT_EQ(stored_bytes("t", f32, {2, 3}), 24u);
    EXPECT_EQ(stored_bytes("t", q4, {3, 64}), 108u);
    EXPECT_EQ(stored_bytes("t", f32, {uint64_t{1} << 62, 0, uint64_t{1} << 62}), 0u);
    expect_parts(error_of(ErrorKind::kCorrupt, [&] { stored_bytes("tensor 'a'", q4, {3, 40}); }), {"tensor 'a'", "40", "32", "q4_0"});
    expect_parts(error_of(ErrorKind::kCorrupt,
                          [&] {
                              stored_bytes("tensor 'a'", f32, {1ull << 32, 1ull << 32});
                          }),
                 {"tensor 'a'", "[4294967296, 4294967296]", "2^64 elements"});
    expect_parts(error_of(ErrorKind::kCorrupt, [&] { stored_bytes("tensor 'a'", f32, {1ull << 62}); }), {"tensor 'a'", "2^64 bytes"});
    expect_parts(error_of(ErrorKind::kCorrupt,
                          [&] {
                              stored_bytes("tensor 'a'", f32, {0, 1ull << 63});
                          }),
                 {"tensor 'a'", "9223372036854775808", "2^63"});
}

}  // namespace orrery::formats::test
