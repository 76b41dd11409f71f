// The checks of one case.
#include <algorithm>
#include <cstring>

#include "checker.hpp"
#include "formula.hpp"

namespace orrery::conformance {

void Checker::check_case(const orr_operator& op, const Case& c) {
    const std::string ports = check_ports(op, c.inputs);
    expect("ports", ports.empty(), ports);
    if (!ports.empty()) return;
    const AttrSet attrs(op, c.attrs);
    std::string error;
    const auto shapes = infer(op, attrs, c.inputs, c.outputs.size(), &error);
    expect("shape", shapes.has_value(), "the shape function: " + error);
    if (!shapes) return;
    check_shapes(op, c, attrs, *shapes);
    for (uint32_t n = 0; n < op.n_kernels; n++)
        if (chosen(*op.kernels[n])) check_kernel(op, *op.kernels[n], c, attrs, *shapes);
    at(case_);
    check_special(op, c, attrs, *shapes);
    if (!c.sizes.empty()) check_derived(op, c);
    if (!c.sizes.empty()) check_zero_and_one(op, c);
    if (options_.device) return;
    at(case_);
    if (op.decompose) check_decomposition(op, c, attrs, *shapes);
    if (op.traits & ORR_TRAIT_VIEW) check_view(op, c, attrs, *shapes);
    if (op.traits & ORR_TRAIT_ELEMENTWISE) check_elementwise(op, c, attrs, *shapes);
}

void Checker::check_shapes(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes) {
    for (size_t n = 0; n < shapes.size(); n++) {
        const Expected& want = c.outputs[n];
        if (!want.compare) continue;
        expect("shape", shapes[n].dims == want.value.shape, "output " + std::to_string(n) + ": the shape function gives " + shape_text(shapes[n].dims) +
                                                       ", the case has " + shape_text(want.value.shape));
        if (want.typed)
            expect("shape", shapes[n].type == want.value.type,
                   "output " + std::to_string(n) + ": the shape function gives " + shapes[n].type->id + ", the case has " + want.value.type->id);
    }
    check_symbolic(op, c, attrs, shapes);
}

// The same shapes with the free dimensions as symbols: evaluating the result must give the bound one.
void Checker::check_symbolic(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes) {
    if (c.sizes.empty()) return;
    for (const Free& f : c.sizes)
        if (!f.attrs.empty()) return;
    Dims dims;
    std::vector<orr_value_info> in, out(shapes.size());
    for (const Value& v : c.inputs) in.push_back(v.present ? info_of(v) : orr_value_info{});
    for (const Free& f : c.sizes) {
        if (f.dims.empty()) continue;
        const auto [input, axis] = f.dims[0];
        const orr_dim symbol = dims.symbol(in[static_cast<size_t>(input)].dims[axis]);
        for (const auto& [i, a] : f.dims) in[static_cast<size_t>(i)].dims[a] = symbol;
    }
    std::vector<const orr_value_info*> in_pointers;
    std::vector<orr_value_info*> out_pointers;
    for (size_t n = 0; n < in.size(); n++) in_pointers.push_back(c.inputs[n].present ? &in[n] : nullptr);
    while (in_pointers.size() < op.n_inputs) in_pointers.push_back(nullptr);
    for (orr_value_info& o : out) {
        o.header = ORR_HEADER(orr_value_info);
        out_pointers.push_back(&o);
    }
    const orr_infer request = {ORR_HEADER(orr_infer), &host_.table,      dims.table(),        attrs.table(), static_cast<uint32_t>(in_pointers.size()),
                               static_cast<uint32_t>(out.size()), in_pointers.data(), out_pointers.data()};
    host_.take_error();
    const bool good = contained("infer", [&] { return op.infer(&request); }) == ORR_OK;
    expect("shape", good, "the shape function with symbols: " + host_.take_error());
    for (size_t n = 0; good && n < out.size(); n++) {
        std::vector<int64_t> bound;
        for (int32_t k = 0; k < out[n].rank; k++) bound.push_back(dims.evaluate(out[n].dims[k]));
        expect("shape", bound == shapes[n].dims, "output " + std::to_string(n) + ": the shape function with symbols gives " + shape_text(bound) + " when bound, not " +
                                            shape_text(shapes[n].dims));
    }
}

void Checker::check_error(const orr_operator& op, const Case& c) {
    const auto mentions = [&](const std::string& text, const std::string& stage) {
        expect("error", text.find(c.error) != std::string::npos, stage + " fails with \"" + text + "\", which does not mention \"" + c.error + "\"");
    };
    const std::string ports = check_ports(op, c.inputs);
    if (!ports.empty()) return mentions(ports, "the port check");
    const AttrSet attrs(op, c.attrs);
    std::string error;
    const auto shapes = infer(op, attrs, c.inputs, c.outputs.size(), &error);
    if (!shapes) return mentions(error, "the shape function");
    for (uint32_t n = 0; n < op.n_kernels; n++) {
        const orr_kernel& k = *op.kernels[n];
        if (!chosen(k)) continue;
        const Setting s{options_.isas.back(), 2, c.numerics.at(0), options_.device};
        at(setting_text(k, s));
        Binding b = bind(op, c.inputs, *shapes, Form::contiguous);
        Plan plan(host_, pool_, k, attrs, b, s);
        std::string reason;
        if (!plan.supports(&reason)) continue;
        kernels_ran_.insert(k.name);
        host_.arm(-1);
        host_.take_error();
        const bool failed = plan.prepare() != ORR_OK || plan.run() != ORR_OK;
        expect("error", failed, "succeeds, where the case wants the failure \"" + c.error + "\"");
        if (failed) mentions(host_.take_error(), "it");
        for (const auto& o : b.outputs) expect("guards", o->intact(), "guard bytes round an output were written");
    }
}

void Checker::check_kernel(const orr_operator& op, const orr_kernel& k, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes) {
    for (const uint32_t numerics : c.numerics) {
        for (const uint32_t isa : isas()) {
            Setting s{isa, 1, numerics, options_.device};
            StandIn plain({}, false, false);
            if (options_.device) s.stand_in = &plain;
            const auto one = run_once(op, k, attrs, c.inputs, shapes, Form::contiguous, s, true);
            s.stand_in = nullptr;
            if (!one) continue;
            compare_case("values", c, shapes, *one, numerics);
            for (const uint32_t threads : {2u, 3u}) {
                if (options_.device) break;
                s.threads = threads;
                const auto more = run_once(op, k, attrs, c.inputs, shapes, Form::contiguous, s);
                if (more) expect("threads", *more == *one, "the number of threads changes the bits");
            }
            s.threads = 2;
            const Compare compare = [&](const char* check, const Outputs& got) { compare_case(check, c, shapes, got, numerics); };
            check_forms(op, k, c.inputs, attrs, shapes, s, compare);
            if (!c.batch_inputs.empty()) check_batch(op, k, c, attrs, *one, s);
            if (!c.in_place.empty()) check_in_place(op, k, c, attrs, shapes, s);
            if (options_.device) {
                check_shaders(op, k, c.inputs, attrs, shapes, s, plain, *one, compare);
            } else if (isa == isas().back() || k.flags & ORR_KERNEL_REFERENCE) {
                check_at_once(op, k, c, attrs, shapes, *one, s);
                check_leak(op, k, c, attrs, shapes, s);
            }
            if (k.flags & ORR_KERNEL_REFERENCE) break;
        }
        if (numerics == c.numerics[0]) {
            Setting s{options_.isas.back(), 2, numerics, options_.device};
            check_refusals(op, k, c, attrs, shapes, s);
        }
    }
}

void Checker::check_forms(const orr_operator& op, const orr_kernel& k, const std::vector<Value>& inputs, const AttrSet& attrs, const std::vector<Shape>& shapes, Setting s,
                          const Compare& compare) {
    static const std::pair<Form, const char*> kForms[] = {{Form::fronted, ", nothing before it"}, {Form::gaps, ", shifted, rows with gaps"}, {Form::swapped, ", axes swapped"},
                                                          {Form::second, ", every second element"}, {Form::transposed, ", last axes swapped"}};
    const std::string kept = case_;
    for (const auto& [form, text] : kForms) {
        if (form == Form::fronted && s.device) continue;
        const auto good = [&, f = form, t = text](int input) {
            case_ = kept + t + (input < 0 ? "" : " of input " + std::to_string(input));
            const auto got = run_once(op, k, attrs, inputs, shapes, {f, input}, s);
            case_ = kept;
            if (got) compare("strides", *got);
            return got.has_value();
        };
        if (form != Form::second && form != Form::transposed) {
            good(-1);
            continue;
        }
        // Who refuses all inputs so may take one.
        std::vector<int> strided;
        for (size_t n = 0; n < inputs.size(); n++)
            if (inputs[n].present && inputs[n].layout.empty() && !constant(op, n, inputs[n]) && strides_last_axis(inputs[n], form)) strided.push_back(static_cast<int>(n));
        if (strided.empty() || good(-1) || strided.size() == 1) continue;
        for (const int n : strided) good(n);
    }
}

// Every request of memory refused in turn: a failure must be told, and what succeeds all the same must be right.
void Checker::check_refusals(const orr_operator& op, const orr_kernel& k, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes, Setting s) {
    constexpr int64_t kMost = 50;
    for (int64_t n = 0; n < kMost; n++) {
        at(setting_text(k, s) + ", request " + std::to_string(n) + " for memory refused");
        const Binding b = bind(op, c.inputs, shapes, Form::contiguous);
        const int64_t outstanding = host_.outstanding;
        bool asked = false;
        {
            Plan plan(host_, pool_, k, attrs, b, s);
            std::string reason;
            if (!plan.supports(&reason)) return;
            host_.arm(n);
            host_.take_error();
            orr_status status = plan.prepare();
            if (status == ORR_OK) status = plan.run();
            asked = host_.requests > n;
            host_.arm(-1);
            const std::string text = host_.take_error();
            if (status == ORR_OK) {
                Outputs got;
                for (const auto& o : b.outputs) got.push_back(o->content());
                compare_case("allocation", c, shapes, got, s.numerics);
            } else {
                expect("allocation", asked, "fails though nothing was refused: " + text);
                expect("allocation", status == ORR_OUT_OF_MEMORY || !text.empty(), "fails with status " + std::to_string(status) + " and no text");
            }
            expect("guards", plan.intact(), "guard bytes of workspace, plan memory or packed weights were written");
        }
        expect("leak", host_.outstanding == outstanding, std::to_string(host_.outstanding - outstanding) + " allocations of the host's memory were not released");
        for (const auto& o : b.outputs) expect("guards", o->intact(), "guard bytes round an output were written");
        if (!asked) return;
    }
}

void Checker::check_batch(const orr_operator& op, const orr_kernel& k, const Case& c, const AttrSet& attrs, const Outputs& whole, Setting s) {
    if (c.batch_inputs.size() != c.inputs.size() || c.batch_outputs.size() != c.outputs.size())
        throw std::runtime_error("batch names " + std::to_string(c.batch_inputs.size()) + " inputs and " + std::to_string(c.batch_outputs.size()) +
                                 " outputs, the case has " + std::to_string(c.inputs.size()) + " and " + std::to_string(c.outputs.size()));
    int64_t count = 0;
    for (size_t n = 0; n < c.inputs.size(); n++)
        if (c.inputs[n].present && c.batch_inputs[n] >= 0) count = c.inputs[n].shape.at(static_cast<size_t>(c.batch_inputs[n]));
    for (int64_t row = 0; row < count; row++) {
        std::vector<Value> inputs;
        for (size_t n = 0; n < c.inputs.size(); n++) inputs.push_back(slice(c.inputs[n], c.batch_inputs[n], row, row + 1));
        std::string error;
        at(setting_text(k, s));
        const auto shapes = infer(op, attrs, inputs, c.outputs.size(), &error);
        expect("batch", shapes.has_value(), "batch " + std::to_string(row) + " alone: the shape function: " + error);
        if (!shapes) return;
        const auto got = run_once(op, k, attrs, inputs, *shapes, Form::contiguous, s);
        if (!got) continue;
        for (size_t n = 0; n < got->size(); n++) {
            if (c.batch_outputs[n] < 0 || !c.outputs[n].compare) continue;
            Value v;
            v.present = true;
            v.type = (*shapes)[n].type;
            v.shape = c.outputs[n].value.shape;
            v.bytes = whole[n];
            expect("batch", slice(v, c.batch_outputs[n], row, row + 1).bytes == (*got)[n],
                   "output " + std::to_string(n) + ": batch " + std::to_string(row) + " alone gives other bits than within the batch");
        }
    }
}

void Checker::check_in_place(const orr_operator& op, const orr_kernel& k, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes, Setting s) {
    at(setting_text(k, s) + ", in place");
    const Binding b = bind(op, c.inputs, shapes, Form::contiguous);
    for (const auto& [output, input] : c.in_place) b.outputs.at(static_cast<size_t>(output))->share_rows(*b.inputs.at(static_cast<size_t>(input)));
    Plan plan(host_, pool_, k, attrs, b, s);
    std::string reason;
    if (!plan.supports(&reason)) return;
    const bool good = plan.prepare() == ORR_OK && plan.run() == ORR_OK;
    expect("in_place", good, host_.take_error());
    if (!good) return;
    Outputs got;
    for (const auto& o : b.outputs) got.push_back(o->content());
    compare_case("in_place", c, shapes, got, s.numerics);
    for (const auto& in : b.inputs)
        if (in) expect("guards", in->intact(), "guard bytes round an input were written");
}

void Checker::check_view(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes) {
    expect("view", op.view != nullptr, "has the trait VIEW but no view()");
    if (!op.view) return;
    for (const Form form : {Form::contiguous, Form::gaps, Form::swapped}) {
        at(case_ + ", view" + (form == Form::contiguous ? "" : form == Form::gaps ? ", rows with gaps" : ", axes swapped"));
        const Binding b = bind(op, c.inputs, shapes, form);
        std::vector<orr_tensor> in;
        std::vector<const orr_tensor*> in_pointers;
        for (const auto& held : b.inputs) in.push_back(held ? *held->tensor() : orr_tensor{});
        for (size_t n = 0; n < in.size(); n++) {
            in[n].data = nullptr;
            in_pointers.push_back(b.inputs[n] ? &in[n] : nullptr);
        }
        orr_tensor planned = *b.outputs[0]->tensor();
        planned.data = nullptr;
        const orr_tensor* out_pointer = &planned;
        orr_prepare p{};
        p.header = ORR_HEADER(orr_prepare);
        p.host = &host_.table;
        p.attrs = attrs.table();
        p.n_inputs = static_cast<uint32_t>(in.size());
        p.n_outputs = 1;
        p.inputs = in_pointers.data();
        p.outputs = &out_pointer;
        p.isa = options_.isas.back();
        p.threads = 1;
        p.numerics = ORR_NUMERICS_EXACT;
        orr_tensor view = planned;
        view.offset = 0;
        if (!contained("view", [&] { return op.view(&p, &view); })) continue;
        const orr_tensor& x = *b.inputs[0]->tensor();
        // The view lies within the memory of input 0, and its last axis is contiguous.
        int64_t low = static_cast<int64_t>(view.offset), high = low + view.block_bytes;
        int64_t count = 1;
        for (int32_t a = 0; a < view.rank; a++) count *= view.shape[a];
        for (int32_t a = 0; a < view.rank; a++) (view.stride_bytes[a] < 0 ? low : high) += (view.shape[a] - 1) * view.stride_bytes[a];
        if (count == 0) continue;
        const bool inside = low >= 0 && high <= static_cast<int64_t>(x.size_bytes);
        expect("view", inside, "the view covers bytes " + std::to_string(low) + " to " + std::to_string(high) + " of " + std::to_string(x.size_bytes));
        expect("view", view.rank == 0 || view.shape[view.rank - 1] == 1 || view.stride_bytes[view.rank - 1] == view.block_bytes, "the view's last axis is not contiguous");
        expect("view", std::vector<int64_t>(view.shape, view.shape + view.rank) == shapes[0].dims, "the view has another shape than the shape function gives");
        if (!inside) continue;
        std::vector<uint8_t> content;
        const auto* base = static_cast<const uint8_t*>(x.data) + view.offset;
        for (int64_t e = 0; e < count; e++) {
            int64_t rest = e, offset = 0;
            for (int32_t a = view.rank - 1; a >= 0; a--) {
                offset += rest % view.shape[a] * view.stride_bytes[a];
                rest /= view.shape[a];
            }
            content.insert(content.end(), base + offset, base + offset + view.block_bytes);
        }
        compare_case("view", c, shapes, {content}, ORR_NUMERICS_EXACT);
        report_.ran.insert(op_ + " view");
    }
}

void Checker::check_elementwise(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes) {
    expect("elementwise", op.elementwise != nullptr, "has the trait ELEMENTWISE but no elementwise()");
    if (!op.elementwise || shapes.size() != 1 || shapes[0].type->number != ORR_TYPE_F32) return;
    for (const Value& v : c.inputs)
        if (!v.present || v.type->number != ORR_TYPE_F32 || v.shape != shapes[0].dims) return;
    at(case_ + ", elementwise");
    const int64_t n = c.inputs[0].elems();
    std::vector<std::unique_ptr<Guarded>> memory;
    std::vector<const float*> src;
    for (const Value& v : c.inputs) {
        memory.push_back(std::make_unique<Guarded>(v.bytes.size()));
        std::memcpy(memory.back()->data(), v.bytes.data(), v.bytes.size());
        src.push_back(reinterpret_cast<const float*>(memory.back()->data()));
    }
    Guarded dst(c.inputs[0].bytes.size());
    contained("elementwise", [&] { op.elementwise(attrs.table(), src.data(), reinterpret_cast<float*>(dst.data()), n); });
    compare_case("elementwise", c, shapes, {{dst.data(), dst.data() + dst.size()}}, ORR_NUMERICS_EXACT);
    // Over each source in turn.
    for (size_t s = 0; s < memory.size(); s++) {
        std::vector<uint8_t> kept(memory[s]->data(), memory[s]->data() + memory[s]->size());
        op.elementwise(attrs.table(), src.data(), reinterpret_cast<float*>(memory[s]->data()), n);
        expect("elementwise", std::memcmp(memory[s]->data(), dst.data(), dst.size()) == 0, "writing over source " + std::to_string(s) + " gives other bits");
        std::memcpy(memory[s]->data(), kept.data(), kept.size());
    }
    bool good = dst.intact();
    for (const auto& m : memory) good = good && m->intact();
    expect("guards", good, "guard bytes were written");
    report_.ran.insert(op_ + " elementwise");
    check_formula(op, c, attrs, shapes, src, n);
}

// What the operator tells for chains on devices, where it tells something.
void Checker::check_formula(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes, const std::vector<const float*>& src, int64_t n) {
    for (uint32_t f = 0; options_.formulas && f < options_.formulas->count; f++) {
        const orr_formula& formula = *options_.formulas->items[f];
        if (std::string_view(formula.op) != op.id) continue;
        at(case_ + ", formula");
        ExpressionBuilder builder;
        std::vector<uint32_t> inputs;
        for (size_t i = 0; i < src.size(); i++) inputs.push_back(builder.input(static_cast<uint32_t>(i)));
        const uint32_t result = builder.tell(formula, attrs.table(), inputs);
        if (result == 0) continue;  // not for these attributes
        const std::vector<float> values = evaluate(builder.take(result), src, static_cast<size_t>(n));
        const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
        compare_case("formula", c, shapes, {{bytes, bytes + values.size() * sizeof(float)}}, ORR_NUMERICS_EXACT);
        report_.ran.insert(op_ + " formula");
    }
}

}  // namespace orrery::conformance
