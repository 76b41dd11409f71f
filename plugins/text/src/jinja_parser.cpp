// The grammar is Jinja2 3.1's (parser.py), less inheritance and imports.
#include <algorithm>
#include <utility>

#include "jinja_ast.hpp"

namespace orrery::text::jinja {
namespace {

class Parser {
  public:
    explicit Parser(std::string_view source) : tokens_(tokenize(source)) {}

    Nodes run() {
        Nodes out = statements({});
        if (now().kind != Token::Kind::end) error("unexpected tag");
        return out;
    }

  private:
    [[noreturn]] void error(const std::string& why, ErrorKind kind = ErrorKind::invalid_data) const { fail("chat template, line " + std::to_string(now().line) + ": " + why, kind); }

    const Token& now() const { return tokens_[at_]; }
    const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
    bool is_op(std::string_view op) const { return now().kind == Token::Kind::op && now().text == op; }
    bool is_name(std::string_view name) const { return now().kind == Token::Kind::name && now().text == name; }
    bool skip_op(std::string_view op) { return is_op(op) && (++at_, true); }
    bool skip_name(std::string_view name) { return is_name(name) && (++at_, true); }
    void expect_op(std::string_view op) {
        if (!skip_op(op)) error("expected '" + std::string(op) + "', found " + shown());
    }
    std::string expect_name() {
        if (now().kind != Token::Kind::name) error("expected a name, found " + shown());
        return tokens_[at_++].text;
    }
    std::string shown() const {
        switch (now().kind) {
            case Token::Kind::end: return "the end of the template";
            case Token::Kind::end_block: return "%}";
            case Token::Kind::end_variable: return "}}";
            case Token::Kind::integer:
            case Token::Kind::real: return "a number";
            default: return "'" + now().text.substr(0, 40) + "'";
        }
    }

    NodePtr make(NodeKind kind) const {
        auto node = std::make_unique<Node>();
        node->kind = kind;
        node->line = now().line;
        return node;
    }
    // After the last change to a node's children: bounds the tree's depth.
    NodePtr done(NodePtr node) const {
        uint32_t depth = 0;
        for (const auto& child : node->children)
            if (child) depth = std::max(depth, child->depth);
        for (const auto& block : node->blocks)
            for (const auto& child : block) depth = std::max(depth, child->depth);
        node->depth = depth + 1;
        if (node->depth > kMaxTreeDepth) error("nested deeper than " + std::to_string(kMaxTreeDepth), ErrorKind::limit);
        return node;
    }
    template <class... T>
    NodePtr make(NodeKind kind, std::string text, T... children) const {
        NodePtr node = make(kind);
        node->text = std::move(text);
        (node->children.push_back(std::move(children)), ...);
        return done(std::move(node));
    }

    struct Nested {  // counts the parser's own recursion
        explicit Nested(Parser& p) : parser(p) {
            if (++p.nested_ > kMaxTreeDepth) p.error("nested deeper than " + std::to_string(kMaxTreeDepth), ErrorKind::limit);
        }
        ~Nested() { --parser.nested_; }
        Parser& parser;
    };

    // ------------------------------------------------------------ statements

    // Up to a block tag whose name is in `ends`, which is left before its name.
    Nodes statements(std::initializer_list<std::string_view> ends) {
        const Nested nested(*this);
        Nodes out;
        for (;;) {
            const Token& token = now();
            if (token.kind == Token::Kind::end) {
                if (ends.size()) error("the template ends without {% " + std::string(*ends.begin()) + " %}");
                return out;
            }
            if (token.kind == Token::Kind::data) {
                out.push_back(make(NodeKind::literal));
                out.back()->text = token.text;
                ++at_;
            } else if (token.kind == Token::Kind::begin_variable) {
                ++at_;
                NodePtr node = make(NodeKind::output);
                node->children.push_back(tuple(true));
                if (now().kind != Token::Kind::end_variable) error("expected }}, found " + shown());
                ++at_;
                out.push_back(done(std::move(node)));
            } else {
                ++at_;  // {%
                if (now().kind == Token::Kind::name && std::find(ends.begin(), ends.end(), now().text) != ends.end()) return out;
                if (NodePtr node = statement()) out.push_back(std::move(node));
                end_block();
            }
        }
    }

    void end_block() {
        if (now().kind != Token::Kind::end_block) error("expected %}, found " + shown());
        ++at_;
    }

    // A block's body and its end tag's name; the %} of that tag is left.
    Nodes body(std::string_view end) {
        end_block();
        Nodes out = statements({end});
        ++at_;
        return out;
    }

    NodePtr statement() {
        if (now().kind != Token::Kind::name) error("expected a tag's name, found " + shown());
        const std::string tag = now().text;
        if (tag == "if") return if_statement();
        if (tag == "for") return for_statement();
        if (tag == "set") return set_statement();
        if (tag == "macro") return macro();
        if (tag == "call") return call_block();
        if (tag == "filter") return filter_block();
        if (tag == "with") return with_block();
        NodePtr node = make(NodeKind::group);
        ++at_;
        if (tag == "break" || tag == "continue") {
            if (loops_ == 0) error("'" + tag + "' outside of a loop");
            node->kind = tag == "break" ? NodeKind::break_loop : NodeKind::continue_loop;
            return node;
        }
        if (tag == "generation") {  // marks the assistant's part for training; nothing to show
            node->blocks.push_back(body("endgeneration"));
            return done(std::move(node));
        }
        if (tag == "print") {
            node->kind = NodeKind::output;
            while (now().kind != Token::Kind::end_block) {
                if (!node->children.empty()) expect_op(",");
                node->children.push_back(expression());
            }
            return done(std::move(node));
        }
        --at_;
        error("the tag '" + tag + "' is not supported", ErrorKind::unsupported);
    }

    NodePtr if_statement() {
        NodePtr node = make(NodeKind::if_block);
        do {
            ++at_;  // if, elif
            node->children.push_back(tuple(false));
            end_block();
            node->blocks.push_back(statements({"endif", "elif", "else"}));
        } while (is_name("elif"));
        if (skip_name("else")) node->blocks.push_back(body("endif"));
        else ++at_;
        return done(std::move(node));
    }

    NodePtr for_statement() {
        NodePtr node = make(NodeKind::for_block);
        ++at_;
        node->children.push_back(target());
        if (!skip_name("in")) error("expected 'in', found " + shown());
        node->children.push_back(tuple(false));
        node->children.push_back(skip_name("if") ? expression() : nullptr);
        node->flag = skip_name("recursive");
        end_block();
        ++loops_;
        node->blocks.push_back(statements({"endfor", "else"}));
        --loops_;
        if (skip_name("else")) node->blocks.push_back(body("endfor"));
        else ++at_, node->blocks.emplace_back();
        return done(std::move(node));
    }

    // A name, a tuple of names, or namespace.name where allowed.
    NodePtr target(bool with_namespace = false) {
        const auto one = [&]() -> NodePtr {
            if (skip_op("(")) {
                NodePtr inner = target();
                expect_op(")");
                return inner;
            }
            NodePtr name = make(NodeKind::name);
            name->text = expect_name();
            if (with_namespace && skip_op(".")) return make(NodeKind::attribute, expect_name(), std::move(name));
            return name;
        };
        const Nested nested(*this);
        NodePtr first = one();
        if (!is_op(",")) return first;
        NodePtr all = make(NodeKind::tuple);
        all->children.push_back(std::move(first));
        while (skip_op(",")) {
            if (is_op(")") || is_op("=") || is_name("in")) break;
            all->children.push_back(one());
        }
        return done(std::move(all));
    }

    NodePtr set_statement() {
        NodePtr node = make(NodeKind::set);
        ++at_;
        node->children.push_back(target(true));
        if (skip_op("=")) {
            node->children.push_back(tuple(true));
            return done(std::move(node));
        }
        node->kind = NodeKind::set_block;
        node->children.push_back(is_op("|") ? filters(nullptr) : nullptr);
        node->blocks.push_back(body("endset"));
        return done(std::move(node));
    }

    void signature(Node& node) {
        expect_op("(");
        while (!is_op(")")) {
            if (!node.names.empty()) expect_op(",");
            node.names.push_back(expect_name());
            if (skip_op("=")) node.children.push_back(expression());
            else if (node.children.size() > (node.kind == NodeKind::call_block ? 1u : 0u)) error("a parameter without default after one with");
        }
        ++at_;
    }

    NodePtr macro() {
        NodePtr node = make(NodeKind::macro);
        ++at_;
        node->text = expect_name();
        signature(*node);
        const int loops = std::exchange(loops_, 0);
        node->blocks.push_back(body("endmacro"));
        loops_ = loops;
        return done(std::move(node));
    }

    NodePtr call_block() {
        NodePtr node = make(NodeKind::call_block);
        ++at_;
        node->children.push_back(nullptr);
        if (is_op("(")) signature(*node);
        node->children[0] = expression();
        if (node->children[0]->kind != NodeKind::call) error("{% call %} needs a call");
        const int loops = std::exchange(loops_, 0);
        node->blocks.push_back(body("endcall"));
        loops_ = loops;
        return done(std::move(node));
    }

    NodePtr filter_block() {
        NodePtr node = make(NodeKind::filter_block);
        ++at_;
        node->children.push_back(filters(nullptr, true));
        node->blocks.push_back(body("endfilter"));
        return done(std::move(node));
    }

    NodePtr with_block() {
        NodePtr node = make(NodeKind::with_block);
        ++at_;
        while (now().kind != Token::Kind::end_block) {
            if (!node->children.empty()) expect_op(",");
            NodePtr name = make(NodeKind::name);
            name->text = expect_name();
            node->children.push_back(std::move(name));
            expect_op("=");
            node->children.push_back(expression());
        }
        node->blocks.push_back(body("endwith"));
        return done(std::move(node));
    }

    // ------------------------------------------------------------ expressions

    NodePtr expression() { return condition(); }

    // Expressions with commas between make a tuple.
    NodePtr tuple(bool with_condition) {
        const auto one = [&] { return with_condition ? condition() : or_expression(); };
        NodePtr first = one();
        if (!is_op(",")) return first;
        NodePtr all = make(NodeKind::tuple);
        all->children.push_back(std::move(first));
        while (skip_op(",")) {
            if (now().kind == Token::Kind::end_block || now().kind == Token::Kind::end_variable || is_op(")")) break;
            all->children.push_back(one());
        }
        return done(std::move(all));
    }

    NodePtr condition() {
        const Nested nested(*this);
        NodePtr then = or_expression();
        while (skip_name("if")) {
            NodePtr test = or_expression();
            NodePtr otherwise = skip_name("else") ? condition() : nullptr;
            then = make(NodeKind::condition, {}, std::move(then), std::move(test), std::move(otherwise));
        }
        return then;
    }

    NodePtr or_expression() {
        NodePtr left = and_expression();
        while (skip_name("or")) {
            NodePtr right = and_expression();
            left = make(NodeKind::binary, "or", std::move(left), std::move(right));
        }
        return left;
    }

    NodePtr and_expression() {
        NodePtr left = not_expression();
        while (skip_name("and")) {
            NodePtr right = not_expression();
            left = make(NodeKind::binary, "and", std::move(left), std::move(right));
        }
        return left;
    }

    NodePtr not_expression() {
        const Nested nested(*this);
        if (skip_name("not")) {
            NodePtr inner = not_expression();
            return make(NodeKind::unary, "not", std::move(inner));
        }
        return compare();
    }

    NodePtr compare() {
        NodePtr first = sum();
        NodePtr node;
        for (;;) {
            std::string op;
            for (const char* known : {"==", "!=", "<=", ">=", "<", ">"})
                if (skip_op(known)) {
                    op = known;
                    break;
                }
            if (op.empty() && skip_name("in")) op = "in";
            if (op.empty() && is_name("not") && ahead().kind == Token::Kind::name && ahead().text == "in") {
                at_ += 2;
                op = "not in";
            }
            if (op.empty()) break;
            if (!node) {
                node = make(NodeKind::compare);
                node->children.push_back(std::move(first));
            }
            node->names.push_back(op);
            node->children.push_back(sum());
        }
        return node ? done(std::move(node)) : std::move(first);
    }

    template <class Next>
    NodePtr chain(std::initializer_list<const char*> ops, Next next) {
        NodePtr left = next();
        for (;;) {
            const char* found = nullptr;
            for (const char* op : ops)
                if (skip_op(op)) found = op;
            if (!found) return left;
            NodePtr right = next();
            left = make(NodeKind::binary, found, std::move(left), std::move(right));
        }
    }

    NodePtr sum() {
        return chain({"+", "-"}, [this] { return concatenation(); });
    }
    NodePtr concatenation() {
        return chain({"~"}, [this] { return product(); });
    }
    NodePtr product() {
        return chain({"*", "//", "/", "%"}, [this] { return power(); });
    }
    NodePtr power() {
        return chain({"**"}, [this] { return unary(true); });
    }

    NodePtr unary(bool with_filter) {
        const Nested nested(*this);
        NodePtr node;
        if (is_op("-") || is_op("+")) {
            const std::string op = now().text;
            ++at_;
            NodePtr inner = unary(false);
            node = make(NodeKind::unary, op, std::move(inner));
        } else {
            node = primary();
        }
        node = postfix(std::move(node));
        return with_filter ? filters(std::move(node)) : std::move(node);
    }

    NodePtr primary() {
        NodePtr node = make(NodeKind::constant);
        const Token& token = now();
        switch (token.kind) {
            case Token::Kind::name:
                ++at_;
                if (token.text == "true" || token.text == "True") node->value = Value::boolean(true);
                else if (token.text == "false" || token.text == "False") node->value = Value::boolean(false);
                else if (token.text == "none" || token.text == "None") node->value = Value::none();
                else {
                    node->kind = NodeKind::name;
                    node->text = token.text;
                }
                return node;
            case Token::Kind::string: {
                std::string text;
                while (now().kind == Token::Kind::string) text += tokens_[at_++].text;
                node->value = Value::string(std::move(text));
                return node;
            }
            case Token::Kind::integer:
                ++at_;
                node->value = Value::integer(token.integer);
                return node;
            case Token::Kind::real:
                ++at_;
                node->value = Value::real(token.real);
                return node;
            default: break;
        }
        if (skip_op("(")) {
            if (skip_op(")")) {
                node->kind = NodeKind::tuple;
                return node;
            }
            NodePtr inner = tuple(true);
            expect_op(")");
            return inner;
        }
        if (skip_op("[")) {
            node->kind = NodeKind::list;
            items(*node, "]", false);
            return done(std::move(node));
        }
        if (skip_op("{")) {
            node->kind = NodeKind::dict;
            items(*node, "}", true);
            return done(std::move(node));
        }
        error("unexpected " + shown());
    }

    void items(Node& node, std::string_view end, bool pairs) {
        while (!is_op(end)) {
            if (!node.children.empty()) expect_op(",");
            if (is_op(end)) break;
            node.children.push_back(expression());
            if (!pairs) continue;
            expect_op(":");
            node.children.push_back(expression());
        }
        ++at_;
    }

    NodePtr postfix(NodePtr node) {
        for (;;) {
            if (skip_op(".")) {
                if (now().kind == Token::Kind::integer) {
                    NodePtr index = make(NodeKind::constant);
                    index->value = Value::integer(tokens_[at_++].integer);
                    node = make(NodeKind::item, {}, std::move(node), std::move(index));
                } else {
                    std::string name = expect_name();
                    node = make(NodeKind::attribute, std::move(name), std::move(node));
                }
            } else if (skip_op("[")) {
                node = subscript(std::move(node));
            } else if (is_op("(")) {
                node = call(std::move(node));
            } else {
                return node;
            }
        }
    }

    NodePtr subscript(NodePtr object) {
        NodePtr start, stop, step;
        if (!is_op(":")) {
            start = expression();
            if (skip_op("]")) return make(NodeKind::item, {}, std::move(object), std::move(start));
        }
        expect_op(":");
        if (!is_op("]") && !is_op(":")) stop = expression();
        if (skip_op(":") && !is_op("]")) step = expression();
        expect_op("]");
        return make(NodeKind::slice, {}, std::move(object), std::move(start), std::move(stop), std::move(step));
    }

    // "(…)" after a callee, filter or test; names go to the last arguments.
    void arguments(Node& node) {
        expect_op("(");
        for (bool first = true; !is_op(")"); first = false) {
            if (!first) expect_op(",");
            if (is_op(")")) break;
            if (is_op("*") || is_op("**")) error("arguments from a list or dict are not supported", ErrorKind::unsupported);
            if (now().kind == Token::Kind::name && ahead().kind == Token::Kind::op && ahead().text == "=") {
                node.names.push_back(now().text);
                at_ += 2;
            } else if (!node.names.empty()) {
                error("an argument without name after one with");
            }
            node.children.push_back(expression());
        }
        ++at_;
    }

    NodePtr call(NodePtr callee) {
        NodePtr node = make(NodeKind::call);
        node->children.push_back(std::move(callee));
        arguments(*node);
        return done(std::move(node));
    }

    // What follows an operand: | filter, is test, (call). A null node stands for a block's text.
    NodePtr filters(NodePtr node, bool inline_start = false) {
        for (;;) {
            if (inline_start || skip_op("|")) {
                inline_start = false;
                NodePtr filter = make(NodeKind::filter);
                filter->text = expect_name();
                while (skip_op(".")) filter->text += "." + expect_name();
                filter->children.push_back(std::move(node));
                if (is_op("(")) arguments(*filter);
                node = done(std::move(filter));
            } else if (node && is_name("is")) {
                ++at_;
                node = test(std::move(node));
            } else if (node && is_op("(")) {
                node = call(std::move(node));
            } else {
                return node;
            }
        }
    }

    NodePtr test(NodePtr node) {
        NodePtr test = make(NodeKind::test);
        test->flag = skip_name("not");
        test->text = expect_name();
        while (skip_op(".")) test->text += "." + expect_name();
        test->children.push_back(std::move(node));
        const Token& token = now();
        const bool literal = token.kind == Token::Kind::string || token.kind == Token::Kind::integer || token.kind == Token::Kind::real;
        const bool opens = is_op("[") || is_op("{");
        if (is_op("(")) {
            arguments(*test);
        } else if (literal || opens || (token.kind == Token::Kind::name && !is_name("else") && !is_name("or") && !is_name("and") && !is_name("if") && !is_name("is") && !is_name("not") && !is_name("in"))) {
            NodePtr argument = primary();
            test->children.push_back(postfix(std::move(argument)));
        }
        return done(std::move(test));
    }

    std::vector<Token> tokens_;
    size_t at_ = 0;
    uint32_t nested_ = 0;
    int loops_ = 0;
};

}  // namespace

Nodes parse(std::string_view source) { return Parser(source).run(); }

}  // namespace orrery::text::jinja
