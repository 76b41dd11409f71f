// Three small operators with a fault in one of them: a recurrence with a state and a cache, an elementwise function, a view.
// trail: h[b, t, c] = h[b, t - 1, c] / 2 + x[b, t, c], y = h; h before 0 is the state, h at the end the new one; the cache keeps x
// x, y: [B, T, C] f32    state: [B, C] f32, layout rows    cache: [B, S, 1, C] f32, paged
// FAULT is one of those of faults.txt that begin with st_; each makes a plugin of its own.
#include <cstdio>
#include <cstring>

#include "orrery/plugin.hpp"

namespace {

using namespace orrery;

enum class Fault { st_none, st_kept, st_past_kept, st_address, st_anew, st_first_row, st_beyond, st_in_place, st_page, st_range_text, st_narrow_range, st_default, st_alias, st_view, st_axis_number, st_axis_rank, st_axis_other };
constexpr Fault kFault = Fault::FAULT;
constexpr bool has(Fault f) { return kFault == f; }

// ---------------------------------------------------------------- trail

enum : uint32_t { kX, kState, kCache };

void infer_trail(const Infer& i) {
    i.rank(kX, 3, "planted.trail/1: x");
    i.rank(kState, 2, "planted.trail/1: state");
    i.rank(kCache, 4, "planted.trail/1: cache");
    const orr_value_info &x = i.in(kX), &state = i.in(kState), &cache = i.in(kCache);
    i.same(state.dims[0], x.dims[0], "planted.trail/1: batch of state against x");
    i.same(state.dims[1], x.dims[2], "planted.trail/1: channels of state against x");
    i.same(cache.dims[0], x.dims[0], "planted.trail/1: batch of cache against x");
    i.same(cache.dims[2], 1, "planted.trail/1: heads of cache");
    i.same(cache.dims[3], x.dims[2], "planted.trail/1: width of cache against x");
    i.out(0, ORR_TYPE_F32, Infer::dims(x));
}
orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        infer_trail(Infer(raw));
        for (const uint32_t n : {1u, 2u}) {
            orr_value_info& out = *raw->outputs[n];
            const orr_value_info& in = *raw->inputs[n];
            out.type = in.type, out.rank = in.rank, out.layout = in.layout;
            std::memcpy(out.dims, in.dims, sizeof in.dims);
        }
    });
}

float* row_of(const orr_tensor& t, int64_t b) { return static_cast<float* const*>(t.data)[b]; }
const orr_paged& table_of(const orr_tensor& t, int64_t b) { return *static_cast<const orr_paged* const*>(t.data)[b]; }

struct Kept {  // in plan memory
    float sum;
    int64_t past, runs;
    const float* address;
};

orr_status run_trail(const orr_run* run, bool definition) {
    const orr_tensor &x = *run->inputs[kX], &y = *run->outputs[0];
    const int64_t tokens = x.shape[1], width = x.shape[2];
    const float decay = static_cast<float>(run->attrs->get_float(run->attrs, "decay"));
    auto* kept = static_cast<Kept*>(run->data);
    for (int64_t b = 0; b < x.shape[0]; b++) {
        const float* before = row_of(*run->inputs[kState], !definition && has(Fault::st_first_row) ? 0 : b);
        if (!definition && has(Fault::st_address) && b == 0) before = kept->runs > 0 ? kept->address : (kept->address = before);
        float* after = row_of(*run->outputs[1], b);
        const orr_paged& table = table_of(*run->outputs[2], b);
        int64_t past = table.past;
        if (!definition && has(Fault::st_past_kept) && b == 0) past = kept->runs > 0 ? kept->past : (kept->past = past);
        if (!definition && has(Fault::st_in_place)) after[0] = 0;
        for (int64_t c = 0; c < width; c++) {
            float h = before[c];
            if (has(Fault::st_anew) && tokens > 1) h = 0;
            if (!definition && has(Fault::st_kept) && b == 0 && c == 0 && kept->runs > 0) h = kept->sum;
            for (int64_t t = 0; t < tokens; t++) {
                const auto value = *reinterpret_cast<const float*>(static_cast<const char*>(x.data) + b * x.stride_bytes[0] + t * x.stride_bytes[1] + c * x.stride_bytes[2]);
                h = decay * h + value;
                static_cast<float*>(y.data)[(b * tokens + t) * width + c] = h;
                const int64_t page = !definition && has(Fault::st_page) ? past / table.page_tokens : (past + t) / table.page_tokens;
                static_cast<float*>(table.pages[page])[(past + t) % table.page_tokens * width + c] = value;
            }
            after[c] = h;
            if (!definition && b == 0 && c == 0) kept->sum = h;
        }
        if (!definition && has(Fault::st_beyond)) after[width] = 0;
    }
    if (!definition) kept->runs++;
    return ORR_OK;
}
orr_status prepare_trail(orr_prepare* p) { return p->plan_memory(p, sizeof(Kept)) ? ORR_OK : p->host->fail(p->host, ORR_OUT_OF_MEMORY, "no plan memory"); }

// What decay may be; the default is 0.5, a case has 0.25.
constexpr const char* kDecayRange = has(Fault::st_default) ? "[0.6, 1]" : has(Fault::st_range_text) ? "[0, 1" : has(Fault::st_narrow_range) ? "[0.5, 1]" : "[0, 1]";

// ---------------------------------------------------------------- twice: y = 2 x

void twice(const orr_attrs*, const float* const* src, float* dst, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        dst[i] = has(Fault::st_alias) ? 1.5f * src[0][i] : 2 * src[0][i];
        if (has(Fault::st_alias)) dst[i] += 0.5f * src[0][i];
    }
}
void infer_same(const Infer& i) { i.out(0, ORR_TYPE_F32, Infer::dims(i.in(0))); }
orr_status run_twice(const orr_run* run) {
    const orr_tensor& x = *run->inputs[0];
    for (int64_t i = 0; i < elements(x); i++) {
        int64_t offset = 0, rest = i;
        for (int32_t a = x.rank - 1; a >= 0; rest /= x.shape[a--]) offset += rest % x.shape[a] * x.stride_bytes[a];
        static_cast<float*>(run->outputs[0]->data)[i] = 2 * *reinterpret_cast<const float*>(static_cast<const char*>(x.data) + offset);
    }
    return ORR_OK;
}

// ---------------------------------------------------------------- rest: y = x without its first row

void infer_rest(const Infer& i) {
    i.rank(0, 2, "planted.rest/1: x");
    if (i.in(0).dims[0] == 0) throw Error(ORR_INVALID_ARGUMENT, "planted.rest/1: x has 0 rows");
    i.out(0, ORR_TYPE_F32, {i.sub(i.in(0).dims[0], 1), i.in(0).dims[1]});
}
bool view_rest(const orr_prepare* p, orr_tensor* out) {
    const orr_tensor& x = *p->inputs[0];
    for (int a = 0; a < 2; a++) out->shape[a] = x.shape[a] - (a == 0), out->stride_bytes[a] = x.stride_bytes[a];
    out->offset = has(Fault::st_view) ? 0 : static_cast<uint64_t>(x.stride_bytes[0]);
    return true;
}
orr_status run_rest(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    for (int64_t r = 0; r < y.shape[0]; r++)
        for (int64_t i = 0; i < y.shape[1]; i++)
            static_cast<float*>(y.data)[r * y.shape[1] + i] = *reinterpret_cast<const float*>(static_cast<const char*>(x.data) + (r + 1) * x.stride_bytes[0] + i * x.stride_bytes[1]);
    return ORR_OK;
}

// ---------------------------------------------------------------- tables

const orr_operator* trail_operator() {
    static const Operator op = Operator("planted.trail/1", "h = decay h + x")
                                   .input("x", "f32", "[B, T, C]")
                                   .input("state", "f32", "[B, C]", 0, "rows")
                                   .input("cache", "f32", "[B, S, 1, C]", 0, "paged")
                                   .output("y", "[B, T, C]")
                                   .token_axis(has(Fault::st_axis_number) ? 8 : has(Fault::st_axis_rank) ? 3 : has(Fault::st_axis_other) ? 2 : 1)
                                   .output("new_state", "[B, C], may be the state", "f32", 0, "rows")
                                   .output("kept", "the cache", "f32", 0, "paged")
                                   .attr("decay", ORR_ATTR_FLOAT, "0.5", "what is kept of h", kDecayRange)
                                   .traits(ORR_TRAIT_STATEFUL)
                                   .infer(infer)
                                   .kernel({"cpu", "cpu", 0, nullptr, prepare_trail, [](const orr_run* r) { return run_trail(r, false); }})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, [](const orr_run* r) { return run_trail(r, true); }});
    return op.table();
}
const orr_operator* twice_operator() {
    static const Operator op = Operator("planted.twice/1", "y = 2 x")
                                   .input("x", "f32", "any shape")
                                   .output("y", "as x")
                                   .traits(ORR_TRAIT_ELEMENTWISE)
                                   .infer(infer_guard<infer_same>)
                                   .elementwise(twice)
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_twice});
    return op.table();
}
const orr_operator* rest_operator() {
    static const Operator op = Operator("planted.rest/1", "y = x[1:]")
                                   .input("x", "f32", "[R, C]")
                                   .output("y", "[R - 1, C]")
                                   .traits(ORR_TRAIT_VIEW)
                                   .infer(infer_guard<infer_rest>)
                                   .view(view_rest)
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_rest});
    return op.table();
}

const void* get_extension(const char* id) {
    static const orr_operator* const items[] = {trail_operator(), twice_operator(), rest_operator()};
    static const orr_operators operators = {ORR_HEADER(orr_operators), 3, items};
    return std::strcmp(id, ORR_EXT_OPERATORS) == 0 ? &operators : nullptr;
}
const orr_plugin kPlugin = {ORR_HEADER(orr_plugin), "planted_states", "1.0.0", "MIT", ORR_SANITIZER, get_extension};

}  // namespace

extern "C" ORR_EXPORT const orr_plugin* orr_plugin_entry(const orr_host*) { return &kPlugin; }
