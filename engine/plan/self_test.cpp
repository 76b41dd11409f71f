#include "engine/plan/self_test.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>

#include "engine/graph/dims.hpp"
#include "engine/graph/graph.hpp"
#include "engine/plan/self_test_values.hpp"
#include "engine/registry/error_text.hpp"
#include "engine/weights/weights.hpp"
#include "orrery/ext/vulkan.h"

namespace orrery {
namespace {

constexpr uint64_t kAlignment = 256;
constexpr int32_t kPageTokens = 64;
constexpr size_t kMostTests = 64;  // of one kernel for one node
constexpr double kStateTolerance = 2e-2;  // a step of q8_0 is 1/127 of the largest of 32, of bf16 1/128
uint64_t aligned(uint64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

using Clock = std::chrono::steady_clock;
uint64_t since(Clock::time_point start) { return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count()); }

double tolerance_of(uint32_t numerics) { return numerics == ORR_NUMERICS_EXACT ? 1e-4 : numerics == ORR_NUMERICS_FAST ? 3e-2 : 1e-2; }

// One small node, on the device and by definition.
class Test {
  public:
    Test(const SelfTestTools& tools, const orr_operator& op, const orr_kernel& kernel, const NodeAttrs& attrs, const orr_prepare& node)
        : tools_(tools), op_(op), kernel_(kernel), attrs_(attrs), node_(node), paged_(tools.registry.intern(ORR_LAYOUT_PAGED)) {}

    // Asks for the i-th test. False past the last.
    bool ask(uint32_t i);
    // What tells it from others.
    std::string text() const;
    // Prepares it on the device and collects its pipelines. False where the kernel does not take it, or it cannot be made.
    bool prepare();
    Trust trust() const { return program_->trust(); }
    // Numbers for all inputs. False where a type has none.
    bool fill();
    // Runs it on both sides. Returns what is wrong.
    std::string run();
    // Of that, for building pipelines, which plans would have to do otherwise.
    uint64_t building_ns() const { return building_ns_; }
    bool judge(const std::string& why, uint64_t ns) { return program_->judge(why, ns); }
    void lost() { program_->lost_in_test(); }
    const std::string& variant() const { return variant_; }

  private:
    struct Value {
        orr_tensor tensor{};               // as the definition sees it
        orr_tensor there{};                // as the kernel sees it
        const TypeInfo* type = nullptr;
        const orr_test_input* like = nullptr;
        Buffer data;                       // of pages, where paged
        uint64_t offset = 0;               // in the device's block
        uint64_t table_offset = 0;         // of the pages' addresses, where paged
        std::vector<orr_paged> rows;
        std::vector<const orr_paged*> row_list;
        std::vector<void*> pages;
        std::vector<orr_pack> pack;        // none or one; the layout interned
        bool filled = false;
        bool written = false;              // a state that is an output too
    };
    struct Call {  // what prepare's callbacks need; base comes first
        orr_prepare base{};
        Test* test = nullptr;
        bool on_device = false;
        uint64_t workspace = 0;
        std::vector<Buffer> memory;
    };
    static Call& call_of(orr_prepare* p) { return *reinterpret_cast<Call*>(p); }

    int64_t pages_of(const Value& v) const { return (v.tensor.shape[1] + kPageTokens - 1) / kPageTokens; }
    uint64_t page_bytes(const Value& v) const { return static_cast<uint64_t>(v.tensor.shape[2]) * kPageTokens * v.type->row_bytes(v.tensor.shape[3], op_.id); }
    void make_tensor(Value& v, uint32_t type, const char* layout, int32_t rank, const int64_t* shape);
    bool make_values();
    bool fill(Value& v, size_t which);
    void make_pages(Value& v);
    void set_up(Call& c, bool on_device);
    void prepack(Call& c, uint32_t input, const orr_pack& pack);
    void place();
    void record();
    void upload();
    void define();
    std::string compare();
    std::string compare(const orr_tensor& want, const Value& v, const std::string& name, double tolerance);
    orr_run run_base(const Call& c, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs) const;

    const SelfTestTools& tools_;
    const orr_operator& op_;
    const orr_kernel& kernel_;
    const NodeAttrs& attrs_;
    const orr_prepare& node_;
    const char* paged_;
    std::vector<orr_test_input> given_;
    std::vector<orr_test_input*> given_ptrs_;
    double tolerance_ = 0;
    std::deque<Value> ins_, outs_;
    std::vector<const orr_tensor*> in_ptrs_, out_ptrs_, there_in_, there_out_;  // absent: nullptr
    Call here_, there_;
    std::string variant_;
    std::shared_ptr<DeviceBlock> block_;
    uint64_t workspace_offset_ = 0;
    std::unique_ptr<DeviceProgram> program_;
    uint64_t building_ns_ = 0;
};

bool Test::ask(uint32_t i) {
    given_.assign(node_.n_inputs, {});
    given_ptrs_.assign(node_.n_inputs, nullptr);
    for (uint32_t n = 0; n < node_.n_inputs; n++) {
        const orr_tensor* t = node_.inputs[n];
        if (!t) continue;
        orr_test_input& g = given_[n];
        g.header = ORR_HEADER(orr_test_input);
        std::copy_n(t->shape, t->rank, g.shape);
        g.low = -1, g.high = 1;
        g.length = INT64_MAX;
        given_ptrs_[n] = &g;
    }
    orr_self_test test{ORR_HEADER(orr_self_test), node_.n_inputs, given_ptrs_.data(), tolerance_of(node_.numerics)};
    if (!ask_plugin([&] { return kernel_.self_test(&node_, i, &test); }, [&] { return std::string("asking ") + op_.id + " for a self-test"; })) return false;
    tolerance_ = test.tolerance;
    return true;
}

std::string Test::text() const {
    std::string out = std::string(op_.id) + " " + kernel_.name + " " + attrs_.text() + " " + std::to_string(node_.numerics) + " " + std::to_string(tolerance_);
    for (uint32_t n = 0; n < node_.n_inputs; n++) {
        const orr_tensor* t = node_.inputs[n];
        out += ' ';
        if (!t) continue;
        out.append(t->type_id).append(t->layout).append(t->flags & ORR_TENSOR_CONSTANT ? "!" : "");
        const orr_test_input& g = given_[n];
        for (int32_t a = 0; a < t->rank; a++) out.append(",").append(std::to_string(g.shape[a]));
        for (const double x : {g.low, g.high, static_cast<double>(g.past), static_cast<double>(g.length)}) out.append(":").append(std::to_string(x));
    }
    return out;
}

void Test::make_tensor(Value& v, uint32_t type, const char* layout, int32_t rank, const int64_t* shape) {
    v.type = &tools_.registry.type(type);
    orr_tensor& t = v.tensor;
    t.header = ORR_HEADER(orr_tensor);
    t.type = type;
    t.type_id = v.type->id.c_str();
    t.layout = layout;
    t.rank = rank;
    const std::vector<int64_t> dims(shape, shape + rank);
    const auto strides = contiguous_strides(dims, *v.type);
    std::copy(dims.begin(), dims.end(), t.shape);
    std::copy(strides.begin(), strides.end(), t.stride_bytes);
    t.block_elems = v.type->block_elems;
    t.block_bytes = v.type->block_bytes;
    t.size_bytes = contiguous_bytes(dims, *v.type, op_.id);
}

// Tensors of inputs and of what the shape function makes of them, without data.
bool Test::make_values() {
    std::vector<orr_value_info> infos(node_.n_inputs), results(node_.n_outputs);
    std::vector<const orr_value_info*> info_ptrs;
    std::vector<orr_value_info*> result_ptrs;
    const auto describe_to = [](const orr_tensor& t, orr_value_info& i) {
        i.header = ORR_HEADER(orr_value_info);
        i.type = t.type, i.type_id = t.type_id, i.layout = t.layout, i.rank = t.rank;
        std::copy_n(t.shape, t.rank, i.dims);
    };
    for (uint32_t n = 0; n < node_.n_inputs; n++) {
        Value& v = ins_.emplace_back();
        const orr_tensor* t = node_.inputs[n];
        in_ptrs_.push_back(t ? &v.tensor : nullptr);
        there_in_.push_back(t ? &v.there : nullptr);
        info_ptrs.push_back(t ? &infos[n] : nullptr);
        if (!t) continue;
        if (*t->layout && t->layout != paged_) return false;
        v.like = &given_[n];
        make_tensor(v, t->type, t->layout, t->rank, given_[n].shape);
        v.tensor.flags = t->flags;
        if (t->layout == paged_ && (t->rank != 4 || v.tensor.shape[0] < 1)) return false;
        describe_to(v.tensor, infos[n]);
    }
    for (auto& r : results) {
        r.header = ORR_HEADER(orr_value_info);
        r.layout = tools_.registry.intern("");
        result_ptrs.push_back(&r);
    }
    DimPool dims;
    infer_node(tools_.host, op_, attrs_, dims.table(), info_ptrs, result_ptrs, "self-test");
    size_t handed_on = 0;  // the n-th paged result is the n-th paged input, as in plans
    for (const auto& r : results) {
        if (std::string_view(r.layout) == ORR_LAYOUT_PAGED) {
            while (handed_on < ins_.size() && !(ins_[handed_on].type && ins_[handed_on].tensor.layout == paged_)) handed_on++;
            if (handed_on == ins_.size()) return false;
            Value& state = ins_[handed_on++];
            state.written = true;
            out_ptrs_.push_back(&state.tensor);
            there_out_.push_back(&state.there);
            continue;
        }
        if (*r.layout) return false;
        std::vector<int64_t> shape(r.dims, r.dims + r.rank);
        for (auto& d : shape) d = d >= 0 ? d : dims.evaluate(d, {});
        Value& v = outs_.emplace_back();
        make_tensor(v, r.type, r.layout, r.rank, shape.data());
        out_ptrs_.push_back(&v.tensor);
        there_out_.push_back(&v.there);
    }
    return true;
}

bool Test::fill(Value& v, size_t which) {
    if (v.filled) return true;
    v.filled = true;
    TestNumbers numbers(which + 1);
    const orr_test_input& g = *v.like;
    if (v.tensor.layout == paged_) {
        const int64_t pages = v.tensor.shape[0] * pages_of(v);
        const auto each = static_cast<int64_t>(page_bytes(v));
        v.data = Buffer(tools_.memory, static_cast<size_t>(pages * each), 64, "self-test");
        make_pages(v);
        return numbers.fill(*v.type, pages * kPageTokens * v.tensor.shape[2] * v.tensor.shape[3], g.low, g.high, v.data.data());
    }
    v.data = Buffer(tools_.memory, v.tensor.size_bytes, 64, "self-test");
    v.tensor.data = v.data.data();
    return numbers.fill(*v.type, elements(v.tensor), g.low, g.high, v.data.data());
}

// Pages lie in memory last first: what takes one for its neighbour is found out.
void Test::make_pages(Value& v) {
    const int64_t batch = v.tensor.shape[0], each = pages_of(v);
    const orr_test_input& g = *v.like;
    v.pages.resize(static_cast<size_t>(batch * each));
    v.rows.resize(static_cast<size_t>(batch));
    for (size_t p = 0; p < v.pages.size(); p++) v.pages[p] = v.data.bytes() + (v.pages.size() - 1 - p) * page_bytes(v);
    for (int64_t b = 0; b < batch; b++) {
        orr_paged& row = v.rows[static_cast<size_t>(b)];
        row = {ORR_HEADER(orr_paged), v.pages.data() + b * each, g.past, std::min(g.length, v.tensor.shape[1]), 0, kPageTokens};
        v.row_list.push_back(&row);
    }
    v.tensor.data = v.row_list.data();
}

void Test::set_up(Call& c, bool on_device) {
    c.test = this;
    c.on_device = on_device;
    orr_prepare& p = c.base;
    p.header = ORR_HEADER(orr_prepare);
    p.host = tools_.host;
    p.attrs = attrs_.table();
    p.n_inputs = node_.n_inputs;
    p.n_outputs = node_.n_outputs;
    p.inputs = in_ptrs_.data();
    p.outputs = out_ptrs_.data();
    p.isa = ORR_ISA_GENERIC;
    p.threads = 1;
    p.numerics = on_device ? node_.numerics : static_cast<uint32_t>(ORR_NUMERICS_EXACT);
    p.device = on_device ? node_.device : nullptr;
    p.workspace = [](orr_prepare* q, uint64_t bytes) { call_of(q).workspace = std::max(call_of(q).workspace, bytes); };
    p.plan_memory = [](orr_prepare* q, uint64_t bytes) -> void* {
        try {
            Call& call = call_of(q);
            call.memory.emplace_back(call.test->tools_.memory, bytes, 64, "self-test");
            std::memset(call.memory.back().data(), 0, bytes);
            return call.memory.back().data();
        } catch (const std::exception& e) {
            set_error_text(e.what());
            return nullptr;
        }
    };
    p.prepack = [](orr_prepare* q, uint32_t input, const orr_pack* pack) { return boundary([&] { call_of(q).test->prepack(call_of(q), input, *pack); }); };
    p.variant = [](orr_prepare* q, const char* name) {
        try {
            if (call_of(q).on_device) call_of(q).test->variant_ = name;
        } catch (...) {
        }
    };
}

// Noted here, done when there is data.
void Test::prepack(Call& c, uint32_t input, const orr_pack& pack) {
    if (!c.on_device) throw Error(ORR_UNSUPPORTED, "a reference kernel asked to repack a constant");
    if (input >= ins_.size() || !in_ptrs_[input] || !(ins_[input].tensor.flags & ORR_TENSOR_CONSTANT)) throw Error(ORR_INVALID_ARGUMENT, "prepack of an input that is not a constant");
    orr_pack& kept = ins_[input].pack.emplace_back(pack);
    kept.layout = tools_.registry.intern(pack.layout);
}

// Where everything lies on the device.
void Test::place() {
    uint64_t end = 0;
    const auto take = [&](uint64_t bytes) {
        const uint64_t at = end;
        end = aligned(end + std::max<uint64_t>(bytes, 1)) + kAlignment;
        return at;
    };
    for (auto* list : {&ins_, &outs_})
        for (Value& v : *list) {
            if (!v.type) continue;
            v.there = v.tensor;
            v.there.data = nullptr;
            if (v.tensor.layout == paged_) {
                const auto batch = static_cast<uint64_t>(v.tensor.shape[0]), pages = static_cast<uint64_t>(pages_of(v));
                v.table_offset = take(batch * sizeof(orr_vulkan_paged));
                take(batch * pages * 8);
                v.offset = take(batch * pages * page_bytes(v));
                v.there.offset = v.table_offset;
            } else {
                if (!v.pack.empty()) {
                    v.there.layout = v.pack[0].layout;
                    v.there.size_bytes = v.pack[0].bytes;
                }
                v.offset = v.there.offset = take(v.there.size_bytes);
            }
        }
    workspace_offset_ = take(there_.workspace);
    block_ = tools_.device->allocate(end, DeviceUse::work, "self-test");
    for (auto* list : {&ins_, &outs_})
        for (Value& v : *list) v.there.buffer = v.type ? block_->handle() : nullptr;
}

orr_run Test::run_base(const Call& c, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs) const {
    orr_run run{};
    run.header = ORR_HEADER(orr_run);
    run.host = tools_.host;
    run.attrs = attrs_.table();
    run.data = c.memory.empty() ? nullptr : c.memory[0].data();
    run.n_inputs = node_.n_inputs;
    run.n_outputs = node_.n_outputs;
    run.inputs = ins.data();
    run.outputs = outs.data();
    run.threads = 1;
    run.parallel_for = [](const orr_run*, int64_t chunks, orr_chunk_fn fn, void* arg) {
        for (int64_t i = 0; i < chunks; i++) fn(arg, i, 0);
    };
    return run;
}

void Test::record() {
    program_->step({}, {}, block_->address() + workspace_offset_, 0);
    orr_run run = run_base(there_, there_in_, there_out_);
    run.device = program_->recorder();
    call_plugin([&] { return kernel_.run(&run); }, [&] { return std::string("recording a self-test of ") + op_.id; });
}

bool Test::prepare() {
    if (!make_values()) return false;
    set_up(there_, true);
    // Only weights may be without data now.
    for (size_t n = 0; n < ins_.size(); n++)
        if (ins_[n].type && (ins_[n].tensor.flags & ORR_TENSOR_CONSTANT) && !(input_port(op_, n).flags & ORR_PORT_WEIGHT) && !fill(ins_[n], n)) return false;
    const auto doing = [&] { return std::string("preparing a self-test of ") + op_.id; };
    char reason[512] = "";
    if (kernel_.supports && !ask_plugin([&] { return kernel_.supports(&there_.base, reason, sizeof reason); }, doing)) {
        tools_.host->log(tools_.host, ORR_LOG_INFO, (std::string("no self-test of ") + op_.id + " on " + tools_.device->id() + ": kernel " + kernel_.name + " does not take it: " + reason).c_str());
        return false;
    }
    if (kernel_.prepare) call_plugin([&] { return kernel_.prepare(&there_.base); }, doing);
    place();
    program_ = tools_.device->new_program(false);
    program_->begin(true);
    record();
    return true;
}

void Test::upload() {
    std::vector<char> image(block_->bytes(), static_cast<char>(0xff));  // NaN where nothing is
    for (size_t n = 0; n < ins_.size(); n++) {
        Value& v = ins_[n];
        if (!v.type) continue;
        if (v.tensor.layout == paged_) {
            const auto each = static_cast<size_t>(pages_of(v));
            std::vector<uint64_t> addresses;
            for (const void* page : v.pages) addresses.push_back(block_->address() + v.offset + static_cast<uint64_t>(static_cast<const char*>(page) - v.data.bytes()));
            const uint64_t list = v.table_offset + aligned(v.rows.size() * sizeof(orr_vulkan_paged)) + kAlignment;
            std::memcpy(image.data() + list, addresses.data(), addresses.size() * 8);
            for (size_t b = 0; b < v.rows.size(); b++) {
                const orr_paged& row = v.rows[b];
                const orr_vulkan_paged view{block_->address() + list + b * each * 8, static_cast<int32_t>(row.past), static_cast<int32_t>(row.length), 0, kPageTokens};
                std::memcpy(image.data() + v.table_offset + b * sizeof view, &view, sizeof view);
            }
            std::memcpy(image.data() + v.offset, v.data.data(), v.data.size());
        } else if (!v.pack.empty()) {
            const orr_pack& pack = v.pack[0];
            Buffer packed(tools_.memory, pack.bytes, pack.alignment, "self-test");
            for (int64_t c = 0; c < pack.chunks; c++) pack.pack(&v.tensor, packed.data(), c);
            std::memcpy(image.data() + v.offset, packed.data(), pack.bytes);
        } else {
            std::memcpy(image.data() + v.offset, v.data.data(), v.tensor.size_bytes);
        }
    }
    tools_.device->write(*block_, 0, image.data(), image.size());
}

// By the reference kernel.
void Test::define() {
    set_up(here_, false);
    for (Value& v : outs_) {
        v.data = Buffer(tools_.memory, v.tensor.size_bytes, 64, "self-test");
        v.tensor.data = v.data.data();
    }
    const auto doing = [&] { return std::string("the definition of ") + op_.id + " in its self-test"; };
    const orr_kernel& reference = *op_.kernels[op_.n_kernels - 1];
    char reason[512] = "";
    if (reference.supports && !ask_plugin([&] { return reference.supports(&here_.base, reason, sizeof reason); }, doing)) throw Error(ORR_UNSUPPORTED, doing() + ": " + reason);
    if (reference.prepare) call_plugin([&] { return reference.prepare(&here_.base); }, doing);
    Buffer workspace(tools_.memory, here_.workspace, 64, "self-test");
    orr_run run = run_base(here_, in_ptrs_, out_ptrs_);
    run.workspace = workspace.data();
    call_plugin([&] { return reference.run(&run); }, doing);
}

std::string Test::compare() {
    for (size_t o = 0; o < outs_.size(); o++)
        if (std::string why = compare(outs_[o].tensor, outs_[o], "output " + std::to_string(o), tolerance_); !why.empty()) return why;
    for (size_t n = 0; n < ins_.size(); n++) {
        const Value& v = ins_[n];
        if (!v.written) continue;
        // All pages as rows. What is rounded to a cache's type may go to either neighbour.
        Value rows;
        const int64_t shape[] = {v.tensor.shape[0] * pages_of(v) * v.tensor.shape[2] * kPageTokens, v.tensor.shape[3]};
        make_tensor(rows, v.tensor.type, "", 2, shape);
        rows.tensor.data = const_cast<void*>(v.data.data());
        rows.offset = v.offset;
        const double tolerance = v.tensor.type == ORR_TYPE_F32 ? tolerance_ : std::max(tolerance_, kStateTolerance);
        if (std::string why = compare(rows.tensor, rows, "the state of input " + std::to_string(n), tolerance); !why.empty()) return why;
    }
    return "";
}

// want: by definition; v: where the device has it.
std::string Test::compare(const orr_tensor& want_tensor, const Value& v, const std::string& name, double tolerance) {
    const auto n = static_cast<size_t>(elements(want_tensor));
    std::vector<float> want(n), got(n);
    convert_to_f32(want_tensor, *v.type, want.data());
    Buffer read(tools_.memory, want_tensor.size_bytes, 64, "self-test");
    tools_.device->read(*block_, v.offset, read.data(), want_tensor.size_bytes);
    orr_tensor as = want_tensor;
    as.data = read.data();
    convert_to_f32(as, *v.type, got.data());
    double sum = 0;
    for (const float w : want) sum += static_cast<double>(w) * w;
    const double rms = std::sqrt(sum / static_cast<double>(std::max<size_t>(n, 1)));
    size_t wrong = 0, worst = 0;
    double most = -1;
    for (size_t i = 0; i < n; i++) {
        const double off = std::fabs(static_cast<double>(got[i]) - want[i]);
        if (off <= tolerance * std::max(rms, std::fabs(static_cast<double>(want[i])))) continue;  // NaN is not
        wrong++;
        if (!(off <= most)) worst = i, most = off;
    }
    if (!wrong) return "";
    char text[256];
    std::snprintf(text, sizeof text, ", element %zu is %.6g, the definition gives %.6g; %zu of %zu are off by more than %.3g times the larger of themselves and %.3g", worst,
                  static_cast<double>(got[worst]), static_cast<double>(want[worst]), wrong, n, tolerance, rms);
    return std::string(op_.id) + (variant_.empty() ? "" : " (" + variant_ + ")") + ": " + name + text;
}

bool Test::fill() {
    for (size_t n = 0; n < ins_.size(); n++)
        if (ins_[n].type && !fill(ins_[n], n)) {
            tools_.host->log(tools_.host, ORR_LOG_INFO, (std::string("no self-test of ") + op_.id + " on " + tools_.device->id() + ": no numbers of type " + ins_[n].type->id).c_str());
            return false;
        }
    return true;
}

std::string Test::run() {
    const auto start = Clock::now();
    try {
        program_->end();  // builds the pipelines
    } catch (const Error& e) {
        if (e.code() != ORR_UNSUPPORTED) throw;
        return e.what();
    }
    building_ns_ = since(start);
    upload();
    define();  // writes to the states here
    program_->begin(false);
    record();
    const size_t parts = program_->cut();
    program_->end();
    // The first time drivers may still compile; what counts is the second.
    const auto first = Clock::now();
    for (size_t part = 0; part < parts; part++) program_->run(part);
    building_ns_ += since(first);
    for (size_t part = 0; part < parts; part++) program_->run(part);
    return compare();
}

bool has_definition(const orr_operator& op) {
    if (op.n_kernels == 0) return false;
    const orr_kernel& last = *op.kernels[op.n_kernels - 1];
    return (last.flags & ORR_KERNEL_REFERENCE) && std::string_view(last.device) == "cpu";
}

// One test, unless its pipelines were shown right before.
SelfTestResult make(const SelfTestTools& tools, Test& test, const std::string& text, const char* id) {
    Device& device = *tools.device;
    if (!test.prepare()) return device.remember_test(text), SelfTestResult();
    if (test.trust() == Trust::untested) {
        tools.starts();
        const std::lock_guard lock(*device.self_testing());
        if (test.trust() == Trust::untested) {
            const auto start = Clock::now();
            if (!test.fill()) return device.remember_test(text), SelfTestResult();
            std::string why;
            try {
                why = test.run();
            } catch (const Error& e) {
                if (e.code() == ORR_DEVICE_LOST) test.lost();
                throw Error(e.code(), std::string("self-test of ") + id + " on " + device.id() + ": " + e.what());
            }
            const uint64_t ns = since(start) - test.building_ns();
            const bool news = test.judge(why, ns);
            const std::string what = device.id() + ": self-test of " + id + (test.variant().empty() ? "" : " (" + test.variant() + ")");
            if (why.empty())
                tools.host->log(tools.host, ORR_LOG_INFO, (what + " passed in " + std::to_string(ns / 1'000'000) + " ms").c_str());
            else
                tools.host->log(tools.host, ORR_LOG_WARNING, (what + " failed, its shaders are out of use: " + why).c_str());
            if (!why.empty()) return {"failed its self-test on this device: " + why, news};
        }
    }
    if (test.trust() == Trust::wrong) return {"uses a shader that failed its self-test on this device", false};
    device.remember_test(text);
    return {};
}

}  // namespace

SelfTestResult self_test(const SelfTestTools& tools, const orr_operator& op, const orr_kernel& kernel, const NodeAttrs& attrs, const orr_prepare& node) {
    if (!ORR_HAS(&kernel, orr_kernel, self_test) || !kernel.self_test || !has_definition(op) || !tools.device->self_testing()) return {};
    std::deque<Test> tests;
    while (tests.emplace_back(tools, op, kernel, attrs, node).ask(static_cast<uint32_t>(tests.size() - 1)))
        if (tests.size() > kMostTests) {
            const std::string why = "asks for more than " + std::to_string(kMostTests) + " self-tests";
            tools.host->log(tools.host, ORR_LOG_WARNING, (tools.device->id() + ": " + op.id + ", kernel " + kernel.name + ", " + why + ": its shaders are out of use").c_str());
            return {why, false};
        }
    for (tests.pop_back(); !tests.empty(); tests.pop_front()) {  // each is gone before the next takes memory
        const std::string text = tests.front().text();
        if (tools.device->knows_test(text)) continue;
        const SelfTestResult result = make(tools, tests.front(), text, op.id);
        if (!result.why.empty()) return result;
    }
    return {};
}

}  // namespace orrery
