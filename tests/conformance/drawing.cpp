#include "drawing.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "engine/registry/attr_range.hpp"

namespace orrery::conformance {
namespace {

constexpr int64_t kMostElements = 1 << 16;

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
const char* layouts_of(const orr_port& port) { return ORR_HAS(&port, orr_port, layouts) && port.layouts ? port.layouts : ""; }
bool is_dots(const std::string& item) { return item == ".." || item == "..." || item == "…"; }

// What stands between the brackets that a port's documentation begins with; false where it begins otherwise.
bool shape_items(const std::string& doc, std::vector<std::string>* items) {
    const size_t end = doc.find(']');
    if (doc.empty() || doc[0] != '[' || end == std::string::npos) return false;
    std::istringstream list(doc.substr(1, end - 1));
    for (std::string item; std::getline(list, item, ',');) {
        const size_t begin = item.find_first_not_of(' ');
        items->push_back(begin == std::string::npos ? "" : item.substr(begin, item.find_last_not_of(' ') + 1 - begin));
    }
    return true;
}

// Extents by the names that the ports' documentation gives them: "[B, T, E]" of two ports share B, T and E; "K - 1" and "R / 2" go with K and R,
// "C / groups" with an attribute too.
class Extents {
  public:
    Extents(Random& random, bool states, const Wanted& wanted)
        : random_(random), states_(states), leading_(static_cast<size_t>(random() % 5)), rank_(static_cast<size_t>(random() % 7)), first_named_(wanted.leading ? 0 : wanted.extent) {
        for (size_t n = 0; n < leading_; n++) dims_.push_back(draw_one_of(leading_, 2));
        for (size_t n = 0; n < rank_; n++) any_.push_back(draw_one_of(rank_, 4));
        if (wanted.leading && wanted.extent) dims_ = {wanted.extent};
        if (wanted.extent && !any_.empty() && rank_ <= 4) any_[0] = wanted.extent;
    }

    void set(const std::string& name, int64_t extent) { names_[name] = extent; }
    int64_t named(const std::string& name) {
        auto [found, added] = names_.try_emplace(name, 0);
        if (added) found->second = states_ && name == "B" ? 1 + static_cast<int64_t>(random_() % 3) : first_named_ ? std::exchange(first_named_, 0) : draw();
        return found->second;
    }
    // Of a port: as its documentation begins, else those that all such ports have.
    std::vector<int64_t> shape_of(const std::string& doc, std::vector<std::string>* names) {
        std::vector<std::string> items;
        names->clear();
        if (!shape_items(doc, &items)) {
            names->resize(any_.size());
            return any_;
        }
        std::vector<int64_t> out;
        for (std::string item : items) {
            if (is_dots(item)) {
                out.insert(out.end(), dims_.begin(), dims_.end());
                names->resize(out.size());
                continue;
            }
            if (const size_t choice = item.find(" or "); choice != std::string::npos) item = random_() % 2 ? item.substr(0, choice) : item.substr(choice + 4);
            out.push_back(extent_of(item));
            names->push_back(item);
        }
        out.resize(std::min<size_t>(out.size(), ORR_MAX_RANK));
        names->resize(out.size());
        return out;
    }

  private:
    int64_t extent_of(const std::string& item) {
        const auto is_number = [](const std::string& s) { return !s.empty() && std::all_of(s.begin(), s.end(), [](unsigned char c) { return std::isdigit(c); }); };
        if (is_number(item)) return std::min<int64_t>(std::stoll(item), kMostElements);
        const auto words = words_of(item.c_str());
        if (words.size() == 3 && is_number(words[2]) && words[2].size() < 6) {
            const int64_t by = std::stoll(words[2]), whole = named(words[0]);
            if (words[1] == "-") return std::max<int64_t>(0, whole - by);
            if (words[1] == "+") return whole + by;
            if (words[1] == "/" && by > 0) return whole / by;
        }
        // "C / groups": by an attribute's value
        if (words.size() == 3 && words[1] == "/" && names_.count(words[2]) && names_[words[2]] > 0) return named(words[0]) / names_[words[2]];
        return named(item);
    }
    // Of many axes small ones: together they must stay small enough to be drawn.
    int64_t draw_one_of(size_t axes, size_t few) { return axes <= few ? draw() : 1 + static_cast<int64_t>(random_() % 3); }
    int64_t draw() {
        static constexpr int64_t kValues[] = {1, 2, 3, 4, 4, 5, 7, 8, 9, 16, 17, 32, 33, 64};
        return random_() % 24 == 0 ? 0 : kValues[random_() % std::size(kValues)];
    }
    Random& random_;
    bool states_;
    size_t leading_, rank_;
    int64_t first_named_;
    std::vector<int64_t> dims_, any_;
    std::map<std::string, int64_t> names_;
};

const Type& type_of(const orr_port& port, const Types& types, bool plain_only, Random& random) {
    static const std::vector<std::string> plain = {"f32", "f32", "f16", "bf16", "i32", "bool"};
    if (plain_only) return types.get("f32");
    const auto ids = words_of(port.types);
    const std::string& id = pick(ids, random);
    return types.get(id == "*" ? pick(plain, random) : id);
}

// Without a span in [-2, 2], many of them whole: comparisons and indices then meet equal ones.
Value draw_value(const Type& type, const std::vector<int64_t>& shape, const std::pair<double, double>* span, Random& random) {
    Value v;
    v.present = true;
    v.type = &type;
    v.shape = shape;
    if (v.elems() > kMostElements) throw std::runtime_error("too large");
    if (type.block && (!type.block->quantise || v.row_elems() % type.block_elems)) throw std::runtime_error("a block type");
    const auto count = static_cast<size_t>(v.elems());
    if (type.is_float()) {
        std::vector<double> values(count);
        for (double& d : values)
            d = span ? span->first + (span->second - span->first) * static_cast<double>(random() % 1025) / 1024 : static_cast<double>(static_cast<int64_t>(random() % 1025) - 512) / 256;
        v.bytes = encode(type, values);
    } else {
        std::vector<int64_t> values(count);
        for (int64_t& d : values) {
            d = static_cast<int64_t>(random() % 5) - (random() % 8 == 0 ? 2 : 0);
            if (span) d = static_cast<int64_t>(span->first) + static_cast<int64_t>(random() % static_cast<uint64_t>(span->second - span->first + 1));
        }
        v.bytes = encode_integers(type, values);
    }
    return v;
}

// The allowed values of a string without a range may stand first in its documentation: "a|b|c".
std::vector<std::string> choices(const std::string& doc) {
    std::vector<std::string> out;
    std::istringstream list(doc.substr(0, doc.find_first_of(" ;:,")));
    for (std::string item; std::getline(list, item, '|');) out.push_back(item);
    return out;
}

// A number, in the range where there is one: every third at an end.
nlohmann::json draw_number(const orr_attr_desc& desc, const AttrRange& range, bool whole, Random& random) {
    static const std::vector<nlohmann::json> integers = {0, 1, 2, 3, -1, -2, 4, 8}, reals = {0.0, 1.0, 0.5, 2.0, 1e-5};
    orr_attr_desc one = desc;
    one.kind = whole ? ORR_ATTR_INT : ORR_ATTR_FLOAT;
    one.least = one.most = 0;
    const AttrRange element(one);
    const auto usual = [&] { return pick(whole ? integers : reals, random); };
    if (range.low.none && range.high.none) return usual();
    const Ends ends = ends_of(one);
    if (random() % 3 == 0 && !ends.inside.empty()) return pick(ends.inside, random);
    for (int n = 0; n < 8; n++)
        if (const auto v = usual(); element.refusal(v).empty()) return v;
    return ends.inside.at(0);
}

nlohmann::json draw_attr(const orr_attr_desc& desc, Random& random) {
    const AttrRange range(desc);
    if (desc.default_json && random() % 2) return nlohmann::json::parse(desc.default_json);
    switch (desc.kind) {
        case ORR_ATTR_BOOL: return random() % 2 == 0;
        case ORR_ATTR_INT:
        case ORR_ATTR_FLOAT: return draw_number(desc, range, desc.kind == ORR_ATTR_INT, random);
        case ORR_ATTR_STRING: return range.words.empty() ? pick(choices(desc.doc), random) : pick(range.words, random);
        default: break;
    }
    nlohmann::json list = nlohmann::json::array();
    const uint64_t least = range.least, most = range.most ? std::max<uint64_t>(least, std::min<uint64_t>(range.most, 4)) : least + 3;
    for (uint64_t n = least + random() % (most - least + 1); n > 0; n--) list.push_back(draw_number(desc, range, desc.kind == ORR_ATTR_INTS, random));
    return list;
}

// Past and length of the states' sequences, which all paged ports share.
struct Sequences {
    std::vector<int64_t> past, first, length;
    int32_t page_tokens = 16;
};
Sequences draw_sequences(int64_t batch, int64_t room, int64_t tokens, bool written, Random& random) {
    Sequences s;
    s.page_tokens = static_cast<int32_t>(std::vector<int64_t>{16, 16, 32, 64}[random() % 4]);
    const bool dropped = random() % 3 == 0;
    for (int64_t b = 0; b < batch; b++) {
        const int64_t past = b == 0 ? room : static_cast<int64_t>(random() % static_cast<uint64_t>(room + 1));
        s.length.push_back(past + tokens);
        s.past.push_back(written ? past : past + tokens);
        s.first.push_back(dropped ? static_cast<int64_t>(random() % static_cast<uint64_t>(past + 1)) : 0);
    }
    return s;
}

}  // namespace

Spans spans_of(const std::vector<Case>& cases) {
    Spans out;
    for (const Case& c : cases) {
        if (c.fails) continue;
        for (size_t n = 0; n < c.inputs.size(); n++) {
            if (!c.inputs[n].present) continue;
            for (const double v : c.inputs[n].numbers()) {
                if (!std::isfinite(v) || (c.inputs[n].type->is_float() && std::abs(v) > 2)) continue;
                auto [at, added] = out.try_emplace(n, v, v);
                at->second = {std::min(at->second.first, v), std::max(at->second.second, v)};
            }
        }
    }
    return out;
}

bool has_states(const orr_operator& op) {
    for (uint32_t n = 0; n < op.n_inputs; n++)
        if (*layouts_of(*op.inputs[n])) return true;
    return false;
}

std::vector<std::string> axis_names(const char* doc, size_t rank) {
    std::vector<std::string> items, out;
    if (!shape_items(doc, &items)) return {};
    for (const std::string& item : items) {
        if (is_dots(item) && rank + 1 >= items.size())
            out.resize(out.size() + rank + 1 - items.size());
        else
            out.push_back(item);
    }
    return out.size() == rank ? out : std::vector<std::string>();
}

int axis_of(const std::vector<std::string>& names, const std::string& name) {
    const auto found = std::find(names.begin(), names.end(), name);
    return found == names.end() ? -1 : static_cast<int>(found - names.begin());
}

Value slice(const Value& v, int axis, int64_t begin, int64_t end) {
    Value part = v;
    if (!v.present || axis < 0) return part;
    const auto n = static_cast<size_t>(axis);
    int64_t outer = 1;
    for (size_t a = 0; a < n; a++) outer *= v.shape[a];
    const size_t chunk = outer && v.shape[n] ? v.bytes.size() / static_cast<size_t>(outer * v.shape[n]) : 0;
    part.shape[n] = end - begin;
    part.bytes.clear();
    for (int64_t o = 0; o < outer; o++) {
        const auto from = v.bytes.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(o * v.shape[n] + begin) * chunk);
        part.bytes.insert(part.bytes.end(), from, from + static_cast<std::ptrdiff_t>(static_cast<size_t>(end - begin) * chunk));
    }
    for (auto* list : {&part.past, &part.first, &part.length})
        if (!list->empty() && axis == 0) *list = {list->begin() + begin, list->begin() + end};
    return part;
}

Ends ends_of(const orr_attr_desc& desc) {
    using nlohmann::json;
    Ends out;
    const AttrRange range(desc);
    if (desc.kind == ORR_ATTR_STRING) {
        for (const std::string& word : range.words) out.inside.push_back(word);
        if (!range.words.empty()) out.outside = {range.words[0] + "?", ""};
        return out;
    }
    const bool list = desc.kind == ORR_ATTR_INTS || desc.kind == ORR_ATTR_FLOATS, whole = desc.kind == ORR_ATTR_INT || desc.kind == ORR_ATTR_INTS;
    std::vector<json> inside, outside;
    const auto end = [&](const AttrRange::End& e, int64_t away) {
        if (e.none) return;
        if (whole) {
            (e.included ? inside : outside).push_back(e.integer);
            (e.included ? outside : inside).push_back(e.included ? e.integer + away : e.integer - away);
        } else {
            (e.included ? inside : outside).push_back(e.number);
            // As far away as f32 holds: what is nearer is the end itself to most kernels.
            const double step = static_cast<double>(away) * std::max(1e-3, std::abs(e.number) * 1e-3);
            (e.included ? outside : inside).push_back(e.included ? e.number + step : e.number - step);
        }
    };
    end(range.low, -1);
    end(range.high, 1);
    if (!range.low.none && range.high.none) inside.push_back(whole ? json(range.low.integer + 100) : json(range.low.number + 100));
    if (range.low.none && !range.high.none) inside.push_back(whole ? json(range.high.integer - 100) : json(range.high.number - 100));
    // Some values that plainly lie inside are tried too, so that an end is not all there is.
    if (!list) return {inside, outside};
    const json good = inside.empty() ? json(whole ? json(1) : json(1.0)) : inside[0];
    const auto many = [&](const json& element, size_t count) { return json(std::vector<json>(count, element)); };
    const size_t least = std::max<uint32_t>(range.least, 1);
    for (const json& v : inside) out.inside.push_back(many(v, least));
    for (const json& v : outside) out.outside.push_back(many(v, least));
    if (range.most) out.inside.push_back(many(good, range.most)), out.outside.push_back(many(good, range.most + 1));
    if (range.least) out.outside.push_back(many(good, range.least - 1));
    return out;
}

std::vector<Wanted> wanted_of(const orr_operator& op, int count) {
    constexpr int64_t kExtents = 9;
    std::vector<Wanted> out(static_cast<size_t>(count));
    for (size_t n = 0; n < out.size(); n++) {
        out[n].leading = n % 2 == 0;
        out[n].extent = 1 + static_cast<int64_t>(n / 2) % kExtents;
    }
    size_t next = 0;
    for (uint32_t n = 0; n < op.n_attrs && !out.empty(); n++) {
        const orr_attr_desc& desc = *op.attrs[n];
        if (desc.kind != ORR_ATTR_INT && desc.kind != ORR_ATTR_FLOAT) continue;
        const AttrRange range(desc);
        for (const int64_t v : {0, 1, -1}) {
            const nlohmann::json value = desc.kind == ORR_ATTR_INT ? nlohmann::json(v) : nlohmann::json(static_cast<double>(v));
            if (!range.refusal(value).empty()) continue;
            out[next % out.size()].attrs[desc.name] = value;
            next++;
        }
    }
    return out;
}

Drawn draw(const orr_operator& op, const Types& types, const Spans& spans, Random& random, const Wanted& wanted) {
    Drawn d;
    const bool states = has_states(op);
    Extents extents(random, states, wanted);
    d.attrs = wanted.attrs;
    for (uint32_t n = 0; n < op.n_attrs; n++) {
        if (d.attrs.contains(op.attrs[n]->name)) continue;
        if (op.attrs[n]->default_json && random() % 3) continue;
        d.attrs[op.attrs[n]->name] = draw_attr(*op.attrs[n], random);
    }
    for (uint32_t n = 0; n < op.n_attrs; n++) {
        const orr_attr_desc& desc = *op.attrs[n];
        if (desc.kind != ORR_ATTR_INT) continue;
        const int64_t value = d.attrs.contains(desc.name) ? d.attrs[desc.name].get<int64_t>() : nlohmann::json::parse(desc.default_json).get<int64_t>();
        extents.set(desc.name, std::clamp<int64_t>(value, 0, 64));
    }
    // Ports that take the same list of types mostly want the same one, and those of the same list of layouts one layout.
    std::map<std::string, const Type*> chosen;
    std::map<std::string, std::string> laid;
    const bool alike = random() % 4 != 0;
    bool written = false, paged = false;
    for (uint32_t n = 0; n < op.n_outputs; n++) written = written || std::string(layouts_of(*op.outputs[n])) == ORR_LAYOUT_PAGED;
    for (uint32_t n = 0; n < op.n_inputs; n++) {
        const orr_port& port = *op.inputs[n];
        if (!*layouts_of(port)) continue;
        std::string& layout = laid[port.layouts];
        if (layout.empty()) layout = pick(words_of(port.layouts), random);
        // A plain one of those that may be states is an activation.
        const Type*& type = chosen[std::string(port.types) + " state"];
        if (!type) type = &type_of(port, types, layout == "plain", random);
        std::vector<std::string> items;
        if (type->block && shape_items(port.doc, &items)) extents.set(items.back(), static_cast<int64_t>(type->block_elems) << random() % 2);
        if (layout == "paged") paged = true;
    }
    Sequences sequences;
    if (states) {
        static const std::vector<int64_t> kPast = {0, 1, 3, 15, 16, 17, 40, 100};
        d.tokens = extents.named("T");
        const int64_t room = pick(kPast, random);
        extents.set("S", d.tokens + room + (paged && random() % 4 == 0 ? 5 : 0));
        if (paged) sequences = draw_sequences(extents.named("B"), room, d.tokens, written, random);
    }
    for (uint32_t n = 0; n < op.n_inputs; n++) {
        const orr_port& port = *op.inputs[n];
        const uint64_t count = port.flags & ORR_PORT_VARIADIC ? 1 + random() % 3 : 1;
        for (uint64_t k = 0; k < count; k++) {
            d.axes.emplace_back();
            if (port.flags & ORR_PORT_OPTIONAL && random() % 2) {
                d.inputs.emplace_back();
                continue;
            }
            const bool state = *layouts_of(port);
            const Type*& type = chosen[std::string(port.types) + (state ? " state" : "")];
            if (!type || (!alike && !state)) type = &type_of(port, types, false, random);
            const auto shape = extents.shape_of(port.doc, &d.axes.back());
            const auto span = states ? spans.find(d.inputs.size()) : spans.end();
            Value v = draw_value(*type, shape, span == spans.end() ? nullptr : &span->second, random);
            if (state && laid[port.layouts] != "plain") v.layout = laid[port.layouts];
            if (v.layout == ORR_LAYOUT_PAGED) v.past = sequences.past, v.first = sequences.first, v.length = sequences.length, v.page_tokens = sequences.page_tokens;
            d.inputs.push_back(std::move(v));
        }
    }
    for (const Value& v : d.inputs) d.text += (d.text.empty() ? "" : ", ") + v.describe() + (v.layout.empty() ? "" : " " + v.layout);
    if (!d.attrs.empty()) d.text += ", " + d.attrs.dump();
    return d;
}

}  // namespace orrery::conformance
