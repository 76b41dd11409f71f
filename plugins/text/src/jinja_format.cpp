// Text forms of values: JSON as transformers' tojson writes it (Python's json.dumps), "%" and str.format().
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "jinja_value.hpp"
#include "unicode.hpp"

namespace orrery::text::jinja {
namespace {

constexpr int64_t kMaxWidth = 10000;

struct JsonStyle {
    bool ascii = false, sort = false, pretty = false;
    std::string indent, item_separator = ", ", key_separator = ": ";
};

void json_string(std::string_view s, bool ascii, std::string& out) {
    out += '"';
    const char *p = s.data(), *end = p + s.size();
    char text[16];
    while (p < end) {
        const char* start = p;
        const char32_t c = utf8_next(p);
        static constexpr std::string_view from = "\"\\\n\r\t\b\f", to = "\"\\nrtbf";
        const size_t i = c < 0x80 ? from.find(static_cast<char>(c)) : std::string_view::npos;
        if (i != std::string_view::npos) {
            out += '\\';
            out += to[i];
        } else if (c < 0x20 || (ascii && c > 0x7E)) {
            if (c > 0xFFFF) std::snprintf(text, sizeof text, "\\u%04x\\u%04x", static_cast<unsigned>(0xD800 + ((c - 0x10000) >> 10)), static_cast<unsigned>(0xDC00 + ((c - 0x10000) & 0x3FF)));
            else std::snprintf(text, sizeof text, "\\u%04x", static_cast<unsigned>(c));
            out += c == 0x7F ? "\x7F" : text;
        } else {
            out.append(start, p);
        }
    }
    out += '"';
}

std::string json_number(const Value& v) {
    if (!v.is_real()) return std::to_string(v.integer());
    if (std::isnan(v.number())) return "NaN";
    if (std::isinf(v.number())) return v.number() > 0 ? "Infinity" : "-Infinity";
    return real_repr(v.number());
}

std::string json_key(const Value& v) {
    if (v.is_string()) return v.string();
    if (v.is_boolean()) return v.boolean() ? "true" : "false";
    if (v.is_none()) return "null";
    if (v.is_number()) return json_number(v);
    fail(std::string("tojson: a key is ") + v.type_name());
}

void json_value(const Value& v, const JsonStyle& style, size_t depth, std::string& out) {
    const auto line = [&](size_t level) {
        if (!style.pretty) return;
        out += '\n';
        for (size_t i = 0; i < level; ++i) out += style.indent;
    };
    if (v.is_none()) out += "null";
    else if (v.is_boolean()) out += v.boolean() ? "true" : "false";
    else if (v.is_number()) out += json_number(v);
    else if (v.is_string()) json_string(v.string(), style.ascii, out);
    else if (v.is_list()) {
        out += '[';
        bool first = true;
        for (const Value& item : v.list()) {
            if (!first) out += style.item_separator;
            first = false;
            line(depth + 1);
            json_value(item, style, depth + 1, out);
        }
        if (!first) line(depth);
        out += ']';
    } else if (v.is_dict()) {
        std::vector<const std::pair<Value, Value>*> items;
        for (const auto& item : v.dict().items) items.push_back(&item);
        if (style.sort) std::stable_sort(items.begin(), items.end(), [](const auto* a, const auto* b) { return a->first.less(b->first); });
        out += '{';
        bool first = true;
        for (const auto* item : items) {
            if (!first) out += style.item_separator;
            first = false;
            line(depth + 1);
            json_string(json_key(item->first), style.ascii, out);
            out += style.key_separator;
            json_value(item->second, style, depth + 1, out);
        }
        if (!first) line(depth);
        out += '}';
    } else {
        fail(std::string("tojson: an object of type ") + v.type_name() + " is not JSON");
    }
    if (out.size() > (kMaxText)) fail("tojson: the text is longer than 16 MiB", ErrorKind::limit);
}

size_t length(std::string_view s) {
    size_t n = 0;
    for (char c : s) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    return n;
}

// A format of one value: [[fill]align][sign][#][0][width][,][.precision][type]
struct Spec {
    std::string fill = " ";
    char align = '\0', sign = '-', type = '\0';
    bool comma = false;
    int64_t width = 0, precision = -1;
};

int64_t read_number(const std::string& s, size_t& i) {
    int64_t n = 0;
    for (; i < s.size() && s[i] >= '0' && s[i] <= '9'; ++i) {
        n = n * 10 + (s[i] - '0');
        if (n > kMaxWidth) fail("a width or precision of more than 10000", ErrorKind::limit);
    }
    return n;
}

Spec read_spec(const std::string& s) {
    Spec spec;
    size_t i = 0;
    const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
    const size_t first = s.empty() ? 0 : utf8_length(static_cast<unsigned char>(s[0]));
    if (first < s.size() && is_align(s[first])) {
        spec.fill = s.substr(0, first);
        spec.align = s[first];
        i = first + 1;
    } else if (!s.empty() && is_align(s[0])) {
        spec.align = s[0];
        i = 1;
    }
    if (i < s.size() && (s[i] == '+' || s[i] == '-' || s[i] == ' ')) spec.sign = s[i++];
    if (i < s.size() && s[i] == '0' && spec.align == '\0') {
        spec.fill = "0";
        spec.align = '=';
        ++i;
    }
    spec.width = read_number(s, i);
    if (i < s.size() && s[i] == ',') spec.comma = true, ++i;
    if (i < s.size() && s[i] == '.') spec.precision = read_number(s, ++i);
    if (i < s.size()) spec.type = s[i++];
    if (i != s.size() || (spec.type && std::string_view("sdfFeEgGxXob%").find(spec.type) == std::string_view::npos)) fail("the format \"" + s + "\" is not supported", ErrorKind::unsupported);
    return spec;
}

std::string number_text(const Value& v, const Spec& spec) {
    std::string digits;
    const bool whole = !v.is_real() && (spec.type == '\0' || spec.type == 'd' || spec.type == 'x' || spec.type == 'X' || spec.type == 'o' || spec.type == 'b');
    bool negative;
    char text[400];
    if (whole) {
        negative = v.integer() < 0;
        uint64_t n = negative ? 0 - static_cast<uint64_t>(v.integer()) : static_cast<uint64_t>(v.integer());
        const uint64_t base = spec.type == 'x' || spec.type == 'X' ? 16 : spec.type == 'o' ? 8 : spec.type == 'b' ? 2 : 10;
        const char* const digit = spec.type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
        do digits += digit[n % base];
        while (n /= base);
        std::reverse(digits.begin(), digits.end());
    } else {
        if (spec.type == 'd' || spec.type == 'x' || spec.type == 'X' || spec.type == 'o' || spec.type == 'b') fail("a float cannot be formatted as a whole number");
        const double d = v.number() * (spec.type == '%' ? 100 : 1);
        negative = std::signbit(d);
        const int precision = static_cast<int>(std::min<int64_t>(spec.precision < 0 ? 6 : spec.precision, 60));
        if (spec.type == '\0' && spec.precision < 0) {
            digits = real_repr(std::fabs(d));
        } else {
            const bool capitals = spec.type == 'F' || spec.type == 'E' || spec.type == 'G';
            const char type = spec.type == '%' ? 'f' : spec.type == '\0' ? 'g' : capitals ? static_cast<char>(spec.type - 'A' + 'a') : spec.type;
            const auto style = type == 'f' ? std::chars_format::fixed : type == 'e' ? std::chars_format::scientific : std::chars_format::general;
            digits.assign(text, std::to_chars(text, text + sizeof text, std::fabs(d), style, precision).ptr);  // not printf: the host's locale has no say here
            if (capitals) std::transform(digits.begin(), digits.end(), digits.begin(), ascii_upper);
        }
        if (spec.type == '%') digits += '%';
    }
    if (spec.comma) {
        size_t end = digits.find_first_not_of("0123456789");
        if (end == std::string::npos) end = digits.size();
        for (size_t i = end; i > 3; i -= 3) digits.insert(i - 3, ",");
    }
    const std::string sign = negative ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
    if (spec.align == '=' && length(digits) + sign.size() < static_cast<size_t>(spec.width)) {
        std::string fill;
        for (size_t n = length(digits) + sign.size(); n < static_cast<size_t>(spec.width); ++n) fill += spec.fill;
        return sign + fill + digits;
    }
    return sign + digits;
}

std::string format_one(const Value& v, const Spec& spec) {
    std::string text;
    char align = spec.align;
    if (v.is_number() && spec.type != 's' && !(v.is_boolean() && spec.type == '\0')) {
        text = number_text(v, spec);
        if (align == '\0' || align == '=') align = '>';
    } else {
        if (spec.type && spec.type != 's') fail(std::string("the format '") + spec.type + "' does not fit " + v.type_name());
        text = v.str();
        if (spec.precision >= 0) {
            const auto chars = characters(text);
            if (chars.size() > static_cast<size_t>(spec.precision)) text = text.substr(0, static_cast<size_t>(chars[static_cast<size_t>(spec.precision)].data() - text.data()));
        }
        if (align == '\0' || align == '=') align = '<';
    }
    const size_t have = length(text), want = static_cast<size_t>(spec.width);
    if (have >= want) return text;
    const size_t left = align == '<' ? 0 : align == '>' ? want - have : (want - have) / 2;
    std::string out;
    for (size_t i = 0; i < left; ++i) out += spec.fill;
    out += text;
    for (size_t i = left; i < want - have; ++i) out += spec.fill;
    return out;
}

}  // namespace

std::string to_json(const Value& v, const Arguments& args) {
    JsonStyle style;
    style.ascii = args.flag(0, "ensure_ascii", false);
    if (const Value* indent = args.find(1, "indent"); indent && !indent->is_none()) {
        style.pretty = true;
        style.item_separator = ",";
        if (indent->is_string()) style.indent = indent->string();
        else style.indent = std::string(static_cast<size_t>(std::clamp<int64_t>(to_int(*indent, "tojson: indent"), 0, 100)), ' ');
    }
    if (const Value* separators = args.find(2, "separators"); separators && !separators->is_none()) {
        if (!separators->is_list() || separators->list().size() != 2 || !separators->list()[0].is_string() || !separators->list()[1].is_string()) fail("tojson: separators are not two strings");
        style.item_separator = separators->list()[0].string();
        style.key_separator = separators->list()[1].string();
    }
    style.sort = args.flag(3, "sort_keys", false);
    std::string out;
    json_value(v, style, 0, out);
    return out;
}

std::string format_percent(const std::string& format, const Value& values) {
    std::string out;
    size_t next = 0;
    const auto argument = [&]() -> Value {
        if (values.is_tuple()) {
            if (next >= values.list().size()) fail("not enough arguments for a format string");
            return values.list()[next++];
        }
        if (next++ > 0) fail("not enough arguments for a format string");
        return values;
    };
    for (size_t i = 0; i < format.size();) {
        if (format[i] != '%') {
            out += format[i++];
            continue;
        }
        ++i;
        Spec spec;
        Value v = Value::none();
        bool have = false;
        if (i < format.size() && format[i] == '(') {
            const size_t close = format.find(')', i);
            if (close == std::string::npos || !values.is_dict()) fail("a format string's %(name) needs a dict");
            const Value* found = values.dict().find(std::string_view(format).substr(i + 1, close - i - 1));
            if (!found) fail("a format string names the missing key " + format.substr(i + 1, close - i - 1));
            v = *found;
            have = true;
            i = close + 1;
        }
        for (; i < format.size() && std::string_view("-+ 0#").find(format[i]) != std::string_view::npos; ++i) {
            if (format[i] == '-') spec.align = '<';
            else if (format[i] == '0' && spec.align == '\0') spec.fill = "0", spec.align = '=';
            else if (format[i] == '+' || format[i] == ' ') spec.sign = format[i];
        }
        spec.width = read_number(format, i);
        if (i < format.size() && format[i] == '.') spec.precision = read_number(format, ++i);
        if (i >= format.size()) fail("a format string ends in the middle");
        const char type = format[i++];
        if (type == '%') {
            out += '%';
            continue;
        }
        if (!have) v = argument();
        if (type == 's' || type == 'r') {
            spec.type = 's';
            if (spec.align == '\0' || spec.align == '=') spec.align = '>', spec.fill = " ";
            out += format_one(Value::string(type == 's' ? v.str() : v.repr()), spec);
        } else if (type == 'd' || type == 'i' || type == 'u') {
            if (!v.is_number()) fail(std::string("%d of ") + v.type_name());
            spec.type = 'd';
            spec.precision = -1;
            out += format_one(v.is_real() ? Value::integer(static_cast<int64_t>(std::clamp(v.number(), -9.2e18, 9.2e18))) : v, spec);
        } else if (std::string_view("fFeEgGxXo").find(type) != std::string_view::npos) {
            if (!v.is_number()) fail(std::string("%") + type + " of " + v.type_name());
            spec.type = type;
            if (spec.precision < 0 && std::string_view("fFeEgG").find(type) != std::string_view::npos) spec.precision = 6;
            out += format_one(v, spec);
        } else {
            fail(std::string("the format %") + type + " is not supported", ErrorKind::unsupported);
        }
    }
    if (values.is_tuple() && next < values.list().size()) fail("not all arguments were used by a format string");
    return out;
}

std::string format_braces(const std::string& format, const Arguments& args) {
    std::string out;
    size_t next = 0;
    bool numbered = false;
    for (size_t i = 0; i < format.size(); ++i) {
        const char c = format[i];
        if ((c == '{' || c == '}') && i + 1 < format.size() && format[i + 1] == c) {
            out += c;
            ++i;
            continue;
        }
        if (c == '}') fail("a single '}' in a format string");
        if (c != '{') {
            out += c;
            continue;
        }
        const size_t close = format.find('}', i);
        if (close == std::string::npos) fail("a single '{' in a format string");
        std::string field = format.substr(i + 1, close - i - 1), spec;
        if (const size_t colon = field.find(':'); colon != std::string::npos) {
            spec = field.substr(colon + 1);
            field.resize(colon);
        }
        bool repr = false;
        if (field.ends_with("!r") || field.ends_with("!s")) {
            repr = field.back() == 'r';
            field.resize(field.size() - 2);
        }
        const Value* v = nullptr;
        const bool is_number = field.find_first_not_of("0123456789") == std::string::npos && field.size() < 6;
        if ((field.empty() && numbered) || (!field.empty() && is_number && next > 0)) fail("a format string mixes {} and {0}");
        if (field.empty()) {
            v = args.find(next++, "");
        } else if (is_number) {
            numbered = true;
            v = args.find(std::stoul(field), "");
        } else {
            v = args.find(SIZE_MAX, field);
        }
        if (!v) fail("a format string's {" + field + "} has no argument");
        out += repr ? v->repr() : format_one(*v, read_spec(spec));
        i = close;
    }
    return out;
}

}  // namespace orrery::text::jinja
