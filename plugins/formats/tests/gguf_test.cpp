// Expected values: tests/make_files.py (gguf 0.19.0), read back by its GGUFReader.
#include "formats/gguf/gguf.h"

#include <cmath>

#include "tests/gguf_bytes.h"
#include "tests/support.h"

namespace orrery::formats::test {

namespace {

void expect_tensors(const Gguf& file, const Json& expected) {
    ASSERT_EQ(file.directory().tensors().size(), expected.size());
    for (const auto& [name, want] : expected.items()) {
        const TensorEntry* got = file.directory().find(name);
        ASSERT_NE(got, nullptr) << name;
        EXPECT_EQ(got->type->id, want["type"].get<std::string>()) << name;
        EXPECT_EQ(got->offset, want["offset"].get<uint64_t>()) << name;
        EXPECT_EQ(got->size_bytes, want["size"].get<uint64_t>()) << name;
        // The library gives no dimensions in elements for a file of raw blocks but by the same rule.
        EXPECT_EQ(Json(got->shape), want["shape"]) << name;
    }
}

void expect_keys(const Gguf& file, const Json& expected) {
    const Json all = Json::parse(file.metadata_json(1000)), some = Json::parse(file.metadata_json(64));
    for (const auto& [key, want] : expected.items()) {
        ASSERT_TRUE(file.has(key)) << key;
        ASSERT_TRUE(all.contains(key)) << key;
        if (key == "k.f32" || key == "a.f32" || key == "long.f32") {
            const Json got = all[key].is_array() ? all[key] : Json::array({all[key]}), list = want.is_array() ? want : Json::array({want});
            ASSERT_EQ(got.size(), list.size());
            for (size_t i = 0; i < list.size(); ++i)
                EXPECT_EQ(static_cast<float>(got[i].get<double>()), static_cast<float>(list[i].get<double>())) << key;
        } else {
            EXPECT_EQ(all[key], want) << key;
        }
        EXPECT_EQ(some.contains(key), key.rfind("long.", 0) != 0) << key;
    }
}

}  // namespace

TEST(Gguf, ReadsWhatTheLibraryWrote) {
    for (const std::string name : {"types.gguf", "aligned.gguf"}) {
        const std::string bytes = read_file(name);
        const Json expected = read_json_file(name + ".json");
        const MemorySource memory(bytes.data(), bytes.size());
        for (const bool mapped : {true, false}) {
            const Gguf file = mapped ? Gguf::parse(memory) : Gguf::parse(callbacks(bytes));
            EXPECT_EQ(file.version(), 3u);
            EXPECT_EQ(file.alignment(), expected["alignment"].get<uint64_t>());
            expect_tensors(file, expected["tensors"]);
            expect_keys(file, expected["keys"]);
        }
    }
}

TEST(Gguf, Version2) {
    const std::string bytes = read_file("version2.gguf");
    const Gguf file = Gguf::parse(callbacks(bytes));
    EXPECT_EQ(file.version(), 2u);
    expect_tensors(file, read_json_file("types.gguf.json")["tensors"]);
}

TEST(Gguf, TypedValues) {
    const std::string bytes = read_file("types.gguf");
    const Gguf file = Gguf::parse(callbacks(bytes));
    const Json keys = read_json_file("types.gguf.json")["keys"];
    for (const char* key : {"k.u8", "k.u16", "k.u32", "k.u64"}) EXPECT_EQ(file.get_u64(key), keys[key].get<uint64_t>()) << key;
    for (const char* key : {"k.u8", "k.i8", "k.u16", "k.i16", "k.u32", "k.i32", "k.i64"}) {
        EXPECT_EQ(file.get_i64(key), keys[key].get<int64_t>()) << key;
        EXPECT_EQ(file.get_f64(key), keys[key].get<double>()) << key;
    }
    EXPECT_EQ(file.get_f64("k.f32"), static_cast<double>(0.1f));
    EXPECT_EQ(file.get_f64("k.f64"), 0.1);
    EXPECT_EQ(file.get_f64("k.u64"), 9223372036854775813.0);
    EXPECT_EQ(file.get_bool("k.true"), true);
    EXPECT_EQ(file.get_bool("k.false"), false);
    EXPECT_EQ(file.get_string("k.string"), keys["k.string"].get<std::string>());
    EXPECT_EQ(file.get_strings("long.string")->at(299), "token 299");
    EXPECT_EQ(file.get_string_at("long.string", 17), "token 17");
    EXPECT_EQ(file.count("long.string"), 300u);
    EXPECT_EQ(file.element_type("long.string"), GgufType::kString);
    EXPECT_EQ(file.type("long.string"), GgufType::kArray);
    EXPECT_EQ(file.get_f32s("long.f32")->at(1), 1.0f / 3);
    EXPECT_EQ(file.get_f32s("a.f64")->at(1), -2.0f);
    EXPECT_EQ(file.get_i64s("long.i32")->at(0), -150);
    EXPECT_EQ(*file.get_i64s("a.bool"), (std::vector<int64_t>{1, 0, 1}));
    for (const char* key : {"a.u8", "a.i8", "a.u16", "a.i16", "a.u32", "a.i32", "a.u64", "a.i64"})
        EXPECT_EQ(*file.get_i64s(key), keys[key].get<std::vector<int64_t>>()) << key;
}

TEST(Gguf, AbsentAndWrongTypes) {
    const std::string bytes = read_file("types.gguf");
    const Gguf file = Gguf::parse(callbacks(bytes));
    EXPECT_FALSE(file.has("none"));
    EXPECT_FALSE(file.get_string("none") || file.get_u64("none") || file.get_i64("none") || file.get_f64("none") || file.get_bool("none"));
    EXPECT_FALSE(file.get_strings("none") || file.get_f32s("none") || file.get_i64s("none") || file.get_string_at("none", 0) || file.count("none") ||
                 file.type("none"));
    const auto wrong = [](const std::function<void()>& run) { return error_of(ErrorKind::kWrongType, run); };
    expect_parts(wrong([&] { file.get_string("k.u8"); }), {"'k.u8'", "type u8", "a string"});
    expect_parts(wrong([&] { file.get_u64("k.string"); }), {"'k.string'", "type string", "an integer"});
    expect_parts(wrong([&] { file.get_u64("k.i8"); }), {"'k.i8'", "-100", "not negative"});
    expect_parts(wrong([&] { file.get_i64("k.u64"); }), {"'k.u64'", "9223372036854775813", "signed"});
    expect_parts(wrong([&] { file.get_i64("k.f32"); }), {"type f32"});
    expect_parts(wrong([&] { file.get_f64("k.true"); }), {"type bool", "a number"});
    expect_parts(wrong([&] { file.get_bool("k.u8"); }), {"type u8", "a bool"});
    expect_parts(wrong([&] { file.get_strings("a.i32"); }), {"array of i32", "array of string"});
    expect_parts(wrong([&] { file.get_strings("k.u8"); }), {"'k.u8'", "u8"});
    expect_parts(wrong([&] { file.get_string_at("a.i32", 0); }), {"array of i32"});
    expect_parts(wrong([&] { file.get_f32s("a.i32"); }), {"array of i32", "f32"});
    expect_parts(wrong([&] { file.get_i64s("a.f32"); }), {"array of f32", "integers"});
    expect_parts(wrong([&] { file.get_i64s("a.string"); }), {"array of string", "integers"});
    expect_parts(error_of(ErrorKind::kNotFound, [&] { file.get_string_at("a.string", 3); }), {"3 strings", "number 3"});
}

TEST(Gguf, JsonOfOddValues) {
    GgufBytes b;
    b.header(0, 5);
    b.key("nan", GgufType::kF32).put(std::nanf(""));
    b.key("inf", GgufType::kF64).put(HUGE_VAL);
    b.key("bytes", GgufType::kString).text("a\xFF z");
    b.array("nested", GgufType::kArray, 1).u32(static_cast<uint32_t>(GgufType::kU8)).u64(2).u8(1).u8(2);
    b.array("none", GgufType::kString, 0);
    const Gguf file = Gguf::parse(callbacks(b.bytes));
    EXPECT_EQ(Json::parse(file.metadata_json()), Json::parse("{\"nan\":null,\"inf\":null,\"bytes\":\"a\\ufffd z\",\"none\":[]}"));
    EXPECT_EQ(file.get_string("bytes"), "a\xFF z");
    EXPECT_TRUE(file.get_strings("none")->empty());
}

TEST(Gguf, StaysReadableAfterAMove) {
    const std::string bytes = read_file("types.gguf");
    Gguf first = Gguf::parse(callbacks(bytes));
    const Gguf second = std::move(first);
    EXPECT_EQ(second.get_string("general.architecture"), "tiny");
    EXPECT_EQ(second.get_string_at("long.string", 42), "token 42");
}

}  // namespace orrery::formats::test
