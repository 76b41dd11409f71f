// One entry of a model as a graph of named values. Data only: built by GraphBuilder, rewritten, printed, bound to a plan.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/graph/attrs.hpp"
#include "engine/graph/dims.hpp"
#include "engine/weights/weights.hpp"

namespace orrery {

enum class ValueKind { node, input, constant, state };

struct ValueDef {
    ValueKind kind = ValueKind::node;
    uint32_t index = 0;  // into inputs, states; unused for nodes
    std::shared_ptr<Constant> constant;
    std::string name;  // stable path, "" where the model gave none
    uint32_t type = 0;
    std::vector<orr_dim> dims;
    const char* layout = "";
};

// An input that the engine fills with a part of a session's tap, or the scale of one of its adapters.
struct TapInput {
    enum class Part { none, rows, factor, operand, adapter } part = Part::none;
    size_t tap = 0;  // or adapter
    int32_t token_axis = -1;
    bool last_token = false;  // rows: the axis has the run's last token alone; operand: only that token of it is taken
};

struct InputDef {
    std::string name;
    uint32_t flags = 0;      // ORR_INPUT_*
    bool positions = false;  // filled by the engine with past + 0 … T-1 when the host gives none
    orr_value value = 0;
    TapInput tap = {};
};

struct StateDef {
    std::string name;
    uint32_t kind = 0, type = 0;  // ORR_STATE_*; type 0: the session's cache type
    std::vector<int64_t> dims;
    int64_t window = 0;
    orr_value value = 0;
    orr_dim append = 0;
    orr_value next = 0;  // recurrent: the value that becomes the content
};

struct NodeDef {
    const orr_operator* op = nullptr;  // nullptr: removed
    NodeAttrs attrs;
    std::vector<orr_value> ins, outs;
    uint32_t region = 0;
    uint32_t group = 0;  // above 0: may run together with others of the same number
};

// Nodes that run only where a value of one element is not zero (otherwise: is zero), and the region around them runs.
struct RegionDef {
    orr_value flag = 0;
    bool otherwise = false;
    uint32_t parent = 0;
    orr_value rows = 0;  // where something in it is an output: f32 [B, 1 …] that the flag is made of, each by the same rule its row's own flag
};

struct OutputDef {
    std::string name;
    orr_value value = 0;
    bool tapped = false;  // wanted in every run, whatever the host asks for
};

struct Program {
    std::string model, entry;
    std::shared_ptr<DimPool> dims = std::make_shared<DimPool>();
    std::vector<ValueDef> values{1};  // values[0]: none
    std::vector<NodeDef> nodes;       // in an order of execution
    std::vector<RegionDef> regions{1};  // regions[0]: what always runs; parents before children
    uint32_t groups = 0;  // numbers of groups that were given so far
    std::vector<InputDef> inputs;
    std::vector<StateDef> states;
    std::vector<OutputDef> outputs;
    orr_dim advance = 0;

    // 0 when no value has this name or path.
    orr_value find(const std::string& name) const;
    std::string shape_text(orr_value v) const;
};

// orr_value_info of a value, for shape functions.
orr_value_info value_info(const ValueDef& v, const TypeInfo& type);

// Runs an operator's shape function over value descriptions; writes types and dims of the outputs. Throws Error naming
// the operator and the inputs.
void infer_node(const orr_host* host, const orr_operator& op, const NodeAttrs& attrs, const orr_dims* dims, const std::vector<const orr_value_info*>& ins,
                const std::vector<orr_value_info*>& outs, const std::string& where);

// Checks the number of inputs against the ports and that required ones are there.
void check_arity(const orr_operator& op, const std::vector<bool>& present, size_t n_outs, const std::string& where);
// The port of input i (the last one for variadic tails).
const orr_port& input_port(const orr_operator& op, size_t i);
const orr_port& output_port(const orr_operator& op, size_t i);
bool port_takes(const orr_port& port, std::string_view type);

// The text form: one line a thing, read back by parse_graph to an equal graph.
std::string graph_text(const Program& g, class Registry& registry);
Program parse_graph(const std::string& text, class Registry& registry, const orr_host* host, Weights& weights);

}  // namespace orrery
