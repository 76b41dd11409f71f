#include "engine/registry/attr_range.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "engine/registry/json_text.hpp"
#include "orrery/plugin.hpp"

namespace orrery {
namespace {

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    return text;
}

template <class Number>
bool reads(std::string_view text, Number* out) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
    return error == std::errc() && end == text.data() + text.size();
}

// -1, 0, 1: value against the end.
int compare(const nlohmann::json& value, const AttrRange::End& end) {
    if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return 1;
    if (value.is_number_integer() && end.whole) {
        const int64_t v = value.get<int64_t>();
        return v < end.integer ? -1 : v > end.integer;
    }
    const double v = value.get<double>();
    return v < end.number ? -1 : v > end.number;
}

Error no_interval(const std::string& text) { return Error(ORR_CORRUPT, "range \"" + text + "\" is no interval such as \"[1, 64]\" or \"(0, inf)\""); }

// unlimited: how a missing end is written on that side.
AttrRange::End read_end(std::string_view text, bool included, bool integers, std::string_view unlimited, const std::string& whole) {
    AttrRange::End end;
    if (text == "inf" || text == "-inf") {
        if (included || text != unlimited) throw no_interval(whole);
        return end;
    }
    end.none = false;
    end.included = included;
    end.whole = reads(text, &end.integer);
    if (end.whole)
        end.number = static_cast<double>(end.integer);
    else if (integers || !reads(text, &end.number) || !std::isfinite(end.number))
        throw no_interval(whole);
    return end;
}

}  // namespace

AttrRange::AttrRange(const orr_attr_desc& desc) {
    const bool list = desc.kind == ORR_ATTR_INTS || desc.kind == ORR_ATTR_FLOATS;
    if (ORR_HAS(&desc, orr_attr_desc, most)) least = desc.least, most = desc.most;
    if ((least || most) && !list) throw Error(ORR_CORRUPT, "a number of elements, of what is no list");
    if (most && least > most) throw Error(ORR_CORRUPT, "at least " + std::to_string(least) + " and at most " + std::to_string(most) + " elements");
    const char* given = ORR_HAS(&desc, orr_attr_desc, range) ? desc.range : nullptr;
    if (given && desc.kind == ORR_ATTR_STRING) {
        text = given;
        for (size_t at = 0; at <= text.size();) {
            const size_t end = std::min(text.find('|', at), text.size());
            words.push_back(text.substr(at, end - at));
            at = end + 1;
        }
        return;
    }
    if (given) {
        if (desc.kind == ORR_ATTR_BOOL) throw Error(ORR_CORRUPT, "range \"" + std::string(given) + "\" of a boolean");
        interval_ = given;
        const std::string_view all = interval_;
        const size_t comma = all.find(',');
        const bool shaped = all.size() > 2 && (all.front() == '[' || all.front() == '(') && (all.back() == ']' || all.back() == ')') && comma != std::string_view::npos;
        const bool integers = desc.kind == ORR_ATTR_INT || desc.kind == ORR_ATTR_INTS;
        if (!shaped) throw no_interval(interval_);
        low = read_end(trimmed(all.substr(1, comma - 1)), all.front() == '[', integers, "-inf", interval_);
        high = read_end(trimmed(all.substr(comma + 1, all.size() - comma - 2)), all.back() == ']', integers, "inf", interval_);
        if (!low.none && !high.none && (low.number > high.number || (low.number == high.number && !(low.included && high.included))))
            throw Error(ORR_CORRUPT, "range \"" + interval_ + "\" holds nothing");
        text = interval_;
    }
    if (most || least) {
        const std::string count = most == 0 ? std::to_string(least) + " or more" : least == most ? std::to_string(most) : std::to_string(least) + " to " + std::to_string(most);
        text = count + (text.empty() ? " elements" : " of " + text);
    }
}

bool AttrRange::holds(const nlohmann::json& number) const {
    const int above = low.none ? 1 : compare(number, low), below = high.none ? -1 : compare(number, high);
    return (above > 0 || (above == 0 && low.included)) && (below < 0 || (below == 0 && high.included));
}

std::string AttrRange::refusal(const nlohmann::json& value) const {
    bool good = true;
    if (value.is_string()) good = words.empty() || std::find(words.begin(), words.end(), value.get<std::string>()) != words.end();
    if (value.is_number()) good = holds(value);
    if (value.is_array()) {
        good = value.size() >= least && (most == 0 || value.size() <= most);
        for (const auto& element : value) good = good && (!element.is_number() || holds(element));
    }
    return good ? "" : "is " + json_text(value) + ", it takes " + text;
}

}  // namespace orrery
