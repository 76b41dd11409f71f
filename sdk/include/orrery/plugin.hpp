// C++ wrapper of plugin.h: short ways to describe operators and to build model graphs. Header-only, C++20, no engine symbol.
// A plugin's sources may throw inside prepare/run/configure/build bodies wrapped with guard(); nothing escapes.
#ifndef ORRERY_PLUGIN_HPP
#define ORRERY_PLUGIN_HPP

#include <charconv>
#include <cstdio>
#include <cstring>
#include <deque>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "orrery/plugin.h"

namespace orrery {

// Thrown inside a plugin (or the engine); turned into a status and a text at the boundary.
class Error : public std::runtime_error {
  public:
    Error(orr_status code, const std::string& text) : std::runtime_error(text), code_(code) {}
    orr_status code() const { return code_; }

  private:
    orr_status code_;
};

// Runs fn, which returns nothing or an orr_status; exceptions become statuses with their text.
template <class Fn>
orr_status guard(const orr_host* host, Fn&& fn) noexcept {
    try {
        if constexpr (std::is_same_v<decltype(fn()), orr_status>) {
            return fn();
        } else {
            fn();
            return ORR_OK;
        }
    } catch (const Error& e) {
        return host->fail(host, e.code(), e.what());
    } catch (const std::bad_alloc&) {
        return host->fail(host, ORR_OUT_OF_MEMORY, "out of memory");
    } catch (const std::exception& e) {
        return host->fail(host, ORR_INTERNAL, e.what());
    } catch (...) {
        return host->fail(host, ORR_INTERNAL, "unknown exception");
    }
}

inline std::string json_quote(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            char buffer[8];
            std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(c));
            out += buffer;
        } else {
            out += c;
        }
    }
    return out + "\"";
}

// Attributes of a node as a JSON object.
class Attrs {
  public:
    Attrs() = default;
    Attrs& set(std::string_view name, const char* v) { return put(name, json_quote(v)); }
    Attrs& set(std::string_view name, const std::string& v) { return put(name, json_quote(v)); }
    Attrs& set(std::string_view name, bool v) { return put(name, v ? "true" : "false"); }
    template <class T>
        requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
    Attrs& set(std::string_view name, T v) {
        return put(name, std::to_string(static_cast<long long>(v)));
    }
    Attrs& set(std::string_view name, double v) {
        char buffer[40];  // the shortest text that reads back as v, whatever the locale
        const auto end = std::to_chars(buffer, buffer + sizeof buffer, v).ptr;
        return put(name, std::string(buffer, end));
    }
    Attrs& set(std::string_view name, const std::vector<int64_t>& v) {
        std::string list = "[";
        for (size_t i = 0; i < v.size(); i++) list.append(i ? "," : "").append(std::to_string(v[i]));
        return put(name, list + "]");
    }
    std::string json() const { return "{" + text_ + "}"; }

  private:
    Attrs& put(std::string_view name, const std::string& value) {
        if (!text_.empty()) text_ += ",";
        text_ += json_quote(name) + ":" + value;
        return *this;
    }
    std::string text_;
};

// "f32 [2, 23, 64]"
inline std::string describe(const orr_tensor& t) {
    std::string out = std::string(t.type_id ? t.type_id : "?") + " [";
    for (int32_t i = 0; i < t.rank; i++) out += (i ? ", " : "") + std::to_string(t.shape[i]);
    return out + "]";
}
inline int64_t elements(const orr_tensor& t, int32_t from = 0) {
    int64_t n = 1;
    for (int32_t i = from; i < t.rank; i++) n *= t.shape[i];
    return n;
}
inline bool is_contiguous(const orr_tensor& t) {
    if (t.rank == 0) return true;
    int64_t expect = t.block_bytes;
    for (int32_t i = t.rank - 1; i >= 0; i--) {
        if (t.shape[i] != 1 && t.stride_bytes[i] != expect) return false;
        expect *= i == t.rank - 1 ? (t.shape[i] + t.block_elems - 1) / t.block_elems : t.shape[i];
    }
    return true;
}
// Writes a refusal and returns false, for supports().
inline bool refuse(char* reason, size_t size, const std::string& text) {
    if (reason && size) std::snprintf(reason, size, "%s", text.c_str());
    return false;
}

// ---------------------------------------------------------------- self-tests

// An extent for orr_self_test: n, or where that is more than `most` the largest up to `most` of the same remainder by `step`.
inline int64_t small_extent(int64_t n, int64_t most, int64_t step = 1) { return n <= most ? n : (most - n % step) / step * step + n % step; }
// Makes [.., n] of a tensor that has `rows` rows [1, .., rows, n].
inline void keep_rows(const orr_tensor* like, orr_test_input* input, int64_t rows) {
    if (!like || !input) return;
    for (int32_t a = 0; a + 2 < like->rank; a++) input->shape[a] = 1;
    if (like->rank > 1) input->shape[like->rank - 2] = rows;
}
inline int64_t row_count(const orr_tensor& t) {
    int64_t n = 1;
    for (int32_t a = 0; a + 1 < t.rank; a++) n *= t.shape[a];
    return n;
}

// ---------------------------------------------------------------- describing operators

struct KernelDef {
    const char* name;
    const char* device;
    uint32_t flags;
    bool (*supports)(const orr_prepare*, char*, size_t);
    orr_status (*prepare)(orr_prepare*);
    orr_status (*run)(const orr_run*);
    bool (*self_test)(const orr_prepare*, uint32_t, orr_self_test*) = nullptr;
};

// Describes one operator; its table lives as long as the object, which is a function-local static:
//   const orr_operator* orr_op_rms_norm() { static const orrery::Operator op = orrery::Operator("orr.rms_norm/1", "…").input(…)…; return op.table(); }
class Operator {
  public:
    Operator(const char* id, const char* summary) {
        table_.header = ORR_HEADER(orr_operator);
        table_.id = id;
        table_.summary = summary;
    }
    Operator(const Operator& o) : table_(o.table_), ports_in_(o.ports_in_), ports_out_(o.ports_out_), attrs_(o.attrs_), kernels_(o.kernels_) { link(); }
    Operator& operator=(const Operator&) = delete;

    Operator& input(const char* name, const char* types, const char* doc, uint32_t flags = 0, const char* layouts = nullptr) {
        ports_in_.push_back({ORR_HEADER(orr_port), name, flags, types, doc, layouts, 0});
        return *this;
    }
    Operator& output(const char* name, const char* doc, const char* types = "f32", uint32_t flags = 0, const char* layouts = nullptr) {
        ports_out_.push_back({ORR_HEADER(orr_port), name, flags, types, doc, layouts, 0});
        return *this;
    }
    // Of the output told last: the axis of tokens, from 0, or from -1 backwards.
    Operator& token_axis(int32_t axis) { return ports_out_.back().token_axis = ORR_AXIS(axis), *this; }
    // default_json NULL: required. range, least, most: see orr_attr_desc.
    Operator& attr(const char* name, uint32_t kind, const char* default_json, const char* doc, const char* range = nullptr, uint32_t least = 0, uint32_t most = 0) {
        attrs_.push_back({ORR_HEADER(orr_attr_desc), name, kind, default_json, doc, range, least, most});
        return *this;
    }
    Operator& traits(uint32_t bits) { return table_.traits = bits, *this; }
    Operator& infer(orr_status (*fn)(const orr_infer*)) { return table_.infer = fn, *this; }
    Operator& flops(uint64_t (*fn)(const orr_prepare*)) { return table_.flops = fn, *this; }
    Operator& elementwise(orr_elementwise_fn fn) { return table_.elementwise = fn, *this; }
    Operator& view(bool (*fn)(const orr_prepare*, orr_tensor*)) { return table_.view = fn, *this; }
    Operator& decompose(decltype(orr_operator::decompose) fn) { return table_.decompose = fn, *this; }
    Operator& kernel(const KernelDef& k) {
        kernels_.push_back({ORR_HEADER(orr_kernel), k.name, k.device, k.flags, k.supports, k.prepare, k.run, k.self_test});
        return *this;
    }
    const orr_operator* table() const { return &table_; }

  private:
    void link() {
        auto point = [](auto& pointers, const auto& items) {
            for (const auto& item : items) pointers.push_back(&item);
            return static_cast<uint32_t>(pointers.size());
        };
        table_.n_inputs = point(in_, ports_in_);
        table_.n_outputs = point(out_, ports_out_);
        table_.n_attrs = point(attr_, attrs_);
        table_.n_kernels = point(kernel_, kernels_);
        table_.inputs = in_.data();
        table_.outputs = out_.data();
        table_.attrs = attr_.data();
        table_.kernels = kernel_.data();
    }
    orr_operator table_{};
    std::deque<orr_port> ports_in_, ports_out_;
    std::deque<orr_attr_desc> attrs_;
    std::deque<orr_kernel> kernels_;
    std::vector<const orr_port*> in_, out_;
    std::vector<const orr_attr_desc*> attr_;
    std::vector<const orr_kernel*> kernel_;
};

// What shape functions mostly do.
class Infer {
  public:
    explicit Infer(const orr_infer* i) : i_(i) {}
    const orr_value_info& in(uint32_t n) const { return *i_->inputs[n]; }
    bool has(uint32_t n) const { return n < i_->n_inputs && i_->inputs[n]; }
    void out(uint32_t n, uint32_t type, std::vector<orr_dim> dims) const {
        if (dims.size() > ORR_MAX_RANK) throw Error(ORR_INVALID_ARGUMENT, "result has rank " + std::to_string(dims.size()) + ", the most is 8");
        orr_value_info& o = *i_->outputs[n];
        o.type = type;
        o.rank = static_cast<int32_t>(dims.size());
        for (size_t k = 0; k < dims.size(); k++) o.dims[k] = dims[k];
    }
    static std::vector<orr_dim> dims(const orr_value_info& v) { return {v.dims, v.dims + v.rank}; }
    orr_dim add(orr_dim a, orr_dim b) const { return i_->dims->add(i_->dims, a, b); }
    orr_dim sub(orr_dim a, orr_dim b) const { return i_->dims->sub(i_->dims, a, b); }
    orr_dim mul(orr_dim a, orr_dim b) const { return i_->dims->mul(i_->dims, a, b); }
    orr_dim div(orr_dim a, orr_dim b) const { return i_->dims->div(i_->dims, a, b); }
    bool known_different(orr_dim a, orr_dim b) const { return i_->dims->equal(i_->dims, a, b) == 0; }
    // Throws "<what>: 64 against 128" when the two are known to differ.
    void same(orr_dim a, orr_dim b, const std::string& what) const {
        if (known_different(a, b)) throw Error(ORR_INVALID_ARGUMENT, what + ": " + text(a) + " against " + text(b));
    }
    void rank(uint32_t n, int32_t want, const char* name) const {
        if (in(n).rank != want)
            throw Error(ORR_INVALID_ARGUMENT, std::string(name) + " has rank " + std::to_string(in(n).rank) + ", wanted " + std::to_string(want));
    }
    static std::string text(orr_dim d) { return d >= 0 ? std::to_string(d) : "(symbolic)"; }
    int64_t attr_int(const char* name) const { return i_->attrs->get_int(i_->attrs, name); }
    double attr_float(const char* name) const { return i_->attrs->get_float(i_->attrs, name); }
    std::string attr_string(const char* name) const { return i_->attrs->get_string(i_->attrs, name); }
    std::vector<int64_t> attr_ints(const char* name) const {
        const int64_t* v = nullptr;
        const size_t n = i_->attrs->get_ints(i_->attrs, name, &v);
        return {v, v + n};
    }

  private:
    const orr_infer* i_;
};
// infer(fn): wraps a throwing shape function.
template <void (*Fn)(const Infer&)>
orr_status infer_guard(const orr_infer* i) {
    return guard(i->host, [&] { Fn(Infer(i)); });
}

// Runs body(chunk, thread) over chunks on the run's threads.
template <class Body>
void parallel_for(const orr_run* run, int64_t chunks, Body&& body) {
    run->parallel_for(
        run, chunks, [](void* arg, int64_t chunk, uint32_t thread) { (*static_cast<std::remove_reference_t<Body>*>(arg))(chunk, thread); }, &body);
}
template <class T>
T* data(const orr_tensor* t) {
    return t ? static_cast<T*>(t->data) : nullptr;
}

// ---------------------------------------------------------------- building graphs

// One value of a graph under construction; converts to bool: whether it exists.
struct Value {
    orr_value id = 0;
    explicit operator bool() const { return id != 0; }
};

class Graph {
  public:
    explicit Graph(orr_builder* b) : b_(b) {}
    orr_builder* raw() const { return b_; }
    orr_dim symbol(const char* name) { return b_->symbol(b_, name); }
    Value input(const char* name, uint32_t type, const std::vector<orr_dim>& dims, uint32_t flags = 0) {
        return {b_->input(b_, name, type, static_cast<int32_t>(dims.size()), dims.data(), flags)};
    }
    Value positions(const char* name, orr_dim batch, orr_dim tokens) { return {b_->positions(b_, name, batch, tokens)}; }
    Value weight(const std::string& name, const std::vector<int64_t>& shape) {
        return {b_->weight(b_, name.c_str(), static_cast<int32_t>(shape.size()), shape.data())};
    }
    Value weight_stack(const std::vector<std::string>& names, const std::vector<int64_t>& shape) {
        std::vector<const char*> c;
        for (const auto& n : names) c.push_back(n.c_str());
        return {b_->weight_stack(b_, static_cast<uint32_t>(c.size()), c.data(), static_cast<int32_t>(shape.size()), shape.data())};
    }
    Value constant(const std::string& name, const std::vector<float>& v, std::vector<int64_t> shape = {}) {
        if (shape.empty()) shape = {static_cast<int64_t>(v.size())};
        return {b_->constant(b_, name.c_str(), ORR_TYPE_F32, static_cast<int32_t>(shape.size()), shape.data(), v.data())};
    }
    Value constant_i32(const std::string& name, const std::vector<int32_t>& v, std::vector<int64_t> shape = {}) {
        if (shape.empty()) shape = {static_cast<int64_t>(v.size())};
        return {b_->constant(b_, name.c_str(), ORR_TYPE_I32, static_cast<int32_t>(shape.size()), shape.data(), v.data())};
    }
    Value state(const orr_state_desc& desc, orr_dim batch, orr_dim append) { return {b_->state(b_, &desc, batch, append)}; }
    // Append state [Hkv, D] of the session's cache type. kind: ORR_STATE_APPEND or ORR_STATE_FROZEN.
    Value cache(const std::string& name, int64_t heads, int64_t width, orr_dim batch, orr_dim append, int64_t window = 0, uint32_t kind = ORR_STATE_APPEND) {
        orr_state_desc d{ORR_HEADER(orr_state_desc), name.c_str(), kind, 0, 2, {heads, width}, window};
        return state(d, batch, append);
    }
    Value recurrent(const std::string& name, const std::vector<int64_t>& dims, orr_dim batch) {
        orr_state_desc d{ORR_HEADER(orr_state_desc), name.c_str(), ORR_STATE_RECURRENT, ORR_TYPE_F32, static_cast<int32_t>(dims.size()), {}, 0};
        for (size_t i = 0; i < dims.size(); i++) d.dims[i] = dims[i];
        return state(d, batch, 0);
    }
    void set_state(const std::string& name, Value v) { b_->set_state(b_, name.c_str(), v.id); }
    void advance(orr_dim tokens) { b_->advance(b_, tokens); }

    std::vector<Value> ops(const char* id, const std::vector<Value>& in, const Attrs& attrs, uint32_t n_out) {
        std::vector<orr_value> ids, outs(n_out, 0);
        for (const Value v : in) ids.push_back(v.id);
        b_->node(b_, id, attrs.json().c_str(), static_cast<uint32_t>(ids.size()), ids.data(), n_out, outs.data());
        std::vector<Value> result;
        for (const orr_value v : outs) result.push_back({v});
        return result;
    }
    Value op(const char* id, const std::vector<Value>& in, const Attrs& attrs = {}) { return ops(id, in, attrs, 1)[0]; }
    // Names a value and returns it: return g.named("layers.0.output", x);
    Value named(const std::string& path, Value v) { return b_->name(b_, v.id, path.c_str()), v; }
    void output(const char* name, Value v) { b_->output(b_, name, v.id); }
    orr_value_info info(Value v) {
        orr_value_info i{};
        i.header = ORR_HEADER(orr_value_info);
        b_->info(b_, v.id, &i);
        return i;
    }
    void fail(orr_status code, const std::string& text) { b_->fail(b_, code, text.c_str()); }
    // JSON of a control of the model that is not neutral, else NULL.
    const char* control(const char* name) { return ORR_HAS(b_, orr_builder, control) ? b_->control(b_, name) : nullptr; }
    // What fn builds runs only where the flag is not zero (otherwise: is zero); fails in engines that cannot.
    template <class Fn>
    void when(Value flag, bool otherwise, Fn&& fn) {
        if (!ORR_HAS(b_, orr_builder, begin_if)) return fail(ORR_UNSUPPORTED, "this engine runs all nodes: it knows no begin_if");
        b_->begin_if(b_, flag.id, otherwise);
        fn();
        b_->end_if(b_);
    }
    // What fn builds may run at the same time, as far as none reads what another gives; one after the other in engines that cannot.
    template <class Fn>
    void concurrently(Fn&& fn) {
        const bool can = ORR_HAS(b_, orr_builder, begin_concurrent);
        if (can) b_->begin_concurrent(b_);
        fn();
        if (can) b_->end_concurrent(b_);
    }
    // Of a file beside the checkpoint; 0 where it has no such tensor.
    Value file_tensor(const std::string& path, const std::string& name, const std::vector<int64_t>& shape) {
        if (!ORR_HAS(b_, orr_builder, file_tensor)) return fail(ORR_UNSUPPORTED, "this engine reads no files beside the checkpoint"), Value{};
        return {b_->file_tensor(b_, path.c_str(), name.c_str(), static_cast<int32_t>(shape.size()), shape.data())};
    }

  private:
    orr_builder* b_;
};

}  // namespace orrery
#endif
