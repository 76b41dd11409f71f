// Expected values: tests/make_files.py (safetensors 0.8.0, huggingface_hub 2.4.0).
#include "formats/safetensors/safetensors.h"

#include "tests/support.h"

namespace orrery::formats::test {

namespace {

Safetensors parse(const std::string& bytes) {
    const MemorySource source(bytes.data(), bytes.size());
    return parse_safetensors(source);
}

std::string file_of(const std::string& header, const std::string& data = "") {
    const uint64_t size = header.size();
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &size, 8);
    return bytes + header + data;
}

// The error of a file, which has to be the same through memory and through callbacks.
std::string error_in(const std::string& bytes, ErrorKind kind = ErrorKind::kCorrupt) {
    const std::string text = error_of(kind, [&] { parse(bytes); });
    EXPECT_EQ(error_of(kind, [&] { parse_safetensors(callbacks(bytes)); }), text);
    return text;
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
    std::string json;
    for (const std::string& part : {std::string("\""), name, std::string("\":{\"dtype\":\""), dtype, std::string("\",\"shape\":"), shape,
                                    std::string(",\"data_offsets\":"), offsets})
        json += part;
    return json + "}";
}

// A file with these tensors, which tensor() wrote.
std::string file_with(const std::string& tensors, const std::string& data = "") {
    std::string json = "{";
    json += tensors;
    return file_of(json + "}", data);
}

}  // namespace

TEST(Safetensors, ReadsWhatTheLibraryWrote) {
    const std::string bytes = read_file("types.safetensors");
    const Json expected = read_json_file("types.safetensors.json");
    for (const bool mapped : {true, false}) {
        const Safetensors file = mapped ? parse(bytes) : parse_safetensors(callbacks(bytes));
        ASSERT_EQ(file.directory.tensors().size(), expected["tensors"].size());
        for (const auto& [name, want] : expected["tensors"].items()) {
            const TensorEntry* got = file.directory.find(name);
            ASSERT_NE(got, nullptr) << name;
            EXPECT_EQ(got->type->id, want["type"].get<std::string>()) << name;
            EXPECT_EQ(Json(got->shape), want["shape"]) << name;
            EXPECT_EQ(hex(std::string_view(bytes).substr(got->offset, got->size_bytes)), want["bytes"].get<std::string>()) << name;
        }
        EXPECT_EQ(Json::parse(file.metadata_json()), expected["metadata"]);
    }
}

TEST(Safetensors, NoTensors) {
    EXPECT_TRUE(parse(file_of("{}      ")).directory.tensors().empty());
    EXPECT_EQ(parse(file_of("{\"__metadata__\":{}}")).metadata_json(), "{}");
}

TEST(Safetensors, HeaderOrderAndUnknownFields) {
    const auto file = parse(file_of("{\"b\":{\"note\":[{\"x\":1}],\"shape\":[2],\"dtype\":\"U8\",\"data_offsets\":[1,3],\"more\":{\"y\":{}}}," +
                                        tensor("a", "I8", "[]", "[0,1]") + "}",
                                    "xyz"));
    EXPECT_EQ(file.directory.tensors()[0].name, "b");
    EXPECT_EQ(file.directory.find("a")->offset + 1, file.directory.find("b")->offset);
}

TEST(Safetensors, Truncation) {
    const std::string bytes = read_file("types.safetensors");
    for (size_t size = 0; size < bytes.size(); ++size) EXPECT_NE(error_in(bytes.substr(0, size)), "") << size;
    expect_parts(error_in("abc"), {"3 bytes", "8"});
    expect_parts(error_in(bytes.substr(0, 100)), {"header of", "100", "truncated"});
    expect_parts(error_in(bytes + "x"), {"last tensor ends at byte", std::to_string(bytes.size()), std::to_string(bytes.size() + 1)});
}

TEST(Safetensors, HeaderSize) {
    std::string bytes = file_of("{}");
    bytes[6] = 1;
    expect_parts(error_in(bytes), {"281474976710658", "100000000"});
    reset_heap_peak();
    const uint64_t before = heap_bytes();
    std::string lying = file_of("{}");
    lying[3] = 5;  // 83,886,082: below the limit, above the file
    expect_parts(error_in(lying), {"83886082", "10"});
    EXPECT_LT(heap_peak_bytes() - before, 64u << 10);
    expect_parts(error_in(file_of("")), {"''", "'{'"});
    expect_parts(error_in(file_of(" {}")), {"' '", "'{'"});
    expect_parts(error_in(file_of("[]")), {"'['", "'{'"});
}

TEST(Safetensors, Json) {
    expect_parts(error_in(file_of("{\"a\":")), {"not valid JSON", "byte"});
    expect_parts(error_in(file_of("{} x")), {"not valid JSON"});
    expect_parts(error_in(file_of("{\"\xFF\":1}")), {"not UTF-8", "byte 2", "\\xff"});
    expect_parts(error_in(file_of("{\"a\":" + std::string(100'000, '{'))), {"not valid JSON"});
    expect_parts(error_in(file_of("{\"a\":{\"x\":" + std::string(100'000, '['))), {"nests deeper than 64"});
    expect_parts(error_in(file_of("{\"\":1}")), {"name", "empty"});
    expect_parts(error_in(file_of("{\"a\\u0000b\":1}")), {"NUL", "byte 1"});
}

TEST(Safetensors, Fields) {
    const auto one = [](const std::string& body) { return error_in(file_of("{\"w\":" + body + "}", "xxxxxxxx")); };
    expect_parts(one("5"), {"tensor 'w'", "a number"});
    expect_parts(one("[]"), {"tensor 'w'", "array"});
    expect_parts(one("{}"), {"tensor 'w'", "no dtype"});
    expect_parts(one("{\"dtype\":\"U8\"}"), {"tensor 'w'", "no shape"});
    expect_parts(one("{\"dtype\":\"U8\",\"shape\":[8]}"), {"tensor 'w'", "0 data_offsets", "2"});
    expect_parts(one("{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0]}"), {"1 data_offsets"});
    expect_parts(one("{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8,9]}"), {"more than 2", "data_offsets"});
    expect_parts(one("{\"dtype\":5,\"shape\":[8],\"data_offsets\":[0,8]}"), {"'dtype'", "a number", "string"});
    expect_parts(one("{\"dtype\":[],\"shape\":[8],\"data_offsets\":[0,8]}"), {"'dtype'", "array"});
    expect_parts(one("{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[8],\"data_offsets\":[0,8]}"), {"'dtype' twice"});
    expect_parts(one("{\"dtype\":\"U8\",\"shape\":[8],\"shape\":[8],\"data_offsets\":[0,8]}"), {"'shape' twice"});
    expect_parts(one("{\"dtype\":\"U8\",\"shape\":8,\"data_offsets\":[0,8]}"), {"'shape'", "a number", "array"});
    expect_parts(one("{\"dtype\":\"U8\",\"shape\":[-8],\"data_offsets\":[0,8]}"), {"-8", "shape", "unsigned"});
    expect_parts(one("{\"dtype\":\"U8\",\"shape\":[8.0],\"data_offsets\":[0,8]}"), {"8.0", "shape", "unsigned"});
    expect_parts(one("{\"dtype\":\"U8\",\"shape\":[18446744073709551616],\"data_offsets\":[0,8]}"), {"18446744073709551616", "shape"});
    expect_parts(one("{\"dtype\":\"U8\",\"shape\":[[8]],\"data_offsets\":[0,8]}"), {"'shape'", "array"});
    expect_parts(one("{\"dtype\":\"U8\",\"shape\":[\"8\"],\"data_offsets\":[0,8]}"), {"a string", "shape"});
    expect_parts(error_in(file_with(tensor("w", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), "x"), ErrorKind::kUnsupported), {"'w'", "more than 8 axes"});
    expect_parts(error_in(file_with(tensor("w", "F128", "[1]", "[0,16]")), ErrorKind::kUnsupported), {"tensor 'w'", "dtype 'F128'"});
    expect_parts(error_in(file_of("{\"__metadata__\":{\"a\":5}}")), {"__metadata__", "a number", "'a'"});
    expect_parts(error_in(file_of("{\"__metadata__\":{\"a\":{}}}")), {"__metadata__", "'a'", "object"});
    expect_parts(error_in(file_of("{\"__metadata__\":[]}")), {"__metadata__", "array"});
    expect_parts(error_in(file_of("{\"__metadata__\":{\"a\":\"x\",\"a\":\"y\"}}")), {"'a' twice"});
    expect_parts(error_in(file_of("{\"__metadata__\":{},\"__metadata__\":{}}")), {"'__metadata__' twice"});
}

TEST(Safetensors, Placement) {
    const auto two = [](const std::string& a, const std::string& b) {
        return error_in(file_with(tensor("a", "U8", "[4]", a) + "," + tensor("b", "U8", "[4]", b), "xxxxxxxx"));
    };
    expect_parts(two("[0,4]", "[2,6]"), {"'b'", "inside tensor 'a'"});
    expect_parts(two("[0,4]", "[0,4]"), {"inside tensor"});
    expect_parts(two("[0,4]", "[6,10]"), {"'b'", "[6, 10]", "8 bytes"});
    EXPECT_EQ(parse(file_with(tensor("a", "U8", "[4]", "[4,8]") + "," + tensor("b", "U8", "[4]", "[0,4]"), "xxxxxxxx")).directory.tensors().size(),
              2u);
    expect_parts(two("[0,3]", "[4,8]"), {"'a'", "[0, 3]", "3 bytes", "takes 4"});
    expect_parts(two("[4,0]", "[4,8]"), {"'a'", "[4, 0]", "behind its end"});
    expect_parts(error_in(file_with(tensor("a", "U8", "[4]", "[2,6]"), "xxxxxx")), {"'a'", "the tensor data begins at byte"});
    expect_parts(error_in(file_with(tensor("a", "U8", "[2]", "[0,2]") + "," + tensor("b", "U8", "[2]", "[4,6]"), "xxxxxx")),
                 {"'b'", "'a' ends at byte"});
    expect_parts(error_in(file_with(tensor("a", "U8", "[2]", "[0,2]") + "," + tensor("a", "U8", "[2]", "[2,4]"), "xxxx")), {"'a' twice"});
    expect_parts(error_in(file_with(tensor("a", "F32", "[4294967296,4294967296]", "[0,0]"))), {"'a'", "2^64 elements"});
    expect_parts(error_in(file_with(tensor("a", "F64", "[2305843009213693952]", "[0,0]"))), {"'a'", "2^64 bytes"});
    expect_parts(error_in(file_with(tensor("a", "U8", "[1]", "[18446744073709551615,18446744073709551615]"))), {"18446744073709551615", "0 bytes"});
    expect_parts(error_in(file_with(tensor("a", "F4", "[3]", "[0,2]"), "xx")), {"'a'", "3 elements", "blocks of 2"});
}

TEST(Safetensors, EveryByteMayBeWrong) {
    const std::string bytes = read_file("types.safetensors");
    for (size_t at = 0; at < bytes.size(); ++at) {
        for (const int change : {0x01, 0x20, 0x80, 0xFF}) {
            std::string damaged = bytes;
            damaged[at] = static_cast<char>(damaged[at] ^ change);
            try {
                const Safetensors file = parse(damaged);
                for (const TensorEntry& t : file.directory.tensors()) {
                    ASSERT_LE(t.size_bytes, damaged.size());
                    ASSERT_LE(t.offset, damaged.size() - t.size_bytes);
                }
            } catch (const FormatError& error) {
                EXPECT_NE(std::string(error.what()).find("safetensors"), std::string::npos) << error.what();
            }
        }
    }
}

TEST(SafetensorsIndex, JoinsWhatTheLibrarySplit) {
    const SafetensorsIndex index = parse_safetensors_index(read_file("sharded/model.safetensors.index.json"));
    ASSERT_EQ(index.files.size(), 3u);
    EXPECT_EQ(index.metadata.at("total_size"), "768");
    std::vector<std::string> bytes;
    std::vector<Safetensors> shards;
    for (size_t i = 0; i < index.files.size(); ++i) {
        bytes.push_back(read_file("sharded/" + index.files[i]));
        const MemorySource source(bytes.back().data(), bytes.back().size());
        shards.push_back(parse_safetensors(source, static_cast<uint32_t>(i)));
    }
    const TensorDirectory joined = join_shards(index, shards);
    const Json expected = read_json_file("sharded.json");
    ASSERT_EQ(joined.tensors().size(), expected.size());
    for (const auto& [name, want] : expected.items()) {
        const TensorEntry* got = joined.find(name);
        ASSERT_NE(got, nullptr);
        EXPECT_EQ(hex(std::string_view(bytes[got->file]).substr(got->offset, got->size_bytes)), want.get<std::string>()) << name;
    }
    auto without = shards;
    without[1].directory = {};
    expect_parts(error_of(ErrorKind::kCorrupt, [&] { join_shards(index, without); }),
                 {"'layers.1.a'", "'model-00002-of-00003.safetensors'", "no such tensor"});
    auto twice = shards;
    twice[1].directory.add(shards[0].directory.tensors()[0]);
    expect_parts(error_of(ErrorKind::kCorrupt, [&] { join_shards(index, twice); }), {"'layers.0.", "two files"});
    auto swapped = index;
    swapped.file_of["layers.0.a"] = 2;
    expect_parts(error_of(ErrorKind::kCorrupt, [&] { join_shards(swapped, shards); }),
                 {"'layers.0.a'", "'model-00003-of-00003.safetensors'", "'model-00001-of-00003.safetensors'"});
    shards.pop_back();
    expect_parts(error_of(ErrorKind::kCorrupt, [&] { join_shards(index, shards); }), {"3 files", "2 were"});
}

TEST(SafetensorsIndex, Damage) {
    const auto error = [](const std::string& json) { return error_of(ErrorKind::kCorrupt, [&] { parse_safetensors_index(json); }); };
    for (const char* outside : {"../x", "a/b", "/etc/passwd", "..", ".", "C:\\\\x", "..\\\\x", "c:x", ""}) {
        expect_parts(error(std::string("{\"weight_map\":{\"w\":\"") + outside + "\"}}"), {"tensor 'w'"});
    }
    expect_parts(error("{\"weight_map\":{\"w\":\"../x\"}}"), {"'../x'", "plain name"});
    expect_parts(error("{\"weight_map\":{\"w\":\"a\\u0000b\"}}"), {"NUL"});
    expect_parts(error("{\"weight_map\":{\"\":\"a\"}}"), {"name", "empty"});
    expect_parts(error("{\"weight_map\":{\"w\":\"a\",\"w\":\"b\"}}"), {"tensor 'w'", "twice", "'a'", "'b'"});
    expect_parts(error("{\"weight_map\":{\"w\":5}}"), {"tensor 'w'", "a number"});
    expect_parts(error("{\"weight_map\":{\"w\":[]}}"), {"tensor 'w'", "array"});
    expect_parts(error("{\"weight_map\":{\"w\":{}}}"), {"tensor 'w'", "object"});
    expect_parts(error("{\"weight_map\":{},\"weight_map\":{}}"), {"two weight_maps"});
    expect_parts(error("{\"weight_map\":[]}"), {"weight_map is an array"});
    expect_parts(error("{\"weight_map\":7}"), {"weight_map is a number"});
    expect_parts(error("{\"metadata\":{}}"), {"no weight_map"});
    expect_parts(error("[]"), {"array"});
    expect_parts(error("3"), {"a number"});
    expect_parts(error("{\"weight_map\":"), {"not valid JSON"});
    expect_parts(error("{\"\xC0\x80\":1}"), {"not UTF-8"});
    const SafetensorsIndex index =
        parse_safetensors_index("{\"x\":[{}],\"metadata\":{\"a\":null,\"b\":\"s\\\"\",\"c\":[1]},\"weight_map\":{\"w\":\"m\"}}");
    EXPECT_EQ(index.metadata.at("a") + index.metadata.at("b"), "null\"s\\\"\"");
}

}  // namespace orrery::formats::test
