// Reads `.cases` files; the syntax is in README.md.
#pragma once

#include <filesystem>
#include <istream>
#include <nlohmann/json.hpp>

#include "values.hpp"

namespace orrery::conformance {

// What an output should be.
struct Expected {
    bool compare = false;
    Value value;                                      // type may be absent: then the shape function's
    bool typed = false;                               // the case names a type
    std::vector<double> numbers;                      // all elements, or none when `at` is used
    std::vector<int64_t> integers;                    // the same, for integer types
    std::vector<std::pair<int64_t, double>> at;       // single elements
};

// One free dimension of derived shapes.
struct Free {
    std::vector<std::pair<int, int>> dims;              // input, axis
    std::vector<std::pair<std::string, int>> attrs;     // attribute, element of a list or -1
    std::vector<int64_t> values;
    int64_t multiple = 1;
};

struct Case {
    int line = 0;
    std::string name;
    nlohmann::json attrs;
    std::vector<Value> inputs;
    std::vector<Expected> outputs;
    double tol = 0, tol_default = 0;
    double tol_rms = -1;  // below 0: not given
    bool drawn = false;   // from the descriptor: values may be of any size, and tol is of their rms where that is more than 1
    std::vector<uint32_t> numerics;
    std::string error;
    bool fails = false;
    std::vector<Free> sizes;
    std::vector<int> batch_inputs, batch_outputs;
    std::vector<std::pair<int, int>> in_place;

    double tolerance(uint32_t numerics_of_run) const { return numerics_of_run == ORR_NUMERICS_EXACT ? tol : tol_default; }
};

// Throws with file and line for anything that is not a case.
std::vector<Case> read_cases(const std::filesystem::path& file, const Types& types);
// The same from text; name stands for the file in messages.
std::vector<Case> read_cases(std::istream& text, const std::string& name, const Types& types);

}  // namespace orrery::conformance
