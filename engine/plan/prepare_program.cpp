#include "engine/plan/prepare_program.hpp"

#include <algorithm>
#include <cstring>

#include "engine/graph/builder.hpp"
#include "engine/plan/graph_edit.hpp"
#include "engine/registry/error_text.hpp"

namespace orrery {
namespace {

std::string short_key(const std::string& key) {
    if (key.size() < 160) return key;
    uint64_t a = 1469598103934665603u, b = 88172645463325252u;
    for (const unsigned char c : key) {
        a = (a ^ c) * 1099511628211u;
        b = (b ^ c) * 6364136223846793005u + 1442695040888963407u;
    }
    // Of what is an adapter's, its mark stays.
    const size_t mark = key.find(kAdapterMark), end = mark == std::string::npos ? mark : key.find(kAdapterMark, mark + 1);
    return (end == std::string::npos ? "" : key.substr(mark, end + 1 - mark)) + "h:" + std::to_string(a) + ":" + std::to_string(b) + ":" + std::to_string(key.size());
}

void remove_gaps(Program& program) {
    program.nodes.erase(std::remove_if(program.nodes.begin(), program.nodes.end(), [](const NodeDef& n) { return !n.op; }), program.nodes.end());
}

// Drops nodes that nothing wanted reads: values that a model names for those who look inside it are worked out for them alone.
void drop_unread(Program& program, const std::set<orr_value>& kept) {
    std::vector<bool> read(program.values.size(), false);
    for (const orr_value v : kept) read[v] = true;
    for (const OutputDef& o : program.outputs) read[o.value] = true;
    for (const StateDef& s : program.states) read[s.next] = true;
    for (size_t n = program.nodes.size(); n-- > 0;) {
        NodeDef& node = program.nodes[n];
        if (!(node.op->traits & ORR_TRAIT_STATEFUL) && std::none_of(node.outs.begin(), node.outs.end(), [&](orr_value v) { return read[v]; })) {
            node.op = nullptr;
        } else {
            for (const orr_value v : node.ins) read[v] = true;
            for (uint32_t r = node.region; r; r = program.regions[r].parent) read[program.regions[r].flag] = true;
        }
    }
    remove_gaps(program);
}

// Follows a flag back through nodes of one input to one number for each sequence, where it is made of such.
orr_value rows_of(const Program& program, orr_value flag) {
    for (orr_value v = flag;;) {
        const auto made = std::find_if(program.nodes.begin(), program.nodes.end(), [&](const NodeDef& n) { return std::count(n.outs.begin(), n.outs.end(), v) != 0; });
        if (made == program.nodes.end()) return 0;
        const ValueDef& d = program.values[v];
        if (d.type == ORR_TYPE_F32 && !*d.layout && !d.dims.empty() && d.dims[0] < 0 && std::all_of(d.dims.begin() + 1, d.dims.end(), [](orr_dim n) { return n == 1; })) return v;
        if (made->ins.size() != 1 || !made->ins[0]) return 0;
        v = made->ins[0];
    }
}

// What of the outputs is a sequence's that left the region's nodes to others must be known behind the run: see clear_outputs_left_out.
void keep_rows(Program& program, std::set<orr_value>& kept) {
    std::set<orr_value> read = kept;
    for (const OutputDef& o : program.outputs) read.insert(o.value);
    for (const NodeDef& n : program.nodes) {
        if (!n.region || std::none_of(n.outs.begin(), n.outs.end(), [&](orr_value v) { return read.count(v) != 0; })) continue;
        for (uint32_t r = n.region; r; r = program.regions[r].parent)
            if (const orr_value rows = program.regions[r].rows = rows_of(program, program.regions[r].flag)) kept.insert(rows);
    }
}

// Replaces operators that have no kernel for the device, but a decomposition, by smaller ones.
uint32_t expand(const orr_host* host, Registry& registry, Weights& weights, Program& program, const std::string& device) {
    uint32_t count = 0;
    const auto lacks_kernel = [&](const NodeDef& n) {
        if (!n.op || !n.op->decompose) return false;
        for (uint32_t k = 0; k < n.op->n_kernels; k++)
            if (device == n.op->kernels[k]->device) return false;
        return true;
    };
    while (std::any_of(program.nodes.begin(), program.nodes.end(), lacks_kernel)) {
        if (++count > 100000) throw Error(ORR_INVALID_ARGUMENT, program.model + "." + program.entry + ": decompositions go round in circles");
        const auto at = std::find_if(program.nodes.begin(), program.nodes.end(), lacks_kernel);
        const NodeDef node = *at;
        const auto place = static_cast<size_t>(at - program.nodes.begin());
        program.nodes.erase(at);
        std::vector<orr_value> outs(node.outs.size(), 0);
        insert_nodes(host, registry, weights, program, place, node.region, node.group, [&](GraphBuilder& b) {
            call_plugin([&] { return node.op->decompose(b.table(), node.attrs.table(), static_cast<uint32_t>(node.ins.size()), node.ins.data(), outs.data()); },
                        [&] { return std::string("decomposing ") + node.op->id; });
        });
        // The new values take the places of the old ones.
        for (size_t i = 0; i < outs.size(); i++) {
            if (outs[i] == 0) throw Error(ORR_INVALID_ARGUMENT, std::string("the decomposition of ") + node.op->id + " left output " + std::to_string(i) + " undefined");
            for (auto& n : program.nodes) std::replace(n.outs.begin(), n.outs.end(), outs[i], node.outs[i]), std::replace(n.ins.begin(), n.ins.end(), outs[i], node.outs[i]);
        }
    }
    return count;
}

orr_tensor out_tensor(Registry& registry, uint32_t type, const std::vector<int64_t>& shape) {
    const TypeInfo& info = registry.type(type);
    orr_tensor t{};
    t.header = ORR_HEADER(orr_tensor);
    t.type = type;
    t.type_id = info.id.c_str();
    t.layout = registry.intern("");
    t.rank = static_cast<int32_t>(shape.size());
    const auto strides = contiguous_strides(shape, info);
    for (size_t i = 0; i < shape.size(); i++) t.shape[i] = shape[i], t.stride_bytes[i] = strides[i];
    t.block_elems = info.block_elems;
    t.block_bytes = info.block_bytes;
    t.size_bytes = contiguous_bytes(shape, info, "folded constant");
    return t;
}

// The reference kernel over constants, now.
Buffer evaluate(const Folding& folding, const orr_operator& op, const NodeAttrs& attrs, const std::vector<std::shared_ptr<Constant>>& ins, const std::vector<orr_tensor>& outs,
                size_t which) {
    const orr_host* host = folding.host;
    const std::shared_ptr<Memory>& memory = folding.memory;
    Weights& weights = folding.weights;
    std::vector<orr_tensor> in_tensors(ins.size());
    std::vector<const orr_tensor*> in_ptrs(std::max<size_t>(ins.size(), op.n_inputs), nullptr);
    for (size_t i = 0; i < ins.size(); i++)
        if (ins[i]) in_tensors[i] = weights.tensor(ins[i], true), in_ptrs[i] = &in_tensors[i];
    std::vector<Buffer> buffers;
    std::vector<orr_tensor> out_tensors = outs;
    std::vector<const orr_tensor*> out_ptrs;
    for (auto& t : out_tensors) {
        buffers.emplace_back(memory, t.size_bytes, 64, "folded constant");
        t.data = buffers.back().data();
    }
    for (const auto& t : out_tensors) out_ptrs.push_back(&t);

    struct Context {
        orr_prepare prepare{};
        uint64_t workspace_bytes = 0;
        std::vector<Buffer> memory_blocks;
        std::shared_ptr<Memory> memory;
    } context;
    context.memory = memory;
    orr_prepare& p = context.prepare;
    p.header = ORR_HEADER(orr_prepare);
    p.host = host;
    p.attrs = attrs.table();
    p.n_inputs = static_cast<uint32_t>(in_ptrs.size());
    p.n_outputs = static_cast<uint32_t>(out_ptrs.size());
    p.inputs = in_ptrs.data();
    p.outputs = out_ptrs.data();
    p.isa = ORR_ISA_GENERIC;
    p.threads = 1;
    p.numerics = ORR_NUMERICS_EXACT;
    p.workspace = [](orr_prepare* q, uint64_t bytes) {
        auto& c = *reinterpret_cast<Context*>(q);
        c.workspace_bytes = std::max(c.workspace_bytes, bytes);
    };
    p.plan_memory = [](orr_prepare* q, uint64_t bytes) -> void* {
        auto& c = *reinterpret_cast<Context*>(q);
        try {
            c.memory_blocks.emplace_back(c.memory, bytes, 64, "plan memory");
            std::fill_n(c.memory_blocks.back().bytes(), bytes, 0);
            return c.memory_blocks.back().data();
        } catch (...) {
            return nullptr;
        }
    };
    p.prepack = [](orr_prepare* q, uint32_t, const orr_pack*) { return q->host->fail(q->host, ORR_UNSUPPORTED, "a reference kernel asked to repack a constant"); };
    p.variant = [](orr_prepare*, const char*) {};
    std::string reasons;
    for (uint32_t k = op.n_kernels; k-- > 0;) {
        const orr_kernel& kernel = *op.kernels[k];
        if (!(kernel.flags & ORR_KERNEL_REFERENCE) || std::string(kernel.device) != "cpu") continue;
        char reason[256] = "";
        const auto doing = [&] { return std::string("folding ") + op.id; };
        if (kernel.supports && !ask_plugin([&] { return kernel.supports(&p, reason, sizeof reason); }, doing)) {
            reasons += std::string(" ") + reason;
            continue;
        }
        if (kernel.prepare) call_plugin([&] { return kernel.prepare(&p); }, doing);
        Buffer workspace(memory, context.workspace_bytes, 64, "workspace");
        orr_run run{};
        run.header = ORR_HEADER(orr_run);
        run.host = host;
        run.attrs = attrs.table();
        run.data = context.memory_blocks.empty() ? nullptr : context.memory_blocks[0].data();
        run.workspace = workspace.data();
        run.n_inputs = p.n_inputs;
        run.n_outputs = p.n_outputs;
        run.inputs = in_ptrs.data();
        run.outputs = out_ptrs.data();
        run.threads = 1;
        run.parallel_for = [](const orr_run*, int64_t chunks, orr_chunk_fn fn, void* arg) {
            for (int64_t c = 0; c < chunks; c++) fn(arg, c, 0);
        };
        call_plugin([&] { return kernel.run(&run); }, doing);
        for (const auto& c : ins)
            if (c) weights.release_source(c);
        return std::move(buffers[which]);
    }
    throw Error(ORR_UNSUPPORTED, std::string("folding ") + op.id + ": its reference refuses:" + reasons);
}

// Rows of a tensor, one behind the other.
void copy_rows(const orr_tensor& src, char* dst) {
    const int32_t rank = src.rank;
    const uint64_t bytes = static_cast<uint64_t>((src.shape[rank - 1] + src.block_elems - 1) / src.block_elems) * src.block_bytes;
    const int64_t rows = src.shape[rank - 1] ? elements(src) / src.shape[rank - 1] : 0;
    int64_t index[ORR_MAX_RANK] = {};
    for (int64_t r = 0; r < rows; r++, dst += bytes) {
        const char* row = static_cast<const char*>(src.data);
        for (int32_t a = 0; a + 1 < rank; a++) row += index[a] * src.stride_bytes[a];
        std::memcpy(dst, row, bytes);
        for (int32_t a = rank - 2; a >= 0 && ++index[a] == src.shape[a]; a--) index[a] = 0;
    }
}

// What the operator gives as a view of its first input, or nothing.
std::shared_ptr<Constant> view_of(const Folding& folding, const orr_operator& op, const NodeAttrs& attrs, const std::vector<std::shared_ptr<Constant>>& ins, const orr_tensor& out,
                                  const std::string& key) {
    if (!(op.traits & ORR_TRAIT_VIEW) || !op.view || !ins[0]) return nullptr;
    std::vector<orr_tensor> in_tensors(ins.size());
    std::vector<const orr_tensor*> in_ptrs(std::max<size_t>(ins.size(), op.n_inputs), nullptr);
    for (size_t i = 0; i < ins.size(); i++)
        if (ins[i]) in_tensors[i] = folding.weights.tensor(ins[i], false), in_ptrs[i] = &in_tensors[i];
    const orr_tensor* out_ptr = &out;
    orr_prepare p{};
    p.header = ORR_HEADER(orr_prepare);
    p.host = folding.host;
    p.attrs = attrs.table();
    p.n_inputs = static_cast<uint32_t>(in_ptrs.size());
    p.n_outputs = 1;
    p.inputs = in_ptrs.data();
    p.outputs = &out_ptr;
    orr_tensor as = out;
    as.offset = 0;
    const bool is_view = ask_plugin([&] { return op.view(&p, &as); }, [&] { return std::string("viewing ") + op.id; });
    if (!is_view) return nullptr;
    const auto contiguous = contiguous_strides(ins[0]->shape(), ins[0]->type_info());
    const bool cut = as.rank == static_cast<int32_t>(contiguous.size()) && std::equal(contiguous.begin(), contiguous.end(), as.stride_bytes);
    std::shared_ptr<Constant> made;
    if (is_contiguous(as)) {
        made = folding.weights.view(key, ins[0], as);
    } else {
        // Devices hold what is contiguous, and most kernels read nothing else: such a part is copied where one does, and let go of where it was packed.
        made = folding.weights.derive(key, ins[0]->name(), as.type, std::vector<int64_t>(as.shape, as.shape + as.rank), [folding, from = ins[0], as]() mutable {
            Buffer copy(folding.memory, as.size_bytes, 64, "part of a weight");
            as.data = static_cast<char*>(folding.weights.tensor(from, true).data) + as.offset;
            copy_rows(as, copy.bytes());
            folding.weights.release_source(from);
            return copy;
        });
    }
    if (cut) folding.weights.mark_part(made, ins[0], as.offset);
    return made;
}

// Slices and the like of a weight in blocks, which no kernel reads but as it is.
bool is_part_of_blocks(const Program& program, const NodeDef& node) {
    if (!(node.op->traits & ORR_TRAIT_VIEW) || !node.op->view || node.outs.size() != 1 || !node.ins[0]) return false;
    const ValueDef& v = program.values[node.ins[0]];
    return v.kind == ValueKind::constant && v.constant->type_info().type && v.constant->type() == program.values[node.outs[0]].type;
}

}  // namespace

bool fold_node(const Folding& folding, Program& program, const NodeDef& node) {
    if (!node.op || (node.op->traits & ORR_TRAIT_STATEFUL) || node.ins.empty()) return false;
    const orr_operator& op = *node.op;
    for (const orr_value v : node.ins)
        if (v && program.values[v].kind != ValueKind::constant) return false;
    for (const orr_value v : node.outs)
        for (const orr_dim d : program.values[v].dims)
            if (d < 0) return false;
    const bool blocks = is_part_of_blocks(program, node);
    std::vector<std::shared_ptr<Constant>> ins;
    std::string key = std::string("f:") + op.id + node.attrs.text() + "(";
    for (size_t i = 0; i < node.ins.size(); i++) {
        std::shared_ptr<Constant> c;
        if (node.ins[i]) {
            c = program.values[node.ins[i]].constant;
            if (!(i == 0 && blocks) && !port_takes(input_port(op, i), c->type_info().id) && port_takes(input_port(op, i), "f32")) c = folding.weights.as_f32(c);
        }
        ins.push_back(c);
        key += (c ? c->key() : "-") + ",";
    }
    std::vector<orr_tensor> outs;
    for (const orr_value v : node.outs) {
        const std::vector<int64_t> shape(program.values[v].dims.begin(), program.values[v].dims.end());
        outs.push_back(out_tensor(folding.registry, program.values[v].type, shape));
    }
    if (outs.size() == 1) program.values[node.outs[0]].constant = view_of(folding, op, node.attrs, ins, outs[0], short_key(key + ")v"));
    if (blocks && !program.values[node.outs[0]].constant)
        throw Error(ORR_UNSUPPORTED, std::string(op.id) + " of " + ins[0]->name() + " " + program.shape_text(node.ins[0]) + ": " + ins[0]->type_info().id + " weights are only cut at whole blocks of " +
                                         std::to_string(ins[0]->type_info().block_elems));
    if (outs.size() != 1 || !program.values[node.outs[0]].constant) {
        if (std::none_of(op.kernels, op.kernels + op.n_kernels, [](const orr_kernel* k) { return k->flags & ORR_KERNEL_REFERENCE; })) return false;
        for (size_t o = 0; o < outs.size(); o++) {
            ValueDef& v = program.values[node.outs[o]];
            const std::vector<int64_t> shape(outs[o].shape, outs[o].shape + outs[o].rank);
            v.constant = folding.weights.derive(short_key(key + ")" + std::to_string(o)), v.name, outs[o].type, shape,
                                                [folding, op_ptr = &op, attrs = node.attrs, ins, outs, o] { return evaluate(folding, *op_ptr, attrs, ins, outs, o); });
        }
    }
    for (const orr_value v : node.outs) program.values[v].kind = ValueKind::constant;
    return true;
}

namespace {

// Folds every node that can be; how many there were.
uint32_t fold(const Folding& folding, Program& program) {
    uint32_t count = 0;
    for (NodeDef& node : program.nodes)
        if (fold_node(folding, program, node)) {
            node.op = nullptr;
            count++;
        }
    return count;
}

}  // namespace

PreparedProgram prepare_program(const orr_host* host, Registry& registry, const std::shared_ptr<Memory>& memory, Weights& weights, const Program& source,
                                std::set<orr_value> kept, bool rewrites, uint32_t numerics, const std::string& device) {
    PreparedProgram out;
    out.program = source;
    out.program.dims = source.dims->clone();  // others may be reading the source's
    Program& program = out.program;
    const Folding folding{host, registry, memory, weights};
    drop_unread(program, kept);
    keep_rows(program, kept);
    out.expanded = expand(host, registry, weights, program, device);
    out.folded = fold(folding, program);
    remove_gaps(program);
    if (!rewrites) return out;
    for (const orr_rewrite* r : registry.rewrites()) {
        if (!(r->numerics_mask >> numerics & 1)) continue;
        if (ORR_HAS(r, orr_rewrite, devices) && r->devices && (" " + std::string(r->devices) + " ").find(" " + device + " ") == std::string::npos) continue;
        GraphEdit edit(folding, program, kept);
        const uint32_t applied = ask_plugin([&] { return r->apply(edit.table()); }, [&] { return std::string("rewrite ") + r->id; });
        remove_gaps(program);
        out.rewrites.push_back({r->id, applied});
    }
    out.folded += fold(folding, program);
    remove_gaps(program);
    return out;
}

}  // namespace orrery
