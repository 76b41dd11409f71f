#include "engine/plan/taps.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <string_view>

#include "engine/graph/builder.hpp"
#include "engine/registry/error_text.hpp"
#include "engine/registry/token_axis.hpp"
#include "engine/run/options.hpp"

namespace orrery {
namespace {

constexpr uint32_t kMostTaps = 4096;

std::string title(const Tap& tap) { return std::string("tap \"") + tap.kind->id + "\" of " + tap.path; }

Tap read_tap(Registry& registry, const orr_tap* given) {
    const orr_tap t = copy_options(given, "orr_tap");
    if (!t.path || !*t.path) throw Error(ORR_INVALID_ARGUMENT, "a tap names no path");
    Tap tap;
    tap.path = t.path;
    tap.kind = &registry.find_tap(t.kind ? t.kind : "read");
    tap.factor = static_cast<float>(t.factor);
    if (tap.kind->flags & ORR_TAP_NEEDS_COUNT && t.count <= 0) throw Error(ORR_INVALID_ARGUMENT, title(tap) + " has count " + std::to_string(t.count) + ", wanted 1 or more");
    tap.count = t.count;
    if (tap.kind->flags & ORR_TAP_NEEDS_FACTOR && !std::isfinite(tap.factor)) throw Error(ORR_INVALID_ARGUMENT, title(tap) + " has factor " + std::to_string(t.factor) + ", wanted a finite f32");
    if (tap.kind->flags & ORR_TAP_NEEDS_OPERAND) {
        if (!t.operand) throw Error(ORR_INVALID_ARGUMENT, title(tap) + " has no operand");
        const orr_named_tensor v = copy_options(t.operand, "orr_tap.operand");
        if (v.type != ORR_TYPE_F32) throw Error(ORR_INVALID_ARGUMENT, title(tap) + ": its operand is " + registry.type(v.type).id + ", wanted f32");
        if (v.rank < 0 || v.rank > ORR_MAX_RANK) throw Error(ORR_INVALID_ARGUMENT, title(tap) + ": its operand has rank " + std::to_string(v.rank));
        uint64_t n = 1;
        for (int32_t k = 0; k < v.rank; k++) {
            if (v.shape[k] <= 0 || n > v.size_bytes / static_cast<uint64_t>(v.shape[k]))
                throw Error(ORR_INVALID_ARGUMENT, title(tap) + ": its operand of shape " + shape_text({v.shape, v.shape + v.rank}) + " holds " + std::to_string(v.size_bytes) + " bytes");
            n *= static_cast<uint64_t>(v.shape[k]);
        }
        if (!v.data || v.size_bytes != n * sizeof(float))
            throw Error(ORR_INVALID_ARGUMENT, title(tap) + ": its operand of shape " + shape_text({v.shape, v.shape + v.rank}) + " holds " + std::to_string(v.data ? v.size_bytes : 0) + " bytes, wanted " +
                                                  std::to_string(n * sizeof(float)));
        tap.operand_shape.assign(v.shape, v.shape + v.rank);
        tap.operand.resize(n);
        std::memcpy(tap.operand.data(), v.data, v.size_bytes);
    }
    const auto range = [&](int64_t first, int64_t end, const char* what, int64_t& to_first, int64_t& to_end) {
        if (first < 0 || end < 0 || (end > 0 && end <= first))
            throw Error(ORR_INVALID_ARGUMENT, title(tap) + ": " + what + " from " + std::to_string(first) + " to " + std::to_string(end) + " are none");
        to_first = first;
        to_end = end > 0 ? end : INT64_MAX;
    };
    range(t.first_position, t.end_position, "positions", tap.first_position, tap.end_position);
    range(t.first_run, t.end_run, "runs", tap.first_run, tap.end_run);
    if (!tap.edits() && tap.some_positions()) throw Error(ORR_INVALID_ARGUMENT, title(tap) + ": only edits apply to some positions; what is read is read whole");
    return tap;
}

}  // namespace

namespace {

// Of one part of a path; * stands for any text. Goes back to the last * alone, so it takes no longer than the product of both lengths.
bool part_fits(std::string_view part, std::string_view pattern) {
    size_t at = 0, p = 0, star = std::string_view::npos, from = 0;
    while (at < part.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            from = at;
        } else if (p < pattern.size() && pattern[p] == part[at]) {
            p++;
            at++;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            at = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') p++;
    return p == pattern.size();
}

}  // namespace

bool path_fits(std::string_view path, std::string_view pattern) {
    for (;;) {
        const size_t a = path.find('.'), b = pattern.find('.');
        if (!part_fits(path.substr(0, a), pattern.substr(0, b)) || (a == std::string_view::npos) != (b == std::string_view::npos)) return false;
        if (a == std::string_view::npos) return true;
        path.remove_prefix(a + 1);
        pattern.remove_prefix(b + 1);
    }
}

std::vector<std::string> tap_paths(const Program& program) {
    std::vector<std::string> paths;
    for (const ValueDef& v : program.values)
        if (v.kind == ValueKind::node && !v.name.empty()) paths.push_back(v.name);
    for (const OutputDef& o : program.outputs)
        if (program.values[o.value].kind == ValueKind::node && program.values[o.value].name != o.name && std::find(paths.begin(), paths.end(), o.name) == paths.end()) paths.push_back(o.name);
    return paths;
}

TapSet::TapSet(Registry& registry, uint32_t count, const orr_tap* const* given) {
    if (count > kMostTaps) throw Error(ORR_LIMIT, std::to_string(count) + " taps; the most is " + std::to_string(kMostTaps));
    for (uint32_t i = 0; i < count; i++) {
        if (!given[i]) throw Error(ORR_INVALID_ARGUMENT, "taps[" + std::to_string(i) + "] is NULL");
        taps_.push_back(read_tap(registry, given[i]));
        const Tap& t = taps_.back();
        key_ += t.path + "=" + t.kind->id + "," + std::to_string(t.count) + "," + (t.some_positions() ? "some" : "all") + shape_text(t.operand_shape) + ";";
    }
}

void TapSet::active(int64_t run, std::string& out) const {
    out.assign(taps_.size(), '0');
    for (size_t i = 0; i < taps_.size(); i++)
        if (run >= taps_[i].first_run && run < taps_[i].end_run) out[i] = '1';
}

bool TapSet::operator==(const TapSet& o) const {
    return key_ == o.key_ && std::equal(taps_.begin(), taps_.end(), o.taps_.begin(), o.taps_.end(), [](const Tap& a, const Tap& b) {
               return std::memcmp(&a.factor, &b.factor, sizeof a.factor) == 0 && a.operand.size() == b.operand.size() &&
                      (a.operand.empty() || std::memcmp(a.operand.data(), b.operand.data(), a.operand.size() * sizeof(float)) == 0) && a.first_position == b.first_position && a.end_position == b.end_position && a.first_run == b.first_run && a.end_run == b.end_run;
           });
}

void TapSet::fill(const TapInput& in, const orr_tensor& t, const std::vector<int64_t>& first, int64_t tokens) const {
    const Tap& tap = taps_[in.tap];
    if (in.part == TapInput::Part::factor) {
        *static_cast<float*>(t.data) = tap.factor;
    } else if (in.part == TapInput::Part::operand) {
        std::vector<int64_t> have = tap.operand_shape;
        int64_t inner = elements(t), skip = 0;  // of each block, what is left out in front
        if (in.last_token) {
            inner = 1;
            for (size_t k = static_cast<size_t>(in.token_axis) + 1; k < have.size(); k++) inner *= have[k];
            skip = (have[static_cast<size_t>(in.token_axis)] - 1) * inner;
            have[static_cast<size_t>(in.token_axis)] = 1;
        }
        if (!std::equal(have.begin(), have.end(), t.shape, t.shape + t.rank))
            throw Error(ORR_INVALID_ARGUMENT, title(tap) + ": its operand has shape " + shape_text(tap.operand_shape) + ", this run takes " + shape_text({t.shape, t.shape + t.rank}));
        const float* src = tap.operand.data();
        for (float *dst = static_cast<float*>(t.data), *end = dst + elements(t); dst < end; dst += inner, src += inner) std::memcpy(dst, src += skip, static_cast<size_t>(inner) * sizeof(float));
    } else {
        const int64_t extent = t.shape[in.token_axis], rows = elements(t) / extent;
        auto* dst = static_cast<uint8_t*>(t.data);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < extent; i++) {
                const int64_t begin = first.empty() ? 0 : first[std::min<size_t>(static_cast<size_t>(r), first.size() - 1)];
                const int64_t at = begin + (in.last_token ? tokens - 1 : i);
                dst[r * extent + i] = at >= tap.first_position && at < tap.end_position;
            }
    }
}

namespace {

class Weaver {
  public:
    Weaver(const orr_host* host, Registry& registry, Weights& weights, const Program& source, const TapSet& taps) : host_(host), registry_(registry), weights_(weights), program_(source), taps_(taps) {
        program_.dims = program_.dims->clone();
        for (const InputDef& in : program_.inputs)
            if (in.positions) batch_ = program_.values[in.value].dims[0], tokens_ = program_.values[in.value].dims[1];
        for (const StateDef& s : program_.states) batch_ = program_.values[s.value].dims[0];  // models without positions
        if (program_.advance) tokens_ = program_.advance;
    }

    void weave(size_t i) {
        const Tap& tap = taps_.taps()[i];
        std::vector<std::string> found;
        for (const std::string& path : tap_paths(program_)) {
            const std::string& own = program_.values[program_.find(path)].name;
            const bool twice = tap.edits() && own != path && path_fits(own, tap.path);  // an output that also has a path
            if (path_fits(path, tap.path) && !twice) found.push_back(path);
        }
        if (tap.edits()) {  // what nothing reads cannot be changed; of several paths it is passed over
            const size_t all = found.size();
            std::erase_if(found, [&](const std::string& path) { return !is_read(program_.find(path)); });
            if (found.empty() && all > 0) throw Error(ORR_UNSUPPORTED, title(tap) + ": nothing in the model reads this value, so an edit would change nothing");
        }
        for (const std::string& path : found) weave(i, path);
    }

    Program done() { return std::move(program_); }

  private:
    void weave(size_t i, const std::string& path) {
        const Tap& tap = taps_.taps()[i];
        const orr_value v = program_.find(path);
        const auto producer = std::find_if(program_.nodes.begin(), program_.nodes.end(), [&](const NodeDef& n) { return std::count(n.outs.begin(), n.outs.end(), v) != 0; });
        if (producer == program_.nodes.end()) throw Error(ORR_INTERNAL, program_.model + "." + program_.entry + ": no node makes " + path);
        std::vector<orr_value> outs(ORR_TAP_MOST_OUTPUTS, 0);
        const size_t made_before = program_.values.size(), behind = program_.nodes.size() - static_cast<size_t>(producer - program_.nodes.begin()) - 1;
        try {
            insert_nodes(host_, registry_, weights_, program_, static_cast<size_t>(producer - program_.nodes.begin()) + 1, [&](GraphBuilder& b) {
                const orr_tap_point point = make_point(b, i, v);
                call_plugin([&] { return tap.kind->build(b.table(), &point, outs.data()), ORR_OK; }, [] { return std::string(); });
            });
            check_outputs(*tap.kind, v, outs);
            if (tap.edits() && outs[0] == v) return;  // it leaves the value as it is
            if (tap.edits() && (outs[0] < made_before || program_.values[outs[0]].kind != ValueKind::node))
                throw Error(ORR_INVALID_ARGUMENT, "its plugin gives a value that none of its own nodes makes");
            if (tap.edits() && !same_shape(outs[0], v)) throw Error(ORR_INVALID_ARGUMENT, "it gives " + told(outs[0]) + ", the value is " + told(v));
        } catch (const Error& e) {
            throw Error(e.code(), title(tap) + (tap.path == path ? "" : ": " + path) + ": " + e.what());
        }
        if (tap.edits())
            replace(v, outs[0], path, program_.nodes.size() - behind);
        else
            read(i, path, outs);
    }

    bool is_read(orr_value v) const {
        return std::any_of(program_.nodes.begin(), program_.nodes.end(), [&](const NodeDef& n) { return std::count(n.ins.begin(), n.ins.end(), v) != 0; }) ||
               std::any_of(program_.outputs.begin(), program_.outputs.end(), [&](const OutputDef& o) { return o.value == v; }) ||
               std::any_of(program_.states.begin(), program_.states.end(), [&](const StateDef& s) { return s.next == v; }) ||
               std::any_of(program_.regions.begin() + 1, program_.regions.end(), [&](const RegionDef& r) { return r.flag == v; });
    }

    orr_tap_point make_point(GraphBuilder& b, size_t i, orr_value v) {
        const Tap& tap = taps_.taps()[i];
        orr_tap_point p{};
        p.header = ORR_HEADER(orr_tap_point);
        p.value = v;
        p.count = tap.count;
        bool last = false;
        const std::vector<orr_dim> dims = b.graph().values[v].dims;
        p.token_axis = find_token_axis(b.graph(), v, last);
        if (p.token_axis < 0 && (tap.some_positions() || tap.kind->flags & ORR_TAP_NEEDS_TOKENS)) throw Error(ORR_UNSUPPORTED, "the value " + b.graph().shape_text(v) + " has no axis of tokens");
        if (tap.some_positions()) {
            std::vector<orr_dim> shape;
            for (size_t k = 0; k < dims.size(); k++) shape.push_back(static_cast<int32_t>(k) == p.token_axis || (program_advances(b) && dims[k] == batch_) ? dims[k] : 1);
            p.rows = input(b, i, v, TapInput::Part::rows, ORR_TYPE_BOOL, shape);
            b.graph().inputs.back().tap.token_axis = p.token_axis;
            b.graph().inputs.back().tap.last_token = last;
        }
        if (tap.kind->flags & ORR_TAP_NEEDS_FACTOR) p.factor = input(b, i, v, TapInput::Part::factor, ORR_TYPE_F32, {1});
        if (tap.kind->flags & ORR_TAP_NEEDS_OPERAND) {
            const std::vector<int64_t>& have = tap.operand_shape;
            if (have.size() > dims.size()) throw Error(ORR_INVALID_ARGUMENT, "its operand has shape " + shape_text(have) + ", the value is " + b.graph().shape_text(v));
            std::vector<orr_dim> shape;
            const size_t lead = dims.size() - have.size();
            const int32_t tokens = p.token_axis - static_cast<int32_t>(lead);
            const bool cut = last && tokens >= 0 && have[static_cast<size_t>(tokens)] != 1;  // of an operand for all tokens, the last one's
            for (size_t k = 0; k < have.size(); k++) {
                const orr_dim d = dims[lead + k];
                if (cut && static_cast<int32_t>(k) == tokens) {
                    shape.push_back(1);
                    continue;
                }
                if (have[k] != 1 && d >= 0 && d != have[k]) throw Error(ORR_INVALID_ARGUMENT, "its operand has shape " + shape_text(have) + ", the value is " + b.graph().shape_text(v));
                shape.push_back(have[k] == 1 ? 1 : d);
            }
            p.operand = input(b, i, v, TapInput::Part::operand, ORR_TYPE_F32, shape);
            b.graph().inputs.back().tap.token_axis = tokens;
            b.graph().inputs.back().tap.last_token = cut;
        }
        return p;
    }

    static bool program_advances(GraphBuilder& b) { return b.graph().advance != 0; }

    // Told by the operator that makes the value ([B, H, T, S]), by the symbol of tokens, or by the residual stream of the value's own stack of
    // layers, whose tokens may be a number: of others the axis behind the batch, if it has as many. -1: none of these, so axes may be anything.
    int32_t find_token_axis(const Program& program, orr_value v, bool& last) const {
        const std::vector<orr_dim>& dims = program.values[v].dims;
        const int32_t told = told_axis(program, v);
        if (told >= 0) {
            last = tokens_ != 0 && dims[static_cast<size_t>(told)] == 1;
            return told;
        }
        for (size_t k = 0; k < dims.size(); k++)
            if (tokens_ && dims[k] == tokens_) return static_cast<int32_t>(k);
        if (dims.size() < 3) return -1;
        const Stream stream = stream_of(program, program.values[v].name);
        if (stream.tokens.empty()) {
            last = tokens_ != 0 && dims[1] == 1;  // past the tokens' last use
            return last ? 1 : -1;
        }
        const auto fits = [&](orr_dim d) { return std::count(stream.tokens.begin(), stream.tokens.end(), d) != 0; };
        const bool doubtful = fits(dims[2]) && (dims.size() > 3 || !stream.in_layer);  // channels in front of as many tokens, or heads
        return fits(dims[1]) && !doubtful ? 1 : -1;
    }

    // The axis that the port of the operator's output tells.
    static int32_t told_axis(const Program& program, orr_value v) {
        for (const NodeDef& n : program.nodes)
            if (const auto at = std::find(n.outs.begin(), n.outs.end(), v); n.op && at != n.outs.end())
                return token_axis(output_port(*n.op, static_cast<size_t>(at - n.outs.begin())), static_cast<int32_t>(program.values[v].dims.size()));
        return -1;
    }

    // Numbers of tokens of the stack of layers that a path belongs to, where they are numbers: of its own layer, or of any where it lies in none.
    struct Stream {
        std::vector<orr_dim> tokens;
        bool in_layer = false;
    };

    Stream stream_of(const Program& program, const std::string& path) const {
        const std::string layers = "layers.", output = ".output";
        Stream found;
        const auto take = [&](const ValueDef& v) {  // [B, T, E], or with axes in between
            const orr_dim d = v.dims.size() < 3 ? 0 : v.dims[v.dims.size() - 2];
            if (d != tokens_ && (d < 0 || d > (tokens_ ? 1 : 0))) found.tokens.push_back(d);
        };
        size_t at = path.rfind(layers);
        while (at != std::string::npos && at > 0 && path[at - 1] != '.') at = path.rfind(layers, at - 1);
        if (at != std::string::npos) {
            const size_t end = path.find('.', at + layers.size());
            const orr_value own = program.find(path.substr(0, end) + output);
            if (own) {
                found.in_layer = true;
                take(program.values[own]);
                return found;
            }
        }
        for (size_t end = at != std::string::npos ? at : path.rfind('.') + 1;;) {  // "encoder.conv1.", "encoder.", ""
            const std::string stack = path.substr(0, end) + layers;
            bool any = false;
            for (const ValueDef& v : program.values) {
                const std::string& name = v.name;
                if (!name.starts_with(stack) || !name.ends_with(output) || name.find('.', stack.size()) != name.size() - output.size()) continue;
                any = true;
                take(v);
            }
            if (any || end == 0) return found;
            end = end < 2 ? 0 : path.rfind('.', end - 2) + 1;
        }
    }

    orr_value input(GraphBuilder& b, size_t tap, orr_value v, TapInput::Part part, uint32_t type, const std::vector<orr_dim>& dims) {
        static const char* const names[] = {"", "rows", "factor", "operand"};
        const orr_value in = b.input("(tap " + std::to_string(tap) + " " + names[static_cast<int>(part)] + " " + std::to_string(v) + ")", type, dims, ORR_INPUT_OPTIONAL, false);
        b.graph().inputs.back().tap.part = part;
        b.graph().inputs.back().tap.tap = tap;
        return in;
    }

    bool same_shape(orr_value a, orr_value b) const {
        const ValueDef &x = program_.values[a], &y = program_.values[b];
        return x.type == y.type && x.layout == y.layout && x.dims == y.dims;
    }

    std::string told(orr_value v) const {
        const ValueDef& d = program_.values[v];
        return std::string(registry_.type(d.type).id) + " " + program_.shape_text(v) + (*d.layout ? std::string(" (") + d.layout + ")" : "");
    }

    // Everything behind the edit's nodes reads what it gives; they read the old value.
    void replace(orr_value v, orr_value edited, const std::string& path, size_t behind) {
        redirect(program_, v, edited, behind);
        std::string& name = program_.values[v].name;
        program_.values[edited].name = name;
        const std::string before = (name.empty() ? path : name) + ".untapped";  // of several edits, before the first
        name = program_.find(before) ? "" : before;
    }

    void read(size_t i, const std::string& path, const std::vector<orr_value>& outs) {
        const Tap& tap = taps_.taps()[i];
        const std::string name = tap.kind->id == std::string_view("read") ? path : path + ":" + tap.kind->id;
        if (!tap.kind->outputs) return add_output(i, name, outs[0]);
        for (size_t k = 0; k < outputs_of(*tap.kind); k++) add_output(i, name + "." + tap.kind->outputs[k], outs[k]);
    }

    static size_t outputs_of(const orr_tap_kind& kind) {
        if (!kind.outputs || kind.flags & ORR_TAP_EDIT) return 1;
        size_t n = 0;
        while (n < ORR_TAP_MOST_OUTPUTS && kind.outputs[n]) n++;
        return n;
    }

    // That each of them is a plain value that a node makes, or the tapped one itself.
    void check_outputs(const orr_tap_kind& kind, orr_value tapped, const std::vector<orr_value>& outs) const {
        for (size_t k = 0; k < outputs_of(kind); k++) {
            const std::string which = "output " + std::to_string(k) + (kind.outputs && outputs_of(kind) > 1 ? std::string(" (\"") + kind.outputs[k] + "\")" : "");
            if (!outs[k]) throw Error(ORR_INVALID_ARGUMENT, "its plugin gives nothing as " + which);
            if (outs[k] >= program_.values.size())
                throw Error(ORR_INVALID_ARGUMENT, "its plugin gives " + std::to_string(outs[k]) + " as " + which + ", which is no value; there are " + std::to_string(program_.values.size() - 1));
            const ValueDef& v = program_.values[outs[k]];
            if (outs[k] == tapped) continue;
            if (v.kind != ValueKind::node || *v.layout) throw Error(ORR_INVALID_ARGUMENT, "its plugin gives as " + which + " a value that no node makes, or one that is no plain tensor");
        }
    }

    void add_output(size_t i, const std::string& name, orr_value v) {
        const Tap& tap = taps_.taps()[i];
        std::vector<size_t>& asked = asked_[name];
        for (const size_t k : asked) {
            const Tap& other = taps_.taps()[k];
            const bool meet = tap.first_run < other.end_run && other.first_run < tap.end_run;
            if (meet && !same_reading(tap, other))
                throw Error(ORR_CONFLICT, title(tap) + ": the output " + name + " is asked for twice, with " +
                                              (tap.count != other.count ? "count " + std::to_string(other.count) + " and count " + std::to_string(tap.count) : "another factor or operand") +
                                              "; of one value a run reads a kind once");
        }
        const bool own = asked.empty();
        asked.push_back(i);
        for (OutputDef& o : program_.outputs)
            if (o.name == name) {
                if (own && o.value != v && tap.kind->id != std::string_view("read")) throw Error(ORR_CONFLICT, title(tap) + ": the model has an output " + name + " of its own");
                o.tapped = true;  // read twice, or an output of the model's
                return;
            }
        program_.outputs.push_back({name, v, true});
    }

    // Whether both give the same of a value.
    static bool same_reading(const Tap& a, const Tap& b) {
        const auto same = [](const std::vector<float>& x, const std::vector<float>& y) { return x.size() == y.size() && (x.empty() || std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0); };
        const bool factor = !(a.kind->flags & ORR_TAP_NEEDS_FACTOR) || std::memcmp(&a.factor, &b.factor, sizeof a.factor) == 0, count = !(a.kind->flags & ORR_TAP_NEEDS_COUNT) || a.count == b.count;
        return a.kind == b.kind && factor && count && a.operand_shape == b.operand_shape && same(a.operand, b.operand);
    }

    const orr_host* host_;
    Registry& registry_;
    Weights& weights_;
    Program program_;
    const TapSet& taps_;
    orr_dim batch_ = 0, tokens_ = 0;
    std::map<std::string, std::vector<size_t>> asked_;  // taps that read, by the names of what they give
};

}  // namespace

Program weave_taps(const orr_host* host, Registry& registry, Weights& weights, const Program& source, const TapSet& taps, const std::string& active) {
    Weaver weaver(host, registry, weights, source, taps);
    for (const bool edits : {true, false})  // what is read is what the rest of the model sees
        for (size_t i = 0; i < taps.taps().size(); i++)
            if (active[i] == '1' && taps.taps()[i].edits() == edits) weaver.weave(i);
    return weaver.done();
}

}  // namespace orrery
