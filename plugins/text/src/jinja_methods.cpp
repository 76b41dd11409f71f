// Python's methods of str, list and dict that a sandboxed template may call.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "jinja_interpreter.hpp"
#include "unicode.hpp"

namespace orrery::text::jinja {
namespace {

using Method = Value (*)(Interpreter&, const std::string&, const Arguments&);

Value make(Interpreter& in, std::string s) {
    in.charge_text(s.size());
    if (s.size() > (kMaxText)) fail("a string longer than 16 MiB", ErrorKind::limit);
    return Value::string(std::move(s));
}

const std::string& string_argument(const Arguments& a, size_t index, std::string_view name, const char* method) {
    const Value* v = a.find(index, name);
    if (!v || !v->is_string()) fail(std::string("str.") + method + ": argument " + std::to_string(index + 1) + " is " + (v ? v->type_name() : "missing") + ", not str");
    return v->string();
}

bool in_set(std::string_view c, const Value* set) {
    if (!set || set->is_none()) {
        const char* p = c.data();
        const char32_t code = utf8_next(p);
        return is_white_space(code) || (code >= 0x1C && code <= 0x1F);  // Python's str.isspace
    }
    return set->string().find(c) != std::string::npos;
}

Value strip(Interpreter& in, const std::string& s, const Arguments& a, bool left, bool right) {
    const Value* set = a.find(0, "chars");
    if (set && !set->is_none() && !set->is_string()) fail(std::string("str.strip: the argument is ") + set->type_name() + ", not str");
    in.charge_text(s.size() * (set && set->is_string() ? 1 + set->string().size() / 8 : 1));
    const auto chars = characters(s);
    size_t from = 0, to = chars.size();
    while (left && from < to && in_set(chars[from], set)) ++from;
    while (right && to > from && in_set(chars[to - 1], set)) --to;
    if (from == to) return Value::string("");
    return Value::string(s.substr(static_cast<size_t>(chars[from].data() - s.data()), static_cast<size_t>(chars[to - 1].data() + chars[to - 1].size() - chars[from].data())));
}

// split and rsplit.
Value split(Interpreter& in, const std::string& s, const Arguments& a, bool from_right) {
    const Value* separator = a.find(0, "sep");
    int64_t most = a.integer(1, "maxsplit", -1);
    if (most < 0) most = INT64_MAX;
    std::vector<std::string> parts;
    if (separator && !separator->is_none()) {
        const std::string& by = string_argument(a, 0, "sep", "split");
        if (by.empty()) fail("str.split: the separator is empty");
        in.charge_search(s.size(), by.size());
        size_t begin = 0, end = s.size();
        if (from_right) {
            while (most-- > 0 && end >= by.size()) {
                const size_t at = s.rfind(by, end - by.size());
                if (at == std::string::npos) break;
                parts.push_back(s.substr(at + by.size(), end - at - by.size()));
                end = at;
                if (end < by.size()) break;
            }
            parts.push_back(s.substr(0, end));
            std::reverse(parts.begin(), parts.end());
        } else {
            for (size_t at; most-- > 0 && (at = s.find(by, begin)) != std::string::npos; begin = at + by.size()) parts.push_back(s.substr(begin, at - begin));
            parts.push_back(s.substr(begin));
        }
    } else {
        in.charge_text(s.size());
        const auto chars = characters(s);
        const auto space = [&](size_t i) { return in_set(chars[i], nullptr); };
        const auto piece = [&](size_t from, size_t to) {
            return from == to ? std::string() : s.substr(static_cast<size_t>(chars[from].data() - s.data()), static_cast<size_t>(chars[to - 1].data() + chars[to - 1].size() - chars[from].data()));
        };
        if (from_right) {
            size_t end = chars.size();
            for (;;) {
                while (end > 0 && space(end - 1)) --end;
                if (end == 0) break;
                if (most-- <= 0) {
                    parts.push_back(piece(0, end));
                    break;
                }
                size_t begin = end;
                while (begin > 0 && !space(begin - 1)) --begin;
                parts.push_back(piece(begin, end));
                end = begin;
            }
            std::reverse(parts.begin(), parts.end());
        } else {
            size_t begin = 0;
            for (;;) {
                while (begin < chars.size() && space(begin)) ++begin;
                if (begin == chars.size()) break;
                if (most-- <= 0) {
                    parts.push_back(piece(begin, chars.size()));
                    break;
                }
                size_t end = begin;
                while (end < chars.size() && !space(end)) ++end;
                parts.push_back(piece(begin, end));
                begin = end;
            }
        }
    }
    List out;
    for (auto& part : parts) out.push_back(Value::string(std::move(part)));
    return in.list(std::move(out));
}

Value split_lines(Interpreter& in, const std::string& s, const Arguments& a) {
    const bool keep = a.flag(0, "keepends", false);
    List out;
    size_t begin = 0;
    for (size_t i = 0; i < s.size();) {
        const char* p = s.data() + i;
        const char32_t c = utf8_next(p);
        size_t next = static_cast<size_t>(p - s.data());
        const bool line = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
        if (line) {
            if (c == '\r' && next < s.size() && s[next] == '\n') ++next;
            out.push_back(Value::string(s.substr(begin, (keep ? next : i) - begin)));
            begin = next;
        }
        i = next;
    }
    if (begin < s.size()) out.push_back(Value::string(s.substr(begin)));
    in.charge_text(s.size());
    return in.list(std::move(out));
}

// startswith and endswith, whose argument may be a tuple.
Value has_affix(const std::string& s, const Arguments& a, bool at_start) {
    if (a.positional.empty()) fail("str.startswith needs an argument");
    const auto one = [&](const Value& v) {
        if (!v.is_string()) fail(std::string("str.startswith: the argument is ") + v.type_name() + ", not str");
        return at_start ? s.starts_with(v.string()) : s.ends_with(v.string());
    };
    if (a.positional[0].is_tuple()) return Value::boolean(std::any_of(a.positional[0].list().begin(), a.positional[0].list().end(), one));
    return Value::boolean(one(a.positional[0]));
}

Value replace(Interpreter& in, const std::string& s, const Arguments& a) {
    const std::string &from = string_argument(a, 0, "old", "replace"), &to = string_argument(a, 1, "new", "replace");
    int64_t most = a.integer(2, "count", -1);
    if (most < 0) most = INT64_MAX;
    in.charge_search(s.size(), from.size());
    std::string out;
    const auto check = [&] {
        if (out.size() > (kMaxText)) fail("a string longer than 16 MiB", ErrorKind::limit);
    };
    size_t begin = 0;
    if (from.empty()) {
        for (const auto c : characters(s)) {
            if (most-- > 0) out += to;
            out.append(c);
            check();
        }
        if (most-- > 0) out += to;
        return make(in, std::move(out));
    }
    for (size_t at; most-- > 0 && (at = s.find(from, begin)) != std::string::npos; begin = at + from.size()) {
        out.append(s, begin, at - begin);
        out += to;
        check();
    }
    out.append(s, begin);
    return make(in, std::move(out));
}

// find, rfind, index, rindex: a character's number, or -1.
int64_t find_at(Interpreter& in, const std::string& s, const Arguments& a, bool last) {
    const std::string& what = string_argument(a, 0, "sub", "find");
    in.charge_search(s.size(), what.size());
    const auto chars = characters(s);
    const auto size = static_cast<int64_t>(chars.size());
    const auto bound = [&](size_t index, int64_t otherwise) {
        int64_t i = a.integer(index, "", otherwise);
        if (i < 0) i = std::max<int64_t>(i + size, 0);
        return static_cast<size_t>(std::min(i, size));
    };
    const size_t from = bound(1, 0), to = bound(2, size);
    if (from > to) return -1;
    const auto offset = [&](size_t i) { return i == chars.size() ? s.size() : static_cast<size_t>(chars[i].data() - s.data()); };
    const std::string_view part = std::string_view(s).substr(offset(from), offset(to) - offset(from));
    const size_t at = last ? part.rfind(what) : part.find(what);
    if (at == std::string_view::npos) return -1;
    return static_cast<int64_t>(from + characters(part.substr(0, at)).size());
}

template <class Change>
Value change_chars(Interpreter& in, const std::string& s, Change change) {
    std::string out;
    const char *p = s.data(), *end = p + s.size();
    while (p < end) change(utf8_next(p), out);
    return make(in, std::move(out));
}

// isalpha and its kin: all characters pass, and there is one.
template <class Check>
Value all_chars(const std::string& s, Check check) {
    const char *p = s.data(), *end = p + s.size();
    while (p < end)
        if (!check(utf8_next(p))) return Value::boolean(false);
    return Value::boolean(!s.empty());
}

bool is_upper(char32_t c) {
    std::string low;
    append_lower(low, c);
    std::string same;
    utf8_append(same, c);
    return low != same;
}

bool is_lower(char32_t c) {
    std::string up;
    append_upper(up, c);
    std::string same;
    utf8_append(same, c);
    return up != same;
}

bool is_letter(char32_t c) { return is_word(c) && !is_numeric(c) && !is_mark(c) && c != '_'; }

// isupper and islower: no cased character of the other kind, and one of this.
Value cased(const std::string& s, bool upper) {
    bool found = false;
    const char *p = s.data(), *end = p + s.size();
    while (p < end) {
        const char32_t c = utf8_next(p);
        if (upper ? is_lower(c) : is_upper(c)) return Value::boolean(false);
        found = found || (upper ? is_upper(c) : is_lower(c));
    }
    return Value::boolean(found);
}

Value pad(Interpreter& in, const std::string& s, const Arguments& a, int side) {
    const int64_t width = std::min<int64_t>(a.integer(0, "width", 0), 1 << 20);
    const std::string fill = a.get(1, "fillchar", Value::string(" ")).str();
    if (characters(fill).size() != 1) fail("str.center: the fill is not one character");
    const auto have = static_cast<int64_t>(characters(s).size());
    if (have >= width) return Value::string(s);
    const int64_t room = width - have, left = side < 0 ? 0 : side > 0 ? room : room / 2 + (room & width & 1);
    std::string out;
    for (int64_t i = 0; i < left; ++i) out += fill;
    out += s;
    for (int64_t i = left; i < room; ++i) out += fill;
    return make(in, std::move(out));
}

Value partition(Interpreter& in, const std::string& s, const Arguments& a, bool last) {
    const std::string& by = string_argument(a, 0, "sep", "partition");
    if (by.empty()) fail("str.partition: the separator is empty");
    in.charge_search(s.size(), by.size());
    const size_t at = last ? s.rfind(by) : s.find(by);
    if (at == std::string::npos) return last ? Value::tuple({Value::string(""), Value::string(""), Value::string(s)}) : Value::tuple({Value::string(s), Value::string(""), Value::string("")});
    return Value::tuple({Value::string(s.substr(0, at)), Value::string(by), Value::string(s.substr(at + by.size()))});
}

Value count(Interpreter& in, const std::string& s, const Arguments& a) {
    const std::string& what = string_argument(a, 0, "sub", "count");
    if (what.empty()) return Value::integer(static_cast<int64_t>(characters(s).size()) + 1);
    in.charge_search(s.size(), what.size());
    int64_t n = 0;
    for (size_t at = s.find(what); at != std::string::npos; at = s.find(what, at + what.size())) ++n;
    return Value::integer(n);
}

Value join(Interpreter& in, const std::string& s, const Arguments& a) {
    std::string out;
    bool first = true;
    for (const Value& item : iterate(a.get(0, "iterable", Value()))) {
        if (!item.is_string()) fail(std::string("str.join: an item is ") + item.type_name() + ", not str");
        if (!first) out += s;
        first = false;
        out += item.string();
        if (out.size() > (kMaxText)) fail("a string longer than 16 MiB", ErrorKind::limit);
    }
    return make(in, std::move(out));
}

Value title(Interpreter& in, const std::string& s) {
    bool inside = false;
    return change_chars(in, s, [&](char32_t c, std::string& out) {
        if (inside) append_lower(out, c);
        else append_upper(out, c);
        inside = is_upper(c) || is_lower(c);
    });
}

Value zero_fill(Interpreter& in, const std::string& s, const Arguments& a) {
    const auto have = static_cast<int64_t>(characters(s).size()), width = std::min<int64_t>(a.integer(0, "width", 0), 1 << 20);
    if (have >= width) return Value::string(s);
    const size_t sign = !s.empty() && (s[0] == '-' || s[0] == '+') ? 1 : 0;
    return make(in, s.substr(0, sign) + std::string(static_cast<size_t>(width - have), '0') + s.substr(sign));
}

const std::unordered_map<std::string_view, Method>& string_methods() {
    using In = Interpreter&;
    using S = const std::string&;
    using A = const Arguments&;
    static const std::unordered_map<std::string_view, Method> table = {
        {"strip", [](In in, S s, A a) { return strip(in, s, a, true, true); }},
        {"lstrip", [](In in, S s, A a) { return strip(in, s, a, true, false); }},
        {"rstrip", [](In in, S s, A a) { return strip(in, s, a, false, true); }},
        {"split", [](In in, S s, A a) { return split(in, s, a, false); }},
        {"rsplit", [](In in, S s, A a) { return split(in, s, a, true); }},
        {"splitlines", split_lines},
        {"startswith", [](In, S s, A a) { return has_affix(s, a, true); }},
        {"endswith", [](In, S s, A a) { return has_affix(s, a, false); }},
        {"replace", replace},
        {"find", [](In in, S s, A a) { return Value::integer(find_at(in, s, a, false)); }},
        {"rfind", [](In in, S s, A a) { return Value::integer(find_at(in, s, a, true)); }},
        {"index", [](In in, S s, A a) {
             const int64_t at = find_at(in, s, a, false);
             if (at < 0) fail("str.index: substring not found");
             return Value::integer(at);
         }},
        {"rindex", [](In in, S s, A a) {
             const int64_t at = find_at(in, s, a, true);
             if (at < 0) fail("str.rindex: substring not found");
             return Value::integer(at);
         }},
        {"count", count},
        {"join", join},
        {"format", [](In in, S s, A a) { return make(in, format_braces(s, a)); }},
        {"lower", [](In in, S s, A) { return change_chars(in, s, [](char32_t c, std::string& out) { append_lower(out, c); }); }},
        {"casefold", [](In in, S s, A) { return change_chars(in, s, [](char32_t c, std::string& out) { append_lower(out, c); }); }},
        {"upper", [](In in, S s, A) { return change_chars(in, s, [](char32_t c, std::string& out) { append_upper(out, c); }); }},
        {"swapcase", [](In in, S s, A) {
             return change_chars(in, s, [](char32_t c, std::string& out) {
                 if (is_upper(c)) append_lower(out, c);
                 else append_upper(out, c);
             });
         }},
        {"capitalize", [](In in, S s, A) {
             bool first = true;
             return change_chars(in, s, [&](char32_t c, std::string& out) {
                 if (first) append_upper(out, c);
                 else append_lower(out, c);
                 first = false;
             });
         }},
        {"title", [](In in, S s, A) { return title(in, s); }},
        {"isdigit", [](In, S s, A) { return all_chars(s, is_numeric); }},
        {"isdecimal", [](In, S s, A) { return all_chars(s, is_numeric); }},
        {"isnumeric", [](In, S s, A) { return all_chars(s, is_numeric); }},
        {"isalpha", [](In, S s, A) { return all_chars(s, is_letter); }},
        {"isalnum", [](In, S s, A) { return all_chars(s, [](char32_t c) { return is_letter(c) || is_numeric(c); }); }},
        {"isspace", [](In, S s, A) { return all_chars(s, [](char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }); }},
        {"isascii", [](In, S s, A) { return Value::boolean(std::all_of(s.begin(), s.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })); }},
        {"isupper", [](In, S s, A) { return cased(s, true); }},
        {"islower", [](In, S s, A) { return cased(s, false); }},
        {"removeprefix", [](In, S s, A a) {
             const std::string& what = string_argument(a, 0, "prefix", "removeprefix");
             return Value::string(s.starts_with(what) ? s.substr(what.size()) : s);
         }},
        {"removesuffix", [](In, S s, A a) {
             const std::string& what = string_argument(a, 0, "suffix", "removesuffix");
             return Value::string(s.ends_with(what) ? s.substr(0, s.size() - what.size()) : s);
         }},
        {"ljust", [](In in, S s, A a) { return pad(in, s, a, -1); }},
        {"rjust", [](In in, S s, A a) { return pad(in, s, a, 1); }},
        {"center", [](In in, S s, A a) { return pad(in, s, a, 0); }},
        {"zfill", zero_fill},
        {"partition", [](In in, S s, A a) { return partition(in, s, a, false); }},
        {"rpartition", [](In in, S s, A a) { return partition(in, s, a, true); }},
    };
    return table;
}

// What the sandbox forbids, since it changes the object.
const std::unordered_set<std::string_view> kListChanges = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"};
const std::unordered_set<std::string_view> kDictChanges = {"clear", "pop", "popitem", "setdefault", "update"};
const std::unordered_set<std::string_view> kListMethods = {"index", "count", "copy"};
const std::unordered_set<std::string_view> kDictMethods = {"items", "keys", "values", "get", "copy"};

Value call_list_method(const Value& object, const std::string& name, const Arguments& args) {
    if (name == "copy") return object;
    const Value what = args.get(0, "value", Value());
    int64_t n = 0;
    for (size_t i = 0; i < object.list().size(); ++i) {
        if (!object.list()[i].equals(what)) continue;
        if (name == "index") return Value::integer(static_cast<int64_t>(i));
        ++n;
    }
    if (name == "index") fail("list.index: the value is not in the list");
    return Value::integer(n);
}

Value call_dict_method(Interpreter& in, const Value& object, const std::string& name, const Arguments& args) {
    const Dict& dict = object.dict();
    if (name == "copy") return object;
    if (name == "get") {
        const Value* key = args.find(0, "key");
        if (!key) fail("dict.get needs a key");
        const Value* found = dict.find(*key);
        return found ? *found : args.get(1, "default", Value::none());
    }
    List out;
    for (const auto& [k, v] : dict.items) out.push_back(name == "keys" ? k : name == "values" ? v : Value::tuple({k, v}));
    return in.list(std::move(out));
}

}  // namespace

bool has_method(const Value& object, const std::string& name) {
    if (object.is_string()) return string_methods().count(name) > 0;
    if (object.is_list()) return kListMethods.count(name) > 0 || (!object.is_tuple() && kListChanges.count(name) > 0);
    if (object.is_dict()) return kDictMethods.count(name) > 0 || kDictChanges.count(name) > 0;
    return false;
}

Value call_value_method(Interpreter& in, const Value& object, const std::string& name, const Arguments& args) {
    in.charge(1);
    if (object.is_string()) {
        const auto at = string_methods().find(name);
        if (at != string_methods().end()) return at->second(in, object.string(), args);
    } else if (object.is_list() || object.is_dict()) {
        if ((object.is_list() ? kListChanges : kDictChanges).count(name)) fail("'" + name + "' of " + object.type_name() + " changes it, which a template may not");
        in.charge(object.weight());
        return object.is_list() ? call_list_method(object, name, args) : call_dict_method(in, object, name, args);
    }
    fail(std::string("'") + object.type_name() + "' has no method '" + name + "'");
}

}  // namespace orrery::text::jinja
