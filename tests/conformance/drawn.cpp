// Cases out of the descriptor alone: types and documented shapes of the ports, values of the attributes. The shape function says which of them
// are any: it may refuse, with a reason. What it takes, every kernel computes as the definition does, or refuses, with a reason.
#include <algorithm>
#include <cctype>
#include <sstream>
#include <stdexcept>

#include "checker.hpp"

namespace orrery::conformance {
namespace {

constexpr int64_t kMostElements = 1 << 16;

using Random = std::mt19937_64;

template <class List>
auto& pick(const List& list, Random& random) {
    return list[random() % list.size()];
}

std::vector<std::string> words_of(const char* text) {
    std::istringstream in(text);
    std::vector<std::string> out;
    for (std::string w; in >> w;) out.push_back(w);
    return out;
}

// Extents by the names that the ports' documentation gives them: "[B, T, E]" of two ports share B, T and E.
class Extents {
  public:
    explicit Extents(Random& random) : random_(random), leading_(static_cast<size_t>(random() % 3)) {
        for (size_t n = 0; n < leading_; n++) dims_.push_back(draw());
        rank_ = static_cast<size_t>(random() % 5);
        for (size_t n = 0; n < rank_; n++) any_.push_back(draw());
    }

    // Of a port: as its documentation begins, else those that all such ports have.
    std::vector<int64_t> shape_of(const std::string& doc) {
        const size_t end = doc.find(']');
        if (doc.empty() || doc[0] != '[' || end == std::string::npos) return any_;
        std::vector<int64_t> out;
        std::istringstream list(doc.substr(1, end - 1));
        for (std::string item; std::getline(list, item, ',');) {
            item.erase(std::remove(item.begin(), item.end(), ' '), item.end());
            if (item == ".." || item == "..." || item == "…") {
                out.insert(out.end(), dims_.begin(), dims_.end());
            } else if (!item.empty() && std::all_of(item.begin(), item.end(), [](unsigned char c) { return std::isdigit(c); })) {
                out.push_back(std::min<int64_t>(std::stoll(item), kMostElements));
            } else {
                auto [found, added] = names_.try_emplace(item, 0);
                if (added) found->second = draw();
                out.push_back(found->second);
            }
        }
        out.resize(std::min<size_t>(out.size(), ORR_MAX_RANK));
        return out;
    }

  private:
    int64_t draw() {
        static constexpr int64_t kValues[] = {1, 2, 3, 4, 4, 5, 7, 8, 9, 16, 17, 32, 33, 64};
        return random_() % 24 == 0 ? 0 : kValues[random_() % std::size(kValues)];
    }
    Random& random_;
    size_t leading_, rank_ = 0;
    std::vector<int64_t> dims_, any_;
    std::map<std::string, int64_t> names_;
};

const Type& type_of(const orr_port& port, const Types& types, Random& random) {
    static const std::vector<std::string> plain = {"f32", "f32", "f16", "bf16", "i32", "bool"};
    const auto ids = words_of(port.types);
    const std::string& id = pick(ids, random);
    return types.get(id == "*" ? pick(plain, random) : id);
}

// In [-2, 2], many of them whole: comparisons and indices then meet equal ones.
Value draw_value(const Type& type, const std::vector<int64_t>& shape, Random& random) {
    Value v;
    v.present = true;
    v.type = &type;
    v.shape = shape;
    if (v.elems() > kMostElements) throw std::runtime_error("too large");
    if (type.block) throw std::runtime_error("a block type");
    const auto count = static_cast<size_t>(v.elems());
    if (type.is_float()) {
        std::vector<double> values(count);
        for (double& d : values) d = static_cast<double>(static_cast<int64_t>(random() % 1025) - 512) / 256;
        v.bytes = encode(type, values);
    } else {
        std::vector<int64_t> values(count);
        for (int64_t& d : values) d = static_cast<int64_t>(random() % 5) - (random() % 8 == 0 ? 2 : 0);
        v.bytes = encode_integers(type, values);
    }
    return v;
}

// The allowed values of a string stand first in its documentation: "a|b|c".
std::vector<std::string> choices(const std::string& doc) {
    std::vector<std::string> out;
    std::istringstream list(doc.substr(0, doc.find_first_of(" ;:,")));
    for (std::string item; std::getline(list, item, '|');) out.push_back(item);
    return out;
}

nlohmann::json draw_attr(const orr_attr_desc& desc, Random& random) {
    static const std::vector<int64_t> whole = {0, 1, 2, 3, -1, -2, 4, 8};
    static const std::vector<double> real = {0, 1, 0.5, 2, 1e-5};
    if (desc.default_json && random() % 2) return nlohmann::json::parse(desc.default_json);
    switch (desc.kind) {
        case ORR_ATTR_BOOL: return random() % 2 == 0;
        case ORR_ATTR_INT: return pick(whole, random);
        case ORR_ATTR_FLOAT: return pick(real, random);
        case ORR_ATTR_STRING: return pick(choices(desc.doc), random);
        default: break;
    }
    nlohmann::json list = nlohmann::json::array();
    for (uint64_t n = random() % 4; n > 0; n--) desc.kind == ORR_ATTR_INTS ? list.push_back(pick(whole, random)) : list.push_back(pick(real, random));
    return list;
}

struct Drawn {
    std::vector<Value> inputs;
    nlohmann::json attrs = nlohmann::json::object();
    std::string text;
};

Drawn draw(const orr_operator& op, const Types& types, Random& random) {
    Drawn d;
    Extents extents(random);
    // Ports that take the same list of types mostly want the same one.
    std::map<std::string, const Type*> chosen;
    const bool alike = random() % 4 != 0;
    for (uint32_t n = 0; n < op.n_inputs; n++) {
        const orr_port& port = *op.inputs[n];
        const uint64_t count = port.flags & ORR_PORT_VARIADIC ? 1 + random() % 3 : 1;
        for (uint64_t k = 0; k < count; k++) {
            if (port.flags & ORR_PORT_OPTIONAL && random() % 2) {
                d.inputs.emplace_back();
                continue;
            }
            const Type*& type = chosen[port.types];
            if (!type || !alike) type = &type_of(port, types, random);
            d.inputs.push_back(draw_value(*type, extents.shape_of(port.doc), random));
        }
    }
    for (const Value& v : d.inputs) d.text += (d.text.empty() ? "" : ", ") + v.describe();
    for (uint32_t n = 0; n < op.n_attrs; n++) {
        if (op.attrs[n]->default_json && random() % 3) continue;
        d.attrs[op.attrs[n]->name] = draw_attr(*op.attrs[n], random);
    }
    if (!d.attrs.empty()) d.text += ", " + d.attrs.dump();
    return d;
}

}  // namespace

void Checker::check_drawn(const orr_operator& op, const std::vector<Case>& cases) {
    // Tensors of other layouts are states, whose content is no matter of shapes and types.
    for (const Case& c : cases)
        for (const Value& v : c.inputs)
            if (!v.layout.empty()) return;
    // As close as the operator's own cases want it; else as is usual for f32 sums.
    Case like;
    like.numerics = {ORR_NUMERICS_EXACT};
    like.drawn = true;
    like.tol = cases.empty() ? 1e-4 : 0;
    for (const Case& c : cases) like.tol = std::max(like.tol, c.tol);
    like.outputs.resize(op.n_outputs);
    const bool several = op.n_outputs > 0 && op.outputs[op.n_outputs - 1]->flags & ORR_PORT_VARIADIC;
    if (several) return;  // how many there are is not told
    int64_t taken = 0;
    for (int n = 0; n < options_.drawn_per_operator; n++) {
        const std::string name = "drawn " + std::to_string(n);
        if (!begin(name)) continue;
        contain([&] {
            Drawn d;
            try {
                d = draw(op, types_, random_);
            } catch (const std::runtime_error&) {
                return;  // nothing that could be drawn
            }
            case_ = name + " (" + d.text + ")";
            at(case_);
            if (!check_ports(op, d.inputs).empty()) return;
            const AttrSet attrs(op, d.attrs);
            std::string error;
            const auto shapes = infer(op, attrs, d.inputs, op.n_outputs, &error);
            if (!shapes) return;
            for (const Shape& s : *shapes) {
                Value v;
                v.shape = s.dims;
                if (v.elems() > kMostElements || !s.layout.empty()) return;
            }
            taken++;
            may_fail_ = true;
            check_against_reference(op, like, d.attrs, d.inputs);
            may_fail_ = false;
        });
    }
    if (taken > 0) report_.ran.insert(op_ + " drawn cases: " + std::to_string(taken));
    else if (!options_.only) report_.notes.insert(op_ + ": the shape function took none of the cases drawn from the descriptor");
}

}  // namespace orrery::conformance
