// The checks of one operator.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "cases.hpp"
#include "drawing.hpp"
#include "orrery/ext/expression.h"
#include "plan.hpp"

namespace orrery::conformance {

struct Failure {
    std::string check;  // which one found it: "values", "guards", … (README.md lists them)
    std::string op;
    std::string where;  // "case 3 (line 7), cpu, avx2, 2 threads, exact"
    std::string what;
    uint64_t seed = 0;  // of the unit of work that it was found in; 0: of none
};

struct Report {
    std::vector<Failure> failures;
    int64_t checks = 0;
    int64_t cases = 0;
    std::set<std::string> ran;    // "cpu/avx2: avx2", for every kernel, instruction set and variant that ran
    std::set<std::string> notes;  // what was not checked, and why
};

struct Options {
    std::vector<uint32_t> isas;
    std::shared_ptr<Device> device;  // whose kernels are checked, instead of the processor's
    uint64_t seed = 1;
    int derived_per_case = 12;
    int drawn_per_operator = 24;                // cases out of the descriptor alone
    std::optional<uint64_t> only;               // this unit alone
    const orr_expressions* formulas = nullptr;  // of the plugin; NULL: none
    std::map<std::string, const orr_operator*> operators;  // that a decomposition may name
    std::function<void(const std::string& op, const std::string& where, uint64_t seed)> on_step;  // told before anything of a plugin is called
};

// A unit of work is one case of one operator, or one drawn from its descriptor. Its seed holds the run's in its upper 40 bits, so that it alone
// is enough to do the same again.
uint64_t unit_seed(uint64_t seed, const std::string& op, const std::string& unit);
inline uint64_t seed_of_unit(uint64_t unit) { return unit >> 24; }

class Checker {
  public:
    Checker(Host& host, Pool& pool, const Types& types, const Options& options, Report& report);
    // Every check over the operator's cases, and over those drawn from its descriptor.
    void check(const orr_operator& op, const std::vector<Case>& cases);

  private:
    struct Shape {  // what the shape function says of one output
        const Type* type;
        std::vector<int64_t> dims;
        std::string layout;
    };
    // Bits or numbers of every output, in logical order.
    using Outputs = std::vector<std::vector<uint8_t>>;
    // Of every element of every output: what may be missing beyond the tolerance.
    using Slack = std::vector<std::vector<double>>;
    // Holds what a run gave against what it should give.
    using Compare = std::function<void(const char* check, const Outputs& got)>;

    // ---- one case
    void check_case(const orr_operator& op, const Case& c);
    void check_error(const orr_operator& op, const Case& c);
    void check_shapes(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes);
    void check_symbolic(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes);
    void check_kernel(const orr_operator& op, const orr_kernel& k, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes);
    void check_forms(const orr_operator& op, const orr_kernel& k, const std::vector<Value>& inputs, const AttrSet& attrs, const std::vector<Shape>& shapes, Setting s,
                     const Compare& compare);
    void check_refusals(const orr_operator& op, const orr_kernel& k, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes, Setting s);
    void check_batch(const orr_operator& op, const orr_kernel& k, const Case& c, const AttrSet& attrs, const Outputs& whole, Setting s);
    void check_in_place(const orr_operator& op, const orr_kernel& k, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes, Setting s);
    void check_view(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes);
    void check_elementwise(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes);
    void check_formula(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes, const std::vector<const float*>& src, int64_t n);
    void check_derived(const orr_operator& op, const Case& c);
    // ---- derived.cpp
    std::optional<Outputs> run_reference(const orr_operator& op, const AttrSet& attrs, const std::vector<Value>& inputs, const std::vector<Shape>& shapes);
    // slack: asked for where the tolerance is not enough.
    void compare_reference(const char* check, const Case& c, const std::vector<Shape>& shapes, const Outputs& got, const Outputs& want, uint32_t numerics,
                           const std::function<Slack()>& slack = {});
    static bool beyond_measure(const std::vector<Shape>& shapes, const Outputs& outputs);
    // False where the definition does not take them, or nothing can be compared.
    // every_form: strided inputs and every way of a device's kernel too; the ways once for each such text. "": not.
    bool check_against_reference(const orr_operator& op, const Case& c, const nlohmann::json& attr_values, const std::vector<Value>& inputs, const std::string& every_form = "");
    // ---- conditioning.cpp
    // What f32's rounding may do on these inputs.
    Slack slack_of(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Value>& inputs, const std::vector<Shape>& shapes, const Outputs& want,
                   uint32_t numerics);
    // ---- special.cpp
    void check_special(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes);
    void check_zero_and_one(const orr_operator& op, const Case& c);
    void check_at_once(const orr_operator& op, const orr_kernel& k, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes, const Outputs& alone, Setting s);
    void check_leak(const orr_operator& op, const orr_kernel& k, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes, Setting s);
    // plain: what stood between in the run that gave `one`. once: names what is special of the inputs; usual ways are looked at in few cases, or in one of each such text.
    void check_shaders(const orr_operator& op, const orr_kernel& k, const std::vector<Value>& inputs, const AttrSet& attrs, const std::vector<Shape>& shapes, Setting s,
                       const StandIn& plain, const Outputs& one, const Compare& compare, const std::string& once = "");
    // ---- asked.cpp
    void check_flops(const orr_operator& op, const Plan& plan);
    void check_self_test(const orr_operator& op, const orr_kernel& k, const AttrSet& attrs, const std::vector<Value>& inputs, size_t n_outputs, const Plan& plan);
    // ---- decomposition.cpp
    std::optional<Outputs> decomposed(const orr_operator& op, const AttrSet& attrs, const std::vector<Value>& inputs, const std::vector<Shape>& shapes);
    void check_decomposition(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes);
    // ---- drawn.cpp
    void check_ranges(const orr_operator& op, const std::vector<Case>& cases);
    void check_drawn(const orr_operator& op, const std::vector<Case>& cases);
    bool check_one_drawn(const orr_operator& op, const Case& like, const Spans& spans, const std::string& name, const Wanted& wanted);
    // ---- drawn_parts.cpp
    void check_drawn_parts(const orr_operator& op, const Case& like, const Drawn& d, const std::vector<Shape>& shapes);
    void check_split(const orr_operator& op, const orr_kernel& k, const Case& like, const Drawn& d, const AttrSet& attrs, const std::vector<Shape>& shapes, const Outputs& whole,
                     Setting s);
    void check_set_back(const orr_operator& op, const orr_kernel& k, const Case& like, const Drawn& d, const AttrSet& attrs, const std::vector<Shape>& shapes, Setting s);

    // ---- parts
    // Ports against inputs; empty when they fit.
    void check_token_axis(const orr_operator& op, size_t output, int32_t rank);
    std::string check_ports(const orr_operator& op, const std::vector<Value>& inputs) const;
    std::optional<std::vector<Shape>> infer(const orr_operator& op, const AttrSet& attrs, const std::vector<Value>& inputs, size_t n_outputs,
                                            std::string* error);
    // In which form the inputs lie: all of them, or one alone.
    struct Placing {
        Placing(Form f, int n = -1) : form(f), input(n) {}
        Form form;
        int input;
    };
    bool constant(const orr_operator& op, size_t input, const Value& v) const;
    Binding bind(const orr_operator& op, const std::vector<Value>& inputs, const std::vector<Shape>& shapes, Placing placing) const;
    // Prepares and runs once; reports misuse and broken guards. Nothing when the kernel refuses or fails (which is reported).
    std::optional<Outputs> run_once(const orr_operator& op, const orr_kernel& k, const AttrSet& attrs, const std::vector<Value>& inputs,
                                    const std::vector<Shape>& shapes, Placing placing, Setting s, bool twice = false);
    // Other data in the same plan: nothing of an earlier run may be left.
    void check_other_data(const orr_kernel& k, const AttrSet& attrs, const Binding& b, Plan& plan, Setting s);
    void compare_case(const char* check, const Case& c, const std::vector<Shape>& shapes, const Outputs& got, uint32_t numerics);
    std::string difference(const Shape& shape, const std::vector<uint8_t>& got, const std::vector<uint8_t>& want, double tol, const std::vector<double>* slack = nullptr) const;

    void expect(const char* check, bool good, const std::string& what);
    void fail(const char* check, const std::string& what);
    // What is done next, in words.
    void at(const std::string& where);
    // Begins a unit of work; false when it is not to be done.
    bool begin(const std::string& name);
    // Runs it; whatever is thrown is a failure.
    void contain(const std::function<void()>& unit);
    std::string setting_text(const orr_kernel& k, Setting s) const;
    // Whether the kernel is one of those to be checked.
    bool chosen(const orr_kernel& k) const;
    std::vector<uint32_t> isas() const;  // that make a difference to them

    Host& host_;
    Pool& pool_;
    const Types& types_;
    const Options& options_;
    Report& report_;
    std::string op_, case_, where_;
    std::set<std::string> kernels_ran_;
    std::map<std::string, int> ways_seen_;  // of kernels on a device: shaders, and in how many cases
    uint64_t unit_ = 0;
    bool may_fail_ = false;  // a refusal by run is an answer: the data was made up
    std::mt19937_64 random_;
};

// First difference of two lists of numbers under a tolerance, with slack (optional, one each) beyond it; empty when there is none.
std::string first_difference(const std::vector<double>& got, const std::vector<double>& want, double tol, const std::vector<double>* slack = nullptr);
// Whether the root mean square of the difference is within tol of that of `want`; else says both.
std::string rms_difference(const std::vector<double>& got, const std::vector<double>& want, double tol);

}  // namespace orrery::conformance
