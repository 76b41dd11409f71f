// The text form of a program: one line a thing, in order of definition; parse_graph reads it back to an equal program.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/graph/builder.hpp"
#include "engine/registry/json_text.hpp"
#include "engine/registry/registry.hpp"
#include "orrery/plugin.hpp"

namespace orrery {
namespace {

constexpr char kHeader[] = "orrery graph 1";

std::string hex(const void* data, uint64_t bytes) {
    static const char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(2 * bytes);
    for (uint64_t i = 0; i < bytes; i++) {
        const unsigned char c = static_cast<const unsigned char*>(data)[i];
        out += digits[c >> 4];
        out += digits[c & 15];
    }
    return out;
}

int nibble(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

template <class List, class Text>
std::string joined(const List& list, Text&& text) {
    std::string out;
    for (const auto& e : list) out += (out.empty() ? "" : ", ") + text(e);
    return out;
}

std::string value_text(orr_value v) { return v ? "%" + std::to_string(v) : "-"; }

std::string dims_text(const Program& g, const std::vector<orr_dim>& dims) {
    return "[" + joined(dims, [&](orr_dim d) { return g.dims->text(d); }) + "]";
}

// One line cut into words; brackets, braces and quotes keep their insides whole.
class Line {
  public:
    Line(const std::string& text, size_t number) : text_(text), number_(number) {}
    [[noreturn]] void fail(const std::string& why) const { throw Error(ORR_CORRUPT, "graph text, line " + std::to_string(number_) + ": " + why); }
    bool at_end() {
        skip();
        return at_ >= text_.size();
    }
    std::string word() {
        skip();
        const size_t begin = at_;
        while (at_ < text_.size() && text_[at_] != ' ') at_++;
        if (begin == at_) fail("ends early");
        return text_.substr(begin, at_ - begin);
    }
    // What stands between `open` and its `close`.
    std::string inside(char open, char close) {
        skip();
        if (at_ >= text_.size() || text_[at_] != open) fail(std::string("wanted ") + open);
        const size_t begin = ++at_;
        int depth = 1;
        bool quoted = false;
        for (; at_ < text_.size(); at_++) {
            const char c = text_[at_];
            if (quoted) {
                if (c == '\\') at_++;
                if (c == '"') quoted = false;
                continue;
            }
            if (c == '"') quoted = true;
            if (c == open) depth++;
            if (c == close && --depth == 0) return text_.substr(begin, at_++ - begin);
        }
        fail(std::string("no closing ") + close);
    }
    std::string quoted() {
        skip();
        const auto j = [&] {
            size_t end = at_ + 1;
            while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
            const std::string raw = text_.substr(at_, end + 1 - at_);
            at_ = std::min(end + 1, text_.size());
            return parse_json(raw);
        }();
        if (!j.is_string()) fail("wanted a quoted name");
        return j.get<std::string>();
    }
    bool next_is(char c) {
        skip();
        return at_ < text_.size() && text_[at_] == c;
    }
    int64_t integer() {
        const std::string w = word();
        if (w.size() > 18 || w.find_first_not_of("-0123456789") != std::string::npos || w == "-") fail("\"" + w + "\" is no number");
        return std::stoll(w);
    }

  private:
    void skip() {
        while (at_ < text_.size() && text_[at_] == ' ') at_++;
    }
    const std::string& text_;
    size_t at_ = 0, number_;
};

std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> out;
    int depth = 0;
    bool quoted = false;
    std::string one;
    for (const char c : list) {
        if (c == '"') quoted = !quoted;
        if (!quoted) depth += (c == '(' || c == '[') - (c == ')' || c == ']');
        if (c == ',' && depth == 0 && !quoted) {
            out.push_back(one);
            one.clear();
        } else if (c != ' ' || quoted) {
            one += c;
        }
    }
    if (!one.empty() || !out.empty()) out.push_back(one);
    return out;
}

}  // namespace

std::string graph_text(const Program& g, Registry& registry) {
    std::ostringstream out;
    out.imbue(std::locale::classic());
    out << kHeader << "\nprogram " << json_quote(g.model) << " " << json_quote(g.entry) << "\n";
    const auto constant_line = [&](size_t v) {
        const Constant& c = *g.values[v].constant;
        if (c.from_checkpoint()) {
            out << (c.sources().size() > 1 || c.key().rfind("s:", 0) == 0 ? "stack " : "weight ") << value_text(static_cast<orr_value>(v)) << " " << c.type_info().id << " "
                << shape_text(c.shape()) << " [" << joined(c.sources(), [](const std::string& s) { return json_quote(s); }) << "]\n";
        } else {
            out << "constant " << value_text(static_cast<orr_value>(v)) << " " << c.type_info().id << " " << shape_text(c.shape()) << " " << json_quote(g.values[v].name);
            // Made constants carry their bytes; folded ones say what they are.
            if (c.key().rfind("c:", 0) == 0) out << " {" << (c.made_bytes() ? hex(c.made_bytes(), c.bytes()) : "") << "}";
            out << "\n";
        }
    };
    // Values in order of their numbers; nodes where their first output stands.
    std::vector<int64_t> producer(g.values.size(), -1);
    for (size_t n = 0; n < g.nodes.size(); n++)
        if (!g.nodes[n].outs.empty()) producer[g.nodes[n].outs[0]] = static_cast<int64_t>(n);
    size_t regions = 1;  // told so far
    for (size_t v = 1; v < g.values.size(); v++) {
        const ValueDef& def = g.values[v];
        const auto id = static_cast<orr_value>(v);
        switch (def.kind) {
            case ValueKind::input: {
                const InputDef& in = g.inputs[def.index];
                out << (in.positions ? "positions " : "input ") << value_text(id) << " " << registry.type(def.type).id << " " << dims_text(g, def.dims) << " " << in.flags << " " << json_quote(in.name) << "\n";
                break;
            }
            case ValueKind::constant: constant_line(v); break;
            case ValueKind::state: {
                const StateDef& s = g.states[def.index];
                out << "state " << value_text(id) << " " << s.kind << " " << (s.type ? registry.type(s.type).id : "cache") << " " << shape_text(s.dims) << " [" << g.dims->text(def.dims[0]) << "] ["
                    << g.dims->text(s.append) << "] " << s.window << " " << json_quote(s.name) << "\n";
                break;
            }
            case ValueKind::node: {
                if (producer[v] < 0) break;
                const NodeDef& n = g.nodes[static_cast<size_t>(producer[v])];
                for (; regions <= n.region; regions++) {
                    const RegionDef& r = g.regions[regions];
                    out << "region " << regions << " " << (r.otherwise ? "unless " : "if ") << value_text(r.flag) << " " << r.parent << "\n";
                }
                out << "node ";
                if (n.region) out << "[" << n.region << "] ";
                if (n.group) out << "<" << n.group << "> ";
                out << "(" << joined(n.outs, value_text) << ") = " << n.op->id << " (" << joined(n.ins, value_text) << ") " << n.attrs.text() << " : "
                    << joined(n.outs, [&](orr_value o) { return registry.type(g.values[o].type).id + " " + dims_text(g, g.values[o].dims); }) << "\n";
                for (const orr_value o : n.outs)
                    if (!g.values[o].name.empty()) out << "name " << value_text(o) << " " << json_quote(g.values[o].name) << "\n";
                break;
            }
        }
    }
    for (const StateDef& s : g.states)
        if (s.next) out << "set_state " << value_text(s.next) << " " << json_quote(s.name) << "\n";
    if (g.advance != 0) out << "advance [" << g.dims->text(g.advance) << "]\n";
    for (const OutputDef& o : g.outputs) out << "output " << value_text(o.value) << " " << json_quote(o.name) << "\n";
    return out.str();
}

Program parse_graph(const std::string& text, Registry& registry, const orr_host* host, Weights& weights) {
    std::istringstream in(text);
    in.imbue(std::locale::classic());
    std::string raw;
    size_t number = 1;
    if (!std::getline(in, raw) || raw != kHeader) throw Error(ORR_CORRUPT, std::string("graph text: does not begin with \"") + kHeader + "\"");
    std::unique_ptr<GraphBuilder> b;
    const auto value = [&](const Line& line, const std::string& w) -> orr_value {
        if (w == "-") return 0;
        if (w.size() < 2 || w.size() > 10 || w[0] != '%' || w.find_first_not_of("0123456789", 1) != std::string::npos) line.fail("\"" + w + "\" is no value");
        return static_cast<orr_value>(std::stoul(w.substr(1)));
    };
    const auto expect = [&](const Line& line, const std::string& w, orr_value have) {
        if (value(line, w) != have) line.fail("defines " + w + " where %" + std::to_string(have) + " is next");
    };
    while (std::getline(in, raw)) {
        Line line(raw, ++number);
        if (line.at_end()) continue;
        const std::string kind = line.word();
        if (kind == "program") {
            const std::string model = line.quoted();
            b = std::make_unique<GraphBuilder>(host, registry, weights, model, line.quoted());
            continue;
        }
        if (!b) line.fail("\"program\" must come first");
        DimPool& pool = *b->graph().dims;
        const auto dims = [&] {
            std::vector<orr_dim> out;
            for (const auto& d : split(line.inside('[', ']'))) out.push_back(pool.parse(d));
            return out;
        };
        if (kind == "input" || kind == "positions") {
            const std::string id = line.word();
            const uint32_t type = registry.find_type(line.word()).number;
            const auto shape = dims();
            const auto flags = static_cast<uint32_t>(line.integer());
            expect(line, id, b->input(line.quoted(), type, shape, flags, kind == "positions"));
        } else if (kind == "weight" || kind == "stack") {
            const std::string id = line.word(), type = line.word();
            std::vector<int64_t> shape;
            for (const auto& d : split(line.inside('[', ']'))) shape.push_back(pool.parse(d));
            std::vector<std::string> names;
            for (const auto& n : split(line.inside('[', ']'))) {
                const auto j = parse_json(n);
                if (!j.is_string()) line.fail("\"" + n + "\" is no tensor name");
                names.push_back(j.get<std::string>());
            }
            if (names.empty() || (kind == "stack" && shape.empty())) line.fail("no tensor");
            if (kind == "stack") shape.erase(shape.begin());
            const auto c = weights.declare(names, kind == "stack", shape);
            if (c->type_info().id != type) line.fail("tensor " + names[0] + " is " + c->type_info().id + ", not " + type);
            expect(line, id, b->constant(c, names[0]));
        } else if (kind == "constant") {
            const std::string id = line.word();
            const TypeInfo& type = registry.find_type(line.word());
            std::vector<int64_t> shape;
            for (const auto& d : split(line.inside('[', ']'))) shape.push_back(pool.parse(d));
            const std::string name = line.quoted();
            if (!line.next_is('{')) line.fail("constant " + name + " was folded and carries no bytes");
            const std::string digits = line.inside('{', '}');
            if (digits.size() != 2 * contiguous_bytes(shape, type, name)) line.fail("constant " + name + " has " + std::to_string(digits.size()) + " digits");
            std::string bytes(digits.size() / 2, '\0');
            for (size_t i = 0; i < bytes.size(); i++) {
                const int high = nibble(digits[2 * i]), low = nibble(digits[2 * i + 1]);
                if (high < 0 || low < 0) line.fail("constant " + name + ": not hexadecimal");
                bytes[i] = static_cast<char>(high << 4 | low);
            }
            expect(line, id, b->constant(weights.make(name, type.number, shape, bytes.data()), name));
        } else if (kind == "state") {
            const std::string id = line.word();
            StateDef s;
            s.kind = static_cast<uint32_t>(line.integer());
            const std::string type = line.word();
            s.type = type == "cache" ? 0 : registry.find_type(type).number;
            for (const auto& d : split(line.inside('[', ']'))) s.dims.push_back(pool.parse(d));
            const orr_dim batch = pool.parse(line.inside('[', ']'));
            s.append = pool.parse(line.inside('[', ']'));
            s.window = line.integer();
            s.name = line.quoted();
            expect(line, id, b->state(s, batch));
        } else if (kind == "region") {
            auto& regions = b->graph().regions;
            if (line.integer() != static_cast<int64_t>(regions.size())) line.fail("is not region " + std::to_string(regions.size()));
            const std::string when = line.word();
            if (when != "if" && when != "unless") line.fail("wanted if or unless");
            const orr_value flag = value(line, line.word());
            const int64_t parent = line.integer();
            if (flag == 0 || flag >= b->graph().values.size() || parent < 0 || parent >= static_cast<int64_t>(regions.size())) line.fail("hangs on what is not defined");
            regions.push_back({flag, when == "unless", static_cast<uint32_t>(parent)});
        } else if (kind == "node") {
            int64_t region = 0;
            if (line.next_is('[')) region = pool.parse(line.inside('[', ']'));
            if (region < 0 || region >= static_cast<int64_t>(b->graph().regions.size())) line.fail("stands in a region that is not defined");
            const int64_t group = line.next_is('<') ? pool.parse(line.inside('<', '>')) : 0;
            if (group < 0 || group > UINT32_MAX) line.fail("is in no group");
            b->enter(static_cast<uint32_t>(region), static_cast<uint32_t>(group));
            b->graph().groups = std::max(b->graph().groups, static_cast<uint32_t>(group));
            const auto outs = split(line.inside('(', ')'));
            if (line.word() != "=") line.fail("wanted =");
            const std::string op = line.word();
            std::vector<orr_value> ins;
            for (const auto& v : split(line.inside('(', ')'))) ins.push_back(value(line, v));
            const std::string attrs = "{" + line.inside('{', '}') + "}";
            const auto made = b->node(op, attrs, ins, outs.size());
            for (size_t i = 0; i < made.size(); i++) expect(line, outs[i], made[i]);
        } else if (kind == "name") {
            const orr_value v = value(line, line.word());
            b->name(v, line.quoted());
        } else if (kind == "set_state") {
            const orr_value v = value(line, line.word());
            b->set_state(line.quoted(), v);
        } else if (kind == "advance") {
            b->graph().advance = pool.parse(line.inside('[', ']'));
        } else if (kind == "output") {
            const orr_value v = value(line, line.word());
            b->output(line.quoted(), v);
        } else {
            line.fail("\"" + kind + "\" is not known");
        }
    }
    if (!b) throw Error(ORR_CORRUPT, "graph text: holds no program");
    b->enter(0);
    return b->finish();
}

}  // namespace orrery
