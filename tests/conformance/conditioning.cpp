// How much of a difference is f32's rounding: by how far the definition's outputs move when its inputs move by their last bit.
#include <cmath>
#include <cstring>

#include "checker.hpp"

namespace orrery::conformance {
namespace {

constexpr int kMoves = 8;            // of all inputs at once, each number up or down
constexpr double kAllowed = 4;       // of the largest movement seen: a kernel rounds at each step, the move is one at the beginning
constexpr double kMostAllowed = 64;  // of the case's tolerance, so that a jump of the definition does not excuse everything

// Every f32 number one unit in the last place up or down; NaN, inf and 0 as they are.
Value moved(const Value& v, Random& random) {
    Value out = v;
    if (!v.present || v.type->block || v.type->number != ORR_TYPE_F32) return out;
    for (size_t at = 0; at + sizeof(float) <= out.bytes.size(); at += sizeof(float)) {
        float number;
        std::memcpy(&number, out.bytes.data() + at, sizeof number);
        if (number == 0 || !std::isfinite(number)) continue;
        number = std::nextafter(number, random() % 2 ? INFINITY : -INFINITY);
        std::memcpy(out.bytes.data() + at, &number, sizeof number);
    }
    return out;
}

}  // namespace

Checker::Slack Checker::slack_of(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Value>& inputs,
                                 const std::vector<Shape>& shapes, const Outputs& want, uint32_t numerics) {
    const auto numbers = [&](const Outputs& outputs, size_t o) {
        Value v;
        v.present = true;
        v.type = shapes[o].type;
        v.shape = shapes[o].dims;
        v.bytes = outputs[o];
        return v.numbers();
    };
    const std::string kept = where_;
    const bool could_fail = std::exchange(may_fail_, true);
    Random random(unit_);  // one of its own: what is drawn next stays the same
    Slack slack(want.size());
    std::vector<std::vector<double>> plain;
    for (size_t o = 0; o < want.size(); o++) plain.push_back(numbers(want, o)), slack[o].resize(plain[o].size());
    for (int n = 0; n < kMoves; n++) {
        std::vector<Value> others;
        for (const Value& v : inputs) others.push_back(moved(v, random));
        const auto got = run_reference(op, attrs, others, shapes);
        if (!got) continue;
        for (size_t o = 0; o < want.size(); o++) {
            const auto there = numbers(*got, o);
            for (size_t e = 0; e < there.size(); e++)
                if (const double by = std::fabs(there[e] - plain[o][e]); by > slack[o][e]) slack[o][e] = by;
        }
    }
    for (size_t o = 0; o < want.size(); o++)
        for (size_t e = 0; e < plain[o].size(); e++)
            slack[o][e] = std::min(kAllowed * slack[o][e], kMostAllowed * c.tolerance(numerics) * std::max(1.0, std::fabs(plain[o][e])));
    may_fail_ = could_fail;
    at(kept);
    return slack;
}

}  // namespace orrery::conformance
