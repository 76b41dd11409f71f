#include "json.hpp"

namespace orrery::text {

JsonView::JsonView(const Json& value, std::string where) : value_(value), where_(std::move(where)) {
    if (!value.is_object()) fail(std::string("is ") + value.type_name() + ", not an object");
}

void JsonView::fail(const std::string& why, ErrorKind kind) const { throw TextError(kind, where_ + ": " + why); }

bool JsonView::has(const char* key) const {
    const auto at = value_.find(key);
    return at != value_.end() && !at->is_null();
}

const Json& JsonView::at(const char* key) const {
    const auto at = value_.find(key);
    if (at == value_.end() || at->is_null()) fail(std::string("has no \"") + key + "\"");
    return *at;
}

std::string JsonView::text(const char* key) const {
    const Json& v = at(key);
    if (!v.is_string()) fail(std::string("\"") + key + "\" is " + v.type_name() + ", not a string");
    return v.get<std::string>();
}

std::string JsonView::text_or(const char* key, std::string_view otherwise) const { return has(key) ? text(key) : std::string(otherwise); }

bool JsonView::flag(const char* key) const {
    const Json& v = at(key);
    if (!v.is_boolean()) fail(std::string("\"") + key + "\" is " + v.type_name() + ", not true or false");
    return v.get<bool>();
}

bool JsonView::flag_or(const char* key, bool otherwise) const { return has(key) ? flag(key) : otherwise; }

uint64_t JsonView::count(const char* key) const {
    const Json& v = at(key);
    if (!v.is_number_unsigned()) fail(std::string("\"") + key + "\" is not a whole number of 0 or more");
    return v.get<uint64_t>();
}

const Json& JsonView::list(const char* key) const {
    const Json& v = at(key);
    if (!v.is_array()) fail(std::string("\"") + key + "\" is " + v.type_name() + ", not a list");
    return v;
}

Json parse_json(std::string_view text, const char* what) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    try {
        return Json::parse(text.begin(), text.end());
    } catch (const Json::parse_error& e) {
        throw TextError(ErrorKind::invalid_data, std::string(what) + ": not valid JSON at byte " + std::to_string(e.byte) + " of " + std::to_string(text.size()));
    } catch (const Json::exception&) {
        throw TextError(ErrorKind::invalid_data, std::string(what) + ": a number is out of range");
    }
}

uint32_t token_id(const Json& value, const std::string& where) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() >= 0xFFFFFFF0u) throw TextError(ErrorKind::invalid_data, where + ": a token id is not a whole number below 2^32");
    return static_cast<uint32_t>(value.get<uint64_t>());
}

}  // namespace orrery::text
