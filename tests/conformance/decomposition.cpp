// An operator in terms of smaller ones: its nodes are worked out by their reference kernels as they are added.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "checker.hpp"

namespace orrery::conformance {
namespace {

// Values are numbered from 1. After the first failure calls do nothing.
struct Eager {
    orr_builder base{};
    Host* host = nullptr;
    Dims dims;
    std::vector<Value> values;
    std::function<std::vector<Value>(const std::string& id, const nlohmann::json& attrs, const std::vector<Value>& inputs, size_t outputs)> node;
    const Types* types = nullptr;
    std::string failure;

    static Eager& of(orr_builder* b) { return *reinterpret_cast<Eager*>(b); }
    orr_value add(Value v) {
        values.push_back(std::move(v));
        return static_cast<orr_value>(values.size());
    }
    void fail(const std::string& text) {
        if (failure.empty()) failure = text;
    }
    const Value* find(orr_value v) const { return v > 0 && v <= values.size() ? &values[v - 1] : nullptr; }
};

void add_nodes(orr_builder* b, const char* id, const char* attrs, uint32_t n_ins, const orr_value* ins, uint32_t n_outs, orr_value* outs) {
    Eager& e = Eager::of(b);
    std::fill(outs, outs + n_outs, 0);
    if (!e.failure.empty()) return;
    try {
        std::vector<Value> inputs;
        for (uint32_t n = 0; n < n_ins; n++) {
            if (ins[n] && !e.find(ins[n])) throw std::runtime_error(std::string(id) + " is given value " + std::to_string(ins[n]) + ", which there is not");
            inputs.push_back(ins[n] ? *e.find(ins[n]) : Value());
        }
        const auto results = e.node(id, attrs ? nlohmann::json::parse(attrs) : nlohmann::json::object(), inputs, n_outs);
        for (uint32_t n = 0; n < n_outs; n++) outs[n] = e.add(results[n]);
    } catch (const Escaped&) {
        e.fail(std::string(id) + " let an exception out");
    } catch (const std::exception& error) {
        e.fail(error.what());
    }
}

orr_value add_constant(orr_builder* b, const char* name, uint32_t type, int32_t rank, const int64_t* shape, const void* data) {
    Eager& e = Eager::of(b);
    if (!e.failure.empty()) return 0;
    try {
        Value v;
        v.present = true;
        v.constant = true;
        v.type = &e.types->get(type);
        v.shape.assign(shape, shape + rank);
        v.bytes.resize(static_cast<size_t>(v.rows() * row_bytes(*v.type, v.row_elems())));
        std::memcpy(v.bytes.data(), data, v.bytes.size());
        return e.add(std::move(v));
    } catch (const std::exception& error) {
        e.fail(std::string("constant ") + name + ": " + error.what());
        return 0;
    }
}

// What a decomposition must not ask for: it has its inputs and nothing of a model.
template <class Result, class... Rest>
Result forbidden(orr_builder* b, Rest...) {
    Eager::of(b).fail("a decomposition asks for an input, a weight, a state or an output of the model");
    return Result();
}

void set_functions(Eager& e) {
    orr_builder& b = e.base;
    b.header = ORR_HEADER(orr_builder);
    b.host = &e.host->table;
    b.dims = e.dims.table();
    b.symbol = forbidden<orr_dim>;
    b.input = forbidden<orr_value>;
    b.positions = forbidden<orr_value>;
    b.weight = forbidden<orr_value>;
    b.weight_stack = forbidden<orr_value>;
    b.state = forbidden<orr_value>;
    b.set_state = forbidden<void>;
    b.advance = forbidden<void>;
    b.output = forbidden<void>;
    b.constant = add_constant;
    b.node = add_nodes;
    b.name = [](orr_builder*, orr_value, const char*) {};
    b.info = [](orr_builder* q, orr_value v, orr_value_info* info) {
        const Value* found = Eager::of(q).find(v);
        if (!found) return false;
        *info = info_of(*found);
        return true;
    };
    b.fail = [](orr_builder* q, orr_status, const char* text) { Eager::of(q).fail(text ? text : "(no text)"); };
}

}  // namespace

std::optional<Checker::Outputs> Checker::decomposed(const orr_operator& op, const AttrSet& attrs, const std::vector<Value>& inputs, const std::vector<Shape>& shapes) {
    Eager e;
    e.host = &host_;
    e.types = &types_;
    set_functions(e);
    e.node = [&](const std::string& id, const nlohmann::json& values, const std::vector<Value>& ins, size_t n_outputs) {
        const auto found = options_.operators.find(id);
        if (found == options_.operators.end()) throw std::runtime_error("no plugin given brings the operator " + id + " (--types PLUGIN)");
        const orr_operator& part = *found->second;
        const std::string ports = check_ports(part, ins);
        if (!ports.empty()) throw std::runtime_error(ports);
        const AttrSet part_attrs(part, values);
        std::string error;
        const auto part_shapes = infer(part, part_attrs, ins, n_outputs, &error);
        if (!part_shapes) throw std::runtime_error(error);
        const auto got = run_reference(part, part_attrs, ins, *part_shapes);
        if (!got) throw std::runtime_error(id + " has no definition that takes these inputs");
        std::vector<Value> results;
        for (size_t n = 0; n < n_outputs; n++) {
            Value v;
            v.present = true;
            v.type = (*part_shapes)[n].type;
            v.shape = (*part_shapes)[n].dims;
            v.layout = (*part_shapes)[n].layout;
            v.bytes = (*got)[n];
            results.push_back(std::move(v));
        }
        return results;
    };
    std::vector<orr_value> ins, outs(shapes.size(), 0);
    for (const Value& v : inputs) ins.push_back(v.present ? e.add(v) : 0);
    while (ins.size() < op.n_inputs) ins.push_back(0);
    host_.take_error();
    const orr_status status = contained("decompose", [&] { return op.decompose(&e.base, attrs.table(), static_cast<uint32_t>(ins.size()), ins.data(), outs.data()); });
    if (status != ORR_OK) e.fail(host_.take_error());
    for (size_t n = 0; n < outs.size() && e.failure.empty(); n++) {
        const Value* v = e.find(outs[n]);
        if (!v) {
            e.fail("output " + std::to_string(n) + " is left undefined");
        } else if (v->shape != shapes[n].dims || v->type != shapes[n].type) {
            e.fail("output " + std::to_string(n) + " is " + v->describe() + ", the shape function gives " + shapes[n].type->id + " " + shape_text(shapes[n].dims));
        }
    }
    expect("decomposition", e.failure.empty(), "the decomposition: " + e.failure);
    if (!e.failure.empty()) return std::nullopt;
    Outputs out;
    for (const orr_value v : outs) out.push_back(e.find(v)->bytes);
    return out;
}

void Checker::check_decomposition(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes) {
    at(case_ + ", decomposition");
    const auto got = decomposed(op, attrs, c.inputs, shapes);
    at(case_ + ", decomposition");
    if (!got) return;
    compare_case("decomposition", c, shapes, *got, ORR_NUMERICS_EXACT);
    report_.ran.insert(op_ + " decomposition");
}

}  // namespace orrery::conformance
