// Kernels against the reference on shapes that the case does not list.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "checker.hpp"

namespace orrery::conformance {
namespace {

// The case's inputs and attributes with the drawn sizes.
struct Derived {
    std::vector<Value> inputs;
    nlohmann::json attrs;
    std::string text;
};

Derived derive(const Case& c, const std::vector<int64_t>& drawn, std::mt19937_64& random) {
    Derived d{{}, c.attrs, ""};
    std::vector<std::vector<int64_t>> shapes;
    for (const Value& v : c.inputs) shapes.push_back(v.shape);
    for (size_t f = 0; f < c.sizes.size(); f++) {
        for (const auto& [input, axis] : c.sizes[f].dims) shapes[static_cast<size_t>(input)][static_cast<size_t>(axis)] = drawn[f];
        for (const auto& [name, element] : c.sizes[f].attrs) {
            if (element < 0) {
                d.attrs[name] = drawn[f];
            } else {
                d.attrs.at(name).at(static_cast<size_t>(element)) = drawn[f];
            }
        }
        d.text += (f ? ", " : "derived sizes ") + std::to_string(drawn[f]);
    }
    for (size_t n = 0; n < c.inputs.size(); n++) {
        const Value& like = c.inputs[n];
        if (!like.present) {
            d.inputs.push_back(like);
            continue;
        }
        Value v = random_value(like, shapes[n], random);
        if (v.layout == ORR_LAYOUT_PAGED) {
            // What is appended stays; the past grows or shrinks.
            const int64_t batch = v.shape[0], tokens = v.shape[1], more = tokens - like.shape[1];
            const auto row = [&](const std::vector<int64_t>& list, int64_t b) { return list[static_cast<size_t>(std::min<int64_t>(b, static_cast<int64_t>(list.size()) - 1))]; };
            v.past.clear();
            v.first.clear();
            v.length.clear();
            for (int64_t b = 0; b < batch; b++) {
                v.length.push_back(std::clamp<int64_t>(row(like.length, b) + more, 0, tokens));
                v.past.push_back(std::clamp<int64_t>(row(like.past, b) + more, 0, v.length.back()));
                v.first.push_back(std::min(row(like.first, b), v.past.back()));
            }
        }
        d.inputs.push_back(std::move(v));
    }
    return d;
}

// As the case has it.
int64_t own_size(const Case& c, const Free& f) {
    if (!f.dims.empty()) return c.inputs[static_cast<size_t>(f.dims[0].first)].shape[static_cast<size_t>(f.dims[0].second)];
    if (f.attrs.empty()) return 1;
    const auto& [name, element] = f.attrs[0];
    const nlohmann::json* value = c.attrs.contains(name) ? &c.attrs[name] : nullptr;
    if (value && element >= 0) value = &value->at(static_cast<size_t>(element));
    return value && value->is_number_integer() ? value->get<int64_t>() : f.values[0];
}

// Which dimension that is among those of other cases.
std::string place_of(const Case& c, const Free& f) {
    if (f.dims.empty()) return f.attrs.empty() ? "" : f.attrs[0].first;
    const auto [input, axis] = f.dims[0];
    return "input " + std::to_string(input) + ", axis " + std::to_string(axis) + " of " + std::to_string(c.inputs[static_cast<size_t>(input)].shape.size());
}

// All combinations when there are few, else the first and last of each list together and random ones.
std::vector<std::vector<int64_t>> combinations(const Case& c, int most, std::mt19937_64& random) {
    int64_t total = 1;
    for (const Free& f : c.sizes) total *= static_cast<int64_t>(f.values.size());
    std::vector<std::vector<int64_t>> out;
    for (int64_t n = 0; n < std::min<int64_t>(total, most); n++) {
        int64_t pick = total <= most ? n : n == 0 ? 0 : n == 1 ? total - 1 : static_cast<int64_t>(random() % static_cast<uint64_t>(total));
        std::vector<int64_t> drawn;
        for (const Free& f : c.sizes) {
            drawn.push_back(f.values[static_cast<size_t>(pick % static_cast<int64_t>(f.values.size()))]);
            pick /= static_cast<int64_t>(f.values.size());
        }
        out.push_back(std::move(drawn));
    }
    return out;
}

// Of those that are finite.
double rms(const std::vector<double>& values) {
    double sum = 0, count = 0;
    for (const double v : values)
        if (std::isfinite(v)) sum += v * v, count++;
    return count > 0 ? std::sqrt(sum / count) : 0;
}

// One step of a block type, where the largest number is the end of its scale: what lies between two steps may go to either.
double block_step(const Type& t, const std::vector<double>& values) {
    double largest = 0;
    for (const double v : values)
        if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
    const int bits = static_cast<int>(t.block_bytes * 8 / t.block_elems);
    return 1.1 * 2 * largest / (std::ldexp(1.0, bits) - 1);
}

// Numbers of a recurrence that grew so far that f32 may overflow on the way to them.
constexpr double kMostMeasured = 1e30;

}  // namespace

bool Checker::beyond_measure(const std::vector<Shape>& shapes, const Outputs& outputs) {
    for (size_t o = 0; o < outputs.size(); o++) {
        Value v;
        v.present = true;
        v.type = shapes[o].type;
        v.shape = shapes[o].dims;
        v.bytes = outputs[o];
        for (const double n : v.numbers())
            if (!(std::abs(n) < kMostMeasured)) return true;
    }
    return false;
}

// The definition: the reference kernel, or the decomposition where there is none. Nothing where neither takes these inputs.
std::optional<Checker::Outputs> Checker::run_reference(const orr_operator& op, const AttrSet& attrs, const std::vector<Value>& inputs, const std::vector<Shape>& shapes) {
    const orr_kernel* reference = op.n_kernels ? op.kernels[op.n_kernels - 1] : nullptr;
    if (reference && reference->flags & ORR_KERNEL_REFERENCE) return run_once(op, *reference, attrs, inputs, shapes, Form::contiguous, {ORR_ISA_GENERIC, 1, ORR_NUMERICS_EXACT});
    if (op.decompose) return decomposed(op, attrs, inputs, shapes);
    return std::nullopt;
}

void Checker::compare_reference(const char* check, const Case& c, const std::vector<Shape>& shapes, const Outputs& got, const Outputs& want, uint32_t numerics,
                                const std::function<Slack()>& slack) {
    Slack given;
    for (size_t o = 0; o < got.size(); o++) {
        const auto numbers = [&](const std::vector<uint8_t>& bytes) {
            Value v;
            v.present = true;
            v.type = shapes[o].type;
            v.shape = shapes[o].dims;
            v.bytes = bytes;
            return v.numbers();
        };
        const bool by_rms = c.tol_rms >= 0 && numerics != ORR_NUMERICS_EXACT;
        double size = 1;
        if (c.drawn && got[o] != want[o]) size = std::max(size, rms(numbers(want[o])));
        double tol = c.tolerance(numerics) * size;
        if (c.drawn && shapes[o].type->block && got[o] != want[o]) tol = std::max(tol, block_step(*shapes[o].type, numbers(want[o])));
        std::string text = by_rms ? rms_difference(numbers(got[o]), numbers(want[o]), c.tol_rms) : difference(shapes[o], got[o], want[o], tol);
        if (!text.empty() && slack && !by_rms && tol > 0 && shapes[o].type->is_float()) {
            if (given.empty()) given = slack();
            text = difference(shapes[o], got[o], want[o], tol, &given[o]);
        }
        expect(check, text.empty(), "output " + std::to_string(o) + " against the reference: " + text);
    }
}

// Every chosen kernel on these inputs against the definition.
bool Checker::check_against_reference(const orr_operator& op, const Case& c, const nlohmann::json& attr_values, const std::vector<Value>& inputs, const std::string& every_form) {
    const AttrSet attrs(op, attr_values);
    std::string error;
    const auto shapes = infer(op, attrs, inputs, c.outputs.size(), &error);
    expect("shape", shapes.has_value(), "the shape function: " + error);
    if (!shapes) return false;
    const auto want = run_reference(op, attrs, inputs, *shapes);
    if (!want || (c.drawn && has_states(op) && beyond_measure(*shapes, *want))) return false;
    may_fail_ = false;  // the definition took the data
    for (uint32_t n = 0; n < op.n_kernels; n++) {
        const orr_kernel& k = *op.kernels[n];
        if (!chosen(k) || k.flags & ORR_KERNEL_REFERENCE) continue;
        for (const uint32_t isa : isas()) {
            for (const uint32_t numerics : c.numerics) {
                Setting s{isa, 1, numerics, options_.device};
                StandIn plain({}, false, false);
                if (s.device && !every_form.empty()) s.stand_in = &plain;
                const auto one = run_once(op, k, attrs, inputs, *shapes, Form::contiguous, s);
                s.stand_in = nullptr;
                if (!one) continue;
                if (!options_.device) {
                    const auto three = run_once(op, k, attrs, inputs, *shapes, Form::contiguous, {isa, 3, numerics});
                    if (three) expect("threads", *three == *one, "the number of threads changes the bits");
                }
                const Compare compare = [&](const char* check, const Outputs& got) {
                    compare_reference(check, c, *shapes, got, *want, numerics, [&] { return slack_of(op, c, attrs, inputs, *shapes, *want, numerics); });
                };
                compare("reference", *one);
                if (every_form.empty()) continue;
                check_forms(op, k, inputs, attrs, *shapes, s, compare);
                if (s.device) check_shaders(op, k, inputs, attrs, *shapes, s, plain, *one, compare, every_form);
            }
        }
    }
    return true;
}

void Checker::check_derived(const orr_operator& op, const Case& c) {
    const std::string case_text = case_;
    for (const auto& drawn : combinations(c, options_.derived_per_case, random_)) {
        const Derived d = derive(c, drawn, random_);
        case_ = case_text + ", " + d.text;
        at(case_);
        check_against_reference(op, c, d.attrs, d.inputs);
    }
    case_ = case_text;
}

// Each free dimension 0 and then 1, the others as the case has them: the shape function may refuse, with a reason; what it takes must run, and give what the definition gives.
void Checker::check_zero_and_one(const orr_operator& op, const Case& c) {
    const std::string case_text = case_;
    std::vector<int64_t> own;
    for (const Free& f : c.sizes) own.push_back(own_size(c, f));
    for (size_t f = 0; f < c.sizes.size(); f++)
        for (const int64_t size : {int64_t{0}, c.sizes[f].multiple}) {
            std::vector<int64_t> sizes = own;
            sizes[f] = size;
            const Derived d = derive(c, sizes, random_);
            case_ = case_text + ", " + d.text;
            at(case_);
            std::string error;
            if (!infer(op, AttrSet(op, d.attrs), d.inputs, c.outputs.size(), &error)) continue;
            may_fail_ = true;
            check_against_reference(op, c, d.attrs, d.inputs, size > 0 ? ", 1 of " + place_of(c, c.sizes[f]) : "");
            may_fail_ = false;
        }
    case_ = case_text;
}

}  // namespace orrery::conformance
