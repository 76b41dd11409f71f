// y[r, i] = x[r, i] / sqrt(mean_i(x[r, i]^2) + eps) * (w[i] + weight_offset): a copy of rms_norm with a fault in it.
// x, y: [.., E] f32    w: [E] f32 | f16 | bf16, 1 where absent. The sum in f32 by eight lanes; the definition in f64.
// Zhang & Sennrich 2019, arXiv:1910.07467
// FAULT is one of those in faults.txt; each makes a plugin of its own.
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <clocale>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "orrery/ext/vulkan.h"
#include "orrery/plugin.h"
#include "rms_norm_shaders.hpp"

namespace {

enum class Fault {
    none, sign, tail, f16_sum, newer_isa, beyond_output, beyond_workspace, before_output, reads_beyond, stride, supports_type, supports_nothing, supports_silent, shape,
    shape_symbols, shape_silent, state_kept, stale, per_thread_sum, static_scratch, own_thread, leaves_thread, nested, batch, many_axes, changes_input, hides_nan, empty, pack_order,
    ignores_refusal, leak_host, leak_heap, exception, exception_chunk, aborts, exits, exits_well, hangs, closes_files, decomposition, changes_tables, second_symbol, leak_entry,
    other_when_reloaded, manifest,
    last_strided, last_silent, reads_before, minus_one, seven_rows, changes_folder, changes_locale, changes_mask, closes_stdin,
    flops_traps, flops_throws, flops_negative, one_element, one_strided, forks, forks_and_aborts, prints, prints_at_load, leak_file, rounds_up, rounds_in_chunk, loops_at_load,
    vk_sign, vk_tail, vk_f16, vk_stride, vk_barrier, vk_order, vk_beyond, vk_state, vk_second_form, vk_test_endless, vk_test_throws, vk_test_shape, vk_one, vk_one_second_form
};
constexpr Fault kFault = Fault::FAULT;
constexpr bool has(Fault f) { return kFault == f; }
constexpr int kLanes = 8;

void sleep_ms(int ms) { usleep(static_cast<useconds_t>(ms) * 1000); }

// ---------------------------------------------------------------- values

float from_half(uint16_t h) {
    const int e = h >> 10 & 31, m = h & 1023;
    const float a = e == 31 ? (m ? NAN : INFINITY) : e == 0 ? std::ldexp(static_cast<float>(m), -24) : std::ldexp(static_cast<float>(1024 + m), e - 25);
    return h & 0x8000 ? -a : a;
}
float from_brain(uint16_t b) {
    const uint32_t u = static_cast<uint32_t>(b) << 16;
    float v;
    std::memcpy(&v, &u, 4);
    return v;
}
// To 11 significant bits.
float to_half_precision(float v) {
    if (v == 0 || !std::isfinite(v)) return v;
    const int e = std::ilogb(v);
    return std::ldexp(std::nearbyint(std::ldexp(v, 10 - e)), e - 10);
}
float weight(const orr_tensor& w, int64_t i) {
    const char* at = static_cast<const char*>(w.data) + i * w.stride_bytes[0];
    if (w.type == ORR_TYPE_F32) return *reinterpret_cast<const float*>(at);
    const uint16_t h = *reinterpret_cast<const uint16_t*>(at);
    return w.type == ORR_TYPE_F16 && !has(Fault::supports_type) ? from_half(h) : from_brain(h);
}

int64_t row_count(const orr_tensor& t) {
    int64_t n = 1;
    for (int32_t a = 0; a + 1 < t.rank; a++) n *= t.shape[a];
    return n;
}
// Rows of one element, and as many of them as the first cases have: what is drawn has others.
bool one_element(const orr_tensor& x) { return x.shape[x.rank - 1] == 1 && row_count(x) == 6; }
// Bytes from the first row to row r.
int64_t row_offset(const orr_tensor& t, int64_t r) {
    if (has(Fault::stride) || (has(Fault::one_strided) && one_element(t))) return r * t.shape[t.rank - 1] * 4;
    int64_t offset = 0;
    for (int32_t a = t.rank - 2; a >= 0; a--) {
        offset += r % t.shape[a] * t.stride_bytes[a];
        r /= t.shape[a];
    }
    return offset;
}

// ---------------------------------------------------------------- shapes

orr_status fail(const orr_host* host, orr_status code, const char* text) { return host->fail(host, code, text); }

orr_status infer(const orr_infer* i) {
    const orr_value_info& x = *i->inputs[0];
    char text[96];
    if (x.rank < 1) return fail(i->host, ORR_INVALID_ARGUMENT, "x has rank 0");
    const orr_dim n = x.dims[x.rank - 1];
    if (i->n_inputs > 1 && i->inputs[1]) {
        const orr_value_info& w = *i->inputs[1];
        if (w.rank != 1) return fail(i->host, ORR_INVALID_ARGUMENT, "w has not rank 1");
        if (i->dims->equal(i->dims, w.dims[0], n) == 0) {
            if (has(Fault::shape_silent)) return ORR_INVALID_ARGUMENT;
            std::snprintf(text, sizeof text, "w: %lld against %lld", static_cast<long long>(w.dims[0]), static_cast<long long>(n));
            return fail(i->host, ORR_INVALID_ARGUMENT, text);
        }
    }
    if (has(Fault::shape_symbols) && n < 0) return fail(i->host, ORR_INVALID_ARGUMENT, "an extent is negative");
    orr_value_info& y = *i->outputs[0];
    y.type = ORR_TYPE_F32;
    y.rank = x.rank;
    for (int32_t a = 0; a < x.rank; a++) y.dims[a] = x.dims[a];
    if (has(Fault::shape)) y.dims[0] = i->dims->add(i->dims, y.dims[0], 1);
    return ORR_OK;
}

double get(const orr_attrs* a, const char* name) { return a->get_float(a, name); }

// As the core plugin's operators have it.
orr_status decompose(orr_builder* b, const orr_attrs* attrs, uint32_t n_inputs, const orr_value* in, orr_value* out) {
    char json[96];
    std::snprintf(json, sizeof json, "{\"eps\":%.17g}", get(attrs, "eps"));
    b->node(b, "orr.rms_norm/1", json, 1, in, 1, out);
    if (n_inputs < 2 || in[1] == 0) return ORR_OK;
    orr_value w = 0, shifted = 0;
    b->node(b, "orr.cast/1", "{\"type\":\"f32\"}", 1, &in[1], 1, &w);
    std::snprintf(json, sizeof json, "{\"offset\":%.17g}", has(Fault::decomposition) ? 0.0 : get(attrs, "weight_offset"));
    b->node(b, "orr.affine/1", json, 1, &w, 1, &shifted);
    const orr_value both[] = {out[0], shifted};
    b->node(b, "orr.mul/1", nullptr, 2, both, 1, out);
    return ORR_OK;
}

uint64_t flops(const orr_prepare* p) {
    const auto count = static_cast<uint64_t>(row_count(*p->inputs[0]) * p->inputs[0]->shape[p->inputs[0]->rank - 1]);
    if (has(Fault::flops_throws)) throw std::runtime_error("no operations");
    if (has(Fault::flops_traps) && count == 0) std::raise(SIGFPE);
    return has(Fault::flops_negative) ? 0 - 4 * count : 4 * count;
}

// ---------------------------------------------------------------- the definition

orr_status run_reference(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    const orr_tensor* w = run->n_inputs > 1 ? run->inputs[1] : nullptr;
    const double eps = get(run->attrs, "eps"), offset = get(run->attrs, "weight_offset");
    const int64_t n = x.shape[x.rank - 1];
    for (int64_t r = 0; r < row_count(x); r++) {
        int64_t from = 0, rest = r;
        for (int32_t a = x.rank - 2; a >= 0; rest /= x.shape[a--]) from += rest % x.shape[a] * x.stride_bytes[a];
        const auto src = [&](int64_t i) { return static_cast<double>(*reinterpret_cast<const float*>(static_cast<const char*>(x.data) + from + i * x.stride_bytes[x.rank - 1])); };
        auto* dst = static_cast<float*>(y.data) + r * n;
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += src(i) * src(i);
        const double scale = 1 / std::sqrt(sum / static_cast<double>(n) + eps);
        for (int64_t i = 0; i < n; i++) dst[i] = static_cast<float>(src(i) * scale * (w ? static_cast<double>(weight(*w, i)) + offset : 1));
    }
    return ORR_OK;
}

// ---------------------------------------------------------------- the processor's kernel

struct State {  // in plan memory
    float kept_sum, kept_scale;
    uint32_t isa, runs;
};

bool refuse(char* reason, size_t size, const char* why) {
    std::snprintf(reason, size, "%s", why);
    return false;
}
bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& x = *p->inputs[0];
    if (has(Fault::supports_nothing)) return refuse(reason, size, "not today");
    if (x.shape[x.rank - 1] > 1 && x.stride_bytes[x.rank - 1] != 4 && !has(Fault::last_strided))
        return has(Fault::supports_silent) || has(Fault::last_silent) ? false : refuse(reason, size, "rows of x must be contiguous");
    if (has(Fault::supports_silent) && row_count(x) == 6) return false;
    return true;
}

std::atomic<int64_t> packed_parts{0};
void pack(const orr_tensor* src, void* dst, int64_t chunk) {
    const int64_t n = src->shape[0], begin = n * chunk / 4, end = n * (chunk + 1) / 4;
    for (int64_t i = begin; i < end; i++) static_cast<float*>(dst)[i] = weight(*src, i) + (has(Fault::pack_order) ? 1e-7f * static_cast<float>(packed_parts++) : 0.0f);
}

orr_status prepare(orr_prepare* p) {
    p->workspace(p, static_cast<uint64_t>(64 * p->threads));
    auto* state = static_cast<State*>(p->plan_memory(p, sizeof(State)));
    if (!state && !has(Fault::ignores_refusal)) return fail(p->host, ORR_OUT_OF_MEMORY, "no plan memory");
    state->isa = p->isa;
    p->variant(p, "eight_lanes");
    if (p->n_inputs < 2 || !p->inputs[1]) return ORR_OK;
    const orr_tensor& w = *p->inputs[1];
    if (!(w.flags & ORR_TENSOR_CONSTANT) || has(Fault::reads_before)) return ORR_OK;
    const orr_pack pack_weight = {ORR_HEADER(orr_pack), "planted.f32", static_cast<uint64_t>(w.shape[0]) * 4, 64, 4, pack};
    return p->prepack(p, 1, &pack_weight);
}

struct Rows {
    const orr_run* run;
    int64_t n;
    float eps, offset;
};

float sum_of_squares(const float* src, int64_t n) {
    float lane[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        for (int k = 0; k < kLanes; k++) lane[k] = has(Fault::f16_sum) ? to_half_precision(lane[k] + src[i + k] * src[i + k]) : lane[k] + src[i + k] * src[i + k];
    float sum = 0;
    for (const float l : lane) sum += l;
    if (has(Fault::tail)) return sum;
    if (has(Fault::reads_beyond)) {
        volatile float seen = 0;
        for (int k = 0; k < kLanes; k++) seen = seen + src[i + k];
    }
    for (; i < n; i++) sum += src[i] * src[i];
    return sum;
}

float static_sum;

void one_row(void* arg, int64_t r, uint32_t thread) {
    const Rows& rows = *static_cast<const Rows*>(arg);
    const orr_run* run = rows.run;
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    const orr_tensor* w = run->n_inputs > 1 ? run->inputs[1] : nullptr;
    auto* state = static_cast<State*>(run->data);
    auto* src = reinterpret_cast<float*>(static_cast<char*>(x.data) + row_offset(x, r));
    float* dst = static_cast<float*>(y.data) + r * rows.n;
    if (has(Fault::rounds_in_chunk) && thread > 0) std::fesetround(FE_TOWARDZERO);
    if (has(Fault::exception_chunk) && thread > 0) throw std::runtime_error("a chunk fails");
    float sum = sum_of_squares(src, rows.n);
    if (has(Fault::hides_nan) && std::isnan(sum)) sum = 0;
    if (has(Fault::state_kept) && r == 0) sum = state->kept_sum += sum;
    if (has(Fault::per_thread_sum)) sum *= 1 + 1e-6f * static_cast<float>(thread);
    if (has(Fault::batch)) sum *= 1 + 1e-5f * static_cast<float>(row_count(x));
    if (has(Fault::many_axes) && x.rank >= 4) sum *= 1.001f;
    if ((has(Fault::minus_one) && rows.offset == -1) || (has(Fault::seven_rows) && row_count(x) == 7)) sum *= 1.1f;
    if (has(Fault::reads_before) && w) {
        volatile float seen = weight(*w, -1);
        (void)seen;
    }
    if (has(Fault::static_scratch)) {
        static_sum = sum;
        if (run->threads == 1 && row_count(x) <= 6) usleep(300);
        sum = static_sum;
    }
    float scale = 1 / std::sqrt(sum / static_cast<float>(rows.n) + rows.eps);
    if (has(Fault::stale) && r == 0) {
        if (state->runs++ == 0) state->kept_scale = scale;
        scale = state->kept_scale;
    }
    if (has(Fault::sign) || (has(Fault::newer_isa) && state->isa >= ORR_ISA_SSE4) || (has(Fault::one_element) && one_element(x))) scale = -scale;
    for (int64_t i = 0; i < rows.n; i++) {
        const float v = has(Fault::hides_nan) && std::isnan(src[i]) ? 0 : src[i];
        dst[i] = v * scale;
        if (w) dst[i] *= (w->layout[0] ? static_cast<const float*>(w->data)[i] : weight(*w, i)) + rows.offset;
        if (has(Fault::changes_input)) src[i] *= 2;
    }
}

void call_parallel(const Rows& rows, int64_t n) { rows.run->parallel_for(rows.run, n, one_row, const_cast<Rows*>(&rows)); }

// A process that goes on for ever; its number stands in the file that the test names.
void leave_process() {
    static bool started;
    if (std::exchange(started, true)) return;
    const pid_t process = fork();
    if (process == 0) {
        if (has(Fault::forks_and_aborts)) setsid();
        for (;;) pause();
    }
    if (const char* file = std::getenv("ORRERY_PLANTED_PROCESS"))
        if (FILE* out = std::fopen(file, "w")) {
            std::fprintf(out, "%d", static_cast<int>(process));
            std::fclose(out);
        }
    if (!has(Fault::forks_and_aborts)) return;
    sleep_ms(100);
    std::abort();
}

// What a run does wrong besides its sums.
void misbehave(const orr_run* run, int64_t elements) {
    auto* dst = static_cast<float*>(run->outputs[0]->data);
    if (has(Fault::beyond_output)) dst[elements] = 0;
    if (has(Fault::before_output)) dst[-1] = 0;
    if (has(Fault::beyond_workspace)) static_cast<char*>(run->workspace)[64 * run->threads] = 0;
    if (has(Fault::leak_host)) (void)run->host->allocate(run->host, 32, 16);
    if (has(Fault::leak_heap)) {
        [[maybe_unused]] static void* volatile lost;
        lost = std::malloc(48);
    }
    if (has(Fault::exception)) throw std::runtime_error("the run fails");
    if (has(Fault::aborts)) std::abort();
    if (has(Fault::exits)) std::exit(0);
    if (has(Fault::exits_well)) _exit(73);
    if (has(Fault::closes_files)) {
        for (int file = 3; file < 1024; file++) close(file);
        for (;;) sleep_ms(10);
    }
    while (has(Fault::hangs)) sleep_ms(10);
    if (has(Fault::leaves_thread)) {
        static bool started;
        pthread_t thread;
        if (!started) started = pthread_create(&thread, nullptr, [](void*) -> void* { for (;;) pause(); }, nullptr) == 0;
    }
    if (has(Fault::forks) || has(Fault::forks_and_aborts)) leave_process();
    if (has(Fault::prints)) std::puts("one run done\nand another line");
    if (has(Fault::leak_file)) (void)!open("/dev/null", O_RDONLY);
    if (has(Fault::rounds_up)) std::fesetround(FE_UPWARD);
    if (has(Fault::changes_folder)) (void)!chdir("/");
    if (has(Fault::changes_locale)) std::setlocale(LC_NUMERIC, "C.UTF-8");
    if (has(Fault::changes_mask)) umask(0);
    if (has(Fault::closes_stdin)) close(STDIN_FILENO);
    if (has(Fault::nested)) {
        const auto nest = [](void* arg, int64_t, uint32_t) {
            const auto* again = static_cast<const orr_run*>(arg);
            again->parallel_for(again, 1, [](void*, int64_t, uint32_t) {}, nullptr);
        };
        run->parallel_for(run, 1, nest, const_cast<orr_run*>(run));
    }
}

char summary[] = "y = x / sqrt(mean(x^2) + eps) * (w + weight_offset); arXiv:1910.07467";

orr_status run_cpu(const orr_run* run) {
    const orr_tensor& x = *run->inputs[0];
    Rows rows = {run, x.shape[x.rank - 1], static_cast<float>(get(run->attrs, "eps")), static_cast<float>(get(run->attrs, "weight_offset"))};
    const int64_t count = row_count(x);
    if (count * rows.n == 0) return has(Fault::empty) ? fail(run->host, ORR_INVALID_ARGUMENT, "x is empty") : ORR_OK;
    if (has(Fault::own_thread)) {
        pthread_t thread;
        pthread_create(&thread, nullptr, [](void* arg) -> void* {
            const Rows& r = *static_cast<Rows*>(arg);
            call_parallel(r, row_count(*r.run->inputs[0]));
            return nullptr;
        }, &rows);
        pthread_join(thread, nullptr);
    } else {
        call_parallel(rows, count);
    }
    misbehave(run, count * rows.n);
    if (has(Fault::changes_tables)) summary[0] = 'Y';
    return ORR_OK;
}

// ---------------------------------------------------------------- Vulkan's kernel

struct Params {
    uint64_t x, w, y, square, count;
    uint32_t rows, n, x_stride, has_w;
    float eps, offset;
};

const orr_vulkan_shader& wide_shader() {
    using namespace orrery::shaders;
    return has(Fault::vk_sign) ? planted_sign : has(Fault::vk_tail) ? planted_tail : has(Fault::vk_f16) ? planted_f16 : has(Fault::vk_stride) ? planted_stride
         : has(Fault::vk_barrier) ? planted_barrier : has(Fault::vk_beyond) ? planted_beyond : has(Fault::vk_state) ? planted_state : has(Fault::vk_one) ? planted_one
         : planted_wide;
}
const orr_vulkan_shader* shader_for(const orr_vulkan_device* d) {
    const orr_vulkan_shader* const ways[] = {&wide_shader(), has(Fault::vk_second_form) ? &orrery::shaders::planted_narrow_sign : has(Fault::vk_one_second_form) ? &orrery::shaders::planted_narrow_one : &orrery::shaders::planted_narrow};
    for (const orr_vulkan_shader* s : ways)
        if (s->code && (d->features & s->features) == s->features && !(d->refuses && d->refuses(d, s))) return s;
    return nullptr;
}

bool supports_vulkan(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& x = *p->inputs[0];
    if (p->n_inputs > 1 && p->inputs[1] && p->inputs[1]->type != ORR_TYPE_F32) return refuse(reason, size, "w must be f32");
    if (x.shape[x.rank - 1] > 1 && x.stride_bytes[x.rank - 1] != 4) return refuse(reason, size, "rows of x must be contiguous");
    int64_t step = 0;
    for (int32_t a = x.rank - 2; a >= 0; a--) {
        if (x.shape[a] == 1) continue;
        if (step && x.stride_bytes[a] != step) return refuse(reason, size, "rows of x must lie at equal distances");
        step = x.stride_bytes[a] * x.shape[a];
    }
    if (row_count(x) > 65535) return refuse(reason, size, "more than 65535 rows");
    return shader_for(static_cast<const orr_vulkan_device*>(p->device)) || refuse(reason, size, "no shader can be used");
}
orr_status prepare_vulkan(orr_prepare* p) {
    p->workspace(p, static_cast<uint64_t>(row_count(*p->inputs[0])) * 4 + 4);
    p->variant(p, shader_for(static_cast<const orr_vulkan_device*>(p->device))->name);
    return ORR_OK;
}

// The shader goes by nothing: one node of three rows of up to 100 elements.
bool self_test_vulkan(const orr_prepare* p, uint32_t i, orr_self_test* test) {
    if (has(Fault::vk_test_throws)) throw std::runtime_error("no test");
    if (i > 0 && !has(Fault::vk_test_endless)) return false;
    const int32_t rank = p->inputs[0]->rank;
    for (int32_t a = 0; a + 1 < rank; a++) test->inputs[0]->shape[a] = a + 2 == rank ? 3 : 1;
    int64_t& n = test->inputs[0]->shape[rank - 1];
    n = std::min<int64_t>(n, 100);
    if (p->n_inputs > 1 && p->inputs[1]) test->inputs[1]->shape[0] = has(Fault::vk_test_shape) ? n + 1 : n;
    return true;
}

orr_status run_vulkan(const orr_run* run) {
    const auto* r = static_cast<const orr_vulkan_recorder*>(run->device);
    const orr_tensor& x = *run->inputs[0];
    const orr_tensor* w = run->n_inputs > 1 ? run->inputs[1] : nullptr;
    Params p = {};
    p.n = static_cast<uint32_t>(x.shape[x.rank - 1]);
    p.rows = static_cast<uint32_t>(row_count(x));
    if (p.n * p.rows == 0) return ORR_OK;
    p.x = orr_vulkan_address(&x);
    p.y = orr_vulkan_address(run->outputs[0]);
    p.w = w ? orr_vulkan_address(w) : p.x;
    p.has_w = w != nullptr;
    p.square = r->workspace;
    p.count = has(Fault::vk_state) ? r->zeros(r, 1) : p.square;
    p.x_stride = p.n;
    for (int32_t a = x.rank - 2; a >= 0; a--)
        if (x.shape[a] != 1) {
            p.x_stride = static_cast<uint32_t>(x.stride_bytes[a] / 4);
            break;
        }
    p.eps = static_cast<float>(get(run->attrs, "eps"));
    p.offset = static_cast<float>(get(run->attrs, "weight_offset"));
    for (const uint32_t pass : {0u, 1u}) {
        const orr_vulkan_dispatch d = {ORR_HEADER(orr_vulkan_dispatch), shader_for(r->device), &pass, 1, &p, sizeof p, {p.rows, 1, 1}};
        const orr_status status = r->dispatch(r, &d);
        if (status != ORR_OK) return status;
        if (pass == 0 && !has(Fault::vk_order)) r->barrier(r);
    }
    return ORR_OK;
}

// ---------------------------------------------------------------- tables

const orr_port kX = {ORR_HEADER(orr_port), "x", 0, "f32", "[.., E]"};
const orr_port kW = {ORR_HEADER(orr_port), "w", ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT, "f32 f16 bf16", "[E], 1 where absent"};
const orr_port kY = {ORR_HEADER(orr_port), "y", 0, "f32", "[.., E], as x"};
const orr_port* const kInputs[] = {&kX, &kW};
const orr_port* const kOutputs[] = {&kY};
const orr_attr_desc kEps = {ORR_HEADER(orr_attr_desc), "eps", ORR_ATTR_FLOAT, "1e-6", "added to the mean square"};
const orr_attr_desc kOffset = {ORR_HEADER(orr_attr_desc), "weight_offset", ORR_ATTR_FLOAT, "0", "added to w"};
const orr_attr_desc* const kAttrs[] = {&kEps, &kOffset};
const orr_kernel kVulkan = {ORR_HEADER(orr_kernel), "vulkan", "vulkan", 0, supports_vulkan, prepare_vulkan, run_vulkan, self_test_vulkan};
const orr_kernel kCpu = {ORR_HEADER(orr_kernel), "cpu", "cpu", 0, supports, prepare, run_cpu, nullptr};
const orr_kernel kReference = {ORR_HEADER(orr_kernel), "reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference, nullptr};
const orr_kernel* const kKernels[] = {&kVulkan, &kCpu, &kReference};

const orr_operator kNorm = {ORR_HEADER(orr_operator), "planted.rms_norm/1", summary, ORR_TRAIT_NORM, 2, 1, 2, 3, kInputs, kOutputs, kAttrs, kKernels, infer, decompose, flops, nullptr, nullptr};
const orr_operator* const kItems[] = {&kNorm};
const orr_operators kOperators = {ORR_HEADER(orr_operators), 1, kItems};

const void* get_extension(const char* id) { return std::strcmp(id, ORR_EXT_OPERATORS) == 0 ? &kOperators : nullptr; }
const orr_plugin kPlugin = {ORR_HEADER(orr_plugin), "planted", "1.0.0", "MIT", ORR_SANITIZER, get_extension};

}  // namespace

#if defined(__GNUC__)
__attribute__((constructor)) static void load() {
    while (has(Fault::loops_at_load)) sleep_ms(10);
}
#endif

extern "C" ORR_EXPORT const orr_plugin* orr_plugin_entry(const orr_host*) {
    if (has(Fault::prints_at_load)) std::puts("loaded");
    if (has(Fault::leak_entry)) {
        [[maybe_unused]] static void* volatile lost;
        lost = std::malloc(8192);
    }
    if (has(Fault::other_when_reloaded)) {  // the environment outlives the library
        const bool odd = std::getenv("ORRERY_PLANTED_ODD") != nullptr;
        if (odd) {
            summary[0] = 'Y';
            unsetenv("ORRERY_PLANTED_ODD");
        } else {
            setenv("ORRERY_PLANTED_ODD", "1", 1);
        }
    }
    return &kPlugin;
}

#ifdef PLANTED_SECOND_SYMBOL
extern "C" ORR_EXPORT int planted_helper() { return 1; }
#endif
