// Filters and tests, as Jinja2 3.1 has them (filters.py, tests.py); tojson is transformers'.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "jinja_interpreter.hpp"
#include "unicode.hpp"

namespace orrery::text::jinja {
namespace {

using Filter = Value (*)(Interpreter&, const Value&, const Arguments&);
using Test = bool (*)(Interpreter&, const Value&, const Arguments&);

const std::string& text_of(const Value& v, std::string& buffer) {
    if (v.is_string()) return v.string();
    buffer = v.str();
    return buffer;
}

Value text(Interpreter& in, std::string s) {
    in.charge_text(s.size());
    if (s.size() > (kMaxText)) fail("a string longer than 16 MiB", ErrorKind::limit);
    return Value::string(std::move(s));
}

Value method(Interpreter& in, const Value& v, const char* name, const Arguments& args) { return call_value_method(in, Value::string(v.str()), name, args); }

// An attribute path such as "a.b.0". otherwise: what stands for any part that is undefined.
Value get_path(Interpreter& in, const Value& v, const Value& path, const Value* otherwise = nullptr) {
    const auto part_of = [&](const Value& object, const Value& key) {
        Value found = in.item(object, key);
        return found.is_undefined() && otherwise && !otherwise->is_none() ? *otherwise : found;
    };
    if (!path.is_string()) return part_of(v, path);
    Value now = v;
    const std::string& s = path.string();
    for (size_t at = 0; at <= s.size();) {
        const size_t dot = std::min(s.find('.', at), s.size());
        const std::string part = s.substr(at, dot - at);
        const bool number = !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string::npos;
        now = part_of(now, number ? Value::integer(std::stoll(part)) : Value::string(part));
        at = dot + 1;
    }
    return now;
}

std::string folded(const std::string& s) {
    std::string out;
    const char *p = s.data(), *end = p + s.size();
    while (p < end) append_lower(out, utf8_next(p));
    return out;
}

// What sort and its kin compare: the value or one of its attributes, without case unless asked.
Value sort_key(Interpreter& in, const Value& v, const Value* attribute, bool case_sensitive, const Value* otherwise = nullptr) {
    Value key = attribute && !attribute->is_none() ? get_path(in, v, *attribute, otherwise) : v;
    if (!case_sensitive && key.is_string()) key = Value::string(folded(key.string()));
    return key;
}

Value sorted(Interpreter& in, const List& items, const Value* attribute, bool case_sensitive, bool reverse, const Value* otherwise = nullptr) {
    std::vector<std::pair<Value, Value>> keyed;
    for (const Value& item : items) keyed.emplace_back(sort_key(in, item, attribute, case_sensitive, otherwise), item);
    in.charge(keyed.size() * 32);
    std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) { return reverse ? b.first.less(a.first) : a.first.less(b.first); });
    List out;
    for (auto& [key, item] : keyed) out.push_back(std::move(item));
    return in.list(std::move(out));
}

Value extreme(Interpreter& in, const Value& v, const Arguments& args, bool most) {
    const List items = iterate(v);
    in.charge(items.size() * 4);
    if (items.empty()) return Value::undefined("no aggregated item, sequence was empty");
    const bool case_sensitive = args.flag(0, "case_sensitive", false);
    const Value* attribute = args.find(1, "attribute");
    size_t best = 0;
    Value key = sort_key(in, items[0], attribute, case_sensitive);
    for (size_t i = 1; i < items.size(); ++i) {
        Value other = sort_key(in, items[i], attribute, case_sensitive);
        if (most ? key.less(other) : other.less(key)) {
            best = i;
            key = std::move(other);
        }
    }
    return items[best];
}

// select, reject and their attribute forms.
Value choose(Interpreter& in, const Value& v, const Arguments& args, bool wanted, bool by_attribute) {
    List out;
    size_t first = by_attribute ? 1 : 0;
    if (by_attribute && args.positional.empty()) fail("the filter needs the name of an attribute");
    const bool has_test = args.positional.size() > first;
    Arguments rest;
    for (size_t i = first + 1; i < args.positional.size(); ++i) rest.positional.push_back(args.positional[i]);
    rest.named = args.named;
    for (const Value& item : iterate(v)) {
        in.charge(2);
        const Value subject = by_attribute ? get_path(in, item, args.positional[0]) : item;
        const bool holds = has_test ? in.test(args.positional[first].str(), subject, rest) : subject.truthy();
        if (holds == wanted) out.push_back(item);
    }
    return in.list(std::move(out));
}

Value map(Interpreter& in, const Value& v, const Arguments& args) {
    List out;
    const Value* attribute = args.find(SIZE_MAX, "attribute");
    const Value* otherwise = args.find(SIZE_MAX, "default");
    if (!attribute && args.positional.empty()) fail("map needs a filter or an attribute");
    Arguments rest;
    for (size_t i = 1; i < args.positional.size(); ++i) rest.positional.push_back(args.positional[i]);
    if (!attribute) rest.named = args.named;
    for (const Value& item : iterate(v)) {
        in.charge(2);
        if (attribute) {
            out.push_back(get_path(in, item, *attribute, otherwise));
        } else {
            out.push_back(in.filter(args.positional[0].str(), item, rest));
        }
    }
    return in.list(std::move(out));
}

Value join(Interpreter& in, const Value& v, const Arguments& args) {
    const std::string separator = args.get(0, "d", Value::string("")).str();
    const Value* attribute = args.find(1, "attribute");
    std::string out, buffer;
    bool first = true;
    for (const Value& item : iterate(v)) {
        if (!first) out += separator;
        first = false;
        out += text_of(attribute && !attribute->is_none() ? get_path(in, item, *attribute) : item, buffer);
        in.charge(1);
        if (out.size() > (kMaxText)) fail("a string longer than 16 MiB", ErrorKind::limit);
    }
    return text(in, std::move(out));
}

Value indent(Interpreter& in, const Value& v, const Arguments& args) {
    const Value width = args.get(0, "width", Value::integer(4));
    const std::string pad = width.is_string() ? width.string() : std::string(static_cast<size_t>(std::clamp<int64_t>(to_int(width, "indent: width"), 0, 1000)), ' ');
    const bool first = args.flag(1, "first", false), blank = args.flag(2, "blank", false);
    const std::string s = v.str() + "\n";
    std::string out;
    bool is_first = true;
    for (size_t at = 0; at < s.size();) {
        const size_t end = s.find('\n', at);
        if (!is_first) out += '\n';
        if ((is_first ? first : blank || end > at)) out += pad;
        out.append(s, at, end - at);
        if (out.size() > (kMaxText)) fail("a string longer than 16 MiB", ErrorKind::limit);
        is_first = false;
        at = end + 1;
    }
    return text(in, std::move(out));
}

Value round_number(const Value& v, const Arguments& args) {
    if (!v.is_number()) fail(std::string("round of ") + v.type_name());
    const int64_t precision = std::clamp<int64_t>(args.integer(0, "precision", 0), -300, 300);
    const std::string how = args.get(1, "method", Value::string("common")).str();
    const double scale = std::pow(10.0, static_cast<double>(precision)), x = v.number();
    if (how == "ceil") return Value::real(std::ceil(x * scale) / scale);
    if (how == "floor") return Value::real(std::floor(x * scale) / scale);
    if (how != "common") fail("round: the method is common, ceil or floor");
    if (!v.is_real()) return Value::integer(v.integer());
    // Python rounds the decimal text, halves to even.
    if (precision < 0 || precision > 20) return Value::real(std::nearbyint(x * scale) / scale);
    char digits[400];  // not printf: the host's locale has no say here
    const char* const end = std::to_chars(digits, digits + sizeof digits, x, std::chars_format::fixed, static_cast<int>(precision)).ptr;
    double rounded = x;
    std::from_chars(digits, end, rounded);
    return Value::real(rounded);
}

std::string escape(const std::string& s) {
    std::string out;
    for (char c : s) {
        if (c == '&') out += "&amp;";
        else if (c == '<') out += "&lt;";
        else if (c == '>') out += "&gt;";
        else if (c == '"') out += "&#34;";
        else if (c == '\'') out += "&#39;";
        else out += c;
    }
    return out;
}

// The whole of a text as a number, with a point whatever the host's locale.
bool read_real(const std::string& s, double& d) {
    const char *at = s.data(), *const end = at + s.size();
    while (at < end && ascii_is_space(*at)) ++at;
    if (at < end && *at == '+' && (end - at < 2 || at[1] != '-')) ++at;
    const auto [stop, code] = std::from_chars(at, end, d);
    if (code == std::errc::result_out_of_range) d = *at == '-' ? -HUGE_VAL : HUGE_VAL;
    return stop == end && code != std::errc::invalid_argument;
}

Value to_integer(const Value& v, const Arguments& args) {
    const Value otherwise = args.get(0, "default", Value::integer(0));
    if (v.is_real()) return std::isfinite(v.number()) && std::fabs(v.number()) < 9.2e18 ? Value::integer(static_cast<int64_t>(v.number())) : otherwise;
    if (v.is_number()) return Value::integer(v.integer());
    if (!v.is_string()) return otherwise;
    const std::string& s = v.string();
    char* end = nullptr;
    errno = 0;
    const long long n = std::strtoll(s.c_str(), &end, static_cast<int>(std::clamp<int64_t>(args.integer(1, "base", 10), 2, 36)));
    while (end && (*end == ' ' || *end == '\n')) ++end;
    if (end == s.c_str() + s.size() && end != s.c_str() && errno == 0) return Value::integer(n);
    double d = 0;
    return read_real(s, d) && std::isfinite(d) && std::fabs(d) < 9.2e18 ? Value::integer(static_cast<int64_t>(d)) : otherwise;
}

Value to_real(const Value& v, const Arguments& args) {
    if (v.is_number()) return Value::real(v.number());
    const Value otherwise = args.get(0, "default", Value::real(0));
    if (!v.is_string()) return otherwise;
    double d = 0;
    return read_real(v.string(), d) ? Value::real(d) : otherwise;
}

Value dict_items(const Value& v) {
    List out;
    if (v.is_undefined()) return Value::list({});
    if (!v.is_dict()) fail("items: can only get item pairs from a mapping");
    for (const auto& [k, value] : v.dict().items) out.push_back(Value::tuple({k, value}));
    return Value::list(std::move(out));
}

Value dict_sort(Interpreter& in, const Value& v, const Arguments& args) {
    const List items = dict_items(v).list();
    const std::string by = args.get(1, "by", Value::string("key")).str();
    const Value place = Value::integer(by == "value" ? 1 : 0);
    return sorted(in, items, &place, args.flag(0, "case_sensitive", false), args.flag(2, "reverse", false));
}

Value unique(Interpreter& in, const Value& v, const Arguments& args) {
    const bool case_sensitive = args.flag(0, "case_sensitive", false);
    const Value* attribute = args.find(1, "attribute");
    Dict seen;
    List out;
    for (const Value& item : iterate(v)) {
        in.charge(4 + seen.items.size() / 16);
        const Value key = sort_key(in, item, attribute, case_sensitive);
        if (seen.find(key)) continue;
        seen.set(key, Value::boolean(true));
        out.push_back(item);
    }
    return in.list(std::move(out));
}

Value group_by(Interpreter& in, const Value& v, const Arguments& args) {
    const Value* attribute = args.find(0, "attribute");
    if (!attribute) fail("groupby needs an attribute");
    const Value* otherwise = args.find(1, "default");
    const bool case_sensitive = args.flag(2, "case_sensitive", false);
    const List items = sorted(in, iterate(v), attribute, case_sensitive, false, otherwise).list();
    List out, group;
    Value key;
    const auto close = [&] {
        if (group.empty()) return;
        Value grouper = get_path(in, group[0], *attribute, otherwise);
        out.push_back(Value::group(std::move(grouper), Value::list(std::exchange(group, {}))));
    };
    for (const Value& item : items) {
        Value next = sort_key(in, item, attribute, case_sensitive, otherwise);
        if (!group.empty() && !next.equals(key)) close();
        key = std::move(next);
        group.push_back(item);
    }
    close();
    return in.list(std::move(out));
}

Value batch(Interpreter& in, const Value& v, const Arguments& args) {
    const int64_t size = args.integer(0, "linecount", 0);
    if (size <= 0) fail("batch: the size is not positive");
    const Value* fill = args.find(1, "fill_with");
    List out, row;
    for (const Value& item : iterate(v)) {
        row.push_back(item);
        if (row.size() == static_cast<size_t>(size)) out.push_back(Value::list(std::exchange(row, {})));
    }
    if (!row.empty()) {
        if (fill && !fill->is_none() && size < 100000)
            while (row.size() < static_cast<size_t>(size)) row.push_back(*fill);
        out.push_back(Value::list(std::move(row)));
    }
    return in.list(std::move(out));
}

Value reversed(Interpreter& in, const Value& v) {
    if (v.is_string()) {
        const auto chars = characters(v.string());
        std::string out;
        for (auto c = chars.rbegin(); c != chars.rend(); ++c) out.append(*c);
        return text(in, std::move(out));
    }
    List items = iterate(v);
    std::reverse(items.begin(), items.end());
    return in.list(std::move(items));
}

Value sum(Interpreter& in, const Value& v, const Arguments& args) {
    const Value* attribute = args.find(0, "attribute");
    Value total = args.get(1, "start", Value::integer(0));
    for (const Value& item : iterate(v)) total = in.binary("+", total, attribute && !attribute->is_none() ? get_path(in, item, *attribute) : item);
    return total;
}

Value length(const Value& v) {
    if (v.is_string()) return Value::integer(static_cast<int64_t>(characters(v.string()).size()));
    if (v.is_list()) return Value::integer(static_cast<int64_t>(v.list().size()));
    if (v.is_dict()) return Value::integer(static_cast<int64_t>(v.dict().items.size()));
    if (v.is_undefined()) return Value::integer(0);
    fail(std::string("object of type '") + v.type_name() + "' has no length");
}

Value url_encode(Interpreter& in, const Value& v) {
    const std::string s = v.str();
    std::string out;
    for (char c : s) {
        const auto b = static_cast<unsigned char>(c);
        if (ascii_is_alnum(c) || std::string_view("-_.~/").find(c) != std::string_view::npos) {
            out += c;
        } else {
            char code[8];
            std::snprintf(code, sizeof code, "%%%02X", b);
            out += code;
        }
    }
    return text(in, std::move(out));
}

Value truncate(Interpreter& in, const Value& v, const Arguments& args) {
    const std::string s = v.str(), end = args.get(2, "end", Value::string("...")).str();
    const auto chars = characters(s);
    const int64_t limit = args.integer(0, "length", 255), leeway = args.integer(3, "leeway", 5);
    const auto tail = static_cast<int64_t>(characters(end).size());
    if (limit < tail) fail("truncate: the length is below that of the end");
    if (static_cast<int64_t>(chars.size()) <= limit + std::clamp<int64_t>(leeway, 0, INT32_MAX)) return Value::string(s);
    std::string out = s.substr(0, static_cast<size_t>(chars[static_cast<size_t>(limit - tail)].data() - s.data()));
    if (!args.flag(1, "killwords", false)) {
        const size_t space = out.rfind(' ');
        if (space != std::string::npos) out.resize(space);
    }
    return text(in, out + end);
}

const std::unordered_map<std::string_view, Filter>& filters() {
    static const std::unordered_map<std::string_view, Filter> table = {
        {"abs", [](Interpreter& in, const Value& v, const Arguments&) { return v.is_real() ? Value::real(std::fabs(v.number())) : v.is_number() && v.integer() < 0 ? in.binary("-", Value::integer(0), v) : v; }},
        {"attr", [](Interpreter& in, const Value& v, const Arguments& a) { return in.attribute(v, a.get(0, "name", Value()).str()); }},
        {"batch", batch},
        {"capitalize", [](Interpreter& in, const Value& v, const Arguments& a) { return method(in, v, "capitalize", a); }},
        {"center", [](Interpreter& in, const Value& v, const Arguments& a) { return method(in, v, "center", {{a.get(0, "width", Value::integer(80))}, {}}); }},
        {"count", [](Interpreter&, const Value& v, const Arguments&) { return length(v); }},
        {"length", [](Interpreter&, const Value& v, const Arguments&) { return length(v); }},
        {"default", [](Interpreter&, const Value& v, const Arguments& a) { return v.is_undefined() || (a.flag(1, "boolean", false) && !v.truthy()) ? a.get(0, "default_value", Value::string("")) : v; }},
        {"dictsort", dict_sort},
        {"escape", [](Interpreter& in, const Value& v, const Arguments&) { return text(in, escape(v.str())); }},
        {"first", [](Interpreter&, const Value& v, const Arguments&) {
             const List items = iterate(v);
             return items.empty() ? Value::undefined("no first item, sequence was empty") : items.front();
         }},
        {"last", [](Interpreter&, const Value& v, const Arguments&) {
             const List items = iterate(v);
             return items.empty() ? Value::undefined("no last item, sequence was empty") : items.back();
         }},
        {"float", [](Interpreter&, const Value& v, const Arguments& a) { return to_real(v, a); }},
        {"int", [](Interpreter&, const Value& v, const Arguments& a) { return to_integer(v, a); }},
        {"format", [](Interpreter& in, const Value& v, const Arguments& a) {
             if (a.named.empty()) return text(in, format_percent(v.str(), Value::tuple(a.positional)));
             Dict named;
             for (const auto& [k, value] : a.named) named.set(Value::string(k), value);
             return text(in, format_percent(v.str(), Value::dict(std::move(named))));
         }},
        {"groupby", group_by},
        {"indent", indent},
        {"items", [](Interpreter&, const Value& v, const Arguments&) { return dict_items(v); }},
        {"join", join},
        {"list", [](Interpreter& in, const Value& v, const Arguments&) { return in.list(iterate(v)); }},
        {"lower", [](Interpreter& in, const Value& v, const Arguments& a) { return method(in, v, "lower", a); }},
        {"upper", [](Interpreter& in, const Value& v, const Arguments& a) { return method(in, v, "upper", a); }},
        {"title", [](Interpreter& in, const Value& v, const Arguments& a) { return method(in, v, "title", a); }},
        {"trim", [](Interpreter& in, const Value& v, const Arguments& a) { return method(in, v, "strip", a.positional.empty() && !a.named.empty() ? Arguments{{a.named[0].second}, {}} : a); }},
        {"map", map},
        {"max", [](Interpreter& in, const Value& v, const Arguments& a) { return extreme(in, v, a, true); }},
        {"min", [](Interpreter& in, const Value& v, const Arguments& a) { return extreme(in, v, a, false); }},
        {"reject", [](Interpreter& in, const Value& v, const Arguments& a) { return choose(in, v, a, false, false); }},
        {"rejectattr", [](Interpreter& in, const Value& v, const Arguments& a) { return choose(in, v, a, false, true); }},
        {"select", [](Interpreter& in, const Value& v, const Arguments& a) { return choose(in, v, a, true, false); }},
        {"selectattr", [](Interpreter& in, const Value& v, const Arguments& a) { return choose(in, v, a, true, true); }},
        {"replace", [](Interpreter& in, const Value& v, const Arguments& a) {
             Arguments plain{{a.get(0, "old", Value()), a.get(1, "new", Value())}, {}};
             if (const Value* count = a.find(2, "count"); count && !count->is_none()) plain.positional.push_back(*count);
             return method(in, v, "replace", plain);
         }},
        {"reverse", [](Interpreter& in, const Value& v, const Arguments&) { return reversed(in, v); }},
        {"round", [](Interpreter&, const Value& v, const Arguments& a) { return round_number(v, a); }},
        {"safe", [](Interpreter&, const Value& v, const Arguments&) { return v.is_string() ? v : Value::string(v.str()); }},
        {"sort", [](Interpreter& in, const Value& v, const Arguments& a) {
             const Value* attribute = a.find(2, "attribute");
             return sorted(in, iterate(v), attribute, a.flag(1, "case_sensitive", false), a.flag(0, "reverse", false));
         }},
        {"string", [](Interpreter&, const Value& v, const Arguments&) { return v.is_string() ? v : Value::string(v.str()); }},
        {"sum", sum},
        {"tojson", [](Interpreter& in, const Value& v, const Arguments& a) {
             if (v.is_undefined()) fail("tojson: '" + v.undefined_name() + "' is undefined");
             in.charge(v.weight());
             return text(in, to_json(v, a));
         }},
        {"truncate", truncate},
        {"unique", unique},
        {"urlencode", [](Interpreter& in, const Value& v, const Arguments&) { return url_encode(in, v); }},
        {"wordcount", [](Interpreter& in, const Value& v, const Arguments&) {
             int64_t words = 0;
             bool inside = false;
             const std::string s = v.str();
             const char *p = s.data(), *end = p + s.size();
             in.charge_text(s.size());
             while (p < end) {
                 const bool word = is_word(utf8_next(p));
                 words += word && !inside;
                 inside = word;
             }
             return Value::integer(words);
         }},
    };
    return table;
}

bool is_sequence(const Value& v) { return v.is_list() || v.is_string() || v.is_dict() || v.is_undefined(); }

const Value& operand(const Arguments& a, const char* test) {
    if (a.positional.empty()) fail(std::string("the test '") + test + "' needs a value to compare with");
    return a.positional[0];
}

const std::unordered_map<std::string_view, Test>& tests() {
    static const std::unordered_map<std::string_view, Test> table = {
        {"defined", [](Interpreter&, const Value& v, const Arguments&) { return !v.is_undefined(); }},
        {"undefined", [](Interpreter&, const Value& v, const Arguments&) { return v.is_undefined(); }},
        {"none", [](Interpreter&, const Value& v, const Arguments&) { return v.is_none(); }},
        {"boolean", [](Interpreter&, const Value& v, const Arguments&) { return v.is_boolean(); }},
        {"true", [](Interpreter&, const Value& v, const Arguments&) { return v.is_boolean() && v.boolean(); }},
        {"false", [](Interpreter&, const Value& v, const Arguments&) { return v.is_boolean() && !v.boolean(); }},
        {"integer", [](Interpreter&, const Value& v, const Arguments&) { return v.is_integer(); }},
        {"float", [](Interpreter&, const Value& v, const Arguments&) { return v.is_real(); }},
        {"number", [](Interpreter&, const Value& v, const Arguments&) { return v.is_number(); }},
        {"string", [](Interpreter&, const Value& v, const Arguments&) { return v.is_string(); }},
        {"mapping", [](Interpreter&, const Value& v, const Arguments&) { return v.is_dict(); }},
        {"sequence", [](Interpreter&, const Value& v, const Arguments&) { return is_sequence(v); }},
        {"iterable", [](Interpreter&, const Value& v, const Arguments&) { return is_sequence(v); }},
        {"callable", [](Interpreter&, const Value& v, const Arguments&) { return v.is_callable() || v.is_loop(); }},
        {"escaped", [](Interpreter&, const Value&, const Arguments&) { return false; }},
        {"sameas", [](Interpreter&, const Value& v, const Arguments& a) { return v.same_object(operand(a, "sameas")); }},
        {"eq", [](Interpreter&, const Value& v, const Arguments& a) { return v.equals(operand(a, "eq")); }},
        {"ne", [](Interpreter&, const Value& v, const Arguments& a) { return !v.equals(operand(a, "ne")); }},
        {"lt", [](Interpreter&, const Value& v, const Arguments& a) { return v.less(operand(a, "lt")); }},
        {"gt", [](Interpreter&, const Value& v, const Arguments& a) { return operand(a, "gt").less(v); }},
        {"le", [](Interpreter&, const Value& v, const Arguments& a) { return v.less(operand(a, "le")) || v.equals(operand(a, "le")); }},
        {"ge", [](Interpreter&, const Value& v, const Arguments& a) { return operand(a, "ge").less(v) || v.equals(operand(a, "ge")); }},
        {"in", [](Interpreter& in, const Value& v, const Arguments& a) { return in.contains(operand(a, "in"), v); }},
        {"odd", [](Interpreter&, const Value& v, const Arguments&) { return to_int(v, "odd: the value") % 2 != 0; }},
        {"even", [](Interpreter&, const Value& v, const Arguments&) { return to_int(v, "even: the value") % 2 == 0; }},
        {"divisibleby", [](Interpreter&, const Value& v, const Arguments& a) {
             const int64_t by = to_int(operand(a, "divisibleby"), "divisibleby: the number");
             if (by == 0) fail("divisibleby 0");
             return by == -1 || to_int(v, "divisibleby: the value") % by == 0;
         }},
        {"lower", [](Interpreter& in, const Value& v, const Arguments&) { return call_value_method(in, Value::string(v.str()), "islower", {}).truthy(); }},
        {"upper", [](Interpreter& in, const Value& v, const Arguments&) { return call_value_method(in, Value::string(v.str()), "isupper", {}).truthy(); }},
        {"filter", [](Interpreter&, const Value& v, const Arguments&) { return v.is_string() && filters().count(v.string()) > 0; }},
        {"test", [](Interpreter&, const Value& v, const Arguments&) { return v.is_string() && tests().count(v.string()) > 0; }},
    };
    return table;
}

std::string_view plain_name(std::string_view name) {
    static const std::unordered_map<std::string_view, std::string_view> aliases = {
        {"d", "default"}, {"e", "escape"}, {"forceescape", "escape"}, {"equalto", "eq"}, {"==", "eq"}, {"!=", "ne"}, {"lessthan", "lt"}, {"<", "lt"}, {"greaterthan", "gt"}, {">", "gt"}, {"<=", "le"}, {">=", "ge"}};
    const auto at = aliases.find(name);
    return at == aliases.end() ? name : at->second;
}

}  // namespace

Value Interpreter::filter(const std::string& name, const Value& v, const Arguments& args) {
    const auto at = filters().find(plain_name(name));
    if (at == filters().end()) fail("the filter '" + name + "' is not supported", ErrorKind::unsupported);
    charge(1);
    return at->second(*this, v, args);
}

bool Interpreter::test(const std::string& name, const Value& v, const Arguments& args) {
    const auto at = tests().find(plain_name(name));
    if (at == tests().end()) fail("the test '" + name + "' is not supported", ErrorKind::unsupported);
    charge(1);
    return at->second(*this, v, args);
}

}  // namespace orrery::text::jinja
