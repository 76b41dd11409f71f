#include "jinja_interpreter.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <optional>
#include <utility>

namespace orrery::text::jinja {
namespace {

constexpr uint64_t kMaxUnits = 40'000'000;

constexpr uint32_t kMaxCalls = 700;  // nested evaluations
constexpr int64_t kMaxRange = 100000;

}  // namespace

Value* Scope::find(std::string_view name) {
    for (auto& [key, value] : variables)
        if (key == name) return &value;
    return nullptr;
}

void Scope::set(std::string_view name, Value value) {
    if (Value* found = find(name)) *found = std::move(value);
    else variables.emplace_back(std::string(name), std::move(value));
}

struct Interpreter::Deeper {
    explicit Deeper(Interpreter& i) : in(i) {
        if (++in.depth_ > kMaxCalls) in.error("calls nested too deep", ErrorKind::limit);
    }
    ~Deeper() { --in.depth_; }
    Interpreter& in;
};

// A scope of its own for one block. It is given back unless it is kept.
struct Interpreter::NewScope {
    explicit NewScope(Interpreter& i, Scope* parent) : in(i) {
        in.charge(16);
        in.kept_.push_back({parent, {}, false});
        scope = &in.kept_.back();
    }
    ~NewScope() {
        if (&in.kept_.back() == scope && !scope->kept) in.kept_.pop_back();
    }
    Interpreter& in;
    Scope* scope;
};

template <class Body>
auto Interpreter::in_scope(Scope& scope, Body body) {
    struct Restore {
        Interpreter& in;
        Scope* before;
        ~Restore() { in.scope_ = before; }
    } restore{*this, scope_};
    scope_ = &scope;
    return body();
}

Interpreter::Interpreter(const Value& variables, int64_t now_unix_s) : now_unix_s_(now_unix_s) {
    for (const char* name : {"range", "dict", "namespace", "raise_exception", "strftime_now"}) root_.set(name, Value::callable({Callable::Kind::builtin, name, nullptr, nullptr}));
    for (const auto& [key, value] : variables.dict().items) root_.set(key.string(), value);
}

void Interpreter::error(const std::string& why, ErrorKind kind) const { fail("chat template, line " + std::to_string(line_) + ": " + why, kind); }

void Interpreter::charge(uint64_t units) {
    units_ += units;
    if (units_ > kMaxUnits) error("the template does too much work", ErrorKind::limit);
}

Value Interpreter::list(List l) {
    charge(l.size() * 4 + 1);
    return Value::list(std::move(l));
}

std::string Interpreter::run(const Nodes& program) {
    std::string out;
    out_ = &out;
    try {
        run_block(program);
    } catch (const TextError& e) {
        const std::string_view what = e.what();
        if (what.starts_with("chat template")) throw;
        throw TextError(e.kind(), "chat template, line " + std::to_string(line_) + ": " + std::string(what));
    }
    return out;
}

void Interpreter::write(std::string_view text) {
    charge_text(text.size());
    out_->append(text);
    if (out_->size() > kMaxText) error("the text is longer than 16 MiB", ErrorKind::limit);
}

Interpreter::Flow Interpreter::run_block(const Nodes& nodes) {
    for (const auto& node : nodes)
        if (const Flow flow = run_node(*node); flow != Flow::normal) return flow;
    return Flow::normal;
}

std::string Interpreter::capture(const Nodes& nodes) {
    const NewScope inner(*this, scope_);
    return capture(nodes, *inner.scope);
}

std::string Interpreter::capture(const Nodes& nodes, Scope& scope) {
    return captured(scope, [&] { return run_block(nodes); });
}

template <class Body>
std::string Interpreter::captured(Scope& scope, Body body) {
    std::string text;
    std::string* before = std::exchange(out_, &text);
    struct Restore {
        std::string*& out;
        std::string* before;
        ~Restore() { out = before; }
    } restore{out_, before};
    in_scope(scope, body);
    return text;
}

void Interpreter::keep_scopes() {
    for (Scope* s = scope_; s; s = s->parent) s->kept = true;
}

Interpreter::Flow Interpreter::run_node(const Node& node) {
    const Deeper deeper(*this);
    charge(1);
    line_ = node.line;
    switch (node.kind) {
        case NodeKind::literal: write(node.text); break;
        case NodeKind::output:
            for (const auto& child : node.children) write(eval(*child).str());
            break;
        case NodeKind::if_block: {
            for (size_t i = 0; i < node.children.size(); ++i)
                if (eval(*node.children[i]).truthy()) return run_block(node.blocks[i]);
            if (node.blocks.size() > node.children.size()) return run_block(node.blocks.back());
            break;
        }
        case NodeKind::for_block: return run_for(node, eval(*node.children[1]), 0);
        case NodeKind::set: run_set(node); break;
        case NodeKind::set_block: {
            const Value text = Value::string(capture(node.blocks[0]));
            assign(*node.children[0], node.children[1] ? apply_filter_chain(*node.children[1], text) : text);
            break;
        }
        case NodeKind::macro:
            macros_.push_back({&node, scope_});
            keep_scopes();
            scope_->set(node.text, Value::callable({Callable::Kind::macro, node.text, nullptr, &macros_.back()}));
            break;
        case NodeKind::call_block: run_call_block(node); break;
        case NodeKind::filter_block: write(apply_filter_chain(*node.children[0], Value::string(capture(node.blocks[0]))).str()); break;
        case NodeKind::with_block: {
            const NewScope inner(*this, scope_);
            for (size_t i = 0; i < node.children.size(); i += 2) inner.scope->set(node.children[i]->text, eval(*node.children[i + 1]));
            return in_scope(*inner.scope, [&] { return run_block(node.blocks[0]); });
        }
        case NodeKind::group: {
            const NewScope inner(*this, scope_);
            return in_scope(*inner.scope, [&] { return run_block(node.blocks[0]); });
        }
        case NodeKind::break_loop: return Flow::break_loop;
        case NodeKind::continue_loop: return Flow::continue_loop;
        default: error("internal: not a statement");
    }
    return Flow::normal;
}

Interpreter::Flow Interpreter::run_for(const Node& node, const Value& iterated, uint32_t depth0) {
    List items = iterate(iterated);
    charge(items.size());
    if (node.children[2]) {
        List kept;
        for (Value& item : items) {
            const NewScope inner(*this, scope_);
            const bool wanted = in_scope(*inner.scope, [&] {
                assign(*node.children[0], item);
                return eval(*node.children[2]).truthy();
            });
            if (wanted) kept.push_back(std::move(item));
        }
        items.swap(kept);
    }
    if (items.empty()) return run_block(node.blocks[1]);
    auto loop = std::make_shared<Loop>();
    loop->items = std::make_shared<const List>(std::move(items));
    loop->depth0 = depth0;
    if (node.flag) {
        loop->recursive = &node;
        loop->scope = scope_;
        keep_scopes();
    }
    const Value loop_value = Value::loop(loop);
    for (size_t i = 0; i < loop->items->size(); ++i) {
        loop->at = i;
        const NewScope inner(*this, scope_);
        const Flow flow = in_scope(*inner.scope, [&] {
            scope_->set("loop", loop_value);
            assign(*node.children[0], (*loop->items)[i]);
            return run_block(node.blocks[0]);
        });
        if (flow == Flow::break_loop) break;
    }
    return Flow::normal;
}

void Interpreter::run_set(const Node& node) { assign(*node.children[0], eval(*node.children[1])); }

void Interpreter::assign(const Node& target, const Value& value) {
    if (target.kind == NodeKind::name) {
        scope_->set(target.text, value);
    } else if (target.kind == NodeKind::attribute) {
        const Value object = lookup(target.children[0]->text);
        if (!object.is_namespace()) error("cannot assign an attribute of a " + std::string(object.type_name()) + ", only of a namespace");
        if (target.text.starts_with("_")) error("a namespace cannot have the attribute " + target.text);
        Namespace& n = object.name_space();
        if (Value* found = n.find(target.text)) *found = value;
        else n.items.emplace_back(target.text, value);
    } else {
        const List items = iterate(value);
        if (items.size() != target.children.size()) error("cannot take " + std::to_string(target.children.size()) + " values out of " + std::to_string(items.size()));
        for (size_t i = 0; i < items.size(); ++i) assign(*target.children[i], items[i]);
    }
}

void Interpreter::run_call_block(const Node& node) {
    macros_.push_back({&node, scope_});
    keep_scopes();
    const Value caller = Value::callable({Callable::Kind::caller, "caller", nullptr, &macros_.back()});
    const Node& call_node = *node.children[0];
    Arguments args = arguments(call_node, 1);
    args.named.emplace_back("caller", caller);
    write(call(eval(*call_node.children[0]), args).str());
}

Value Interpreter::lookup(const std::string& name) {
    for (Scope* s = scope_; s; s = s->parent)
        if (const Value* found = s->find(name)) return *found;
    return Value::undefined(name);
}

Arguments Interpreter::arguments(const Node& node, size_t first) {
    Arguments args;
    const size_t named = node.names.size(), total = node.children.size() - first;
    for (size_t i = 0; i < total; ++i) {
        Value v = eval(*node.children[first + i]);
        if (i + named < total) args.positional.push_back(std::move(v));
        else args.named.emplace_back(node.names[i - (total - named)], std::move(v));
    }
    return args;
}

Value Interpreter::apply_filter_chain(const Node& node, const Value& block) {
    const Value* before = std::exchange(block_, &block);
    struct Restore {
        const Value*& block;
        const Value* before;
        ~Restore() { block = before; }
    } restore{block_, before};
    return eval(node);
}

Value Interpreter::eval(const Node& node) {
    const Deeper deeper(*this);
    charge(1);
    line_ = node.line;
    switch (node.kind) {
        case NodeKind::constant: return node.value;
        case NodeKind::name: return lookup(node.text);
        case NodeKind::list:
        case NodeKind::tuple: {
            List items;
            for (const auto& child : node.children) items.push_back(eval(*child));
            charge(items.size() * 4);
            return node.kind == NodeKind::list ? Value::list(std::move(items)) : Value::tuple(std::move(items));
        }
        case NodeKind::dict: {
            Dict dict;
            for (size_t i = 0; i < node.children.size(); i += 2) {
                Value key = eval(*node.children[i]);
                dict.set(std::move(key), eval(*node.children[i + 1]));
            }
            charge(dict.items.size() * 4);
            return Value::dict(std::move(dict));
        }
        case NodeKind::attribute: return attribute(eval(*node.children[0]), node.text);
        case NodeKind::item: {
            const Value object = eval(*node.children[0]);
            return item(object, eval(*node.children[1]));
        }
        case NodeKind::slice: return eval_slice(node);
        case NodeKind::call: return eval_call(node);
        case NodeKind::filter: {
            const Value v = node.children[0] ? eval(*node.children[0]) : block_ ? *block_ : Value();
            const Arguments args = arguments(node, 1);
            line_ = node.line;
            return filter(node.text, v, args);
        }
        case NodeKind::test: {
            const Value v = eval(*node.children[0]);
            return Value::boolean(test(node.text, v, arguments(node, 1)) != node.flag);
        }
        case NodeKind::unary: {
            const Value v = eval(*node.children[0]);
            if (node.text == "not") return Value::boolean(!v.truthy());
            if (!v.is_number()) error("'" + node.text + "' of " + v.type_name());
            if (node.text == "+") return v.is_real() ? v : Value::integer(v.integer());
            if (v.is_real()) return Value::real(-v.number());
            return binary("-", Value::integer(0), v);
        }
        case NodeKind::binary: {
            const Value a = eval(*node.children[0]);
            if (node.text == "and") return a.truthy() ? eval(*node.children[1]) : a;
            if (node.text == "or") return a.truthy() ? a : eval(*node.children[1]);
            const Value b = eval(*node.children[1]);
            line_ = node.line;
            return binary(node.text, a, b);
        }
        case NodeKind::compare: return eval_compare(node);
        case NodeKind::condition:
            if (eval(*node.children[1]).truthy()) return eval(*node.children[0]);
            return node.children[2] ? eval(*node.children[2]) : Value();
        default: error("internal: not an expression");
    }
}

Value Interpreter::eval_compare(const Node& node) {
    Value left = eval(*node.children[0]);
    for (size_t i = 0; i < node.names.size(); ++i) {
        Value right = eval(*node.children[i + 1]);
        const std::string& op = node.names[i];
        charge(std::min(left.weight(), right.weight()));
        bool holds;
        if (op == "==") holds = left.equals(right);
        else if (op == "!=") holds = !left.equals(right);
        else if (op == "in") holds = contains(right, left);
        else if (op == "not in") holds = !contains(right, left);
        else {
            if (left.is_undefined() || right.is_undefined()) error("'" + (left.is_undefined() ? left : right).undefined_name() + "' is undefined");
            if (op == "<") holds = left.less(right);
            else if (op == ">") holds = right.less(left);
            else if (op == "<=") holds = left.less(right) || left.equals(right);
            else holds = right.less(left) || left.equals(right);
        }
        if (!holds) return Value::boolean(false);
        left = std::move(right);
    }
    return Value::boolean(true);
}

bool Interpreter::contains(const Value& container, const Value& v) {
    if (container.is_string()) {
        if (!v.is_string()) error(std::string("'in <string>' needs a string, not ") + v.type_name());
        charge_search(container.string().size(), v.string().size());
        return container.string().find(v.string()) != std::string::npos;
    }
    if (container.is_dict()) return container.dict().find(v) != nullptr;
    if (container.is_undefined()) return false;
    if (!container.is_list()) error(std::string("'in' of ") + container.type_name());
    charge(container.list().size());
    for (const Value& item : container.list())
        if (item.equals(v)) return true;
    return false;
}

// Python's slices over a string's characters or a list's members.
Value Interpreter::eval_slice(const Node& node) {
    const Value object = eval(*node.children[0]);
    const auto bound = [&](size_t i) -> std::optional<int64_t> {
        if (!node.children[i]) return std::nullopt;
        const Value v = eval(*node.children[i]);
        if (v.is_none()) return std::nullopt;
        return to_int(v, "a slice's bound");
    };
    const auto start = bound(1), stop = bound(2), step_or = bound(3);
    const int64_t step = step_or.value_or(1);
    if (step == 0) error("a slice's step is 0");
    if (object.is_undefined()) return Value();
    if (!object.is_string() && !object.is_list()) error(std::string("a slice of ") + object.type_name());
    const auto chars = object.is_string() ? characters(object.string()) : std::vector<std::string_view>();
    const auto size = static_cast<int64_t>(object.is_string() ? chars.size() : object.list().size());
    const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    const auto place = [&](std::optional<int64_t> at, int64_t otherwise) {
        if (!at) return otherwise;
        return std::clamp(*at < 0 ? *at + size : *at, low, high);
    };
    const int64_t from = place(start, step > 0 ? 0 : size - 1), to = place(stop, step > 0 ? size : -1);
    charge(static_cast<uint64_t>(size));
    std::string text;
    List list;
    for (int64_t i = from; step > 0 ? i < to : i > to;) {
        if (object.is_string()) text.append(chars[static_cast<size_t>(i)]);
        else list.push_back(object.list()[static_cast<size_t>(i)]);
        if (step > 0 ? step >= to - i : step <= to - i) break;  // the next one would be past the end, or past int64
        i += step;
    }
    if (object.is_string()) return Value::string(std::move(text));
    return object.is_tuple() ? Value::tuple(std::move(list)) : this->list(std::move(list));
}

Value Interpreter::item(const Value& object, const Value& key) {
    if (object.is_undefined()) error("'" + object.undefined_name() + "' is undefined");
    if (object.is_dict()) {
        if (const Value* found = object.dict().find(key)) return *found;
    } else if ((object.is_list() || object.is_string()) && (key.is_integer() || key.is_boolean())) {
        int64_t i = key.integer();
        if (object.is_list()) {
            const auto size = static_cast<int64_t>(object.list().size());
            if (i < 0) i += size;
            if (i >= 0 && i < size) return object.list()[static_cast<size_t>(i)];
        } else {
            charge_text(object.string().size());
            const auto chars = characters(object.string());
            const auto size = static_cast<int64_t>(chars.size());
            if (i < 0) i += size;
            if (i >= 0 && i < size) return Value::string(std::string(chars[static_cast<size_t>(i)]));
        }
        return Value::undefined(key.str());
    } else if (object.is_namespace() && key.is_string()) {
        if (const Value* found = object.name_space().find(key.string())) return *found;
    }
    if (key.is_string()) {
        if (object.is_group()) return attribute(object, key.string());
        if (has_method(object, key.string())) return Value::callable({Callable::Kind::method, key.string(), std::make_shared<const Value>(object), nullptr});
        return Value::undefined(key.string());
    }
    return Value::undefined(key.str());
}

Value Interpreter::attribute(const Value& object, const std::string& name) {
    if (object.is_undefined()) error("'" + object.undefined_name() + "' is undefined, so it has no attribute '" + name + "'");
    if (object.is_loop()) {
        const Loop& loop = object.loop();
        const auto n = static_cast<int64_t>(loop.items->size()), i = static_cast<int64_t>(loop.at);
        if (name == "index") return Value::integer(i + 1);
        if (name == "index0") return Value::integer(i);
        if (name == "revindex") return Value::integer(n - i);
        if (name == "revindex0") return Value::integer(n - i - 1);
        if (name == "first") return Value::boolean(i == 0);
        if (name == "last") return Value::boolean(i == n - 1);
        if (name == "length") return Value::integer(n);
        if (name == "depth") return Value::integer(loop.depth0 + 1);
        if (name == "depth0") return Value::integer(loop.depth0);
        if (name == "previtem") return i > 0 ? (*loop.items)[loop.at - 1] : Value::undefined("there is no previous item");
        if (name == "nextitem") return i + 1 < n ? (*loop.items)[loop.at + 1] : Value::undefined("there is no next item");
        if (name == "cycle" || name == "changed") return Value::callable({Callable::Kind::loop_method, name, std::make_shared<const Value>(object), nullptr});
        return Value::undefined(name);
    }
    if (object.is_namespace()) {
        if (const Value* found = object.name_space().find(name)) return *found;
        return Value::undefined(name);
    }
    if (object.is_group() && (name == "grouper" || name == "list")) return object.list()[name == "list"];
    if (has_method(object, name)) return Value::callable({Callable::Kind::method, name, std::make_shared<const Value>(object), nullptr});
    if (object.is_dict())
        if (const Value* found = object.dict().find(std::string_view(name))) return *found;
    return Value::undefined(name);
}

Value Interpreter::eval_call(const Node& node) {
    const Value callee = eval(*node.children[0]);
    const Arguments args = arguments(node, 1);
    line_ = node.line;
    if (callee.is_undefined()) error("'" + callee.undefined_name() + "' is undefined, so it cannot be called");
    return call(callee, args);
}

Value Interpreter::call(const Value& callee, const Arguments& args) {
    if (callee.is_loop()) return call_loop(callee.loop(), args);
    if (!callee.is_callable()) error(std::string("a ") + callee.type_name() + " cannot be called");
    const Callable& c = callee.callable();
    switch (c.kind) {
        case Callable::Kind::builtin: return call_builtin(c.name, args);
        case Callable::Kind::method: return call_value_method(*this, *c.bound, c.name, args);
        case Callable::Kind::macro:
        case Callable::Kind::caller: return call_macro(*c.macro, args);
        case Callable::Kind::loop_method: return call_method(c, args);
    }
    return {};
}

Value Interpreter::call_method(const Callable& method, const Arguments& args) {
    Loop& loop = method.bound->loop();
    if (method.name == "cycle") {
        if (args.positional.empty()) error("loop.cycle without arguments");
        return args.positional[loop.at % args.positional.size()];
    }
    const std::string now = Value::tuple(args.positional).repr();
    charge_text(now.size());
    const bool changed = !loop.has_changed || loop.last_changed != now;
    loop.last_changed = now;
    loop.has_changed = true;
    return Value::boolean(changed);
}

// The for once more over other items, one level deeper: the text that it gives.
Value Interpreter::call_loop(const Loop& loop, const Arguments& args) {
    if (!loop.recursive) error("a loop is called that has no 'recursive' mark");
    const Value* items = args.find(0, "iterable");
    if (!items || args.positional.size() + args.named.size() != 1)
        error("loop() takes 1 argument, got " + std::to_string(args.positional.size() + args.named.size()));
    const Deeper deeper(*this);
    const uint32_t line = line_;
    const Node& node = *loop.recursive;
    std::string text = captured(*loop.scope, [&, depth0 = loop.depth0 + 1] { return run_for(node, *items, depth0); });
    line_ = line;
    return Value::string(std::move(text));
}

Value Interpreter::call_macro(const Macro& macro, const Arguments& args) {
    const Deeper deeper(*this);
    const Node& node = *macro.node;
    const size_t first_default = node.kind == NodeKind::call_block ? 1 : 0;
    const size_t n = node.names.size(), defaults = node.children.size() - first_default;
    const NewScope inner(*this, macro.scope);
    Scope& scope = *inner.scope;
    std::vector<bool> used(args.named.size());
    for (size_t i = 0; i < n; ++i) {
        const Value* given = i < args.positional.size() ? &args.positional[i] : nullptr;
        for (size_t k = 0; k < args.named.size(); ++k)
            if (args.named[k].first == node.names[i]) {
                if (given) error("macro '" + node.text + "' got the argument '" + node.names[i] + "' twice");
                given = &args.named[k].second;
                used[k] = true;
            }
        if (given) scope.set(node.names[i], *given);
        else if (i + defaults >= n) scope.set(node.names[i], in_scope(scope, [&] { return eval(*node.children[first_default + i - (n - defaults)]); }));
        else scope.set(node.names[i], Value::undefined(node.names[i]));
    }
    List rest;
    for (size_t i = n; i < args.positional.size(); ++i) rest.push_back(args.positional[i]);
    Dict named;
    for (size_t k = 0; k < args.named.size(); ++k) {
        if (used[k]) continue;
        if (args.named[k].first == "caller") scope.set("caller", args.named[k].second);
        else named.set(Value::string(args.named[k].first), args.named[k].second);
    }
    scope.set("varargs", Value::tuple(std::move(rest)));
    scope.set("kwargs", Value::dict(std::move(named)));
    const uint32_t line = line_;
    std::string text = capture(node.blocks[0], scope);
    line_ = line;
    return Value::string(std::move(text));
}

Value Interpreter::call_builtin(const std::string& name, const Arguments& args) {
    if (name == "raise_exception") fail("chat template: " + args.get(0, "message", Value::string("")).str());
    if (name == "namespace" || name == "dict") {
        Dict dict;
        for (const Value& source : args.positional) {
            if (source.is_dict()) {
                for (const auto& [k, v] : source.dict().items) dict.set(k, v);
                continue;
            }
            for (const Value& pair : iterate(source)) {
                const List kv = iterate(pair);
                if (kv.size() != 2) error(name + "() needs pairs");
                dict.set(kv[0], kv[1]);
            }
        }
        for (const auto& [k, v] : args.named) dict.set(Value::string(k), v);
        charge(dict.items.size() * 4 + 1);
        if (name == "dict") return Value::dict(std::move(dict));
        namespaces_.emplace_back();
        for (const auto& [k, v] : dict.items) {
            if (k.str().starts_with("_")) error("a namespace cannot have the attribute " + k.str());
            namespaces_.back().items.emplace_back(k.str(), v);
        }
        return Value::name_space(&namespaces_.back());
    }
    if (name == "range") {
        if (args.positional.empty() || args.positional.size() > 3) error("range() takes 1 to 3 arguments, got " + std::to_string(args.positional.size()));
        const bool one = args.positional.size() == 1;
        const int64_t start = one ? 0 : to_int(args.positional[0], "range"), stop = to_int(args.positional[one ? 0 : 1], "range");
        const int64_t step = args.positional.size() == 3 ? to_int(args.positional[2], "range") : 1;
        if (step == 0) error("range() with a step of 0");
        List out;
        for (__int128 i = start; step > 0 ? i < stop : i > stop; i += step) {
            if (out.size() >= static_cast<size_t>(kMaxRange)) error("range() of more than 100000 numbers", ErrorKind::limit);
            out.push_back(Value::integer(static_cast<int64_t>(i)));
        }
        return list(std::move(out));
    }
    // strftime_now
    const std::string format = args.get(0, "format", Value::string("")).str();
    if (format.size() > 256) error("strftime_now: a format of more than 256 bytes", ErrorKind::limit);
    const std::time_t now = now_unix_s_ ? static_cast<std::time_t>(now_unix_s_) : std::time(nullptr);
    std::tm parts{};
    if (!localtime_r(&now, &parts) || format.empty()) return Value::string("");
    char text[8192];
    const size_t n = std::strftime(text, sizeof text, format.c_str(), &parts);
    return Value::string(std::string(text, n));
}

Value Interpreter::power(const Value& a, const Value& b) {
    if (a.is_real() || b.is_real() || b.integer() < 0) return Value::real(std::pow(a.number(), b.number()));
    int64_t out = 1, factor = a.integer();
    for (int64_t n = b.integer(); n > 0; n >>= 1) {
        if ((n & 1) && __builtin_mul_overflow(out, factor, &out)) error("a whole number past 64 bits", ErrorKind::limit);
        if (n > 1 && __builtin_mul_overflow(factor, factor, &factor)) {
            if (factor == 0 || factor == 1) break;
            error("a whole number past 64 bits", ErrorKind::limit);
        }
    }
    return Value::integer(out);
}

Value Interpreter::binary(const std::string& op, const Value& a, const Value& b) {
    if (op == "~") {
        std::string text = a.str() + b.str();
        charge_text(text.size());
        if (text.size() > kMaxText) error("a string longer than 16 MiB", ErrorKind::limit);
        return Value::string(std::move(text));
    }
    for (const Value* v : {&a, &b})
        if (v->is_undefined()) error("'" + v->undefined_name() + "' is undefined");
    if (op == "+" && a.is_string() && b.is_string()) return binary("~", a, b);
    if (op == "+" && a.is_list() && b.is_list() && a.is_tuple() == b.is_tuple()) {
        List out = a.list();
        out.insert(out.end(), b.list().begin(), b.list().end());
        charge(out.size() * 4);
        return a.is_tuple() ? Value::tuple(std::move(out)) : Value::list(std::move(out));
    }
    if (op == "*" && (a.is_string() || a.is_list() || b.is_string() || b.is_list())) {
        const Value &sequence = a.is_string() || a.is_list() ? a : b, &count = a.is_string() || a.is_list() ? b : a;
        if (!count.is_integer() && !count.is_boolean()) error(std::string("'*' of ") + a.type_name() + " and " + b.type_name());
        const auto n = static_cast<uint64_t>(std::max<int64_t>(count.integer(), 0));
        const uint64_t size = sequence.is_string() ? sequence.string().size() : sequence.list().size();
        if (size && n > kMaxText / size) error("a repetition longer than 16 MiB", ErrorKind::limit);
        charge(sequence.is_string() ? size * n / 8 + 1 : size * n * 4 + 1);
        std::string text;
        List items;
        for (uint64_t i = 0; size && i < n; ++i) {
            if (sequence.is_string()) text += sequence.string();
            else items.insert(items.end(), sequence.list().begin(), sequence.list().end());
        }
        if (sequence.is_string()) return Value::string(std::move(text));
        return sequence.is_tuple() ? Value::tuple(std::move(items)) : Value::list(std::move(items));
    }
    if (op == "%" && a.is_string()) {
        std::string text = format_percent(a.string(), b);
        charge_text(text.size());
        return Value::string(std::move(text));
    }
    if (!a.is_number() || !b.is_number()) error("'" + op + "' of " + a.type_name() + " and " + b.type_name());
    if (op == "**") return power(a, b);
    if (op == "/" || op == "//" || op == "%") {
        if (b.number() == 0) error("division by zero");
        if (op == "/") return Value::real(a.number() / b.number());
        if (a.is_real() || b.is_real()) {
            const double q = std::floor(a.number() / b.number());
            return Value::real(op == "//" ? q : a.number() - q * b.number());
        }
        const int64_t x = a.integer(), y = b.integer();
        if (y == -1) return op == "%" ? Value::integer(0) : binary("-", Value::integer(0), a);
        const int64_t q = x / y - (x % y != 0 && (x % y < 0) != (y < 0) ? 1 : 0);
        return Value::integer(op == "//" ? q : x - q * y);
    }
    if (a.is_real() || b.is_real()) {
        const double x = a.number(), y = b.number();
        return Value::real(op == "+" ? x + y : op == "-" ? x - y : x * y);
    }
    int64_t out = 0;
    const bool over = op == "+" ? __builtin_add_overflow(a.integer(), b.integer(), &out) : op == "-" ? __builtin_sub_overflow(a.integer(), b.integer(), &out) : __builtin_mul_overflow(a.integer(), b.integer(), &out);
    if (over) error("a whole number past 64 bits", ErrorKind::limit);
    return Value::integer(out);
}

}  // namespace orrery::text::jinja
