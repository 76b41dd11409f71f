#include "jinja_value.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "unicode.hpp"

namespace orrery::text::jinja {

const Value* Dict::find(std::string_view key) const {
    const auto at = index_.find(std::string(key));
    return at == index_.end() ? nullptr : &items[at->second].second;
}

const Value* Dict::find(const Value& key) const {
    if (key.is_string()) return find(std::string_view(key.string()));
    for (const auto& [k, v] : items)
        if (!k.is_string() && k.equals(key)) return &v;
    return nullptr;
}

void Dict::set(Value key, Value value) {
    if (key.is_string()) {
        const auto [at, is_new] = index_.emplace(key.string(), items.size());
        if (!is_new) {
            items[at->second].second = std::move(value);
            return;
        }
    } else {
        if (key.is_list() && !key.is_tuple()) fail("a list cannot be the key of a dict");
        if (key.is_dict()) fail("a dict cannot be the key of a dict");
        for (auto& [k, v] : items)
            if (!k.is_string() && k.equals(key)) {
                v = std::move(value);
                return;
            }
    }
    items.emplace_back(std::move(key), std::move(value));
}

void Value::nest(const Value& inside) {
    depth_ = std::max(depth_, inside.depth_ + 1);
    weight_ += inside.weight_;
    if (depth_ > kMaxDepth) fail("values nested deeper than 200", ErrorKind::limit);
    if (weight_ > kMaxWeight) fail("a value with more than 16777216 others in it", ErrorKind::limit);
}

Value Value::list(List l) {
    auto shared = std::make_shared<const List>(std::move(l));
    Value out{Data(shared)};
    for (const Value& v : *shared) out.nest(v);
    return out;
}

Value Value::dict(Dict d) {
    auto shared = std::make_shared<const Dict>(std::move(d));
    Value out{Data(shared)};
    for (const auto& [k, v] : shared->items) {
        out.nest(k);
        out.nest(v);
    }
    return out;
}

Value Value::callable(Callable c) {
    auto shared = std::make_shared<const Callable>(std::move(c));
    Value out{Data(shared)};
    if (shared->bound) out.nest(*shared->bound);
    return out;
}

Value Value::loop(std::shared_ptr<Loop> l) {
    const auto items = l->items;
    Value out{Data(std::move(l))};
    for (const Value& v : *items) out.nest(v);
    return out;
}

bool Value::truthy() const {
    if (is_undefined() || is_none()) return false;
    if (is_boolean()) return boolean();
    if (is_integer()) return integer() != 0;
    if (is_real()) return number() != 0;
    if (is_string()) return !string().empty();
    if (is_list()) return !list().empty();
    if (is_dict()) return !dict().items.empty();
    return true;
}

const char* Value::type_name() const {
    if (is_undefined()) return "Undefined";
    if (is_none()) return "NoneType";
    if (is_boolean()) return "bool";
    if (is_integer()) return "int";
    if (is_real()) return "float";
    if (is_string()) return "str";
    if (is_tuple()) return "tuple";
    if (is_list()) return "list";
    if (is_dict()) return "dict";
    if (is_namespace()) return "Namespace";
    if (is_loop()) return "LoopContext";
    return "function";
}

std::string real_repr(double d) {
    if (std::isnan(d)) return "nan";
    if (std::isinf(d)) return d > 0 ? "inf" : "-inf";
    char text[64];
    const auto end = std::to_chars(text, text + sizeof text, d, std::chars_format::scientific).ptr;
    std::string s(text, end);
    const size_t e = s.find('e');
    const int exponent = std::atoi(s.c_str() + e + 1);
    const bool negative = s[0] == '-';
    std::string digits = s.substr(negative, e - negative);
    std::erase(digits, '.');
    std::string out = negative ? "-" : "";
    if (exponent < -4 || exponent >= 16) {  // as Python's repr
        out += digits[0];
        if (digits.size() > 1) out += "." + digits.substr(1);
        std::snprintf(text, sizeof text, "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
        return out + text;
    }
    if (exponent < 0) return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
    const auto whole = static_cast<size_t>(exponent) + 1;
    if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
    return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string string_repr(std::string_view s) {
    const char quote = s.find('\'') != std::string_view::npos && s.find('"') == std::string_view::npos ? '"' : '\'';
    std::string out(1, quote);
    const char *p = s.data(), *end = p + s.size();
    char text[16];
    while (p < end) {
        const char* start = p;
        const char32_t c = utf8_next(p);
        if (c == '\\' || c == static_cast<char32_t>(quote)) {
            out += '\\';
            out += static_cast<char>(c);
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\r') {
            out += "\\r";
        } else if (c == '\t') {
            out += "\\t";
        } else if (c < 0x20 || c == 0x7F || (c >= 0x80 && c <= 0xA0) || c == 0xAD) {
            std::snprintf(text, sizeof text, "\\x%02x", static_cast<unsigned>(c));
            out += text;
        } else if (c > 0xA0 && ((is_white_space(c) && c != ' ') || is_other(c))) {
            std::snprintf(text, sizeof text, c > 0xFFFF ? "\\U%08x" : "\\u%04x", static_cast<unsigned>(c));
            out += text;
        } else {
            out.append(start, p);
        }
    }
    return out + quote;
}

void Value::append_repr(std::string& out, int depth) const {
    if (is_string()) {
        out += string_repr(string());
    } else if (is_list()) {
        out += is_tuple() ? '(' : '[';
        for (size_t i = 0; i < list().size(); ++i) {
            if (i) out += ", ";
            list()[i].append_repr(out, depth + 1);
        }
        if (is_tuple() && list().size() == 1) out += ',';
        out += is_tuple() ? ')' : ']';
    } else if (is_dict()) {
        out += '{';
        bool first = true;
        for (const auto& [k, v] : dict().items) {
            if (!first) out += ", ";
            first = false;
            k.append_repr(out, depth + 1);
            out += ": ";
            v.append_repr(out, depth + 1);
        }
        out += '}';
    } else if (is_undefined()) {
        out += "Undefined";
    } else {
        out += str();
    }
    if (out.size() > (kMaxText)) fail("a value's text is longer than 16 MiB", ErrorKind::limit);
}

std::string Value::repr() const {
    std::string out;
    append_repr(out, 0);
    return out;
}

std::string Value::str() const {
    if (is_undefined()) return {};
    if (is_none()) return "None";
    if (is_boolean()) return boolean() ? "True" : "False";
    if (is_integer()) return std::to_string(integer());
    if (is_real()) return real_repr(number());
    if (is_string()) return string();
    if (is_namespace()) return "<Namespace>";
    if (is_loop()) return "<LoopContext " + std::to_string(loop().at + 1) + "/" + std::to_string(loop().items->size()) + ">";
    if (is_callable()) return "<function " + callable().name + ">";
    return repr();
}

bool Value::equals(const Value& other) const {
    if (is_number() && other.is_number()) {
        if (!is_real() && !other.is_real()) return integer() == other.integer();
        return number() == other.number();
    }
    if (is_string() && other.is_string()) return string() == other.string();
    if (is_list() && other.is_list()) return tuple_ == other.tuple_ && std::equal(list().begin(), list().end(), other.list().begin(), other.list().end(), [](const Value& a, const Value& b) { return a.equals(b); });
    if (is_dict() && other.is_dict()) {
        if (dict().items.size() != other.dict().items.size()) return false;
        for (const auto& [k, v] : dict().items) {
            const Value* found = other.dict().find(k);
            if (!found || !v.equals(*found)) return false;
        }
        return true;
    }
    if (is_undefined() || is_none()) return v_.index() == other.v_.index();
    return same_object(other);
}

bool Value::same_object(const Value& other) const {
    if (v_.index() != other.v_.index()) return false;
    if (is_string()) return string() == other.string();
    if (is_list()) return &list() == &other.list();
    if (is_dict()) return &dict() == &other.dict();
    if (is_namespace()) return &name_space() == &other.name_space();
    if (is_loop()) return &loop() == &other.loop();
    if (is_callable()) return &callable() == &other.callable();
    if (is_undefined() || is_none()) return true;
    return number() == other.number();
}

bool Value::less(const Value& other) const {
    if (is_number() && other.is_number()) {
        if (!is_real() && !other.is_real()) return integer() < other.integer();
        return number() < other.number();
    }
    if (is_string() && other.is_string()) return string() < other.string();  // UTF-8 keeps the order of code points
    if (is_list() && other.is_list() && tuple_ == other.tuple_) {
        const List &a = list(), &b = other.list();
        for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
            if (!a[i].equals(b[i])) return a[i].less(b[i]);
        return a.size() < b.size();
    }
    fail(std::string("'<' between ") + type_name() + " and " + other.type_name());
}

const Value* Arguments::find(size_t index, std::string_view name) const {
    if (index < positional.size()) return &positional[index];
    for (const auto& [key, value] : named)
        if (key == name) return &value;
    return nullptr;
}

Value Arguments::get(size_t index, std::string_view name, Value otherwise) const {
    const Value* v = find(index, name);
    return v ? *v : otherwise;
}

bool Arguments::flag(size_t index, std::string_view name, bool otherwise) const {
    const Value* v = find(index, name);
    return v ? v->truthy() : otherwise;
}

int64_t Arguments::integer(size_t index, std::string_view name, int64_t otherwise) const {
    const Value* v = find(index, name);
    if (!v || v->is_none()) return otherwise;
    return to_int(*v, std::string(name).c_str());
}

int64_t to_int(const Value& v, const char* what) {
    if (v.is_integer() || v.is_boolean()) return v.integer();
    fail(std::string(what) + " is " + v.type_name() + ", not int");
}

Value from_json(const Json& json, int depth) {
    if (depth > 100) fail("the variables are nested deeper than 100", ErrorKind::limit);
    switch (json.type()) {
        case Json::value_t::boolean: return Value::boolean(json.get<bool>());
        case Json::value_t::number_integer: return Value::integer(json.get<int64_t>());
        case Json::value_t::number_unsigned:
            if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return Value::real(json.get<double>());
            return Value::integer(static_cast<int64_t>(json.get<uint64_t>()));
        case Json::value_t::number_float: return Value::real(json.get<double>());
        case Json::value_t::string: return Value::string(json.get<std::string>());
        case Json::value_t::array: {
            List list;
            list.reserve(json.size());
            for (const Json& item : json) list.push_back(from_json(item, depth + 1));
            return Value::list(std::move(list));
        }
        case Json::value_t::object: {
            Dict dict;
            for (const auto& item : json.items()) dict.set(Value::string(item.key()), from_json(item.value(), depth + 1));
            return Value::dict(std::move(dict));
        }
        default: return Value::none();
    }
}

std::vector<std::string_view> characters(std::string_view s) {
    std::vector<std::string_view> out;
    const char *p = s.data(), *end = p + s.size();
    while (p < end) {
        const char* start = p;
        utf8_next(p);
        out.emplace_back(start, static_cast<size_t>(p - start));
    }
    return out;
}

List iterate(const Value& v) {
    List out;
    if (v.is_undefined()) return out;
    if (v.is_list()) return v.list();
    if (v.is_dict()) {
        for (const auto& item : v.dict().items) out.push_back(item.first);
        return out;
    }
    if (v.is_string()) {
        if (v.string().size() > (1u << 20)) fail("going through a string longer than 1 MiB", ErrorKind::limit);
        for (const auto c : characters(v.string())) out.push_back(Value::string(std::string(c)));
        return out;
    }
    fail(std::string("'") + v.type_name() + "' cannot be iterated");
}

}  // namespace orrery::text::jinja
