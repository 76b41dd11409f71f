#include "engine/backend/vulkan/chain_shader.hpp"

#include <algorithm>

#include "engine/backend/vulkan/spirv_writer.hpp"

namespace orrery::vulkan {
namespace {

using Walk = ChainForm::Walk;
using Words = SpirvWriter::Words;

constexpr int64_t kMostElems = int64_t{1} << 31;

// ---------------------------------------------------------------- the way through memory

struct Axes {
    std::vector<int64_t> extents;               // outermost first
    std::vector<std::vector<int64_t>> steps;    // of each input, in elements
};

// Axes of extent 1 left out, neighbours merged where every input goes on alike.
bool find_axes(const std::vector<const orr_tensor*>& ins, const orr_tensor& out, Axes& axes, std::string& reason) {
    std::vector<std::vector<int64_t>> steps(ins.size());
    for (size_t k = 0; k < ins.size(); k++) {
        const orr_tensor& t = *ins[k];
        int64_t last = 0;
        for (int32_t a = 0; a < out.rank; a++) {
            const int32_t own = a - (out.rank - t.rank);
            const int64_t step = own < 0 || t.shape[own] == 1 ? 0 : t.stride_bytes[own];
            if (step < 0 || step % 4) return reason = "an input steps " + std::to_string(step) + " bytes", false;
            if (step / 4 >= kMostElems) return reason = "an input spans 2^31 elements or more", false;
            last += (std::max<int64_t>(out.shape[a], 1) - 1) * (step / 4);
            if (last >= kMostElems) return reason = "an input spans 2^31 elements or more", false;
            steps[k].push_back(step / 4);
        }
    }
    axes.steps.resize(ins.size());
    for (int32_t a = 0; a < out.rank; a++) {
        if (out.shape[a] == 1) continue;
        bool merges = !axes.extents.empty();
        for (size_t k = 0; k < ins.size() && merges; k++) merges = axes.steps[k].back() == steps[k][static_cast<size_t>(a)] * out.shape[a];
        if (merges)
            axes.extents.back() *= out.shape[a];
        else
            axes.extents.push_back(out.shape[a]);
        for (size_t k = 0; k < ins.size(); k++) {
            if (merges)
                axes.steps[k].back() = steps[k][static_cast<size_t>(a)];
            else
                axes.steps[k].push_back(steps[k][static_cast<size_t>(a)]);
        }
    }
    return true;
}

Walk walk_of(const Axes& axes, size_t input) {
    const auto& steps = axes.steps[input];
    if (std::all_of(steps.begin(), steps.end(), [](int64_t s) { return s == 0; })) return Walk::one;
    int64_t expect = 1;
    for (size_t a = steps.size(); a-- > 0; expect *= axes.extents[a])
        if (steps[a] != expect) return Walk::strided;
    return Walk::dense;
}

// Whether four neighbours can go at a time; then the innermost axis counts fours.
bool take_quads(const std::vector<const orr_tensor*>& ins, const orr_tensor& out, Axes& axes, std::vector<Walk>& walks) {
    if (axes.extents.empty() || axes.extents.back() % 4 || orr_vulkan_address(&out) % 16) return false;
    std::vector<Walk> as = walks;
    for (size_t k = 0; k < ins.size(); k++) {
        if (walks[k] == Walk::one) continue;
        auto& steps = axes.steps[k];
        if (steps.back() == 0) {
            as[k] = Walk::repeated;
            continue;
        }
        if (steps.back() != 1 || orr_vulkan_address(ins[k]) % 16) return false;
        for (size_t a = 0; a + 1 < steps.size(); a++)
            if (steps[a] % 4) return false;
    }
    axes.extents.back() /= 4;
    for (size_t k = 0; k < ins.size(); k++)
        if (as[k] == Walk::strided)
            for (size_t a = 0; a + 1 < axes.steps[k].size(); a++) axes.steps[k][a] /= 4;
    walks = as;
    return true;
}

// ---------------------------------------------------------------- code

class ChainWriter {
  public:
    ChainWriter(const Expression& e, const ChainForm& form) : e_(e), form_(form), strided_(static_cast<size_t>(std::count_if(form.walks.begin(), form.walks.end(), is_strided))) {}

    Words make() {
        begin();
        declare_push();
        const uint32_t i = place();
        std::vector<uint32_t> values(e_.terms.size() + 1, 0);
        for (uint32_t t = 1; t <= e_.terms.size(); t++) {
            const Expression::Term& term = e_.term(t);
            values[t] = term.operation == Expression::kInput      ? load_input(term.args[0], i)
                        : term.operation == Expression::kConstant ? number(term.type, term.args[0])
                                                                  : operation(term, values);
        }
        store(i, values[e_.result]);
        w_.write(SpirvWriter::code, spv::Branch, {merge_});
        w_.write(SpirvWriter::code, spv::Label, {merge_});
        w_.write(SpirvWriter::code, spv::Return, {});
        w_.write(SpirvWriter::code, spv::FunctionEnd, {});
        return w_.finish();
    }

  private:
    static bool is_strided(Walk w) { return w == Walk::strided || w == Walk::repeated; }

    void begin() {
        w_.write(SpirvWriter::capabilities, spv::Capability, {spv::kShader});
        w_.write(SpirvWriter::capabilities, spv::Capability, {spv::kPhysicalStorageBufferAddresses});
        if (form_.keep_special) w_.write(SpirvWriter::capabilities, spv::Capability, {spv::kSignedZeroInfNanPreserveCapability});
        library_ = w_.id();
        Words import = {library_};
        const Words name = SpirvWriter::text("GLSL.std.450");
        import.insert(import.end(), name.begin(), name.end());
        w_.write(SpirvWriter::imports, spv::ExtInstImport, import);
        w_.write(SpirvWriter::models, spv::MemoryModel, {spv::kPhysicalStorageBuffer64, spv::kGlsl450});
        float_ = w_.type(spv::TypeFloat, {32});
        uint_ = w_.type(spv::TypeInt, {32, 0});
        bool_ = w_.type(spv::TypeBool, {});
        floats_ = form_.width == 4 ? w_.type(spv::TypeVector, {float_, 4}) : float_;
        uints_ = form_.width == 4 ? w_.type(spv::TypeVector, {uint_, 4}) : uint_;
        bools_ = form_.width == 4 ? w_.type(spv::TypeVector, {bool_, 4}) : bool_;
    }

    // A pointer to a block of elements without end.
    uint32_t elements_pointer(uint32_t element, uint32_t bytes) {
        const uint32_t list = w_.type(spv::TypeRuntimeArray, {element});
        const auto [it, fresh] = blocks_.emplace(element, 0);
        if (fresh) {
            const uint32_t block = w_.type(spv::TypeStruct, {list});
            it->second = w_.type(spv::TypePointer, {spv::kPhysicalStorageBuffer, block});
            w_.write(SpirvWriter::decorations, spv::Decorate, {list, spv::kArrayStride, bytes});
            w_.write(SpirvWriter::decorations, spv::Decorate, {block, spv::kBlock});
            w_.write(SpirvWriter::decorations, spv::MemberDecorate, {block, 0, spv::kOffset, 0});
        }
        return it->second;
    }
    bool is_wide(size_t input) const { return form_.width == 4 && form_.walks[input] != Walk::one && form_.walks[input] != Walk::repeated; }
    uint32_t element_of(size_t input) const { return is_wide(input) ? floats_ : float_; }
    uint32_t block_of(size_t input) { return elements_pointer(element_of(input), is_wide(input) ? 16 : 4); }

    // Output, inputs, n, then the numbers of ChainLoop.
    void declare_push() {
        Words members = {elements_pointer(floats_, form_.width * 4)};
        for (size_t k = 0; k < form_.walks.size(); k++) members.push_back(block_of(k));
        const size_t numbers = 1 + (form_.axes ? form_.axes - 1 + strided_ * form_.axes : 0);
        members.insert(members.end(), numbers, uint_);
        const uint32_t push = w_.type(spv::TypeStruct, members);
        w_.write(SpirvWriter::decorations, spv::Decorate, {push, spv::kBlock});
        uint32_t offset = 0;
        for (uint32_t m = 0; m < members.size(); m++) {
            w_.write(SpirvWriter::decorations, spv::MemberDecorate, {push, m, spv::kOffset, offset});
            offset += m <= form_.walks.size() ? 8 : 4;
        }
        push_ = w_.variable(w_.type(spv::TypePointer, {spv::kPushConstant, push}), spv::kPushConstant);
    }
    uint32_t push_member(uint32_t member, uint32_t type) {
        const uint32_t at = w_.result(spv::AccessChain, w_.type(spv::TypePointer, {spv::kPushConstant, type}), {push_, w_.constant(uint_, member)});
        return w_.result(spv::Load, type, {at});
    }
    uint32_t push_number(size_t k) { return push_member(static_cast<uint32_t>(form_.walks.size() + 1 + k), uint_); }

    uint32_t built_in(uint32_t which, Words& interface) {
        const uint32_t vector = w_.type(spv::TypeVector, {uint_, 3});
        const uint32_t v = w_.variable(w_.type(spv::TypePointer, {spv::kInput, vector}), spv::kInput);
        w_.write(SpirvWriter::decorations, spv::Decorate, {v, spv::kBuiltIn, which});
        interface.push_back(v);
        return v;
    }
    uint32_t component(uint32_t variable, uint32_t k) {
        const uint32_t vector = w_.type(spv::TypeVector, {uint_, 3});
        return w_.result(spv::CompositeExtract, uint_, {w_.result(spv::Load, vector, {variable}), k});
    }

    // Opens the function; the element that this invocation works on, those past n turned away.
    uint32_t place() {
        const uint32_t none = w_.type(spv::TypeVoid, {}), signature = w_.type(spv::TypeFunction, {none}), main = w_.id();
        Words entry = {spv::kGlCompute, main};
        const Words name = SpirvWriter::text("main");
        entry.insert(entry.end(), name.begin(), name.end());
        entry.push_back(push_);
        const uint32_t group = built_in(spv::kWorkgroupId, entry), groups = built_in(spv::kNumWorkgroups, entry), local = built_in(spv::kLocalInvocationId, entry);
        w_.write(SpirvWriter::entries, spv::EntryPoint, entry);
        w_.write(SpirvWriter::modes, spv::ExecutionMode, {main, spv::kLocalSize, kChainGroup, 1, 1});
        if (form_.keep_special) w_.write(SpirvWriter::modes, spv::ExecutionMode, {main, spv::kSignedZeroInfNanPreserve, 32});
        w_.write(SpirvWriter::code, spv::Function, {none, main, 0, signature});
        w_.write(SpirvWriter::code, spv::Label, {w_.id()});
        const uint32_t row = w_.result(spv::IMul, uint_, {component(group, 1), component(groups, 0)});
        const uint32_t number = w_.result(spv::IAdd, uint_, {row, component(group, 0)});
        const uint32_t first = w_.result(spv::IMul, uint_, {number, w_.constant(uint_, kChainGroup)});
        const uint32_t i = w_.result(spv::IAdd, uint_, {first, component(local, 0)});
        const uint32_t inside = w_.result(spv::ULessThan, bool_, {i, push_number(0)}), work = w_.id();
        merge_ = w_.id();
        w_.write(SpirvWriter::code, spv::SelectionMerge, {merge_, 0});
        w_.write(SpirvWriter::code, spv::BranchConditional, {inside, work, merge_});
        w_.write(SpirvWriter::code, spv::Label, {work});
        if (form_.axes) walk(i);
        return i;
    }

    // Places of the strided inputs.
    void walk(uint32_t i) {
        places_.assign(form_.walks.size(), 0);
        uint32_t rest = i;
        for (uint32_t axis = 0; axis < form_.axes; axis++) {
            uint32_t at = rest;
            if (axis + 1 < form_.axes) {
                const uint32_t extent = push_number(1 + axis);
                at = w_.result(spv::UMod, uint_, {rest, extent});
                rest = w_.result(spv::UDiv, uint_, {rest, extent});
            }
            size_t k = 0;
            for (size_t input = 0; input < form_.walks.size(); input++) {
                if (!is_strided(form_.walks[input])) continue;
                const uint32_t part = w_.result(spv::IMul, uint_, {at, push_number(form_.axes + k++ * form_.axes + axis)});
                places_[input] = axis ? w_.result(spv::IAdd, uint_, {places_[input], part}) : part;
            }
        }
    }

    uint32_t element_pointer(uint32_t base, uint32_t element, uint32_t index) {
        return w_.result(spv::AccessChain, w_.type(spv::TypePointer, {spv::kPhysicalStorageBuffer, element}), {base, w_.constant(uint_, 0), index});
    }
    uint32_t load_input(uint32_t input, uint32_t i) {
        const Walk walk = form_.walks[input];
        const uint32_t element = element_of(input), index = walk == Walk::dense ? i : walk == Walk::one ? w_.constant(uint_, 0) : places_[input];
        const uint32_t base = push_member(input + 1, block_of(input));
        const uint32_t value = w_.result(spv::Load, element, {element_pointer(base, element, index), spv::kAligned, is_wide(input) ? 16u : 4u});
        return form_.width == 1 || is_wide(input) ? value : w_.result(spv::CompositeConstruct, floats_, {value, value, value, value});
    }
    void store(uint32_t i, uint32_t value) {
        const uint32_t base = push_member(0, elements_pointer(floats_, form_.width * 4));
        w_.write(SpirvWriter::code, spv::Store, {element_pointer(base, floats_, i), value, spv::kAligned, form_.width * 4});
    }

    uint32_t number(TermType type, uint32_t bits) {
        const bool is_float = type == TermType::number;
        const uint32_t one = w_.constant(is_float ? float_ : uint_, bits);
        return form_.width == 1 ? one : w_.composite(is_float ? floats_ : uints_, {one, one, one, one});
    }
    uint32_t type_of(TermType type) const { return type == TermType::number ? floats_ : type == TermType::word ? uints_ : bools_; }

    uint32_t operation(const Expression::Term& term, const std::vector<uint32_t>& values) {
        Words args;
        for (const uint32_t a : term.args)
            if (a) args.push_back(values[a]);
        const uint32_t type = type_of(term.type);
        if (const uint32_t function = library_function(term.operation)) {
            args.insert(args.begin(), {library_, function});
            return w_.result(spv::ExtInst, type, args);
        }
        const uint32_t value = w_.result(instruction(term.operation), type, args);
        if (term.operation <= ORR_DO_NEG) w_.write(SpirvWriter::decorations, spv::Decorate, {value, spv::kNoContraction});
        return value;
    }
    static uint32_t library_function(uint32_t operation) {
        switch (operation) {
            case ORR_DO_ABS: return spv::kFAbs;
            case ORR_DO_SQRT: return spv::kSqrt;
            case ORR_DO_FLOOR: return spv::kFloor;
            case ORR_DO_ROUND: return spv::kRoundEven;
            case ORR_DO_FMA: return spv::kFma;
            default: return 0;
        }
    }
    static spv::Op instruction(uint32_t operation) {
        static constexpr spv::Op ops[] = {spv::FAdd, spv::FAdd, spv::FSub, spv::FMul, spv::FDiv, spv::FNegate, spv::FAdd, spv::FAdd, spv::FAdd, spv::FAdd, spv::FAdd,
                                          spv::FOrdLessThan, spv::FOrdLessThanEqual, spv::FOrdEqual, spv::LogicalAnd, spv::LogicalOr, spv::LogicalNot, spv::Select, spv::Select,
                                          spv::Bitcast, spv::Bitcast, spv::ConvertFToS, spv::ConvertSToF, spv::IAdd, spv::ISub, spv::IMul, spv::BitwiseAnd, spv::BitwiseOr,
                                          spv::BitwiseXor, spv::ShiftLeftLogical, spv::ShiftRightLogical, spv::ShiftRightArithmetic, spv::ULessThan, spv::IEqual};
        static_assert(sizeof ops / sizeof *ops == ORR_DO_WORD_EQUAL + 1);
        return ops[operation];
    }

    const Expression& e_;
    const ChainForm& form_;
    const size_t strided_;
    SpirvWriter w_;
    uint32_t library_ = 0, float_ = 0, uint_ = 0, bool_ = 0, floats_ = 0, uints_ = 0, bools_ = 0, push_ = 0, merge_ = 0;
    std::map<uint32_t, uint32_t> blocks_;
    std::vector<uint32_t> places_;
};

}  // namespace

bool make_chain_loop(const std::vector<const orr_tensor*>& ins, const orr_tensor& out, bool placed, ChainLoop& loop, std::string& reason) {
    int64_t n = 1;
    for (int32_t a = 0; a < out.rank; a++) n *= out.shape[a];
    if (n >= kMostElems) return reason = "the output has 2^31 elements or more", false;
    Axes axes;
    if (!find_axes(ins, out, axes, reason)) return false;
    std::vector<Walk>& walks = loop.form.walks;
    walks.clear();
    for (size_t k = 0; k < ins.size(); k++) walks.push_back(walk_of(axes, k));
    loop.form.width = placed && n > 0 && take_quads(ins, out, axes, walks) ? 4 : 1;
    loop.n = static_cast<uint32_t>(n / loop.form.width);
    const auto strided = [](Walk w) { return w == Walk::strided || w == Walk::repeated; };
    loop.form.axes = std::any_of(walks.begin(), walks.end(), strided) ? static_cast<uint32_t>(axes.extents.size()) : 0;
    loop.numbers.clear();
    if (loop.form.axes)
        for (size_t a = axes.extents.size(); a-- > 1;) loop.numbers.push_back(static_cast<uint32_t>(axes.extents[a]));
    for (size_t k = 0; k < ins.size(); k++)
        if (strided(walks[k]))
            for (size_t a = axes.extents.size(); a-- > 0;) loop.numbers.push_back(static_cast<uint32_t>(axes.steps[k][a]));
    return true;
}

std::vector<uint32_t> write_chain(const Expression& expression, const ChainForm& form) { return ChainWriter(expression, form).make(); }

const orr_vulkan_shader& ChainShaders::find(const Expression& expression, const ChainForm& form) {
    std::vector<uint32_t> code = write_chain(expression, form);
    const std::lock_guard lock(mutex_);
    if (const auto it = by_code_.find(code); it != by_code_.end()) return it->second->shader;
    Entry& e = entries_.emplace_back();
    e.name = "chain of " + std::to_string(expression.terms.size()) + " terms, " + std::to_string(expression.inputs) + " inputs";
    e.code = code;
    e.shader = {ORR_HEADER(orr_vulkan_shader), e.name.c_str(), e.code.data(), e.code.size() * 4, 0, 0};
    by_code_.emplace(std::move(code), &e);
    return e.shader;
}

}  // namespace orrery::vulkan
