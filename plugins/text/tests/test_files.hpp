#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace orrery::text {

inline std::string read_case_file(const std::string& name) {
    std::ifstream file(std::string(ORRERY_TEXT_CASES) + "/" + name, std::ios::binary);
    EXPECT_TRUE(file.good()) << "missing " << name;
    return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace orrery::text
