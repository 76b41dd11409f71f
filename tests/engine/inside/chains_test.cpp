// Kernels that the engine writes for chains of elementwise operators, against the operators' functions on the processor: random
// chains, odd sizes, broadcasting, strided views, guard bands, inf and NaN; and every module past the validator.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>

#include "engine/abi/handles.hpp"
#include "engine/backend/vulkan/chain_shader.hpp"
#include "engine/plan/expression.hpp"
#include "orrery/ext/vulkan.h"
#include "orrery/plugin.hpp"
#include "support.hpp"


namespace engine_tests {
namespace {

using orrery::DeviceBlock;
using orrery::DeviceUse;
using orrery::Expression;
using orrery::ExpressionBuilder;
using orrery::NodeAttrs;

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kGuard = 64;  // elements round an output

// Values of a shape, perhaps with gaps: element i along axis a lies stride[a] elements on.
struct Operand {
    std::vector<int64_t> shape, stride;
    std::vector<float> memory;
    int64_t offset = 0;
    float at(const std::vector<int64_t>& index, size_t rank) const {
        int64_t place = offset;
        for (size_t a = 0; a < shape.size(); a++) {
            const int64_t i = index[rank - shape.size() + a];
            place += (shape[a] == 1 ? 0 : i) * stride[a];
        }
        return memory[static_cast<size_t>(place)];
    }
};

struct Step {
    const orr_operator* op;
    std::shared_ptr<NodeAttrs> attrs;
    std::vector<int> srcs;  // below 0: input -(i + 1)
};

class Chains : public testing::Test {
  protected:
    void SetUp() override {
        if (kThreadSanitizer) GTEST_SKIP() << "drivers are not instrumented";
        try {
            device_ = shared_engine()->engine->devices().get("vulkan:0");
        } catch (const orrery::Error& e) {
            GTEST_SKIP() << e.what();
        }
    }

    static Step step(const char* op, const std::string& attrs, std::vector<int> srcs) {
        const orr_operator& o = shared_engine()->engine->registry().find_operator(op);
        return {&o, std::make_shared<NodeAttrs>(o, attrs), std::move(srcs)};
    }

    static Expression expression(const std::vector<Step>& steps, size_t inputs) {
        ExpressionBuilder builder;
        std::vector<uint32_t> ins, results;
        for (size_t i = 0; i < inputs; i++) ins.push_back(builder.input(static_cast<uint32_t>(i)));
        for (const Step& s : steps) {
            const orr_formula* formula = shared_engine()->engine->registry().formula(*s.op);
            if (!formula) throw std::runtime_error(std::string(s.op->id) + " has no formula");
            std::vector<uint32_t> of;
            for (const int src : s.srcs) of.push_back(src < 0 ? ins[static_cast<size_t>(-src - 1)] : results[static_cast<size_t>(src)]);
            results.push_back(builder.tell(*formula, s.attrs->table(), of));
            if (!results.back()) throw std::runtime_error(std::string(s.op->id) + " told no formula for " + s.attrs->text());
        }
        return builder.take(results.back());
    }

    // The operators' own functions, one after the other.
    static std::vector<float> want(const std::vector<Step>& steps, const std::vector<Operand>& inputs, const std::vector<int64_t>& shape) {
        int64_t n = 1;
        for (const int64_t d : shape) n *= d;
        std::vector<std::vector<float>> spread(inputs.size(), std::vector<float>(static_cast<size_t>(n))), results;
        std::vector<int64_t> index(shape.size());
        for (int64_t i = 0; i < n; i++) {
            int64_t rest = i;
            for (size_t a = shape.size(); a-- > 0; rest /= shape[a]) index[a] = rest % shape[a];
            for (size_t k = 0; k < inputs.size(); k++) spread[k][static_cast<size_t>(i)] = inputs[k].at(index, shape.size());
        }
        for (const Step& s : steps) {
            std::vector<const float*> srcs;
            for (const int src : s.srcs) srcs.push_back(src < 0 ? spread[static_cast<size_t>(-src - 1)].data() : results[static_cast<size_t>(src)].data());
            std::vector<float> y(static_cast<size_t>(n));
            s.op->elementwise(s.attrs->table(), srcs.data(), y.data(), n);
            results.push_back(std::move(y));
        }
        return results.back();
    }

    orr_tensor tensor(const std::vector<int64_t>& shape, const std::vector<int64_t>& stride, const DeviceBlock& block, int64_t offset) const {
        orr_tensor t{};
        t.header = ORR_HEADER(orr_tensor);
        t.type = ORR_TYPE_F32;
        t.type_id = "f32";
        t.layout = "";
        t.rank = static_cast<int32_t>(shape.size());
        t.block_elems = 1;
        t.block_bytes = 4;
        for (size_t a = 0; a < shape.size(); a++) t.shape[a] = shape[a], t.stride_bytes[a] = stride[a] * 4;
        t.buffer = block.handle();
        t.offset = static_cast<uint64_t>(offset) * 4;
        return t;
    }

    // Runs the chain on the device; checks that the memory round the output stays. shift: elements that the output is off its alignment.
    std::vector<float> got(const Expression& e, const std::vector<Operand>& inputs, const std::vector<int64_t>& shape, int64_t shift = 0) {
        std::vector<std::shared_ptr<DeviceBlock>> blocks;
        std::deque<orr_tensor> tensors;
        std::vector<const orr_tensor*> ins;
        for (const Operand& o : inputs) {
            blocks.push_back(device_->allocate(o.memory.size() * 4 + 16, DeviceUse::work, "test"));
            device_->write(*blocks.back(), 0, o.memory.data(), o.memory.size() * 4);
            ins.push_back(&tensors.emplace_back(tensor(o.shape, o.stride, *blocks.back(), o.offset)));
        }
        int64_t n = 1;
        std::vector<int64_t> stride(shape.size());
        for (size_t a = shape.size(); a-- > 0; n *= shape[a]) stride[a] = n;
        std::vector<float> memory(static_cast<size_t>(n + 2 * kGuard + shift), -12345.0f);
        const auto out_block = device_->allocate(memory.size() * 4, DeviceUse::work, "test");
        device_->write(*out_block, 0, memory.data(), memory.size() * 4);
        const orr_tensor out = tensor(shape, stride, *out_block, kGuard + shift);
        std::string reason;
        if (!device_->takes_chain(e, ins, out, reason)) return {};
        const auto program = device_->new_program(false);
        for (const bool collect : {true, false}) {
            program->begin(collect);
            program->step({}, {}, 0, 1000);
            program->chain(e, ins, out);
            program->cut();
            program->end();
        }
        program->run(0);
        device_->read(*out_block, 0, memory.data(), memory.size() * 4);
        for (int64_t i = 0; i < static_cast<int64_t>(memory.size()); i++)
            if (i < kGuard + shift || i >= kGuard + shift + n) {
                EXPECT_EQ(memory[static_cast<size_t>(i)], -12345.0f) << "guard " << i;
            }
        return {memory.begin() + kGuard + shift, memory.begin() + kGuard + shift + n};
    }

    static void expect_near(const std::vector<float>& got, const std::vector<float>& want, double tolerance) {
        ASSERT_EQ(got.size(), want.size());
        size_t wrong = 0;
        for (size_t i = 0; i < got.size() && wrong < 5; i++) {
            const bool same = std::isnan(want[i]) ? std::isnan(got[i]) : std::isinf(want[i]) ? got[i] == want[i] : std::fabs(got[i] - want[i]) <= tolerance * std::max(1.0f, std::fabs(want[i]));
            if (same) continue;
            ADD_FAILURE() << "element " << i << " is " << got[i] << ", expected " << want[i];
            wrong++;
        }
    }

    std::shared_ptr<orrery::Device> device_;
};

// Functions of one input that neither grow nor jump.
const std::pair<const char*, const char*> kCalm[] = {
    {"orr.activation/1", R"({"function": "tanh"})"},  {"orr.activation/1", R"({"function": "sigmoid"})"}, {"orr.activation/1", R"({"function": "silu"})"}, {"orr.activation/1", R"({"function": "gelu"})"},
    {"orr.activation/1", R"({"function": "relu"})"},  {"orr.activation/1", R"({"function": "erf"})"},     {"orr.activation/1", R"({"function": "sin"})"},  {"orr.activation/1", R"({"function": "abs"})"},
    {"orr.activation/1", R"({"function": "neg"})"},   {"orr.activation/1", R"({"function": "mish"})"},    {"orr.activation/1", R"({"function": "elu"})"},  {"orr.activation/1", R"({"function": "softplus"})"},
    {"orr.affine/1", R"({"scale": 0.75, "offset": -0.5})"}, {"orr.clamp/1", R"({"min": -2, "max": 1.5})"}, {"orr.softcap/1", R"({"cap": 3})"},
};
const char* const kPairs[] = {"orr.add/1", "orr.sub/1", "orr.mul/1", "orr.maximum/1", "orr.minimum/1"};

struct Random {
    explicit Random(uint32_t seed) : engine(seed) {}
    int64_t below(int64_t n) { return static_cast<int64_t>(engine() % static_cast<uint32_t>(n)); }
    float value() { return static_cast<float>(static_cast<int32_t>(engine())) * 0x1p-29f; }  // -4 to 4
    std::mt19937 engine;
};

Operand make_operand(const std::vector<int64_t>& shape, Random& random, bool special) {
    Operand o;
    // Some axes repeat, some leading ones are not there.
    const auto skipped = shape.size() > 1 && random.below(4) == 0 ? static_cast<size_t>(random.below(static_cast<int64_t>(shape.size()))) : 0;
    for (size_t a = skipped; a < shape.size(); a++) o.shape.push_back(random.below(5) == 0 ? 1 : shape[a]);
    o.stride.resize(o.shape.size());
    const bool gaps = random.below(3) == 0, swapped = o.shape.size() > 1 && random.below(4) == 0;
    int64_t n = 1;
    std::vector<size_t> order;
    for (size_t a = 0; a < o.shape.size(); a++) order.push_back(a);
    if (swapped) std::swap(order.front(), order.back());
    for (size_t k = order.size(); k-- > 0;) {
        o.stride[order[k]] = n;
        n *= o.shape[order[k]];
        if (gaps) n += random.below(3) == 0 ? 4 : random.below(3);
    }
    o.offset = random.below(2) ? 0 : random.below(8);
    o.memory.resize(static_cast<size_t>(n + o.offset + 1));
    for (float& v : o.memory) v = special && random.below(7) == 0 ? std::vector<float>{kNan, kInf, -kInf, 0.0f, -0.0f, 1e30f}[static_cast<size_t>(random.below(6))] : random.value();
    return o;
}

std::vector<Step> make_steps(Random& random, size_t inputs, const std::function<Step(const char*, const std::string&, std::vector<int>)>& step) {
    std::vector<Step> steps;
    const auto any = [&] { return steps.empty() || random.below(3) == 0 ? -static_cast<int>(random.below(static_cast<int64_t>(inputs))) - 1 : static_cast<int>(random.below(static_cast<int64_t>(steps.size()))); };
    const int64_t length = 2 + random.below(7);
    for (int64_t i = 0; i < length; i++) {
        if (random.below(2)) {
            const auto& [op, attrs] = kCalm[random.below(std::size(kCalm))];
            steps.push_back(step(op, attrs, {any()}));
        } else {
            steps.push_back(step(kPairs[random.below(std::size(kPairs))], "{}", {any(), any()}));
            steps.push_back(step("orr.clamp/1", R"({"min": -4, "max": 4})", {static_cast<int>(steps.size()) - 1}));
        }
    }
    return steps;
}

TEST_F(Chains, RandomOnesGiveWhatTheOperatorsGive) {
    const std::vector<std::vector<int64_t>> shapes = {{1}, {31}, {33}, {256}, {1000}, {3, 5, 7}, {2, 3, 4, 8}, {5, 1, 12}, {7, 260}, {1, 1}, {2, 2, 2, 2, 2, 3, 4, 4}, {70000}};
    int ran = 0;
    for (uint32_t seed = 0; seed < 96; seed++) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Random random(seed);
        const auto& shape = shapes[seed % shapes.size()];
        const auto inputs = static_cast<size_t>(1 + random.below(3));
        std::vector<Operand> operands;
        for (size_t i = 0; i < inputs; i++) operands.push_back(make_operand(shape, random, seed % 3 == 0));
        const auto steps = make_steps(random, inputs, step);
        const auto values = got(expression(steps, inputs), operands, shape, seed % 4);
        if (values.empty()) continue;  // too many steps along eight axes
        expect_near(values, want(steps, operands, shape), 5e-5);
        if (HasFailure()) return;
        ran++;
    }
    EXPECT_GT(ran, 90);
}

// One function after another that changes nothing, over values of all sizes.
TEST_F(Chains, EveryFunctionOverAllNumbers) {
    std::vector<float> values = {0.0f, -0.0f, kInf, -kInf, kNan, 1.0f, -1.0f, 0.5f, 2.5f, -2.5f, 1e-6f, -1e-6f, 20.0f, -20.0f, 88.7f, -103.0f, 100.0f, -110.0f, 1e4f, -1e4f, 1e20f, -1e20f};
    Random random(5);
    for (int i = 0; i < 2000; i++) values.push_back(random.value() * (i % 3 ? 1.0f : 8.0f));
    values.resize(values.size() / 4 * 4);
    const auto n = static_cast<int64_t>(values.size());
    const Operand x{{n}, {1}, values, 0};
    for (const char* name : {"gelu", "gelu_tanh", "quick_gelu", "silu", "relu", "relu2", "tanh", "sigmoid", "softplus", "exp", "log", "sqrt", "rsqrt", "abs", "neg", "square", "sin", "cos", "erf", "floor", "round",
                             "hard_swish", "elu", "mish", "identity"}) {
        SCOPED_TRACE(name);
        const std::vector<Step> steps = {step("orr.activation/1", R"({"function": ")" + std::string(name) + "\"}", {-1}), step("orr.activation/1", R"({"function": "neg"})", {0})};
        Operand in = x;
        if (std::string(name) == "sin" || std::string(name) == "cos")
            for (float& v : in.memory)
                if (std::fabs(v) > 1e5f && std::isfinite(v)) v = 3.0f;  // where the formula ends
        expect_near(got(expression(steps, 1), {in}, {n}), want(steps, {in}, {n}), 3e-6);
        in.memory.pop_back();  // one at a time
        in.shape = {n - 1};
        expect_near(got(expression(steps, 1), {in}, {n - 1}), want(steps, {in}, {n - 1}), 3e-6);
    }
    const std::vector<Step> ratio = {step("orr.div/1", "{}", {-1, -2}), step("orr.activation/1", R"({"function": "neg"})", {0})};
    Operand y = x;
    std::rotate(y.memory.begin(), y.memory.begin() + 7, y.memory.end());
    expect_near(got(expression(ratio, 2), {x, y}, {n}), want(ratio, {x, y}, {n}), 3e-7);
}

TEST_F(Chains, NonsenseIsNoFormula) {
    ExpressionBuilder builder;
    const orr_formula broken[] = {
        {ORR_HEADER(orr_formula), "t/1", [](const orr_attrs*, orr_expression*, uint32_t, const orr_term*) -> orr_term { return 77; }},
        {ORR_HEADER(orr_formula), "t/1", [](const orr_attrs*, orr_expression* x, uint32_t, const orr_term* in) { return x->apply(x, ORR_DO_LESS, in[0], in[0], 0); }},
        {ORR_HEADER(orr_formula), "t/1", [](const orr_attrs*, orr_expression* x, uint32_t, const orr_term* in) { return x->apply(x, ORR_DO_WORD_ADD, in[0], in[0], 0); }},
    };
    for (const orr_formula& f : broken) {
        ExpressionBuilder fresh;
        EXPECT_EQ(fresh.tell(f, nullptr, {fresh.input(0)}), 0u);
    }
    ExpressionBuilder endless;
    const orr_formula f = {ORR_HEADER(orr_formula), "t/1", [](const orr_attrs*, orr_expression* x, uint32_t, const orr_term* in) {
                               orr_term t = in[0];
                               for (int i = 0; i < 100000; i++) t = x->apply(x, ORR_DO_ADD, t, in[0], 0);
                               return t;
                           }};
    EXPECT_EQ(endless.tell(f, nullptr, {endless.input(0)}), 0u);
}

TEST_F(Chains, TooManyStepsForPushConstantsAreRefused) {
    std::vector<Step> steps;
    for (int i = 0; i < 11; i++) steps.push_back(step("orr.add/1", "{}", {i ? i - 1 : -1, -i - 2}));
    const Expression e = expression(steps, 12);
    const auto block = device_->allocate(1 << 16, DeviceUse::work, "test");
    std::deque<orr_tensor> tensors;
    std::vector<const orr_tensor*> ins;
    for (int i = 0; i < 12; i++) ins.push_back(&tensors.emplace_back(tensor({3, 5, 7}, {70, 14, 2}, *block, 0)));
    const orr_tensor out = tensor({3, 5, 7}, {35, 7, 1}, *block, 8192);
    std::string reason;
    EXPECT_FALSE(device_->takes_chain(e, ins, out, reason));
    EXPECT_NE(reason.find("push constants"), std::string::npos) << reason;
}

// One kernel against the operators' own, each with its dispatch and the barrier before it; the best of several runs.
TEST_F(Chains, OneKernelIsNotSlowerThanSeveral) {
    constexpr int64_t kElems = 1 << 20;
    const std::vector<Step> steps = {step("orr.mul/1", "{}", {-1, -2}), step("orr.activation/1", R"({"function": "silu"})", {0}), step("orr.add/1", "{}", {1, -1}), step("orr.affine/1", R"({"scale": 0.5})", {2})};
    const Expression e = expression(steps, 2);
    std::deque<std::shared_ptr<DeviceBlock>> blocks;
    std::deque<orr_tensor> tensors;
    const auto fresh = [&] {
        blocks.push_back(device_->allocate(kElems * 4, DeviceUse::work, "test"));
        device_->write(*blocks.back(), 0, std::vector<float>(kElems, 0.7f).data(), kElems * 4);
        return &tensors.emplace_back(tensor({kElems}, {1}, *blocks.back(), 0));
    };
    const orr_tensor *a = fresh(), *b = fresh();
    std::vector<const orr_tensor*> between;
    for (size_t i = 0; i < steps.size(); i++) between.push_back(fresh());
    const auto record_several = [&](orrery::DeviceProgram& program) {
        for (size_t i = 0; i < steps.size(); i++) {
            std::vector<const orr_tensor*> ins, outs = {between[i]};
            for (const int src : steps[i].srcs) ins.push_back(src >= 0 ? between[static_cast<size_t>(src)] : src == -1 ? a : b);
            std::vector<orrery::DeviceRange> reads;
            for (const orr_tensor* t : ins) reads.push_back({t->buffer, 0, kElems * 4});
            program.step(reads, {{between[i]->buffer, 0, kElems * 4}}, 0, 1000);
            orr_run run{};
            run.header = ORR_HEADER(orr_run);
            run.host = shared_engine()->engine->host();
            run.attrs = steps[i].attrs->table();
            run.n_inputs = static_cast<uint32_t>(ins.size());
            run.n_outputs = 1;
            run.inputs = ins.data();
            run.outputs = outs.data();
            run.device = program.recorder();
            const orr_kernel* const* kernel = std::find_if(steps[i].op->kernels, steps[i].op->kernels + steps[i].op->n_kernels, [](const orr_kernel* k) { return std::string(k->device) == "vulkan"; });
            ASSERT_EQ((*kernel)->run(&run), ORR_OK);
        }
    };
    const auto best_of = [&](const std::function<void(orrery::DeviceProgram&)>& record) {
        const auto program = device_->new_program(false);
        for (const bool collect : {true, false}) {
            program->begin(collect);
            record(*program);
            program->cut();
            program->end();
        }
        double best = 1e9;
        for (int i = 0; i < 9; i++) {
            const auto start = std::chrono::steady_clock::now();
            program->run(0);
            best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
        }
        return best;
    };
    const double several = best_of(record_several);
    const double one = best_of([&](orrery::DeviceProgram& program) {
        program.step({}, {}, 0, 1000);
        program.chain(e, {a, b}, *between.back());
    });
    RecordProperty("several_us", std::to_string(several * 1e6));
    RecordProperty("one_us", std::to_string(one * 1e6));
    std::printf("one kernel %.0f us, several %.0f us\n", one * 1e6, several * 1e6);
    EXPECT_LE(one, several);
}

// Needs spirv-val; the code depends on the formula and the form alone.
TEST(ChainCode, PassesTheValidator) {
    using orrery::vulkan::ChainForm;
    if (std::system("command -v spirv-val > /dev/null") != 0) GTEST_SKIP() << "no spirv-val";
    auto& registry = shared_engine()->engine->registry();
    const std::string path = scratch("chain.spv");
    int modules = 0;
    const auto validate = [&](const Expression& e, const ChainForm& form) {
        const auto code = orrery::vulkan::write_chain(e, form);
        std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(code.data()), static_cast<std::streamsize>(code.size() * 4));
        ASSERT_EQ(std::system(("spirv-val --target-env vulkan1.2 " + path).c_str()), 0);
        modules++;
    };
    const auto forms = [&](const Expression& e) {
        using Walk = ChainForm::Walk;
        for (const uint32_t width : {1u, 4u})
            for (const bool special : {false, true})
                for (const Walk walk : {Walk::dense, Walk::one, Walk::strided, Walk::repeated}) {
                    const bool strided = walk == Walk::strided || walk == Walk::repeated;
                    validate(e, {width, strided ? 3u : 0u, special, std::vector<Walk>(e.inputs, walk)});
                }
    };
    for (const char* op : {"orr.add/1", "orr.sub/1", "orr.mul/1", "orr.div/1", "orr.maximum/1", "orr.minimum/1"}) {
        const orr_operator& o = registry.find_operator(op);
        ExpressionBuilder b;
        const uint32_t x = b.input(0), y = b.input(1), r = b.tell(*registry.formula(o), NodeAttrs(o, "{}").table(), {x, y});
        forms(b.take(r));
    }
    const orr_operator& o = registry.find_operator("orr.activation/1");
    ExpressionBuilder b;
    uint32_t r = b.input(0);
    for (const char* name : {"gelu", "gelu_tanh", "quick_gelu", "silu", "relu", "relu2", "softplus", "log", "sqrt", "rsqrt", "sin", "cos", "erf", "floor", "round", "hard_swish", "elu", "mish"})
        r = b.tell(*registry.formula(o), NodeAttrs(o, R"({"function": ")" + std::string(name) + "\"}").table(), {r});
    ASSERT_NE(r, 0u);
    forms(b.take(r));
    EXPECT_EQ(modules, 7 * 16);
}

// ---- in a model

using orrery::Attrs;
using orrery::Graph;
using orrery::Value;

// forward: (tanh(a * b + c)^2 * 0.5 - k) [N, 5, 7], b and c broadcast, k a constant. many: the sum of twelve turned inputs.
orr_status build_model(void*, const orr_model_source*, const char* entry, orr_builder* b) {
    Graph g(b);
    if (std::string(entry) == "many") {
        Value sum;
        for (int i = 0; i < 12; i++) {
            const Value x = g.op("orr.transpose/1", {g.input(("x" + std::to_string(i)).c_str(), ORR_TYPE_F32, {5, 3, 7})}, Attrs().set("perm", std::vector<int64_t>{1, 0, 2}));
            sum = i ? g.op("orr.add/1", {sum, x}) : x;
        }
        g.output("y", sum);
        return ORR_OK;
    }
    const orr_dim n = g.symbol("N");
    const Value a = g.input("a", ORR_TYPE_F32, {n, 5, 7}), scale = g.input("b", ORR_TYPE_F32, {7}), offset = g.input("c", ORR_TYPE_F32, {n, 1, 7});
    Value y = g.op("orr.add/1", {g.op("orr.mul/1", {a, scale}), offset});
    y = g.op("orr.activation/1", {y}, Attrs().set("function", "tanh"));
    y = g.op("orr.affine/1", {g.op("orr.mul/1", {y, y})}, Attrs().set("scale", 0.5));
    g.output("y", g.named("y", g.op("orr.sub/1", {y, g.constant("k", {1, 2, 3, 4, 5, 6, 7})})));
    return ORR_OK;
}

const orr_plugin* model_plugin(const orr_host*) {
    static const char* const entries[] = {"forward", "many", nullptr};
    static const char* const names[] = {"ChainModel", nullptr};
    static const char* const none[] = {nullptr};
    static const char* const operators[] = {"orr.add/1", "orr.transpose/1", nullptr};
    static const orr_model_arch arch = {ORR_HEADER(orr_model_arch), "chain_model", "for this test", names, none, operators,
                                        [](const orr_model_source*, void** config, orr_model_info* info) -> orr_status {
                                            *config = nullptr;
                                            info->entries = entries;
                                            info->tasks = none;
                                            info->info_json = "{}";
                                            return ORR_OK;
                                        },
                                        build_model, [](void*) {}};
    static const orr_model_arch* const items[] = {&arch};
    static const orr_models models = {ORR_HEADER(orr_models), 1, items};
    static const orr_plugin plugin = {ORR_HEADER(orr_plugin), "test.chains", "1.0.0", "MIT", ORR_SANITIZER, [](const char* id) -> const void* { return std::strcmp(id, ORR_EXT_MODELS) ? nullptr : &models; }};
    return &plugin;
}

class ChainsOfModels : public Chains {
  protected:
    void SetUp() override {
        Chains::SetUp();
        engine_ = make_engine();
        check(orr_engine_add_plugin(engine_.get(), model_plugin));
    }
    Model open(const char* device) {
        checkpoint_.config = Json{{"architectures", Json::array({"ChainModel"})}};
        orr_model_options options{};
        options.header = ORR_HEADER(orr_model_options);
        text_ = checkpoint_.config.dump();
        file_ = checkpoint_.safetensors();
        const orr_blob config = blob_of("config.json", text_), tensors = blob_of("model.safetensors", file_);
        const orr_blob* const blobs[] = {&config, &tensors};
        options.blobs = blobs;
        options.blob_count = 2;
        options.device = device;
        orr_model* model = nullptr;
        check(orr_model_open(engine_.get(), &options, &model));
        return Model(model);
    }
    static Tensor random_tensor(const std::vector<int64_t>& shape, uint32_t seed) {
        Tensor t{ORR_TYPE_F32, shape, {}};
        Random random(seed);
        std::vector<float> values(static_cast<size_t>(t.elements()));
        for (float& v : values) v = random.value();
        t.bytes.resize(values.size() * 4);
        std::memcpy(t.bytes.data(), values.data(), t.bytes.size());
        return t;
    }
    Engine engine_;
    Checkpoint checkpoint_;
    std::string text_, file_;  // outlive the models
};

TEST_F(ChainsOfModels, AreOneStep) {
    const Model there = open("vulkan"), here = open("cpu");
    for (const int64_t n : {int64_t{1}, int64_t{3}, int64_t{8}}) {
        const Tensors inputs = {{"a", random_tensor({n, 5, 7}, 1)}, {"b", random_tensor({7}, 2)}, {"c", random_tensor({n, 1, 7}, 3)}};
        const Session a = make_session(there), b = make_session(here);
        expect_near(run(a, inputs).at("y").floats(), run(b, inputs).at("y").floats(), 1e-6);
        Json fused;
        for (const Json& step : description(a, "plan", "steps")) {
            EXPECT_TRUE(step["op"] == "elementwise chain" || step["op"] == "download" || step["op"] == "upload") << step;
            if (step["op"] != "elementwise chain") continue;
            EXPECT_EQ(step["device"], "vulkan:0");
            fused = step["fused"];
        }
        EXPECT_EQ(fused, Json({"orr.mul/1", "orr.add/1", "orr.activation/1", "orr.mul/1", "orr.affine/1", "orr.sub/1"}));
    }
}

TEST_F(ChainsOfModels, ThatDoNotFitRunStepByStep) {
    const Model there = open("vulkan"), here = open("cpu");
    Tensors inputs;
    for (uint32_t i = 0; i < 12; i++) inputs["x" + std::to_string(i)] = random_tensor({5, 3, 7}, i);
    const Session a = make_session(there), b = make_session(here);
    expect_near(run(a, inputs, "many").at("y").floats(), run(b, inputs, "many").at("y").floats(), 1e-6);
    size_t adds = 0;
    for (const Json& step : description(a, "plan", "steps", "many")) {
        EXPECT_NE(step["op"], "elementwise chain") << step;
        if (step["op"] != "orr.add/1") continue;
        EXPECT_EQ(step["device"], "vulkan:0");
        adds++;
    }
    EXPECT_EQ(adds, 11u);
}

}  // namespace
}  // namespace engine_tests
