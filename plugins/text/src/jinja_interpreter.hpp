// Runs a parsed template.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "jinja_ast.hpp"

namespace orrery::text::jinja {

struct Scope {
    Scope* parent = nullptr;
    std::vector<std::pair<std::string, Value>> variables;
    bool kept = false;  // a macro or a recursive loop was defined in it, which may outlive it
    Value* find(std::string_view name);
    void set(std::string_view name, Value value);
};

struct Macro {
    const Node* node;
    Scope* scope;  // where it was defined
};

class Interpreter {
  public:
    Interpreter(const Value& variables, int64_t now_unix_s);
    std::string run(const Nodes& program);

    // For filters and methods.
    Value filter(const std::string& name, const Value& v, const Arguments& args);
    bool test(const std::string& name, const Value& v, const Arguments& args);
    Value attribute(const Value& object, const std::string& name);  // object.name
    Value item(const Value& object, const Value& key);              // object[key]
    Value call(const Value& callee, const Arguments& args);
    Value binary(const std::string& op, const Value& a, const Value& b);
    bool contains(const Value& container, const Value& v);
    // Counts work towards the limit; text by its bytes.
    void charge(uint64_t units);
    void charge_text(uint64_t bytes) { charge(bytes / 8 + 1); }
    void charge_search(uint64_t bytes, uint64_t needle) { charge(bytes / 8 + bytes * needle / 512 + 1); }
    Value list(List l);  // counts its members

  private:
    enum class Flow { normal, break_loop, continue_loop };
    struct Deeper;
    struct NewScope;

    [[noreturn]] void error(const std::string& why, ErrorKind kind = ErrorKind::invalid_data) const;
    void write(std::string_view text);
    Flow run_block(const Nodes& nodes);
    Flow run_node(const Node& node);
    // depth0: how many calls of its loop this one is inside.
    Flow run_for(const Node& node, const Value& iterated, uint32_t depth0);
    void run_set(const Node& node);
    void run_call_block(const Node& node);
    std::string capture(const Nodes& nodes);  // in a scope of its own
    std::string capture(const Nodes& nodes, Scope& scope);
    template <class Body>
    std::string captured(Scope& scope, Body body);  // what body writes
    void keep_scopes();                             // those that something outliving their blocks needs
    void assign(const Node& target, const Value& value);
    Value eval(const Node& node);
    Value eval_slice(const Node& node);
    Value eval_compare(const Node& node);
    Value eval_call(const Node& node);
    Value lookup(const std::string& name);
    Arguments arguments(const Node& node, size_t first);
    Value apply_filter_chain(const Node& node, const Value& block);
    Value call_macro(const Macro& macro, const Arguments& args);
    Value call_builtin(const std::string& name, const Arguments& args);
    Value call_method(const Callable& method, const Arguments& args);
    Value call_loop(const Loop& loop, const Arguments& args);
    Value power(const Value& a, const Value& b);

    template <class Body>
    auto in_scope(Scope& scope, Body body);

    Scope root_;
    Scope* scope_ = &root_;
    std::deque<Scope> kept_;
    std::deque<Namespace> namespaces_;
    std::deque<Macro> macros_;
    std::string* out_ = nullptr;
    const Value* block_ = nullptr;  // the text that a filter chain starts from
    uint64_t units_ = 0;
    uint32_t depth_ = 0, line_ = 0;
    int64_t now_unix_s_;
};

// Methods of strings, lists and dicts; found tells whether there is one of that name.
bool has_method(const Value& object, const std::string& name);
Value call_value_method(Interpreter& in, const Value& object, const std::string& name, const Arguments& args);

}  // namespace orrery::text::jinja
