// What the tests of the formats share.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/source.h"
#include "common/tensor_directory.h"

namespace orrery::formats::test {

using Json = nlohmann::json;

inline std::string data_path(const std::string& name) { return std::string(FORMATS_TEST_DATA) + "/" + name; }

inline std::string read_file(const std::string& name) {
    std::ifstream file(data_path(name), std::ios::binary);
    EXPECT_TRUE(file.good()) << name;
    return {std::istreambuf_iterator<char>(file), {}};
}

inline Json read_json_file(const std::string& name) { return Json::parse(read_file(name)); }

inline std::string hex(std::string_view bytes) {
    static const char digits[] = "0123456789abcdef";
    std::string text;
    for (const char c : bytes) {
        text += digits[static_cast<unsigned char>(c) >> 4];
        text += digits[static_cast<unsigned char>(c) & 15];
    }
    return text;
}

// A source whose reads are checked to lie inside, as host callbacks have a right to expect.
inline CallbackSource callbacks(const std::string& bytes) {
    return {bytes.size(), [&bytes](uint64_t offset, uint64_t size, void* dst) {
                EXPECT_LE(size, bytes.size());
                EXPECT_LE(offset, bytes.size() - size);
                std::memcpy(dst, bytes.data() + offset, size);
                return true;
            }};
}

// The text of the FormatError of that kind that `run` throws; a test failure when it throws none.
inline std::string error_of(ErrorKind kind, const std::function<void()>& run) {
    try {
        run();
    } catch (const FormatError& error) {
        EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "no error";
    return "";
}

// Every part occurs in `text`.
inline void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

// Heap bytes in use now, and the most since the last reset (allocation.cpp counts them).
uint64_t heap_bytes();
void reset_heap_peak();
uint64_t heap_peak_bytes();
// Makes the n-th allocation from now on fail, once; 0: none.
void fail_allocation(int64_t n);
bool allocation_failed();

}  // namespace orrery::formats::test
