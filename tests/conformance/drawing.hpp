// Cases out of a descriptor: types, layouts and documented shapes of the ports, ranges of the attributes.
#pragma once

#include <map>
#include <random>

#include "cases.hpp"

namespace orrery::conformance {

using Random = std::mt19937_64;

struct Drawn {
    std::vector<Value> inputs;
    std::vector<std::vector<std::string>> axes;  // of each input, as its port's documentation names them; "" where it does not
    nlohmann::json attrs = nlohmann::json::object();
    std::string text;
    int64_t tokens = 0;  // of cases with paged states: what a run appends
};

// Finite numbers that an operator's own cases give an input, lowest and highest; of floats those in [-2, 2].
using Spans = std::map<size_t, std::pair<double, double>>;
Spans spans_of(const std::vector<Case>& cases);

// Whether ports name layouts: the operator then has states.
bool has_states(const orr_operator& op);
// What one of several draws is to have, whatever chance says.
struct Wanted {
    nlohmann::json attrs = nlohmann::json::object();
    int64_t extent = 0;  // of one axis: of the leading ones ("..", which are then one) or the first that is named; 0: as it comes
    bool leading = false;
};
// Of `count` draws: 0, 1 and -1 for each number among the attributes whose range holds them, spread so that one draw has one of an attribute; extents 1 to 9.
std::vector<Wanted> wanted_of(const orr_operator& op, int count);
// Throws std::runtime_error where nothing comes of it (too large, a block type without quantise). spans: of operators with states, whose recurrences
// grow without bound on others.
Drawn draw(const orr_operator& op, const Types& types, const Spans& spans, Random& random, const Wanted& wanted = {});

// Names of a tensor's axes: "[.., T, E]" of rank 4 gives "", "", "T", "E". Empty where the documentation has none of that rank.
std::vector<std::string> axis_names(const char* doc, size_t rank);
// Where the axis of that name is, or -1.
int axis_of(const std::vector<std::string>& names, const std::string& name);
// Elements [begin, end) of one axis; axis -1: all. Rows of states go with axis 0.
Value slice(const Value& v, int axis, int64_t begin, int64_t end);

// Values of one attribute that its range holds, its ends among them, and such as lie just outside. Both empty where there is no range.
struct Ends {
    std::vector<nlohmann::json> inside, outside;
};
Ends ends_of(const orr_attr_desc& desc);

}  // namespace orrery::conformance
