#include "vulkan_linear/product.hpp"

#include <algorithm>
#include <bit>
#include <climits>
#include <set>
#include <vector>

#include "common/product_params.h"

namespace orrery::vk {
namespace {

using namespace shaders;

constexpr int64_t kGemvRows = 8;       // of x, in one pass over the weights
constexpr int64_t kGemvMostRows = 32;  // up to here several passes beat tiles that are mostly empty
constexpr uint32_t kGemmSide = 64;
constexpr int64_t kPreparedRows = 3;  // of x, from where on every workgroup would turn more of them into integers than it costs to wait
constexpr int64_t kMatrixRows = 3;     // of x, from where on cooperative matrices are worth it
constexpr uint32_t kSoftwareGroups = 64;                               // more only put x into shared memory more often
// Two workgroups that split a tile's k add up their sums in this time (in that of TileTime, about what an H200 takes with 4,096 columns). With fewer columns
// than these no tile is split: with 2,048 it takes longer there.
constexpr double kSplitTime = 0.17;
constexpr int64_t kLeastSplit = 2304;
constexpr uint32_t kGemvDeepBlocks = 16;  // of an invocation, from where on it has four on their way
constexpr uint32_t kGemvShared = 31 * 1024, kGemvWideShared = 48 * 1024;

constexpr Form kMatrixForms[] = {Form::narrow_16, Form::narrow_32, Form::direct_16, Form::direct_32, Form::tile_32k2, Form::tile_64,
                                 Form::tile_64k2, Form::tile_128, Form::f16_64, Form::f16_128, Form::f16_192, Form::coopmat2_128};

// The time of one tile on a core, and of two there at once, beside that of f16_128 with q4_0 weights, as measured on an H200. Of thin tiles many share a core.
struct TileTime {
    double one, two;
};
enum class Speed { codes, k_codes, floats };  // of weights: with a scale a block; with scales of scales; none
TileTime tile_time(Form form, Speed speed) {
    const auto of = [&](TileTime codes, TileTime k_codes, TileTime floats) { return speed == Speed::codes ? codes : speed == Speed::k_codes ? k_codes : floats; };
    switch (form) {
        case Form::narrow_16: return {0.06, 0.12};
        case Form::narrow_32: return {0.14, 0.28};
        case Form::direct_16: return {0.045, 0.09};
        case Form::direct_32: return {0.075, 0.15};
        case Form::tile_32k2: return of({0.38, 0.6}, {0.42, 0.66}, {0.5, 0.81});
        case Form::tile_64: return of({0.77, 0.87}, {0.79, 0.9}, {0.88, 1.04});
        case Form::tile_64k2: return of({0.51, 1}, {0.52, 1.03}, {0.62, 1.2});
        case Form::tile_128: return of({1.3, 2.7}, {1.42, 2.9}, {1.55, 3.4});
        case Form::f16_64: return of({0.72, 1.43}, {0.93, 1.86}, {0.75, 1.5});
        case Form::f16_128: return of({1, 2}, {1.2, 2.4}, {1.1, 2.2});
        case Form::f16_192: return of({1.35, 2.7}, {1.5, 3}, {1.6, 3.2});
        default: return of({2.7, 5.4}, {3, 6}, {3.2, 6.4});  // K types by guess
    }
}

// What prepare decides for run.
struct alignas(uint64_t) Plan {
    Form form;
    uint32_t split;  // rows of tiles that two workgroups each split; all tiles are of one dispatch then
    bool fixed;     // gemv may take x as integers
    bool prepared;  // x becomes integers in the workspace first

    // Where a packed weight lies.
    struct Place {
        uint64_t offset;
        uint32_t blocks;  // of 32 columns in a row of tiles, where those are more than the weight's
    };
    Place& place(uint32_t part) { return reinterpret_cast<Place*>(this + 1)[part]; }
    const Place& place(uint32_t part) const { return reinterpret_cast<const Place*>(this + 1)[part]; }
};
static_assert(sizeof(Plan) % alignof(Plan::Place) == 0);

// Weights that are integers times a scale, without a table.
bool is_codes(uint32_t type) { return type > TILE_BF16 && type < TILE_IQ4_NL; }

struct F16Tile {
    uint32_t x_rows, weight_rows;
};
F16Tile tile_of(Form form, int64_t n) {
    const uint32_t thin = n <= 8 ? 8 : 16;
    switch (form) {
        case Form::narrow_16:
        case Form::direct_16: return {thin, 16};
        case Form::narrow_32:
        case Form::direct_32: return {thin, 32};
        case Form::tile_32k2: return {32, 128};
        case Form::tile_64:
        case Form::tile_64k2:
        case Form::f16_64: return {64, 128};
        case Form::tile_128: return {128, 256};
        case Form::f16_192: return {128, 192};
        default: return {128, 128};
    }
}
bool is_narrow(Form form) { return form == Form::narrow_16 || form == Form::narrow_32; }
bool is_direct(Form form) { return form == Form::direct_16 || form == Form::direct_32; }
bool is_direct_tile(Form form) { return form >= Form::tile_32k2 && form <= Form::tile_128; }
bool is_thin(Form form) { return is_narrow(form) || is_direct(form); }
bool in_f16(Form form) { return form != Form::gemv && form != Form::gemm; }
// HALVES of product_rows.glsl.
uint32_t halves_for(Form form) { return form == Form::coopmat2_128 ? 2 : in_f16(form); }

const char* variant_of(Form form) {
    constexpr const char* kNames[kForms] = {"gemv", "gemm", "narrow_16", "narrow_32", "direct_16", "direct_32", "tile_32k2", "tile_64", "tile_64k2", "tile_128", "f16_64", "f16_128", "f16_192", "coopmat2_128"};
    return kNames[static_cast<uint32_t>(form)];
}

bool packed(const orr_tensor& w) { return w.flags & ORR_TENSOR_CONSTANT; }

uint32_t type_in_shader(const orr_tensor& w) {
    const uint32_t type = static_cast<uint32_t>(tile_type(w));
    return packed(w) ? type : TILE_RAW_F32 + type;
}

// Activations in f16 where the numerics allow and the device has matrices for them. Weights in f32 ask for more than f16, unless speed was asked for.
bool may_use_f16(const orr_prepare* p, const ProductCall& c) {
    if (p->numerics != ORR_NUMERICS_DEFAULT) return p->numerics == ORR_NUMERICS_FAST;
    for (uint32_t i = 0; i < c.parts; ++i)
        if (tile_type(*c.w[i]) == static_cast<int32_t>(TILE_F32)) return false;
    return true;
}

int64_t weight_rows(const ProductCall& c, uint32_t i) { return c.w[i]->shape[c.transposed ? 1 : 0]; }

// Weight tiles of `rows_of` rows.
uint64_t weight_tiles(const ProductCall& c, uint32_t rows_of) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < (c.gated ? 1 : c.parts); ++i) n += divide_up(static_cast<uint64_t>(weight_rows(c, i)), rows_of);
    return n;
}

// As the shader declares it, for 16-byte words of 64 columns.
uint32_t tile_bytes(uint32_t rows) { return rows * 144 + 64; }

// Invocations of a narrow form: many where there are few tiles, few where there are many (measured on an H200), no more than shared memory takes.
uint32_t narrow_group(const orr_vulkan_device& d, const ProductCall& c, Form form) {
    const F16Tile tile = tile_of(form, rows(*c.x));
    const uint32_t wish = weight_tiles(c, 16) > std::max(d.cores, 1u) ? 128 : form == Form::narrow_16 ? 384 : 256;
    uint32_t group = wish;
    while (group > 32 && tile_bytes(group / 32 * (tile.x_rows + tile.weight_rows) + 16) > d.shared_bytes) group -= 32;
    return group;
}

// Of a direct form, by what an H200 takes the least time with: more where k is long.
uint32_t direct_group(const ProductCall& c, Form form) {
    if (c.gated) return 128;
    return form == Form::direct_16 && c.x->shape[c.x->rank - 1] >= 8192 ? 512 : 256;
}

uint32_t thin_group(const orr_vulkan_device& d, const ProductCall& c, Form form) { return is_direct(form) ? direct_group(c, form) : narrow_group(d, c, form); }

uint32_t shared_bytes(const orr_vulkan_device& d, const ProductCall& c, Form form) {
    const F16Tile tile = tile_of(form, rows(*c.x));
    if (form == Form::coopmat2_128) return 64;  // its table; what matrices take is the driver's
    if (is_direct(form)) return tile.x_rows * tile.weight_rows * 4 * (direct_group(c, form) / 32);
    if (is_direct_tile(form)) return (form == Form::tile_32k2 || form == Form::tile_64k2 ? 4 : 2) * tile.x_rows * 160 + 64;
    return tile_bytes((tile.x_rows + tile.weight_rows) * (is_narrow(form) ? narrow_group(d, c, form) / 32 : 1) + (is_narrow(form) ? 16 : 0));
}

// Whether the form is for such a product. Tiles of 16 weight rows hold no pair of fragments to gate; narrow ones of 32 serve nobody else, direct ones
// serve more than 8 rows of x. For few rows several passes over the weights beat a tile of 128.
bool is_for(const ProductCall& c, Form form) {
    if (form == Form::narrow_16 || form == Form::direct_16) return !c.gated && (form == Form::narrow_16 || rows(*c.x) <= 8);
    if (form == Form::coopmat2_128) return rows(*c.x) > kGemvMostRows;
    return form == Form::narrow_32 ? c.gated : form != Form::direct_32 || c.gated || rows(*c.x) > 8;
}

Speed speed_of(const ProductCall& c) {
    const int32_t type = tile_type(*c.w[0]);
    if (type < 0 || type <= static_cast<int32_t>(TILE_BF16)) return Speed::floats;
    return tile_super_bytes(static_cast<uint32_t>(type)) ? Speed::k_codes : Speed::codes;
}

struct Grid {
    uint64_t x, y;  // tiles along the rows of x, and of the weights
};
Grid grid_of(const ProductCall& c, Form form) {
    const F16Tile tile = tile_of(form, rows(*c.x));
    return {divide_up(static_cast<uint64_t>(rows(*c.x)), tile.x_rows), weight_tiles(c, c.gated ? tile.weight_rows / 2 : tile.weight_rows)};
}

// The rows of tiles behind the last whole round of the device's cores, where two workgroups to each of their tiles, of half of k, still have a core each.
// For products that take one dispatch.
uint32_t split_rows(const orr_vulkan_device& d, const ProductCall& c, Form form) {
    if (form != Form::tile_128 || c.x->shape[c.x->rank - 1] < kLeastSplit || (!c.gated && c.parts > 3)) return 0;
    for (uint32_t i = 1; i < c.parts; ++i)
        if (tile_type(*c.w[i]) != tile_type(*c.w[0])) return 0;
    const Grid tiles = grid_of(c, form);
    if (tiles.x == 0) return 0;
    const uint64_t cores = std::max(d.cores, 1u), rest = divide_up(tiles.x * tiles.y % cores, tiles.x);
    return rest * tiles.x * 2 <= cores ? static_cast<uint32_t>(rest) : 0;
}

// Of the forms that the device has, the one whose tiles take its cores the least time; gemm where it has none.
template <class Has>
ProductForm matrix_form(const orr_vulkan_device& d, const ProductCall& c, const Has& has) {
    const uint64_t cores = std::max(d.cores, 1u);
    ProductForm best = {Form::gemm, false};
    double least = 0;
    const Speed speed = speed_of(c);
    for (const Form form : kMatrixForms) {
        if (!is_for(c, form) || !has(form)) continue;
        const Grid grid = grid_of(c, form);
        const uint64_t tiles = grid.x * grid.y;
        const TileTime time = tile_time(form, speed);
        const uint32_t split = split_rows(d, c, form);
        const uint64_t each = divide_up(tiles - split * grid.x, cores);
        double all = is_thin(form) ? time.one * static_cast<double>(tiles) / static_cast<double>(cores) : static_cast<double>(each / 2) * time.two + static_cast<double>(each % 2) * time.one;
        if (split) all += time.one / 2 + kSplitTime;
        if (least == 0 || all < least) best = {form, split > 0}, least = all;
    }
    return best;
}

// Of x [.., tokens, K].
int64_t sequences(const orr_tensor& x) { return x.rank < 3 || x.shape[x.rank - 2] == 0 ? 1 : rows(x) / x.shape[x.rank - 2]; }

bool can_take(const orr_prepare* p, const ProductShaders& s, const ProductCall& c, Form form) {
    char ignored[256];
    return can_run(device(p), s[form], ignored, sizeof ignored) && device(p).shared_bytes >= shared_bytes(device(p), c, form);
}

// Rows at equal distances, few enough elements for 32-bit indices.
bool takes_rows(const orr_tensor& t, const char* name, char* reason, size_t size) {
    if (*t.layout) return refuse(reason, size, std::string(name) + " has layout " + t.layout);
    if (!even_rows(t)) return refuse(reason, size, std::string("the rows of ") + name + " lie at uneven distances");
    const int64_t stride = row_stride_bytes(t), reach = rows(t) * stride;
    if (stride < 0 || stride % 4 || reach >= int64_t{1} << 33)
        return refuse(reason, size, std::string("the rows of ") + name + " lie " + std::to_string(stride) + " bytes apart");
    return true;
}

bool takes_weight(const ProductCall& c, uint32_t i, char* reason, size_t size) {
    const orr_tensor& w = *c.w[i];
    if (packed(w)) return can_pack(w, c.transposed, reason, size);
    const int32_t type = tile_type(w);
    if (type < 0 || type > static_cast<int32_t>(TILE_BF16)) return refuse(reason, size, "weights " + describe(w) + " that are not constant");
    if (*w.layout) return refuse(reason, size, std::string("weights come in layout ") + w.layout);
    if (w.shape[1] > 1 && w.stride_bytes[1] != w.block_bytes) return refuse(reason, size, "the elements of a row of weights " + describe(w) + " lie apart");
    if (w.stride_bytes[0] < 0 || elements(w) >= int64_t{1} << 31 || w.shape[0] * w.stride_bytes[0] >= int64_t{1} << 32)
        return refuse(reason, size, "weights " + describe(w) + " reach too far");
    if (c.gated && i == 1 && !packed(*c.w[0]) && w.stride_bytes[0] / w.block_bytes != c.w[0]->stride_bytes[0] / c.w[0]->block_bytes)
        return refuse(reason, size, "the rows of the two weights lie at unlike distances");
    return true;
}

bool takes_bias(const orr_tensor* bias, char* reason, size_t size) {
    if (!bias) return true;
    if (bias->type != ORR_TYPE_F32 && bias->type != ORR_TYPE_F16 && bias->type != ORR_TYPE_BF16)
        return refuse(reason, size, "a bias is " + describe(*bias));
    return (!*bias->layout && is_contiguous(*bias)) || refuse(reason, size, "a bias is not contiguous");
}

ProductParams common_params(const ProductCall& c) {
    ProductParams p{};
    p.x = address(c.x);
    p.residual = address(c.residual);
    p.k = static_cast<uint32_t>(c.x->shape[c.x->rank - 1]);
    p.tokens = static_cast<uint32_t>(rows(*c.x));
    p.x_stride = static_cast<uint32_t>(row_stride_bytes(*c.x) / 4);
    p.norm = address(c.norm);
    p.residual_stride = c.residual ? static_cast<uint32_t>(row_stride_bytes(*c.residual) / 4) : 0;
    return p;
}

void set_part(ProductParams& p, uint32_t slot, const ProductCall& c, uint32_t i, uint64_t weights) {
    uint64_t* const ws[] = {&p.w0, &p.w1, &p.w2};
    uint64_t* const biases[] = {&p.bias0, &p.bias1, &p.bias2};
    uint64_t* const ys[] = {&p.y0, &p.y1, &p.y2};
    uint32_t* const ns[] = {&p.n0, &p.n1, &p.n2};
    *ws[slot] = weights;
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

uint64_t pairs_of_blocks(const ProductCall& c) { return divide_up(static_cast<uint64_t>(c.x->shape[c.x->rank - 1]), 64); }
// Of one row in f16.
uint64_t row_f16_bytes(const ProductCall& c) { return pairs_of_blocks(c) * 128; }
// What comes first in the workspace: x in f16, as integers, or normalised in f32.
uint64_t x_bytes(const ProductCall& c, Form form, bool prepared) {
    const uint64_t n = static_cast<uint64_t>(rows(*c.x));
    if (in_f16(form)) return divide_up(n, 128) * 128 * row_f16_bytes(c);
    if (prepared) return n * divide_up(static_cast<uint64_t>(c.x->shape[c.x->rank - 1]), 32) * 80;
    return form == Form::gemm && c.normed ? divide_up(n * static_cast<uint64_t>(c.x->shape[c.x->rank - 1]) * 4, 256) * 256 : 0;
}
// Partial sums of split tiles.
uint64_t partial_bytes(const ProductCall& c, Form form, uint32_t split) {
    const F16Tile tile = tile_of(form, rows(*c.x));
    return split ? 2 * split * grid_of(c, form).x * tile.x_rows * tile.weight_rows * 4 : 0;
}
// Weight tiles of a dispatch, `rows_of` rows each.
uint64_t tiles_of(const ProductCall& c, const ProductParams& p, bool raw, uint32_t rows_of) {
    uint64_t n = divide_up(p.n0, rows_of);
    if (!raw && !c.gated) n += divide_up(p.n1, rows_of) + divide_up(p.n2, rows_of);
    return n;
}

uint32_t bits(float x) { return std::bit_cast<uint32_t>(x); }
uint32_t norm_type(const ProductCall& c) { return !c.normed ? 0u : c.norm ? c.norm->type : static_cast<uint32_t>(ORR_TYPE_F32); }

// Whether x and the norm's weights are aligned vectors of four.
bool reads_fours(const ProductCall& c, const ProductParams& p) {
    return p.k % 16 == 0 && p.x % 16 == 0 && p.x_stride % 4 == 0 && (!c.normed || (c.norm && c.norm->type == ORR_TYPE_F32 && p.norm % 16 == 0));
}

// How a gemv shares out its weights. group / lanes decides the order of sums, so it depends on the weights and the device alone.
struct Gemv {
    uint32_t lanes, group, rows, each, step, span, groups;
    bool whole;

    Gemv(const orr_vulkan_device& d, const ProductCall& c, const ProductParams& p, bool fixed) {
        const uint64_t tiles = tiles_of(c, p, false, 32), cores = std::max(d.cores, 1u);
        const bool wide = fixed && !d.software && d.group_invocations >= 512 && d.shared_bytes >= kGemvWideShared && tiles <= 6 * cores;
        group = wide ? 512 : 256;
        lanes = !d.software && (wide ? 2 : 1) * tiles <= cores ? 16 : 32;
        rows = 1;
        while (rows < p.tokens && rows < kGemvRows) rows *= 2;
        each = d.software || rows < 4 ? 1 : c.gated ? 2 : 4;  // what unrolls so much takes a processor's compiler seconds
        const uint32_t parts = group / lanes;
        step = c.gated || rows > 2 ? 1 : wide && divide_up(p.k, 32) >= kGemvDeepBlocks * parts ? 4 : 2;
        const uint32_t least = 32 * step * parts;
        // A column as an integer takes 2.5 bytes; beside them lie sums of each invocation.
        const uint32_t sums = (c.gated ? 2 : 1) + (c.normed ? 1 : 0),
                       slots = !fixed || d.shared_bytes < 40 * 1024 ? 4096 : wide && rows == 1 ? (d.shared_bytes - 1024 - group * 4 * (sums + 3)) / 5 * 2 : 8192;
        span = std::min<uint32_t>(static_cast<uint32_t>(divide_up(p.k, least)), std::max(1u, slots / rows / least)) * least;
        // Fewer pipelines for that compiler: sizes share them, self-tests too.
        if (d.software) span = std::min(std::bit_ceil(std::max(span, 1024u)), std::bit_floor(slots / rows));
        const uint64_t all = tiles_of(c, p, false, lanes);
        groups = static_cast<uint32_t>(std::min<uint64_t>(all, d.software ? kSoftwareGroups : cores * (wide ? 2 : 4)));
        whole = span >= p.k && span % least == 0;
        group /= each;
        lanes /= each;
    }
};

orr_status dispatch_product(const orr_run* run, const ProductShaders& s, const ProductCall& c, const ProductParams& p, uint32_t type0, uint32_t type1,
                            uint32_t stored) {
    const Plan& plan = *static_cast<const Plan*>(run->data);
    const Form form = plan.form;
    const bool raw = type0 >= TILE_RAW_F32 && type0 <= TILE_RAW_BF16;
    const uint32_t act = static_cast<uint32_t>(c.activation), gated = c.gated, scale = bits(c.scale);
    if (form == Form::gemm) {
        const Groups groups{static_cast<uint32_t>(divide_up(p.tokens, kGemmSide)), static_cast<uint32_t>(tiles_of(c, p, raw, kGemmSide)), 1};
        return dispatch(run, s[form], {type0, type1, act, gated, scale, 0, 0, 0, stored}, p, groups);
    }
    if (form != Form::gemv) {
        const F16Tile tile = tile_of(form, p.tokens);
        Groups groups{static_cast<uint32_t>(divide_up(p.tokens, tile.x_rows)),
                      static_cast<uint32_t>(tiles_of(c, p, raw, c.gated ? tile.weight_rows / 2 : tile.weight_rows)), 1};
        if (is_thin(form))
            return dispatch(run, s[form],
                            {type0, type1, act, gated, scale, 0, 0, 0, stored, thin_group(device(run), c, form), tile.x_rows}, p, groups);
        if (plan.split == 0) return dispatch(run, s[form], {type0, type1, act, gated, scale, 0, 0, 0, stored}, p, groups);
        ProductParams with = p;
        with.norm = recorder(run).zeros(&recorder(run), groups.x * plan.split);
        with.x_stride = static_cast<uint32_t>(x_bytes(c, form, false) / 256);
        groups.y += plan.split;
        return dispatch(run, s[form], {type0, type1, act, gated, scale, 0, 0, 0, stored, 1}, with, groups);
    }
    const bool fixed = plan.fixed && is_codes(type0) && is_codes(type1);
    const Gemv g(device(run), c, p, fixed);
    const Groups groups{static_cast<uint32_t>(divide_up(p.tokens, g.rows)), g.groups, 1};
    return dispatch(run, fixed ? *s.gemv_fixed : s[Form::gemv],
                    {type0, type1, act, gated, scale, norm_type(c), bits(c.eps), bits(c.norm_offset), stored, g.lanes, g.rows, g.span, g.group,
                     g.each, plan.prepared, g.whole, reads_fours(c, p), g.step},
                    p, groups);
}

// x into the workspace, as the form reads it.
orr_status dispatch_rows(const orr_run* run, const ProductShaders& s, const ProductCall& c, ProductParams p, uint32_t halves) {
    p.y0 = recorder(run).workspace;
    return dispatch(run, *s.rows, {0, 0, 0, 0, bits(1), norm_type(c), bits(c.eps), bits(c.norm_offset), 0, halves}, p, groups(p.tokens));
}

orr_status dispatch_integers(const orr_run* run, const ProductShaders& s, const ProductCall& c, ProductParams p) {
    p.y0 = recorder(run).workspace;
    return dispatch(run, *s.integers, {0, 0, 0, 0, bits(1), norm_type(c), bits(c.eps), bits(c.norm_offset)}, p,
                    groups(divide_up(p.tokens * divide_up(p.k, 32), 64)));
}

// Gated weights share one length of rows.
bool unlike_gates(const ProductCall& c, const Plan& plan) {
    return c.gated && packed(*c.w[0]) && packed(*c.w[1]) && plan.place(0).blocks != plan.place(1).blocks;
}

// Whether weights of one type, three at most, are stored alike.
bool in_one_dispatch(const ProductCall& c, const Plan& plan) {
    for (uint32_t i = 1; i < c.parts && !c.gated; ++i)
        if (plan.place(i).blocks != plan.place(0).blocks) return false;
    return true;
}

orr_status pack_weights(orr_prepare* p, const ProductCall& c, Plan* plan) {
    const auto input = [&](uint32_t i) { return c.first_weight + i * c.weight_step; };
    std::vector<Tiles> tiles(c.parts);
    const auto take = [&](uint32_t i, const Tiles& t) {
        tiles[i] = t;
        const Tiles own = describe_tiles(*c.w[i], c.transposed);
        plan->place(i) = {t.offset, t.blocks() == own.blocks() ? 0 : t.blocks()};
    };
    for (uint32_t i = 0; i < c.parts; ++i)
        if (packed(*c.w[i])) take(i, place_tiles(p, input(i), c.transposed));
    if (unlike_gates(c, *plan))
        for (const uint32_t i : {0u, 1u}) take(i, describe_tiles(*c.w[i], c.transposed));
    for (uint32_t i = 0; i < c.parts; ++i) {
        if (!packed(*c.w[i])) continue;
        const orr_status status = pack_tiles(p, input(i), tiles[i], c.transposed);
        if (status != ORR_OK) return status;
    }
    return ORR_OK;
}

}  // namespace

// Up to kGemvRows tokens of one sequence take the form of a single one, so that its numbers are the same, which drafts of text rest on.
ProductForm product_form(const orr_prepare* p, const ProductShaders& s, const ProductCall& c) {
    for (uint32_t i = 0; i < c.parts; ++i)
        if (!packed(*c.w[i])) return {Form::gemm, false};
    const int64_t n = rows(*c.x);
    if (n < kMatrixRows || (n <= kGemvRows && sequences(*c.x) == 1)) return {Form::gemv, false};
    const bool one_type = !c.gated || tile_type(*c.w[0]) == tile_type(*c.w[1]);
    const auto takes = [&](Form form) { return can_take(p, s, c, form); };
    char ignored[256];
    if (may_use_f16(p, c) && one_type && can_run(device(p), *s.rows, ignored, sizeof ignored)) {
        const ProductForm choice = matrix_form(device(p), c, takes);
        if (choice.form != Form::gemm) return choice;
    }
    return {n <= kGemvMostRows ? Form::gemv : Form::gemm, false};
}

LargeTest large_test(const orr_prepare* p, const ProductShaders& s, const ProductCall& call, uint32_t i) {
    ProductCall c = call;
    orr_tensor x = *call.x;
    x.rank = 2;
    x.shape[1] = call.x->shape[call.x->rank - 1];
    c.x = &x;
    std::vector<orr_tensor> weights(c.parts);
    int64_t own = 0;
    for (uint32_t part = 0; part < c.parts; ++part) {
        weights[part] = *call.w[part];
        c.w[part] = &weights[part];
        own = std::max(own, weight_rows(call, part));
    }
    std::set<std::pair<Form, bool>> seen;
    const int64_t step = c.gated ? 64 : 128;
    for (int64_t outputs = step; outputs < own + step; outputs += step) {
        for (uint32_t part = 0; part < c.parts; ++part) weights[part].shape[c.transposed ? 1 : 0] = std::min(outputs, weight_rows(call, part));
        for (const int64_t most : {257, 321, 385, 449, 513, 769, 1025, INT_MAX}) {  // the last row stands alone in its tile
            x.shape[0] = std::min(rows(*call.x), most);
            const auto [form, split] = product_form(p, s, c);
            if (in_f16(form) && !is_thin(form) && seen.insert({form, split}).second && i-- == 0) return {x.shape[0], outputs, split ? kLeastSplit + 255 : 256};
            if (most >= rows(*call.x)) break;
        }
    }
    return {};
}

bool product_supports(const orr_prepare* p, const ProductShaders& s, const ProductCall& c, char* reason, size_t size) {
    if (c.parts > kMostParts) return refuse(reason, size, std::to_string(c.parts) + " weights, the most is " + std::to_string(kMostParts));
    if (c.x->shape[c.x->rank - 1] == 0) return refuse(reason, size, "x has no columns");
    if (!takes_rows(*c.x, "x", reason, size) || (c.residual && !takes_rows(*c.residual, "residual", reason, size))) return false;
    for (uint32_t i = 0; i < c.parts; ++i) {
        if (!takes_weight(c, i, reason, size) || !takes_bias(c.bias[i], reason, size)) return false;
        if (i < p->n_outputs && (!is_contiguous(*c.y[i]) || elements(*c.y[i]) >= int64_t{1} << 31))
            return refuse(reason, size, "an output is not contiguous, or has 2^31 elements");
    }
    if (c.gated && type_in_shader(*c.w[0]) != type_in_shader(*c.w[1])) {
        const auto has_table = [&](uint32_t i) { return type_in_shader(*c.w[i]) >= TILE_IQ4_NL; };
        if (has_table(0) && has_table(1))
            return refuse(reason, size, "gated weights of types " + std::string(c.w[0]->type_id) + " and " + c.w[1]->type_id);
    }
    if (c.normed && !takes_bias(c.norm, reason, size)) return false;
    if (c.normed && !can_run(device(p), *s.rows, reason, size)) return false;
    if (device(p).shared_bytes < kGemvShared)
        return refuse(reason, size,
                      "needs " + std::to_string(kGemvShared) + " bytes of shared memory, the device has " + std::to_string(device(p).shared_bytes));
    return can_run(device(p), s[product_form(p, s, c).form], reason, size);
}

orr_status product_prepare(orr_prepare* p, const ProductShaders& s, const ProductCall& c) {
    Plan* plan = static_cast<Plan*>(p->plan_memory(p, sizeof(Plan) + c.parts * sizeof(Plan::Place)));
    if (!plan) return ORR_OUT_OF_MEMORY;
    const ProductForm choice = product_form(p, s, c);
    plan->form = choice.form, plan->split = choice.split ? split_rows(device(p), c, choice.form) : 0;
    char ignored[256];
    plan->fixed = plan->form == Form::gemv && p->numerics != ORR_NUMERICS_EXACT && can_run(device(p), *s.gemv_fixed, ignored, sizeof ignored) &&
                  can_run(device(p), *s.integers, ignored, sizeof ignored);
    p->variant(p, plan->fixed && is_codes(type_in_shader(*c.w[0])) ? "gemv_fixed" : variant_of(plan->form));
    const auto codes = [&](uint32_t i) { return is_codes(type_in_shader(*c.w[i])); };
    plan->prepared = plan->fixed && rows(*c.x) >= kPreparedRows;
    for (uint32_t i = 0; i < c.parts; ++i) plan->prepared = plan->prepared && codes(i);
    const orr_status status = pack_weights(p, c, plan);
    if (status != ORR_OK) return status;
    if (!in_one_dispatch(c, *plan)) plan->split = 0;
    p->workspace(p, x_bytes(c, plan->form, plan->prepared) + partial_bytes(c, plan->form, plan->split));
    return ORR_OK;
}

orr_status product_run(const orr_run* run, const ProductShaders& s, const ProductCall& c) {
    const Plan& plan = *static_cast<const Plan*>(run->data);
    ProductParams common = common_params(c);
    if (common.tokens == 0) return ORR_OK;
    if (x_bytes(c, plan.form, plan.prepared)) {
        const orr_status status = plan.prepared ? dispatch_integers(run, s, c, common) : dispatch_rows(run, s, c, common, halves_for(plan.form));
        if (status != ORR_OK) return status;
        recorder(run).barrier(&recorder(run));
        common.x = recorder(run).workspace;
        common.x_stride = common.k;
    }
    const auto type_of = [&](uint32_t i) { return type_in_shader(*c.w[i]); };
    const auto set = [&](ProductParams& p, uint32_t slot, uint32_t i) {
        set_part(p, slot, c, i, address(c.w[i]) + plan.place(i).offset);
    };
    const auto stored = [&](uint32_t i) { return plan.place(i).blocks; };
    if (c.gated) {
        ProductParams p = common;
        set(p, 0, 0);
        set(p, 1, 1);
        const uint32_t raw = packed(*c.w[0]) ? packed(*c.w[1]) ? 2 : 1 : 0;
        if (raw < 2) set_raw_strides(p, c, raw);
        return dispatch_product(run, s, c, p, type_of(0), type_of(1), stored(packed(*c.w[0]) ? 0 : 1));
    }
    // Weights of one type share a dispatch, three at a time; raw ones have their own.
    bool done[kMostParts] = {};
    for (uint32_t i = 0; i < c.parts; ++i) {
        if (done[i]) continue;
        const uint32_t type = type_of(i);
        const bool raw = !packed(*c.w[i]);
        ProductParams p = common;
        set(p, 0, i);
        if (raw) set_raw_strides(p, c, i);
        for (uint32_t j = i + 1, slot = 1; j < c.parts && slot < 3 && !raw; ++j)
            if (!done[j] && type_of(j) == type && stored(j) == stored(i)) {
                done[j] = true;
                set(p, slot++, j);
            }
        const orr_status status = dispatch_product(run, s, c, p, type, type, stored(i));
        if (status != ORR_OK) return status;
    }
    return ORR_OK;
}

}  // namespace orrery::vk
