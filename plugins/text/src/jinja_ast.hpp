// A parsed template.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "jinja_value.hpp"

namespace orrery::text::jinja {

struct Node;
using NodePtr = std::unique_ptr<Node>;
using Nodes = std::vector<NodePtr>;

enum class NodeKind : uint8_t {
    // expressions
    constant,      // value
    name,          // text
    list,          // children
    tuple,         // children
    dict,          // children: key, value, key, value …
    attribute,     // children[0], text
    item,          // children[0][children[1]]
    slice,         // children: object, start, stop, step (each may be null)
    call,          // children[0](children[1 …], named: names)
    filter,        // text; children[0] filtered (null: the block), then as call
    test,          // text; children[0], then as call; flag: negated
    unary,         // text: - + not
    binary,        // text: + - * / // % ** ~ and or
    compare,       // children: operands; names: operators between them
    condition,     // children: then, test, else (may be null)
    // statements
    output,        // children
    literal,       // text
    if_block,      // children: test, test …; blocks: one for each, and one more for else
    for_block,     // children: target, iterated, filter (may be null); blocks: body, else; flag: recursive
    set,           // children: target, value
    set_block,     // children: target, filter chain (may be null); blocks: body
    macro,         // text: name; names: parameters; children: their defaults, the last ones; blocks: body
    call_block,    // children: call; names, defaults after it; blocks: body
    filter_block,  // children: filter chain; blocks: body
    with_block,    // children: target, value, target, value …; blocks: body
    group,         // blocks: body, in a scope of its own
    break_loop,
    continue_loop,
};

struct Node {
    NodeKind kind;
    uint32_t line = 0;
    uint32_t depth = 1;  // of the tree below
    bool flag = false;
    std::string text;
    Value value;
    Nodes children;
    std::vector<std::string> names;  // call and filter: names of the last arguments
    std::vector<Nodes> blocks;
};

constexpr uint32_t kMaxTreeDepth = 250;

struct Token {
    enum class Kind { data, begin_variable, end_variable, begin_block, end_block, name, string, integer, real, op, end } kind;
    std::string text;  // data, name, string, operator
    int64_t integer = 0;
    double real = 0;
    uint32_t line = 1;
};

std::vector<Token> tokenize(std::string_view source);
Nodes parse(std::string_view source);

}  // namespace orrery::text::jinja
