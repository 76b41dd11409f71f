// What every check is made of: shapes, bindings, single runs. The checks themselves are in checks.cpp and derived.cpp.
#include "checker.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>

#include "engine/graph/graph.hpp"
#include "engine/registry/token_axis.hpp"

namespace orrery::conformance {
namespace {

bool lists(const char* types, const std::string& id) {
    std::istringstream words(types);
    for (std::string word; words >> word;)
        if (word == "*" || word == id) return true;
    return false;
}

const orr_port* port_of(const orr_operator& op, size_t input) {
    if (op.n_inputs == 0) return nullptr;
    if (input < op.n_inputs) return op.inputs[input];
    const orr_port* last = op.inputs[op.n_inputs - 1];
    return last->flags & ORR_PORT_VARIADIC ? last : nullptr;
}

}  // namespace

Checker::Checker(Host& host, Pool& pool, const Types& types, const Options& options, Report& report)
    : host_(host), pool_(pool), types_(types), options_(options), report_(report), random_(options.seed) {}

uint64_t unit_seed(uint64_t seed, const std::string& op, const std::string& unit) {
    uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a, 64 bits
    for (const char c : op + "#" + unit) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
    return seed << 24 | ((hash ^ hash >> 24 ^ hash >> 48) & 0xffffff);
}

bool Checker::begin(const std::string& name) {
    unit_ = unit_seed(options_.seed, op_, name);
    if (options_.only && *options_.only != unit_) return false;
    random_.seed(unit_);
    case_ = name;
    at(case_);
    report_.cases++;
    return true;
}

void Checker::contain(const std::function<void()>& unit) {
    host_.arm(-1);
    may_fail_ = false;
    try {
        unit();
    } catch (const Escaped& e) {
        fail("exception", e.what());
    } catch (const std::exception& e) {
        fail("case", e.what());
    }
    host_.arm(-1);
}

void Checker::check(const orr_operator& op, const std::vector<Case>& cases) {
    op_ = op.id;
    kernels_ran_.clear();
    int number = 0;
    for (const Case& c : cases) {
        if (begin("case " + std::to_string(number++) + " (line " + std::to_string(c.line) + (c.name.empty() ? "" : ", " + c.name) + ")"))
            contain([&] { c.fails ? check_error(op, c) : check_case(op, c); });
    }
    check_ranges(op, cases);
    check_drawn(op, cases);
    unit_ = 0;
    case_ = "";
    at("");
    if (options_.only) return;
    for (uint32_t n = 0; n < op.n_kernels; n++) {
        const std::string name = op.kernels[n]->name;
        if (chosen(*op.kernels[n])) expect("coverage", kernels_ran_.count(name) > 0, "kernel " + name + " refused every case");
    }
    const bool has_reference = op.n_kernels > 0 && (op.kernels[op.n_kernels - 1]->flags & ORR_KERNEL_REFERENCE);
    expect("coverage", has_reference || op.decompose, "there is neither a reference kernel, last in the list, nor a decomposition");
}

bool Checker::chosen(const orr_kernel& k) const { return std::string(k.device) == (options_.device ? options_.device->kind() : "cpu"); }
std::vector<uint32_t> Checker::isas() const { return options_.device ? std::vector<uint32_t>{options_.isas.back()} : options_.isas; }

void Checker::expect(const char* check, bool good, const std::string& what) {
    report_.checks++;
    if (!good) fail(check, what);
}
void Checker::fail(const char* check, const std::string& what) { report_.failures.push_back({check, op_, where_, what, unit_}); }
void Checker::at(const std::string& where) {
    where_ = where;
    if (options_.on_step) options_.on_step(op_, where_, unit_);
}

std::string Checker::setting_text(const orr_kernel& k, Setting s) const {
    if (s.device) return case_ + ", " + k.name + ", " + s.device->id() + ", " + numerics_name(s.numerics);
    return case_ + ", " + k.name + ", " + isa_name(s.isa) + ", " + std::to_string(s.threads) + (s.threads == 1 ? " thread, " : " threads, ") +
           numerics_name(s.numerics);
}

std::string Checker::check_ports(const orr_operator& op, const std::vector<Value>& inputs) const {
    for (size_t n = 0; n < inputs.size(); n++) {
        const orr_port* port = port_of(op, n);
        if (!port) return std::string(op.id) + " takes " + std::to_string(op.n_inputs) + " inputs, not " + std::to_string(inputs.size());
        if (inputs[n].present && !lists(port->types, inputs[n].type->id))
            return std::string(op.id) + ": " + port->name + " is " + inputs[n].type->id + ", it takes " + port->types;
        if (!inputs[n].present && !(port->flags & (ORR_PORT_OPTIONAL | ORR_PORT_VARIADIC))) return std::string(op.id) + ": " + port->name + " is missing";
    }
    for (size_t n = inputs.size(); n < op.n_inputs; n++)
        if (!(op.inputs[n]->flags & (ORR_PORT_OPTIONAL | ORR_PORT_VARIADIC))) return std::string(op.id) + ": " + op.inputs[n]->name + " is missing";
    return "";
}

std::optional<std::vector<Checker::Shape>> Checker::infer(const orr_operator& op, const AttrSet& attrs, const std::vector<Value>& inputs, size_t n_outputs,
                                                          std::string* error) {
    Dims dims;
    std::vector<orr_value_info> in, out(n_outputs);
    for (const Value& v : inputs) in.push_back(v.present ? info_of(v) : orr_value_info{});
    std::vector<const orr_value_info*> in_pointers;
    std::vector<orr_value_info*> out_pointers;
    for (size_t n = 0; n < inputs.size(); n++) in_pointers.push_back(inputs[n].present ? &in[n] : nullptr);
    while (in_pointers.size() < op.n_inputs) in_pointers.push_back(nullptr);
    for (orr_value_info& o : out) {
        o.header = ORR_HEADER(orr_value_info);
        out_pointers.push_back(&o);
    }
    const orr_infer request = {ORR_HEADER(orr_infer), &host_.table,      dims.table(),        attrs.table(), static_cast<uint32_t>(in_pointers.size()),
                               static_cast<uint32_t>(n_outputs), in_pointers.data(), out_pointers.data()};
    host_.take_error();
    const orr_status status = contained("infer", [&] { return op.infer(&request); });
    if (status != ORR_OK) {
        *error = host_.take_error();
        expect("error", !error->empty(), "the shape function fails without a text");
        return std::nullopt;
    }
    std::vector<Shape> shapes;
    for (size_t n = 0; n < out.size(); n++) {
        const orr_value_info& o = out[n];
        if (o.rank < 0 || o.rank > ORR_MAX_RANK) throw std::runtime_error("the shape function gives rank " + std::to_string(o.rank));
        Shape s{&types_.get(o.type), {o.dims, o.dims + o.rank}, o.layout ? o.layout : ""};
        for (const int64_t d : s.dims)
            if (d < 0) throw std::runtime_error("the shape function gives a symbolic or negative extent for bound shapes: " + shape_text(s.dims));
        shapes.push_back(std::move(s));
        check_token_axis(op, n, o.rank);
    }
    return shapes;
}

// The axis of tokens that an output's port tells is there, and T where the documentation names its axes.
void Checker::check_token_axis(const orr_operator& op, size_t output, int32_t rank) {
    const orr_port& port = output_port(op, output);
    const auto told = told_token_axis(port);
    const int32_t axis = token_axis(port, rank), documented = axis_of(axis_names(port.doc, static_cast<size_t>(rank)), "T");
    const std::string who = std::string(op.id) + ": output " + std::to_string(output) + " (" + port.name + ")", by = ", its port tells axis " + std::to_string(told.value_or(0)) + " as that of tokens";
    if (told) {
        expect("shape", axis >= 0, who + " has rank " + std::to_string(rank) + by);
        expect("shape", axis < 0 || documented < 0 || axis == documented, who + ": its documentation has T on axis " + std::to_string(documented) + by);
    } else if (documented >= 0) {
        report_.notes.insert(who + ": its documentation has T on axis " + std::to_string(documented) + ", its port tells no token_axis, which taps go by");
    }
}

bool Checker::constant(const orr_operator& op, size_t input, const Value& v) const { return v.constant.value_or(port_of(op, input)->flags & ORR_PORT_WEIGHT); }

Binding Checker::bind(const orr_operator& op, const std::vector<Value>& inputs, const std::vector<Shape>& shapes, Placing placing) const {
    Binding b;
    std::vector<const Held*> paged;
    std::vector<const Value*> paged_values;
    for (size_t n = 0; n < inputs.size(); n++) {
        const Value& v = inputs[n];
        b.weights.push_back(port_of(op, n)->flags & ORR_PORT_WEIGHT);
        if (!v.present) {
            b.inputs.push_back(nullptr);
            continue;
        }
        Form form = placing.input < 0 || placing.input == static_cast<int>(n) ? placing.form : Form::contiguous;
        const bool fixed = constant(op, n, v);
        if (fixed && form != Form::contiguous && form != Form::fronted) form = Form::shifted;
        b.inputs.push_back(std::make_unique<Held>(v, form, fixed, true));
        if (v.layout == ORR_LAYOUT_PAGED) {
            paged.push_back(b.inputs.back().get());
            paged_values.push_back(&v);
        }
    }
    while (b.inputs.size() < op.n_inputs && !(op.inputs[op.n_inputs - 1]->flags & ORR_PORT_VARIADIC)) b.inputs.push_back(nullptr);
    size_t next_paged = 0;
    for (const Shape& s : shapes) {
        Value v;
        v.present = true;
        v.type = s.type;
        v.shape = s.dims;
        v.layout = s.layout;
        if (s.layout != ORR_LAYOUT_PAGED) {
            b.outputs.push_back(std::make_unique<Held>(v, Form::contiguous, false, false));
            continue;
        }
        if (next_paged == paged.size()) throw std::runtime_error("an output of layout paged has no paged input to share");
        v = *paged_values[next_paged];
        b.outputs.push_back(std::make_unique<Held>(v, *paged[next_paged++]));
    }
    return b;
}

std::optional<Checker::Outputs> Checker::run_once(const orr_operator& op, const orr_kernel& k, const AttrSet& attrs, const std::vector<Value>& inputs,
                                                  const std::vector<Shape>& shapes, Placing placing, Setting s, bool twice) {
    at(setting_text(k, s));
    Binding b = bind(op, inputs, shapes, placing);
    std::vector<std::vector<uint8_t>> before;
    for (const auto& in : b.inputs) before.push_back(in && in->tensor()->layout != intern(ORR_LAYOUT_PAGED) ? in->content() : std::vector<uint8_t>());
    host_.arm(-1);
    const int64_t outstanding = host_.outstanding;
    Outputs out;
    {
        Plan plan(host_, pool_, k, attrs, b, s);
        std::string reason;
        if (!plan.supports(&reason)) {
            expect("abi", plan.misuse().empty(), plan.misuse());
            expect("supports", may_fail_ || !(k.flags & ORR_KERNEL_REFERENCE), "the reference refuses: " + reason);
            return std::nullopt;
        }
        check_flops(op, plan);
        if (s.device && ORR_HAS(&k, orr_kernel, self_test) && k.self_test) check_self_test(op, k, attrs, inputs, shapes.size(), plan);
        host_.take_error();
        for (const bool running : {false, true}) {
            if ((running ? plan.run() : plan.prepare()) == ORR_OK) continue;
            const std::string text = host_.take_error();
            expect("error", !text.empty(), std::string(running ? "run" : "prepare") + " fails without a text");
            expect("run", may_fail_, (running ? "run: " : "prepare: ") + text);
            return std::nullopt;
        }
        for (const auto& o : b.outputs) out.push_back(o->content());
        if (twice) {
            if (plan.run() != ORR_OK) fail("repeat", "second run: " + host_.take_error());
            for (size_t n = 0; n < out.size(); n++)
                expect("repeat", b.outputs[n]->content() == out[n], "output " + std::to_string(n) + ": a second run gives other bits");
            if (!s.device) check_other_data(k, attrs, b, plan, s);
        }
        expect("abi", plan.misuse().empty(), plan.misuse());
        expect("guards", plan.intact(), "guard bytes of workspace, plan memory or packed weights were written");
        kernels_ran_.insert(k.name);
        report_.ran.insert(op_ + " " + k.name + "/" + (s.device ? s.device->id() : isa_name(s.isa)) + (plan.variant().empty() ? "" : ": " + plan.variant()));
    }
    expect("leak", host_.outstanding == outstanding, std::to_string(host_.outstanding - outstanding) + " allocations of the host's memory were not released");
    for (size_t n = 0; n < b.inputs.size(); n++) {
        if (!b.inputs[n]) continue;
        expect("guards", b.inputs[n]->intact(), "guard bytes round input " + std::to_string(n) + " were written");
        if (!before[n].empty()) expect("inputs", b.inputs[n]->content() == before[n], "input " + std::to_string(n) + " was changed");
    }
    for (size_t n = 0; n < b.outputs.size(); n++) expect("guards", b.outputs[n]->intact(), "guard bytes round output " + std::to_string(n) + " were written");
    return out;
}

void Checker::check_other_data(const orr_kernel& k, const AttrSet& attrs, const Binding& b, Plan& plan, Setting s) {
    bool changed = false;
    const auto disturb = [&] {
        for (const auto& in : b.inputs)
            if (in && in->disturb()) changed = true;
    };
    disturb();
    if (changed && plan.run() == ORR_OK) {
        Outputs kept;
        for (const auto& o : b.outputs) kept.push_back(o->content());
        Plan fresh(host_, pool_, k, attrs, b, s);
        std::string reason;
        if (fresh.supports(&reason) && fresh.prepare() == ORR_OK && fresh.run() == ORR_OK)
            for (size_t n = 0; n < kept.size(); n++)
                expect("repeat", b.outputs[n]->content() == kept[n], "output " + std::to_string(n) + ": with other data a plan that has run gives other bits than a fresh one");
    }
    disturb();
    host_.take_error();
}

std::string Checker::difference(const Shape& shape, const std::vector<uint8_t>& got, const std::vector<uint8_t>& want, double tol,
                                const std::vector<double>* slack) const {
    if (got == want) return "";
    Value a, b;
    a.present = b.present = true;
    a.type = b.type = shape.type;
    a.shape = b.shape = shape.dims;
    a.bytes = got;
    b.bytes = want;
    return first_difference(a.numbers(), b.numbers(), tol, slack);
}

void Checker::compare_case(const char* check, const Case& c, const std::vector<Shape>& shapes, const Outputs& got, uint32_t numerics) {
    for (size_t n = 0; n < c.outputs.size(); n++) {
        const Expected& want = c.outputs[n];
        if (!want.compare) continue;
        Value v;
        v.present = true;
        v.type = shapes[n].type;
        v.shape = shapes[n].dims;
        v.bytes = got[n];
        const std::string name = "output " + std::to_string(n) + ": ";
        if (!want.integers.empty() && !v.type->is_float()) {
            expect(check, encode_integers(*v.type, want.integers) == got[n],
                   name + first_difference(v.numbers(), want.numbers, 0));
            continue;
        }
        // The case's decimal digits stand for the nearest value of the type.
        const auto rounded = [&](const std::vector<double>& values) {
            if (v.type->block || values.empty()) return values;
            const auto bytes = encode(*v.type, values);
            return decode(*v.type, bytes.data(), static_cast<int64_t>(values.size()));
        };
        std::vector<double> have = v.numbers(), expected = rounded(want.numbers);
        if (!want.at.empty()) {
            std::vector<double> chosen;
            for (const auto& [place, value] : want.at) {
                chosen.push_back(have.at(static_cast<size_t>(place)));
                expected.push_back(rounded({value})[0]);
            }
            have = chosen;
        }
        // Tokens that a window has dropped have no content.
        if (shapes[n].layout == ORR_LAYOUT_PAGED)
            for (const Value& in : c.inputs)
                if (in.layout == ORR_LAYOUT_PAGED) {
                    const int64_t each = v.shape[2] * v.shape[3];
                    for (int64_t b = 0; b < v.shape[0]; b++)
                        for (int64_t e = 0; e < in.first[static_cast<size_t>(b)] * each; e++)
                            have[static_cast<size_t>(b * v.shape[1] * each + e)] = expected[static_cast<size_t>(b * v.shape[1] * each + e)];
                    break;
                }
        const bool by_rms = c.tol_rms >= 0 && numerics != ORR_NUMERICS_EXACT;
        const std::string text = by_rms ? rms_difference(have, expected, c.tol_rms) : first_difference(have, expected, c.tolerance(numerics));
        expect(check, text.empty(), name + text);
    }
}

}  // namespace orrery::conformance
