// Attribute values of one node, checked against the operator's declaration, defaults filled in.
#pragma once
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "orrery/plugin.h"

namespace orrery {

class NodeAttrs {
  public:
    // Throws Error naming operator, attribute and value.
    NodeAttrs(const orr_operator& op, const std::string& json);
    NodeAttrs(const NodeAttrs& o) : NodeAttrs() { values_ = o.values_, text_ = o.text_; }
    NodeAttrs& operator=(const NodeAttrs& o) { return values_ = o.values_, text_ = o.text_, *this; }
    const orr_attrs* table() const { return &table_.base; }
    // Values that differ from their defaults, as a JSON object.
    const std::string& text() const { return text_; }

  private:
    NodeAttrs();
    struct Value {
        int64_t i = 0;
        double f = 0;
        std::string s;
        std::vector<int64_t> ints;
        std::vector<double> floats;
    };
    static Value convert(const orr_operator& op, const orr_attr_desc& desc, const nlohmann::json& j);
    static const Value* find(const orr_attrs* a, const char* name);
    struct Table {
        orr_attrs base;
        const NodeAttrs* self;
    } table_;
    std::map<std::string, Value, std::less<>> values_;
    std::string text_;
};

}  // namespace orrery
