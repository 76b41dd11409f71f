#include "host.hpp"

#include <cfenv>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#include <xmmintrin.h>
#endif

namespace orrery::conformance {
namespace {

// The table is the first member of Host's first member, but its address is all that callbacks get.
std::mutex registry_mutex;
std::map<const orr_host*, Host*>& registry() {
    static std::map<const orr_host*, Host*> hosts;
    return hosts;
}
Host& host_of(const orr_host* table) {
    const std::lock_guard lock(registry_mutex);
    return *registry().at(table);
}

const void* no_extension(const orr_host*, const char*) { return nullptr; }
void* allocate(const orr_host* h, size_t bytes, size_t alignment) {
    Host& host = host_of(h);
    if (host.refuses()) return nullptr;
    const size_t step = std::max(alignment, sizeof(void*));
    void* memory = std::aligned_alloc(step, (bytes + step - 1) / step * step + (bytes == 0) * step);
    if (memory) host.outstanding++;
    return memory;
}
void release(const orr_host* h, void* memory, size_t, size_t) {
    if (!memory) return;
    host_of(h).outstanding--;
    std::free(memory);
}
void log_text(const orr_host*, int32_t level, const char* text) {
    if (level <= ORR_LOG_WARNING) std::fprintf(stderr, "plugin: %s\n", text);
}
orr_status fail(const orr_host* h, orr_status code, const char* text) {
    host_of(h).remember(text);
    return code;
}

}  // namespace

Host::Host() : table{ORR_HEADER(orr_host), no_extension, allocate, release, log_text, fail} {
    const std::lock_guard lock(registry_mutex);
    registry()[&table] = this;
}
void Host::arm(int64_t n) {
    requests = 0;
    fail_at = n;
}
bool Host::refuses() { return requests++ == fail_at; }
void Host::remember(const char* text) {
    const std::lock_guard lock(mutex_);
    error_ = text ? text : "(no text)";
}
std::string Host::take_error() {
    const std::lock_guard lock(mutex_);
    return std::exchange(error_, "");
}

// ---------------------------------------------------------------- float control

#if defined(__x86_64__)
constexpr uint32_t kSticky = 0x3f;  // MXCSR: what has happened so far
uint64_t float_control() { return static_cast<uint64_t>(std::fegetround()) << 32 | (_mm_getcsr() & ~kSticky); }
void set_float_control(uint64_t control) {
    std::fesetround(static_cast<int>(control >> 32));
    _mm_setcsr(static_cast<uint32_t>(control) | (_mm_getcsr() & kSticky));
}
#elif defined(__aarch64__)
uint64_t float_control() {
    uint64_t control;
    asm volatile("mrs %0, fpcr" : "=r"(control));
    return control;
}
void set_float_control(uint64_t control) { asm volatile("msr fpcr, %0" : : "r"(control)); }
#else
uint64_t float_control() { return static_cast<uint64_t>(std::fegetround()); }
void set_float_control(uint64_t control) { std::fesetround(static_cast<int>(control)); }
#endif

// ---------------------------------------------------------------- attributes

AttrSet::AttrSet(const orr_operator& op, const nlohmann::json& values) {
    state_.self = this;
    state_.base = {ORR_HEADER(orr_attrs),
                   [](const orr_attrs* a, const char* name) { return find(a, name) ? find(a, name)->integer : int64_t{0}; },
                   [](const orr_attrs* a, const char* name) { return find(a, name) ? find(a, name)->number : 0.0; },
                   [](const orr_attrs* a, const char* name) -> const char* { return find(a, name) ? find(a, name)->text.c_str() : ""; },
                   [](const orr_attrs* a, const char* name, const int64_t** v) {
                       const Value* found = find(a, name);
                       *v = found ? found->ints.data() : nullptr;
                       return found ? found->ints.size() : size_t{0};
                   },
                   [](const orr_attrs* a, const char* name, const double** v) {
                       const Value* found = find(a, name);
                       *v = found ? found->floats.data() : nullptr;
                       return found ? found->floats.size() : size_t{0};
                   }};
    for (const auto& [name, value] : values.items()) {
        bool declared = false;
        for (uint32_t n = 0; n < op.n_attrs; n++) declared = declared || name == op.attrs[n]->name;
        if (!declared) throw std::runtime_error(std::string(op.id) + " declares no attribute \"" + name + "\"");
    }
    for (uint32_t n = 0; n < op.n_attrs; n++) {
        const orr_attr_desc& desc = *op.attrs[n];
        if (values.contains(desc.name)) {
            set(desc, values[desc.name]);
        } else if (desc.default_json) {
            set(desc, nlohmann::json::parse(desc.default_json));
        } else {
            throw std::runtime_error(std::string(op.id) + ": attribute \"" + desc.name + "\" is required");
        }
    }
}

void AttrSet::set(const orr_attr_desc& desc, const nlohmann::json& v) {
    Value value;
    value.kind = desc.kind;
    bool fits = false;
    switch (desc.kind) {
        case ORR_ATTR_BOOL:
            if ((fits = v.is_boolean())) value.integer = v.get<bool>();
            break;
        case ORR_ATTR_INT:
            if ((fits = v.is_number_integer())) value.integer = v.get<int64_t>();
            break;
        case ORR_ATTR_FLOAT:
            if ((fits = v.is_number())) value.number = v.get<double>();
            break;
        case ORR_ATTR_STRING:
            if ((fits = v.is_string())) value.text = v.get<std::string>();
            break;
        case ORR_ATTR_INTS:
            if ((fits = v.is_array())) value.ints = v.get<std::vector<int64_t>>();
            break;
        case ORR_ATTR_FLOATS:
            if ((fits = v.is_array())) value.floats = v.get<std::vector<double>>();
            break;
        default: break;
    }
    if (!fits) throw std::runtime_error(std::string("attribute \"") + desc.name + "\" does not take " + v.dump());
    values_[desc.name] = value;
}

const AttrSet::Value* AttrSet::find(const orr_attrs* a, const char* name) {
    const auto& values = reinterpret_cast<const State*>(a)->self->values_;
    const auto found = values.find(std::string_view(name));
    return found == values.end() ? nullptr : &found->second;
}

// ---------------------------------------------------------------- dimensions

Dims::Dims() {
    state_.self = this;
    state_.base = {ORR_HEADER(orr_dims), [](const orr_dims* d, orr_dim a, orr_dim b) { return of(d).make('+', a, b); },
                   [](const orr_dims* d, orr_dim a, orr_dim b) { return of(d).make('-', a, b); },
                   [](const orr_dims* d, orr_dim a, orr_dim b) { return of(d).make('*', a, b); },
                   [](const orr_dims* d, orr_dim a, orr_dim b) { return of(d).make('/', a, b); },
                   [](const orr_dims* d, orr_dim a, orr_dim b) { return of(d).equal(a, b); }};
}
Dims& Dims::of(const orr_dims* d) { return *reinterpret_cast<const State*>(d)->self; }

orr_dim Dims::symbol(int64_t bound) {
    nodes_.push_back({'s', bound, 0});
    return -static_cast<orr_dim>(nodes_.size());
}

orr_dim Dims::make(char op, orr_dim a, orr_dim b) {
    if (constant(a) && constant(b)) {
        // A difference may pass through negative values on its way to a constant.
        const int64_t value = apply(op, evaluate(a), evaluate(b));
        if (value >= 0) return value;
        nodes_.push_back({'c', value, 0});
        return -static_cast<orr_dim>(nodes_.size());
    }
    if (op == '+' && a == 0) return b;
    if ((op == '+' || op == '-') && b == 0) return a;
    if (op == '*' && a == 1) return b;
    if ((op == '*' || op == '/') && b == 1) return a;
    for (size_t n = 0; n < nodes_.size(); n++)
        if (nodes_[n].op == op && nodes_[n].a == a && nodes_[n].b == b) return -static_cast<orr_dim>(n) - 1;
    nodes_.push_back({op, a, b});
    return -static_cast<orr_dim>(nodes_.size());
}

int64_t Dims::apply(char op, int64_t a, int64_t b) {
    switch (op) {
        case '+': return a + b;
        case '-': return a - b;
        case '*': return a * b;
        default: return b > 0 ? (a >= 0 ? a / b : -((-a + b - 1) / b)) : 0;
    }
}

bool Dims::constant(orr_dim d) const { return d >= 0 || nodes_.at(static_cast<size_t>(-d - 1)).op == 'c'; }

int64_t Dims::evaluate(orr_dim d) const {
    if (d >= 0) return d;
    const Node& n = nodes_.at(static_cast<size_t>(-d - 1));
    return n.op == 's' || n.op == 'c' ? n.a : apply(n.op, evaluate(n.a), evaluate(n.b));
}

int32_t Dims::equal(orr_dim a, orr_dim b) const {
    if (a == b) return 1;
    if (!constant(a) || !constant(b)) return -1;
    return evaluate(a) == evaluate(b);
}

// ---------------------------------------------------------------- threads

namespace {
thread_local bool inside = false;
}

Pool::Pool() {
    for (uint32_t n = 1; n < kMost; n++) threads_.emplace_back([this, n] { work(n); });
}
Pool::~Pool() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    start_.notify_all();
    for (auto& t : threads_) t.join();
}

void Pool::one_chunk(orr_chunk_fn fn, void* arg, int64_t chunk, uint32_t thread) {
    const uint64_t control = float_control();
    contained("a chunk of parallel_for", [&] { fn(arg, chunk, thread); });
    if (float_control() == control) return;
    float_changes_++;
    set_float_control(control);
}

void Pool::chunks_of(uint32_t thread) {
    inside = true;
    try {
        for (int64_t chunk = next_++; chunk < chunks_; chunk = next_++) one_chunk(fn_, arg_, chunk, thread);
    } catch (const Escaped& e) {
        const std::lock_guard lock(mutex_);
        escaped_ = e.what();
    }
    inside = false;
}

void Pool::work(uint32_t thread) {
    uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
        start_.wait(lock, [&] { return stop_ || round_ != seen; });
        if (stop_) return;
        seen = round_;
        if (thread >= wanted_) continue;
        lock.unlock();
        chunks_of(thread);
        lock.lock();
        if (--running_ == 0) done_.notify_one();
    }
}

void Pool::run(uint32_t threads, int64_t chunks, orr_chunk_fn fn, void* arg) {
    if (inside) {
        nested_++;
        for (int64_t chunk = 0; chunk < chunks; chunk++) fn(arg, chunk, 0);
        return;
    }
    if (chunks <= 0) return;
    if (threads <= 1) {  // by itself: several threads may do this at once
        struct Inside {
            Inside() { inside = true; }
            ~Inside() { inside = false; }
        } within;
        for (int64_t chunk = 0; chunk < chunks; chunk++) one_chunk(fn, arg, chunk, 0);
        return;
    }
    const std::lock_guard turn(turn_);
    {
        const std::lock_guard lock(mutex_);
        fn_ = fn;
        arg_ = arg;
        chunks_ = chunks;
        next_ = 0;
        wanted_ = std::min(threads, kMost);
        running_ = wanted_ - 1;
        round_++;
    }
    start_.notify_all();
    chunks_of(0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return running_ == 0; });
    if (!escaped_.empty()) throw Escaped(std::exchange(escaped_, ""));
}

// ---------------------------------------------------------------- instruction sets

const char* isa_name(uint32_t isa) {
    switch (isa) {
        case ORR_ISA_GENERIC: return "generic";
        case ORR_ISA_SSE4: return "sse4";
        case ORR_ISA_AVX2: return "avx2";
        case ORR_ISA_AVX_VNNI: return "avx_vnni";
        case ORR_ISA_AVX512: return "avx512";
        case ORR_ISA_AVX512_VNNI: return "avx512_vnni";
        case ORR_ISA_AVX512_BF16: return "avx512_bf16";
        case ORR_ISA_NEON: return "neon";
        default: return "auto";
    }
}

const char* numerics_name(uint32_t numerics) {
    return numerics == ORR_NUMERICS_EXACT ? "exact" : numerics == ORR_NUMERICS_FAST ? "fast" : "default";
}

std::vector<uint32_t> machine_isas() {
    std::vector<uint32_t> out = {ORR_ISA_GENERIC};
#if defined(__x86_64__) || defined(__i386__)
    unsigned a = 0, b = 0, c = 0, d = 0;
    const bool leaf = __get_cpuid_count(7, 1, &a, &b, &c, &d);
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (__builtin_cpu_supports("sse4.2")) out.push_back(ORR_ISA_SSE4);
    if (avx2) out.push_back(ORR_ISA_AVX2);
    if (avx2 && leaf && a >> 4 & 1) out.push_back(ORR_ISA_AVX_VNNI);
    if (avx512) out.push_back(ORR_ISA_AVX512);
    if (avx512 && __builtin_cpu_supports("avx512vnni")) out.push_back(ORR_ISA_AVX512_VNNI);
    if (avx512 && __builtin_cpu_supports("avx512vnni") && leaf && a >> 5 & 1) out.push_back(ORR_ISA_AVX512_BF16);
#elif defined(__aarch64__)
    out.push_back(ORR_ISA_NEON);
#endif
    return out;
}

}  // namespace orrery::conformance
