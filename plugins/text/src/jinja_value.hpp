// The values of a template: Python's, as far as chat templates see them. All are immutable but namespaces.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "text.hpp"

namespace orrery::text::jinja {

constexpr size_t kMaxText = 16u << 20;  // of any one string

[[noreturn]] void fail(const std::string& why, ErrorKind kind = ErrorKind::invalid_data);

class Value;
class Interpreter;
struct Macro;
struct Namespace;

using List = std::vector<Value>;

struct Dict {
    std::vector<std::pair<Value, Value>> items;  // in insertion order
    const Value* find(const Value& key) const;
    const Value* find(std::string_view key) const;
    void set(Value key, Value value);

  private:
    std::unordered_map<std::string, size_t> index_;  // of the string keys
};

// Something that can be called. bound: the object of a method; builtin: a global by name.
struct Callable {
    enum class Kind { method, builtin, macro, caller, loop_method } kind;
    std::string name;
    std::shared_ptr<const Value> bound;
    const Macro* macro = nullptr;
};

struct Node;
struct Scope;

// The `loop` of a for.
struct Loop {
    std::shared_ptr<const List> items;
    const Node* recursive = nullptr;  // the for that a call of the loop runs again
    Scope* scope = nullptr;           // around that for
    uint32_t depth0 = 0;              // how many such calls it is inside
    size_t at = 0;
    std::string last_changed;  // the arguments of loop.changed(), written out
    bool has_changed = false;
};

struct Undefined {
    std::string name;
};
struct None {};

class Value {
  public:
    Value() : v_(Undefined{}) {}
    static Value undefined(std::string name) { return Value(Data(Undefined{std::move(name)})); }
    static Value none() { return Value(Data(None{})); }
    static Value boolean(bool b) { return Value(Data(b)); }
    static Value integer(int64_t i) { return Value(Data(i)); }
    static Value real(double d) { return Value(Data(d)); }
    static Value string(std::string s) { return Value(Data(std::make_shared<const std::string>(std::move(s)))); }
    static Value list(List l);
    static Value tuple(List l) {
        Value v = list(std::move(l));
        v.tuple_ = true;
        return v;
    }
    // A tuple whose members have names too: what groupby makes.
    static Value group(Value grouper, Value members) {
        Value v = tuple({std::move(grouper), std::move(members)});
        v.group_ = true;
        return v;
    }
    static Value dict(Dict d);
    static Value callable(Callable c);
    static Value name_space(Namespace* n) { return Value(Data(n)); }
    static Value loop(std::shared_ptr<Loop> l);

    bool is_undefined() const { return std::holds_alternative<Undefined>(v_); }
    bool is_none() const { return std::holds_alternative<None>(v_); }
    bool is_boolean() const { return std::holds_alternative<bool>(v_); }
    bool is_integer() const { return std::holds_alternative<int64_t>(v_); }
    bool is_real() const { return std::holds_alternative<double>(v_); }
    bool is_number() const { return is_boolean() || is_integer() || is_real(); }
    bool is_string() const { return std::holds_alternative<std::shared_ptr<const std::string>>(v_); }
    bool is_list() const { return std::holds_alternative<std::shared_ptr<const List>>(v_); }
    bool is_tuple() const { return is_list() && tuple_; }
    bool is_group() const { return is_list() && group_; }
    bool is_dict() const { return std::holds_alternative<std::shared_ptr<const Dict>>(v_); }
    bool is_callable() const { return std::holds_alternative<std::shared_ptr<const Callable>>(v_); }
    bool is_namespace() const { return std::holds_alternative<Namespace*>(v_); }
    bool is_loop() const { return std::holds_alternative<std::shared_ptr<Loop>>(v_); }

    const std::string& undefined_name() const { return std::get<Undefined>(v_).name; }
    bool boolean() const { return std::get<bool>(v_); }
    int64_t integer() const { return is_boolean() ? boolean() : std::get<int64_t>(v_); }  // of booleans too
    double number() const { return is_real() ? std::get<double>(v_) : static_cast<double>(integer()); }
    const std::string& string() const { return *std::get<std::shared_ptr<const std::string>>(v_); }
    const List& list() const { return *std::get<std::shared_ptr<const List>>(v_); }
    std::shared_ptr<const List> shared_list() const { return std::get<std::shared_ptr<const List>>(v_); }
    const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(v_); }
    const Callable& callable() const { return *std::get<std::shared_ptr<const Callable>>(v_); }
    Namespace& name_space() const { return *std::get<Namespace*>(v_); }
    Loop& loop() const { return *std::get<std::shared_ptr<Loop>>(v_); }

    bool truthy() const;
    const char* type_name() const;  // Python's
    std::string str() const;        // Python's str()
    std::string repr() const;
    bool equals(const Value& other) const;
    // Python's ordering; fails where the types have none.
    bool less(const Value& other) const;
    bool same_object(const Value& other) const;
    uint32_t weight() const { return weight_; }

  private:
    using Data = std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>, std::shared_ptr<const List>, std::shared_ptr<const Dict>,
                              std::shared_ptr<const Callable>, Namespace*, std::shared_ptr<Loop>>;
    explicit Value(Data v) : v_(std::move(v)) {}
    void nest(const Value& inside);  // counts it in; fails past the limits
    static constexpr uint32_t kMaxDepth = 200, kMaxWeight = 1u << 24;
    void append_repr(std::string& out, int depth) const;
    bool equals(const Value& other, int depth) const;
    Data v_;
    bool tuple_ = false, group_ = false;
    // How deep and how much is nested in it, so that nothing that walks through it runs without bound.
    uint32_t depth_ = 0, weight_ = 1;
};

struct Namespace {
    std::vector<std::pair<std::string, Value>> items;
    Value* find(std::string_view name) {
        for (auto& [key, value] : items)
            if (key == name) return &value;
        return nullptr;
    }
};

// Positional and named arguments of a call.
struct Arguments {
    List positional;
    std::vector<std::pair<std::string, Value>> named;

    // The argument at `index` or called `name`, or nullptr.
    const Value* find(size_t index, std::string_view name) const;
    Value get(size_t index, std::string_view name, Value otherwise) const;
    bool flag(size_t index, std::string_view name, bool otherwise) const;
    int64_t integer(size_t index, std::string_view name, int64_t otherwise) const;
};

using Json = nlohmann::ordered_json;
Value from_json(const Json& json, int depth = 0);

std::string real_repr(double d);  // Python's repr of a float
std::string string_repr(std::string_view s);
// The characters of s, each a string.
std::vector<std::string_view> characters(std::string_view s);
// What a for goes through: list, dict (its keys), string (its characters), undefined (nothing).
List iterate(const Value& v);
// Python's int() of a number.
int64_t to_int(const Value& v, const char* what);

std::string to_json(const Value& v, const Arguments& args);  // transformers' tojson
std::string format_percent(const std::string& format, const Value& values);   // "..." % values
std::string format_braces(const std::string& format, const Arguments& args);  // "...".format(...)

}  // namespace orrery::text::jinja
