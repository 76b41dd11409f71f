#include "engine/graph/graph.hpp"

#include "engine/registry/error_text.hpp"
#include "engine/registry/token_axis.hpp"

namespace orrery {

orr_value Program::find(const std::string& name) const {
    for (const auto& o : outputs)
        if (o.name == name) return o.value;
    for (size_t v = 1; v < values.size(); v++)
        if (values[v].kind != ValueKind::state && values[v].name == name) return static_cast<orr_value>(v);
    return 0;
}

std::string Program::shape_text(orr_value v) const {
    std::string out = "[";
    for (size_t i = 0; i < values[v].dims.size(); i++) out += (i ? ", " : "") + dims->text(values[v].dims[i]);
    return out + "]";
}

orr_value_info value_info(const ValueDef& v, const TypeInfo& type) {
    orr_value_info i{};
    i.header = ORR_HEADER(orr_value_info);
    i.type = v.type;
    i.type_id = type.id.c_str();
    i.layout = v.layout;
    i.rank = static_cast<int32_t>(v.dims.size());
    for (size_t k = 0; k < v.dims.size(); k++) i.dims[k] = v.dims[k];
    return i;
}

const orr_port& input_port(const orr_operator& op, size_t i) { return *op.inputs[i < op.n_inputs ? i : op.n_inputs - 1]; }

const orr_port& output_port(const orr_operator& op, size_t i) { return *op.outputs[i < op.n_outputs ? i : op.n_outputs - 1]; }

bool port_takes(const orr_port& port, std::string_view type) {
    const std::string types = std::string(" ") + port.types + " ";
    return types == " * " || types.find(" " + std::string(type) + " ") != std::string::npos;
}

void check_arity(const orr_operator& op, const std::vector<bool>& present, size_t n_outs, const std::string& where) {
    const bool tail = op.n_inputs && (op.inputs[op.n_inputs - 1]->flags & ORR_PORT_VARIADIC);
    const std::string who = where + ": " + op.id;
    if (present.size() > op.n_inputs && !tail)
        throw Error(ORR_INVALID_ARGUMENT, who + " got " + std::to_string(present.size()) + " inputs, it takes at most " + std::to_string(op.n_inputs));
    for (size_t i = 0; i < op.n_inputs; i++) {
        bool here = i < present.size() && present[i];
        if (op.inputs[i]->flags & ORR_PORT_VARIADIC)
            for (size_t k = i; k < present.size(); k++) here = here || present[k];
        if (!(op.inputs[i]->flags & ORR_PORT_OPTIONAL) && !here)
            throw Error(ORR_INVALID_ARGUMENT, who + ": input " + std::to_string(i) + " (" + op.inputs[i]->name + ") is missing");
    }
    if (n_outs == 0) throw Error(ORR_INVALID_ARGUMENT, who + " was asked for 0 outputs, it gives " + std::to_string(op.n_outputs));
    const bool out_tail = op.n_outputs && (op.outputs[op.n_outputs - 1]->flags & ORR_PORT_VARIADIC);
    if (n_outs > op.n_outputs && !out_tail)
        throw Error(ORR_INVALID_ARGUMENT, who + " was asked for " + std::to_string(n_outs) + " outputs, it gives " + std::to_string(op.n_outputs));
}

void infer_node(const orr_host* host, const orr_operator& op, const NodeAttrs& attrs, const orr_dims* dims, const std::vector<const orr_value_info*>& ins,
                const std::vector<orr_value_info*>& outs, const std::string& where) {
    std::vector<const orr_value_info*> padded = ins;
    while (padded.size() < op.n_inputs) padded.push_back(nullptr);
    orr_infer i{ORR_HEADER(orr_infer), host, dims, attrs.table(), static_cast<uint32_t>(padded.size()), static_cast<uint32_t>(outs.size()), padded.data(), outs.data()};
    call_plugin([&] { return op.infer(&i); }, [&] { return where + ": " + op.id; });
    for (size_t n = 0; n < outs.size(); n++) {
        if (outs[n]->type == 0) throw Error(ORR_INTERNAL, where + ": " + op.id + "'s shape function left an output without a type");
        const orr_port& port = output_port(op, n);
        if (outs[n]->rank < 0 || outs[n]->rank > ORR_MAX_RANK)
            throw Error(ORR_INTERNAL, where + ": " + op.id + "'s shape function gives " + port.name + " rank " + std::to_string(outs[n]->rank) + ", the most is " + std::to_string(ORR_MAX_RANK));
        if (const auto told = told_token_axis(port); told && token_axis(port, outs[n]->rank) < 0)
            throw Error(ORR_INVALID_ARGUMENT, where + ": " + op.id + ": " + port.name + " has rank " + std::to_string(outs[n]->rank) + ", its port tells axis " + std::to_string(*told) + " as that of tokens");
    }
}

}  // namespace orrery
