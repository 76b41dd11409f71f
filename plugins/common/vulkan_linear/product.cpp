#include "vulkan_linear/product.hpp"

#include "common/product_params.h"

namespace orrery::vk {
namespace {

using namespace shaders;

constexpr int64_t kGemvRows = 8;      // of x, in one pass over the weights
constexpr int64_t kGemvMostRows = 32;  // up to here several passes beat tiles that are mostly empty
constexpr uint32_t kGemmSide = 64;
constexpr uint32_t kF16SharedBytes = 42 * 1024;  // of the largest tile

enum class Form : uint32_t { gemv, gemm, f16_32, f16_64, f16_128 };

// What prepare decides for run.
struct Plan {
    Form form;
    bool fixed;  // gemv may take x as integers
};

// Weights that are integers times a scale, without a table.
bool is_codes(uint32_t type) { return type > TILE_BF16 && type < TILE_IQ4_NL; }

struct F16Tile {
    uint32_t x_rows, weight_rows;
};
F16Tile tile_of(Form form) {
    if (form == Form::f16_32) return {32, 128};
    if (form == Form::f16_64) return {64, 128};
    return {128, 128};
}
const orr_vulkan_shader& shader_of(const ProductShaders& s, Form form) {
    switch (form) {
        case Form::gemv: return s.gemv;
        case Form::gemm: return s.gemm;
        case Form::f16_32: return s.f16_32;
        case Form::f16_64: return s.f16_64;
        default: return s.f16_128;
    }
}
const char* variant_of(Form form) {
    switch (form) {
        case Form::gemv: return "gemv";
        case Form::gemm: return "gemm";
        case Form::f16_32: return "f16_32";
        case Form::f16_64: return "f16_64";
        default: return "f16_128";
    }
}

bool packed(const orr_tensor& w) { return w.flags & ORR_TENSOR_CONSTANT; }

uint32_t type_in_shader(const orr_tensor& w) {
    const uint32_t type = static_cast<uint32_t>(tile_type(w));
    return packed(w) ? type : TILE_RAW_F32 + type;
}

// Activations in f16 where the numerics allow and the device has matrices for them.
Form form_of(const orr_prepare* p, const ProductShaders& s, const ProductCall& c) {
    for (uint32_t i = 0; i < c.parts; ++i)
        if (!packed(*c.w[i])) return Form::gemm;
    const int64_t n = rows(*c.x);
    if (n <= kGemvRows) return Form::gemv;
    const Form matrices = n <= 32 ? Form::f16_32 : n <= 64 ? Form::f16_64 : Form::f16_128;
    const bool one_type = !c.gated || tile_type(*c.w[0]) == tile_type(*c.w[1]);
    char ignored[256];
    if (p->numerics != ORR_NUMERICS_EXACT && one_type && can_run(device(p), shader_of(s, matrices), ignored, sizeof ignored) && device(p).shared_bytes >= kF16SharedBytes) return matrices;
    return n <= kGemvMostRows ? Form::gemv : Form::gemm;
}

// Rows at equal distances, few enough elements for 32-bit indices.
bool takes_rows(const orr_tensor& t, const char* name, char* reason, size_t size) {
    if (*t.layout) return refuse(reason, size, std::string(name) + " has layout " + t.layout);
    if (!even_rows(t)) return refuse(reason, size, std::string("the rows of ") + name + " lie at uneven distances");
    const int64_t stride = row_stride_bytes(t), reach = rows(t) * stride;
    if (stride < 0 || stride % 4 || reach >= int64_t{1} << 33) return refuse(reason, size, std::string("the rows of ") + name + " lie " + std::to_string(stride) + " bytes apart");
    return true;
}

bool takes_weight(const ProductCall& c, uint32_t i, char* reason, size_t size) {
    const orr_tensor& w = *c.w[i];
    if (packed(w)) return can_pack(w, c.transposed, reason, size);
    const int32_t type = tile_type(w);
    if (type < 0 || type > static_cast<int32_t>(TILE_BF16)) return refuse(reason, size, "weights " + describe(w) + " that are not constant");
    if (*w.layout) return refuse(reason, size, std::string("weights come in layout ") + w.layout);
    if (w.stride_bytes[0] < 0 || elements(w) >= int64_t{1} << 31 || w.shape[0] * w.stride_bytes[0] >= int64_t{1} << 32) return refuse(reason, size, "weights " + describe(w) + " reach too far");
    if (c.gated && i == 1 && !packed(*c.w[0]) && w.stride_bytes[0] / w.block_bytes != c.w[0]->stride_bytes[0] / c.w[0]->block_bytes) return refuse(reason, size, "the rows of the two weights lie at unlike distances");
    return true;
}

bool takes_bias(const orr_tensor* bias, char* reason, size_t size) {
    if (!bias) return true;
    if (bias->type != ORR_TYPE_F32 && bias->type != ORR_TYPE_F16 && bias->type != ORR_TYPE_BF16) return refuse(reason, size, "a bias is " + describe(*bias));
    return (!*bias->layout && is_contiguous(*bias)) || refuse(reason, size, "a bias is not contiguous");
}

int64_t weight_rows(const ProductCall& c, uint32_t i) { return c.w[i]->shape[c.transposed ? 1 : 0]; }

ProductParams common_params(const ProductCall& c) {
    ProductParams p{};
    p.x = address(c.x);
    p.residual = address(c.residual);
    p.k = static_cast<uint32_t>(c.x->shape[c.x->rank - 1]);
    p.tokens = static_cast<uint32_t>(rows(*c.x));
    p.x_stride = static_cast<uint32_t>(row_stride_bytes(*c.x) / 4);
    p.scale = c.scale;
    p.residual_stride = c.residual ? static_cast<uint32_t>(row_stride_bytes(*c.residual) / 4) : 0;
    return p;
}

void set_part(ProductParams& p, uint32_t slot, const ProductCall& c, uint32_t i) {
    uint64_t* const ws[] = {&p.w0, &p.w1, &p.w2};
    uint64_t* const biases[] = {&p.bias0, &p.bias1, &p.bias2};
    uint64_t* const ys[] = {&p.y0, &p.y1, &p.y2};
    uint32_t* const ns[] = {&p.n0, &p.n1, &p.n2};
    *ws[slot] = address(c.w[i]);
    *biases[slot] = address(c.bias[i]);
    *ys[slot] = c.gated && i ? 0 : address(c.y[i]);
    *ns[slot] = static_cast<uint32_t>(weight_rows(c, i));
    if (c.bias[i]) p.bias_types |= c.bias[i]->type << (8 * slot);
}

// Elements between rows and between columns.
void set_raw_strides(ProductParams& p, const ProductCall& c, uint32_t i) {
    const orr_tensor& w = *c.w[i];
    const uint32_t outer = static_cast<uint32_t>(w.stride_bytes[0] / w.block_bytes);
    p.n1 = c.transposed ? 1 : outer;
    p.n2 = c.transposed ? outer : 1;
}

bool in_f16(Form form) { return form != Form::gemv && form != Form::gemm; }
// Of one row of x.
uint64_t x_f16_bytes(const ProductCall& c) { return divide_up(static_cast<uint64_t>(c.x->shape[c.x->rank - 1]), 32) * 64; }

// Weight tiles of a dispatch, `rows_of` rows each.
uint64_t tiles_of(const ProductCall& c, const ProductParams& p, bool raw, uint32_t rows_of) {
    uint64_t n = divide_up(p.n0, rows_of);
    if (!raw && !c.gated) n += divide_up(p.n1, rows_of) + divide_up(p.n2, rows_of);
    return n;
}

orr_status dispatch_product(const orr_run* run, const ProductShaders& s, const ProductCall& c, const ProductParams& p, uint32_t type0, uint32_t type1) {
    const Plan& plan = *static_cast<const Plan*>(run->data);
    const Form form = plan.form;
    const bool raw = type0 >= TILE_RAW_F32;
    const uint32_t act = static_cast<uint32_t>(c.activation), gated = c.gated;
    if (form == Form::gemm) {
        const Groups groups{static_cast<uint32_t>(divide_up(p.tokens, kGemmSide)), static_cast<uint32_t>(tiles_of(c, p, raw, kGemmSide)), 1};
        return dispatch(run, s.gemm, {type0, type1, act, gated}, p, groups);
    }
    if (form != Form::gemv) {
        const F16Tile tile = tile_of(form);
        const Groups groups{static_cast<uint32_t>(divide_up(p.tokens, tile.x_rows)), static_cast<uint32_t>(tiles_of(c, p, raw, c.gated ? tile.weight_rows / 2 : tile.weight_rows)), 1};
        return dispatch(run, shader_of(s, form), {type0, type1, act, gated}, p, groups);
    }
    uint32_t width = 1;
    while (width < p.tokens && width < kGemvRows) width *= 2;
    // Two row tiles a workgroup halve the reads of x, where enough workgroups are left to fill the device.
    const uint32_t sets = c.gated || tiles_of(c, p, raw, 32) >= 16ull * device(run).cores ? 2 : 1;
    const Groups groups{static_cast<uint32_t>(divide_up(p.tokens, width)), static_cast<uint32_t>(tiles_of(c, p, raw, c.gated ? 32 : 32 * sets)), 1};
    return dispatch(run, plan.fixed && is_codes(type0) && is_codes(type1) ? s.gemv_fixed : s.gemv, {type0, type1, act, gated, sets, width}, p, groups);
}

}  // namespace

bool product_supports(const orr_prepare* p, const ProductShaders& s, const ProductCall& c, char* reason, size_t size) {
    if (c.parts > kMostParts) return refuse(reason, size, std::to_string(c.parts) + " weights, the most is " + std::to_string(kMostParts));
    if (c.x->shape[c.x->rank - 1] == 0) return refuse(reason, size, "x has no columns");
    if (!takes_rows(*c.x, "x", reason, size) || (c.residual && !takes_rows(*c.residual, "residual", reason, size))) return false;
    for (uint32_t i = 0; i < c.parts; ++i) {
        if (!takes_weight(c, i, reason, size) || !takes_bias(c.bias[i], reason, size)) return false;
        if (i < p->n_outputs && (!is_contiguous(*c.y[i]) || elements(*c.y[i]) >= int64_t{1} << 31)) return refuse(reason, size, "an output is not contiguous, or has 2^31 elements");
    }
    if (c.gated && type_in_shader(*c.w[0]) != type_in_shader(*c.w[1])) {
        const auto has_table = [&](uint32_t i) { return type_in_shader(*c.w[i]) >= TILE_IQ4_NL; };
        if (has_table(0) && has_table(1)) return refuse(reason, size, "gated weights of types " + std::string(c.w[0]->type_id) + " and " + c.w[1]->type_id);
    }
    return can_run(device(p), shader_of(s, form_of(p, s, c)), reason, size);
}

orr_status product_prepare(orr_prepare* p, const ProductShaders& s, const ProductCall& c) {
    Plan* plan = static_cast<Plan*>(p->plan_memory(p, sizeof(Plan)));
    if (!plan) return ORR_OUT_OF_MEMORY;
    plan->form = form_of(p, s, c);
    char ignored[256];
    plan->fixed = plan->form == Form::gemv && p->numerics != ORR_NUMERICS_EXACT && can_run(device(p), s.gemv_fixed, ignored, sizeof ignored);
    p->variant(p, plan->fixed && is_codes(type_in_shader(*c.w[0])) ? "gemv_fixed" : variant_of(plan->form));
    if (in_f16(plan->form)) p->workspace(p, divide_up(static_cast<uint64_t>(rows(*c.x)), 128) * 128 * x_f16_bytes(c));
    for (uint32_t i = 0; i < c.parts; ++i) {
        if (!packed(*c.w[i])) continue;
        const orr_status status = pack_tiles(p, c.first_weight + i * c.weight_step, describe_tiles(*c.w[i], c.transposed), c.transposed);
        if (status != ORR_OK) return status;
    }
    return ORR_OK;
}

orr_status product_run(const orr_run* run, const ProductShaders& s, const ProductCall& c) {
    const Form form = static_cast<const Plan*>(run->data)->form;
    ProductParams common = common_params(c);
    if (common.tokens == 0) return ORR_OK;
    if (in_f16(form)) {
        const uint64_t workspace = recorder(run).workspace;
        common.y0 = workspace;
        const orr_status status = dispatch(run, s.to_f16, {}, common, groups(divide_up(common.tokens * (x_f16_bytes(c) / 8), 256)));
        if (status != ORR_OK) return status;
        recorder(run).barrier(&recorder(run));
        common.x = workspace;
    }
    if (c.gated) {
        ProductParams p = common;
        set_part(p, 0, c, 0);
        set_part(p, 1, c, 1);
        const uint32_t raw = packed(*c.w[0]) ? packed(*c.w[1]) ? 2 : 1 : 0;
        if (raw < 2) set_raw_strides(p, c, raw);
        return dispatch_product(run, s, c, p, type_in_shader(*c.w[0]), type_in_shader(*c.w[1]));
    }
    // Weights of one type share a dispatch, three at a time; raw ones have their own.
    bool done[kMostParts] = {};
    for (uint32_t i = 0; i < c.parts; ++i) {
        if (done[i]) continue;
        const uint32_t type = type_in_shader(*c.w[i]);
        ProductParams p = common;
        set_part(p, 0, c, i);
        if (type >= TILE_RAW_F32) set_raw_strides(p, c, i);
        for (uint32_t j = i + 1, slot = 1; j < c.parts && slot < 3 && type < TILE_RAW_F32; ++j)
            if (!done[j] && type_in_shader(*c.w[j]) == type) {
                done[j] = true;
                set_part(p, slot++, c, j);
            }
        const orr_status status = dispatch_product(run, s, c, p, type, type);
        if (status != ORR_OK) return status;
    }
    return ORR_OK;
}

}  // namespace orrery::vk
