#include "engine/graph/attrs.hpp"

#include <nlohmann/json.hpp>

#include "engine/registry/attr_range.hpp"
#include "engine/registry/json_text.hpp"
#include "orrery/plugin.hpp"

namespace orrery {

using Json = nlohmann::json;

NodeAttrs::NodeAttrs() {
    table_.self = this;
    table_.base = {ORR_HEADER(orr_attrs),
                   [](const orr_attrs* a, const char* n) -> int64_t { return find(a, n) ? find(a, n)->i : 0; },
                   [](const orr_attrs* a, const char* n) -> double { return find(a, n) ? find(a, n)->f : 0; },
                   [](const orr_attrs* a, const char* n) -> const char* { return find(a, n) ? find(a, n)->s.c_str() : ""; },
                   [](const orr_attrs* a, const char* n, const int64_t** values) -> size_t {
                       const Value* v = find(a, n);
                       *values = v ? v->ints.data() : nullptr;
                       return v ? v->ints.size() : 0;
                   },
                   [](const orr_attrs* a, const char* n, const double** values) -> size_t {
                       const Value* v = find(a, n);
                       *values = v ? v->floats.data() : nullptr;
                       return v ? v->floats.size() : 0;
                   }};
}

const NodeAttrs::Value* NodeAttrs::find(const orr_attrs* a, const char* name) {
    const auto& values = reinterpret_cast<const Table*>(a)->self->values_;
    const auto it = values.find(std::string_view(name));
    return it == values.end() ? nullptr : &it->second;
}

NodeAttrs::Value NodeAttrs::convert(const orr_operator& op, const orr_attr_desc& desc, const Json& j) {
    const auto wrong = [&](const char* kind) {
        return Error(ORR_INVALID_ARGUMENT, std::string(op.id) + ": attribute " + desc.name + " is " + json_text(j) + ", wanted " + kind);
    };
    Value v;
    switch (desc.kind) {
        case ORR_ATTR_BOOL:
            if (j.is_boolean())
                v.i = j.get<bool>();
            else if (j.is_number_integer())
                v.i = j.get<int64_t>() != 0;
            else
                throw wrong("true or false");
            break;
        case ORR_ATTR_INT:
            if (!j.is_number_integer()) throw wrong("an integer");
            v.i = j.get<int64_t>();
            v.f = static_cast<double>(v.i);
            break;
        case ORR_ATTR_FLOAT:
            if (!j.is_number()) throw wrong("a number");
            v.f = j.get<double>();
            break;
        case ORR_ATTR_STRING:
            if (!j.is_string()) throw wrong("a string");
            v.s = j.get<std::string>();
            break;
        case ORR_ATTR_INTS:
            if (!j.is_array()) throw wrong("a list of integers");
            for (const auto& e : j) {
                if (!e.is_number_integer()) throw wrong("a list of integers");
                v.ints.push_back(e.get<int64_t>());
            }
            break;
        case ORR_ATTR_FLOATS:
            if (!j.is_array()) throw wrong("a list of numbers");
            for (const auto& e : j) {
                if (!e.is_number()) throw wrong("a list of numbers");
                v.floats.push_back(e.get<double>());
            }
            break;
        default: throw Error(ORR_INTERNAL, std::string(op.id) + ": attribute " + desc.name + " has unknown kind " + std::to_string(desc.kind));
    }
    if (const std::string why = AttrRange(desc).refusal(j); !why.empty()) throw Error(ORR_INVALID_ARGUMENT, std::string(op.id) + ": attribute " + desc.name + " " + why);
    return v;
}

NodeAttrs::NodeAttrs(const orr_operator& op, const std::string& text) : NodeAttrs() {
    const Json given = text.empty() ? Json::object() : parse_json(text);
    if (!given.is_object()) throw Error(ORR_INVALID_ARGUMENT, std::string(op.id) + ": attributes are not a JSON object: " + text);
    Json kept = Json::object();
    for (uint32_t i = 0; i < op.n_attrs; i++) {
        const orr_attr_desc& desc = *op.attrs[i];
        const Json fallback = desc.default_json ? parse_json(desc.default_json) : Json(nullptr);
        if (desc.default_json && fallback.is_discarded())
            throw Error(ORR_INVALID_ARGUMENT, std::string(op.id) + ": default of attribute " + desc.name + " is not JSON: " + desc.default_json);
        const auto it = given.find(desc.name);
        if (it == given.end()) {
            if (!desc.default_json) throw Error(ORR_INVALID_ARGUMENT, std::string(op.id) + ": attribute " + desc.name + " is required");
            values_[desc.name] = convert(op, desc, fallback);
        } else {
            values_[desc.name] = convert(op, desc, *it);
            if (*it != fallback) kept[desc.name] = *it;
        }
    }
    for (const auto& [key, value] : given.items())
        if (!values_.count(key)) throw Error(ORR_INVALID_ARGUMENT, std::string(op.id) + " has no attribute " + key);
    text_ = json_text(kept);
}

}  // namespace orrery
