// The kit from inside: a sound operator passes; faults that planted/ does not plant, or that a sanitizer sees too, are found; files are read.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string_view>

#include "checker.hpp"
#include "drawing.hpp"
#include "exports.hpp"
#include "lists.hpp"
#include "orrery/plugin.hpp"
#include "processes.hpp"

using namespace orrery;
using namespace orrery::conformance;

namespace {

constexpr bool kAddressSanitizer = std::string_view(ORR_SANITIZER) == "address";

enum class Fault { none, beyond_output, workspace_guard, elementwise_value, elementwise_in_place, formula_value, view_offset, error_missing, coarse, one_strided };
constexpr int kDrawn = 4;
Fault fault;  // of the operator under test; set before the check

// y = 2 x, x: [B, N]; w [N] is packed and added with factor 0.
void infer_double(const Infer& i) {
    if (i.in(0).rank != 2 && fault != Fault::error_missing) throw Error(ORR_INVALID_ARGUMENT, "x has rank " + std::to_string(i.in(0).rank));
    std::vector<orr_dim> dims = Infer::dims(i.in(0));
    i.out(0, ORR_TYPE_F32, dims);
}

bool supports_double(const orr_prepare* p, char* reason, size_t size) {
    return is_contiguous(*p->inputs[0]) || refuse(reason, size, "x must be contiguous");
}

orr_status prepare_double(orr_prepare* p) {
    p->workspace(p, 64);
    void* memory = p->plan_memory(p, 64);
    if (!memory) return p->host->fail(p->host, ORR_OUT_OF_MEMORY, "no plan memory");
    std::memset(memory, 7, 64);
    p->variant(p, "plain");
    if (p->n_inputs < 2 || !p->inputs[1]) return ORR_OK;
    const orr_pack pack = {ORR_HEADER(orr_pack), "test.packed", 64, 64, 4, [](const orr_tensor*, void* dst, int64_t chunk) {
                               static_cast<int32_t*>(dst)[chunk] = static_cast<int32_t>(chunk);
                               for (int k = 0; k < 3; k++) static_cast<int32_t*>(dst)[4 + chunk * 3 + k] = 0;
                           }};
    return p->prepack(p, 1, &pack);
}

orr_status run_double(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    const int64_t n = std::min(elements(x), elements(y));
    const float* src = data<float>(&x);
    float* dst = data<float>(&y);
    const int64_t chunks = (n + 7) / 8;
    parallel_for(run, chunks, [&](int64_t chunk, uint32_t) {
        for (int64_t k = chunk * 8; k < std::min(n, chunk * 8 + 8); k++) dst[k] = src[k] * 2;
    });
    if (n == 0) return ORR_OK;
    if (fault == Fault::beyond_output) std::memset(dst + n, 0, 4);
    if (fault == Fault::workspace_guard) static_cast<char*>(run->workspace)[64] = 1;
    return ORR_OK;
}

orr_status run_reference(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    for (int64_t b = 0; b < x.shape[0]; b++)
        for (int64_t k = 0; k < x.shape[1]; k++)
            data<float>(&y)[b * x.shape[1] + k] = 2 * *reinterpret_cast<const float*>(static_cast<const char*>(x.data) + b * x.stride_bytes[0] + k * x.stride_bytes[1]);
    return ORR_OK;
}

void elementwise_double(const orr_attrs*, const float* const* src, float* dst, int64_t n) {
    for (int64_t k = 0; k < n; k++) dst[k] = src[0][k] * 2 + (fault == Fault::elementwise_value ? 1 : 0);
    if (fault == Fault::elementwise_in_place && n > 0) dst[0] += src[0][0] * 2;
}

const orr_operator* double_operator() {
    static const Operator op = Operator("test.double/1", "y = 2 x")
                                   .input("x", "f32", "[B, N]")
                                   .input("w", "f32", "[N]", ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT)
                                   .output("y", "[B, N]")
                                   .traits(ORR_TRAIT_ELEMENTWISE)
                                   .infer(infer_guard<infer_double>)
                                   .elementwise(elementwise_double)
                                   .kernel({"cpu", "cpu", 0, supports_double, prepare_double, run_double})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}

orr_term emit_double(const orr_attrs*, orr_expression* x, uint32_t, const orr_term* in) { return x->apply(x, fault == Fault::formula_value ? ORR_DO_MUL : ORR_DO_ADD, in[0], in[0], 0); }
const orr_expressions* formulas() {
    static const orr_formula doubled = {ORR_HEADER(orr_formula), "test.double/1", emit_double};
    static const orr_formula* const items[] = {&doubled};
    static const orr_expressions all = {ORR_HEADER(orr_expressions), 1, items};
    return &all;
}

// y = x[1:], a view.
void infer_tail(const Infer& i) { i.out(0, ORR_TYPE_F32, {i.sub(i.in(0).dims[0], 1)}); }
bool view_tail(const orr_prepare* p, orr_tensor* out) {
    out->rank = 1;
    out->shape[0] = p->inputs[0]->shape[0] - 1;
    out->stride_bytes[0] = p->inputs[0]->stride_bytes[0];
    out->offset = fault == Fault::view_offset ? 0 : 4;
    return true;
}
orr_status run_tail(const orr_run* run) {
    const orr_tensor& x = *run->inputs[0];
    for (int64_t k = 0; k < run->outputs[0]->shape[0]; k++) data<float>(run->outputs[0])[k] = *reinterpret_cast<const float*>(static_cast<const char*>(x.data) + (k + 1) * x.stride_bytes[0]);
    return ORR_OK;
}
const orr_operator* tail_operator() {
    static const Operator op = Operator("test.tail/1", "y = x[1:]")
                                   .input("x", "f32", "[N]")
                                   .output("y", "[N - 1]")
                                   .traits(ORR_TRAIT_VIEW)
                                   .infer(infer_guard<infer_tail>)
                                   .view(view_tail)
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_tail});
    return op.table();
}

// y = 1000 x + w: where the terms cancel, the rounding of 1000 x is more than the tolerance.
void infer_cancel(const Infer& i) {
    i.rank(0, 1, "x");
    i.rank(1, 1, "w");
    i.same(i.in(1).dims[0], i.in(0).dims[0], "w against x");
    i.out(0, ORR_TYPE_F32, Infer::dims(i.in(0)));
}
orr_status run_cancel(const orr_run* run) {
    const float *x = data<float>(run->inputs[0]), *w = data<float>(run->inputs[1]);
    for (int64_t k = 0; k < elements(*run->outputs[0]); k++) {
        volatile float product = 1000 * x[k];  // rounded
        if (fault == Fault::coarse) product = std::round(product * 64) / 64;
        data<float>(run->outputs[0])[k] = product + w[k];
    }
    return ORR_OK;
}
orr_status define_cancel(const orr_run* run) {
    const auto at = [&](uint32_t input, int64_t k) { return static_cast<double>(*reinterpret_cast<const float*>(static_cast<const char*>(run->inputs[input]->data) + k * run->inputs[input]->stride_bytes[0])); };
    for (int64_t k = 0; k < elements(*run->outputs[0]); k++) data<float>(run->outputs[0])[k] = static_cast<float>(1000.0 * at(0, k) + at(1, k));
    return ORR_OK;
}
bool packed_inputs(const orr_prepare* p, char* reason, size_t size) {
    return (is_contiguous(*p->inputs[0]) && (fault == Fault::one_strided || is_contiguous(*p->inputs[1]))) || refuse(reason, size, "x and w must be contiguous");
}
const orr_operator* cancel_operator() {
    static const Operator op = Operator("test.cancel/1", "y = 1000 x + w")
                                   .input("x", "f32", "[N]")
                                   .input("w", "f32", "[N]")
                                   .output("y", "[N]")
                                   .infer(infer_guard<infer_cancel>)
                                   .kernel({"cpu", "cpu", 0, packed_inputs, nullptr, run_cancel})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, define_cancel});
    return op.table();
}
constexpr const char* kCancelCases =
    R"({"inputs":[{"shape":[2],"data":[1,2]},{"shape":[2],"data":[-1000,-2000]}],"outputs":[{"shape":[2],"data":[0,0]}],"tol":4e-6,"sizes":[{"dims":[[0,0],[1,0]],"values":[20000]}]})";

constexpr const char* kDoubleCases = R"(# by hand
{"inputs":[{"shape":[2,3],"data":[1,2,3,4,5,-6]}],"outputs":[{"shape":[2,3],"data":[2,4,6,8,10,-12]}],"sizes":[{"dims":[[0,1]]}],"batch":{"inputs":[0],"outputs":[0]}}
{"inputs":[{"shape":[1,4],"data":[1,2,3,4]},{"shape":[4],"data":[1,1,1,1]}],"outputs":[{"shape":[1,4],"data":[2,4,6,8]}],"tol":1e-6}
{"inputs":[{"shape":[4],"data":[1,2,3,4]}],"error":"rank 1"}
)";
constexpr const char* kTailCases = R"({"inputs":[{"shape":[4],"data":[1,2,3,4]}],"outputs":[{"shape":[3],"data":[2,3,4]}]})";

Report check(const orr_operator* op, const char* text, Fault f) {
    static Host host;
    static Pool pool;
    fault = f;
    Types types;
    Options options;
    options.isas = {ORR_ISA_GENERIC};
    options.formulas = formulas();
    options.drawn_per_operator = kDrawn;
    Report report;
    std::istringstream in(text);
    const int64_t nested = pool.nested();
    Checker(host, pool, types, options, report).check(*op, read_cases(in, "cases", types));
    if (pool.nested() > nested) report.failures.push_back({"abi", "", "", "parallel_for was nested", 0});
    return report;
}

bool mentions(const Report& r, const std::string& text) {
    for (const Failure& f : r.failures)
        if (f.what.find(text) != std::string::npos) return true;
    return false;
}
std::string all(const Report& r) {
    std::string out;
    for (const Failure& f : r.failures) out += f.where + ": " + f.what + "\n";
    return out;
}

TEST(Kit, SoundOperatorsPass) {
    const Report d = check(double_operator(), kDoubleCases, Fault::none);
    EXPECT_TRUE(d.failures.empty()) << all(d);
    EXPECT_EQ(d.cases, 3 + kDrawn);
    EXPECT_TRUE(d.ran.count("test.double/1 cpu/generic: plain"));
    EXPECT_TRUE(d.ran.count("test.double/1 elementwise"));
    EXPECT_TRUE(d.ran.count("test.double/1 formula"));
    const Report t = check(tail_operator(), kTailCases, Fault::none);
    EXPECT_TRUE(t.failures.empty()) << all(t);
    EXPECT_TRUE(t.ran.count("test.tail/1 view"));
}

// The tolerance grows by what rounding does to the definition on the same inputs, and by no more.
TEST(Kit, ToleranceFollowsConditioning) {
    const Report sound = check(cancel_operator(), kCancelCases, Fault::none);
    EXPECT_TRUE(sound.failures.empty()) << all(sound);
    const Report coarse = check(cancel_operator(), kCancelCases, Fault::coarse);
    EXPECT_TRUE(mentions(coarse, "for rounding")) << all(coarse);
}

// A kernel that refuses x where its elements lie apart, and takes such a w for one whose elements do not.
TEST(Kit, OneStridedInputIsTriedAlone) {
    const Report r = check(cancel_operator(), kCancelCases, Fault::one_strided);
    ASSERT_FALSE(r.failures.empty());
    for (const Failure& f : r.failures) {
        EXPECT_EQ(f.check, "strides");
        EXPECT_NE(f.where.find(", every second element of input 1"), std::string::npos) << f.where;
    }
}

// Whatever the seed, numbers without a range are 0, 1 and -1 at least once, those with one where it holds them, and some axis has each extent from 1 to 9.
TEST(Kit, DrawnSpecialValues) {
    static const Operator op = Operator("test.many/1", "")
                                   .input("x", "f32", "[.., E]")
                                   .output("y", "[.., E]")
                                   .attr("a", ORR_ATTR_FLOAT, "0.5", "")
                                   .attr("b", ORR_ATTR_INT, "3", "")
                                   .attr("c", ORR_ATTR_FLOAT, "1", "", "[0, inf)")
                                   .attr("d", ORR_ATTR_INT, "2", "", "[1, 8]")
                                   .attr("e", ORR_ATTR_FLOAT, "2", "")
                                   .attr("f", ORR_ATTR_INT, "7", "");
    constexpr int kUsual = 24;
    Types types;
    for (const int count : {kUsual, 3, 1}) {
        const std::vector<Wanted> wanted = wanted_of(*op.table(), count);
        ASSERT_EQ(wanted.size(), static_cast<size_t>(count));
        Random random(static_cast<uint64_t>(count));
        std::map<std::string, std::set<double>> drawn;
        std::set<int64_t> rows, widths;
        for (const Wanted& w : wanted) {
            const Drawn d = draw(*op.table(), types, {}, random, w);
            for (const auto& [name, value] : d.attrs.items()) drawn[name].insert(value.get<double>());
            widths.insert(d.inputs[0].shape.back());
            rows.insert(d.inputs[0].rows());
        }
        if (count < 3) continue;  // fewer draws than values
        for (const char* name : {"a", "b", "e", "f"})
            for (const double v : {0.0, 1.0, -1.0}) EXPECT_TRUE(drawn[name].count(v)) << count << ": " << name << " " << v;
        for (const double v : {0.0, 1.0}) EXPECT_TRUE(drawn["c"].count(v)) << count;
        EXPECT_TRUE(drawn["d"].count(1)) << count;
        EXPECT_FALSE(drawn["c"].count(-1) || drawn["d"].count(0) || drawn["d"].count(-1));
        if (count < kUsual) continue;
        for (int64_t n = 1; n <= 9; n++) EXPECT_TRUE(rows.count(n) && widths.count(n)) << n;
    }
}

struct Expectation {
    Fault fault;
    const char* text;
};
void PrintTo(const Expectation& e, std::ostream* out) { *out << e.text; }
class KitFinds : public testing::TestWithParam<Expectation> {};

TEST_P(KitFinds, Fault) {
    const bool view = GetParam().fault == Fault::view_offset;
    if (kAddressSanitizer && (GetParam().fault == Fault::beyond_output || GetParam().fault == Fault::workspace_guard)) {
        EXPECT_DEATH(check(double_operator(), kDoubleCases, GetParam().fault), "AddressSanitizer: use-after-poison");
        return;
    }
    const Report r = check(view ? tail_operator() : double_operator(), view ? kTailCases : kDoubleCases, GetParam().fault);
    EXPECT_TRUE(mentions(r, GetParam().text)) << "wanted: " << GetParam().text << "\n" << all(r);
}

INSTANTIATE_TEST_SUITE_P(
    All, KitFinds,
    testing::Values(Expectation{Fault::beyond_output, "guard bytes round output 0"}, Expectation{Fault::workspace_guard, "guard bytes of workspace"},
                    Expectation{Fault::elementwise_value, "is 3, expected 2"}, Expectation{Fault::elementwise_in_place, "writing over source 0"},
                    Expectation{Fault::formula_value, "is 36, expected -12"}, Expectation{Fault::view_offset, "expected 2"},
                    Expectation{Fault::error_missing, "wants the failure \"rank 1\""}));

TEST(Kit, ReasonsAreWords) {
    const auto cases = std::filesystem::path(testing::TempDir()) / "orrery-kit-list.cases";
    for (const char* file : {"orrery-kit-list.unsupported", "orrery-kit-list.expected_failures"}) {
        const auto list = cases.parent_path() / file;
        for (const char* reason : {"", "   ", " \\t\\n"}) {
            std::ofstream(list) << R"({"op": "test.double/1", "select": "*", "reason": ")" << reason << "\"}\n";
            EXPECT_THROW(read_lists(cases), std::runtime_error) << file << ": " << reason;
        }
        std::ofstream(list) << R"({"op": "test.double/1", "select": "*", "reason": "so"})" << "\n";
        EXPECT_EQ(read_lists(cases).size(), 1u);
        std::filesystem::remove(list);
    }
}

TEST(Kit, FilledTensors) {
    // make_cases.py: fill([4], 7, -1, 1)
    Types types;
    std::istringstream in(R"({"inputs":[{"shape":[4],"fill":{"seed":7,"low":-1,"high":1}}],"outputs":[]})");
    const std::vector<double> want = {-0.735639214515686, -0.0019991397857666016, -0.7059855461120605, 0.26119863986968994};
    EXPECT_EQ(read_cases(in, "cases", types)[0].inputs[0].numbers(), want);
}

TEST(Kit, CasesSayWhatIsWrong) {
    Types types;
    const auto text_of = [&](const char* line) {
        std::istringstream in(line);
        try {
            read_cases(in, "f.cases", types);
        } catch (const std::exception& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    EXPECT_EQ(text_of(R"({"inputs":[{"shape":[2],"data":[1]}],"outputs":[]})"), "f.cases:1: f32 [2] has 2 elements, data has 1");
    EXPECT_NE(text_of(R"({"inputs":[],"outputs":[],"tolerance":1})").find("unknown key \"tolerance\""), std::string::npos);
    const auto shaped = [&](const char* shape) { return text_of((std::string(R"({"inputs":[{"shape":)") + shape + R"(,"data":[1]}],"outputs":[]})").c_str()); };
    EXPECT_NE(shaped("[1,1,1,1,1,1,1,1,1,1]").find("has 10 axes, the most is 8"), std::string::npos) << shaped("[1,1,1,1,1,1,1,1,1,1]");
    EXPECT_EQ(shaped("[1,1,1,1,1,1,1,1]"), "");
    EXPECT_NE(shaped("[0,4294967296,4294967296,2]").find("elements"), std::string::npos);
    EXPECT_NE(text_of(R"({"inputs":[{"type":"q9","shape":[1],"data":[1]}],"outputs":[]})").find("\"q9\""), std::string::npos);
}

// ---------------------------------------------------------------- files

// What Vulkan's validation layers print to stdout is none of a plugin, whose device kernels they watch.
TEST(Kit, Printed) {
    const std::string layer = "Validation Error: [ VUID-vkCmdDispatch-None-08114 ] Object 0: handle = 0x1\nand so on\n";
    EXPECT_EQ(first_line_printed(layer, true), "");
    EXPECT_EQ(first_line_printed(layer, false), layer.substr(0, layer.find('\n')));
    EXPECT_EQ(first_line_printed("", true), "");
    EXPECT_EQ(first_line_printed("\n", true), "(an empty line)");
    EXPECT_EQ(first_line_printed("one\ntwo", true), "one");
    const int file = new_output();
    ASSERT_GE(file, 0);
    EXPECT_EQ(take_output(file), "");
    for (const char* text : {"first\n", "second\n"}) {  // each from the begin again
        EXPECT_EQ(write(file, text, std::strlen(text)), static_cast<ssize_t>(std::strlen(text)));
        EXPECT_EQ(take_output(file), text);
    }
    close(file);
}

TEST(Kit, Patterns) {
    EXPECT_TRUE(matches("values: *vulkan*", "values: case 1, vulkan, vulkan:0: off"));
    EXPECT_FALSE(matches("values: *vulkan", "values: case 1, vulkan, vulkan:0: off"));
    EXPECT_TRUE(matches("*", ""));
    EXPECT_TRUE(matches("a*b*c", "abxbc"));
    EXPECT_FALSE(matches("a*b*c", "acb"));
    EXPECT_TRUE(matches("[x] is (y)", "[x] is (y)"));
}

#if defined(__ELF__)
std::string bytes_of(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}
Exports exports_of(const std::string& bytes) {
    const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "orrery-kit-exports.so";
    std::ofstream(file, std::ios::binary) << bytes;
    const Exports out = read_exports(file);
    std::filesystem::remove(file);
    return out;
}

TEST(Kit, ExportsOfAPlugin) {
    const Exports e = read_exports(KIT_PLUGIN);
    EXPECT_TRUE(e.known) << e.why;
    EXPECT_EQ(e.names, std::vector<std::string>{"orr_plugin_entry"});
}
// Cut short, or with bytes of its headers changed: an answer, and nothing is read that is not there.
TEST(Kit, ExportsOfBrokenFiles) {
    const std::string whole = bytes_of(KIT_PLUGIN);
    ASSERT_GT(whole.size(), 65536u);
    for (const size_t size : {size_t{0}, size_t{4}, size_t{51}, size_t{63}, size_t{64}, size_t{1000}, whole.size() / 2})
        EXPECT_FALSE(exports_of(whole.substr(0, size)).known) << size;
    EXPECT_EQ(exports_of("MZ" + std::string(100, ' ')).why, "the file is no ELF, and other formats are not read");
    // The header of the file, and those of the sections at its end.
    std::vector<size_t> places = {5, 40, 41, 46, 58, 60};
    for (size_t at = whole.size() - 64 * 40; at < whole.size(); at += 97) places.push_back(at);
    for (const size_t at : places)
        for (const char to : {'\0', '\x7f', '\xff'}) {
            std::string broken = whole;
            broken[at] = to;
            const Exports e = exports_of(broken);
            EXPECT_TRUE(e.known || !e.why.empty());
        }
}
#endif

}  // namespace
