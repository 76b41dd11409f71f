// Rows of x in f16 (product_rows.glsl, in their own order) times weights with matrices of a whole workgroup (GL_NV_cooperative_matrix2), sums in f32. What an
// invocation holds of them and how they pass through shared memory is the driver's. A workgroup computes TILE_M rows of x by TILE_N weight rows; gated, by
// TILE_N of either weight. Packed f16 is a tensor as it lies; of other weights the driver asks for one number after the other.
#extension GL_KHR_cooperative_matrix : require
#extension GL_NV_cooperative_matrix2 : require
#extension GL_KHR_memory_scope_semantics : require
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/product_halves.glsl"
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer F16s { float16_t v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer F16 { float16_t v; };

const uint TILE_M = 128, TILE_N = GATED != 0u ? 64 : 128, TILE_K = 64;
Part part;
uint blocks, last_tile, first_token, first_row;

float16_t number_at(uvec2 w, uint row, uint block, uint column) {
    const uvec2 row_tile = weight_tile(w, TYPE0, blocks, min(row / 32u, last_tile));
    const uint at = min(block, blocks - 1u), quad = column / 4u;  // what lies past the last block meets zeros of x
    const uvec2 tile = address_plus(row_tile, tile_at(TYPE0, at));
    if (tile_is_float(TYPE0)) return float16_t(tile_float_quad(TYPE0, tile, row % 32u, quad)[column & 3u]);
    const vec4 scales = tile_scales(TYPE0, tile_params(TYPE0, row_tile, at, row % 32u));
    const vec2 so = quad < 4u ? scales.xy : scales.zw;
    return unpackFloat2x16(codes_f16(TYPE0, tile_quad_codes(TYPE0, tile, row % 32u, quad), so.x, so.y)[column & 1u])[column >> 1 & 1u];
}
// As coopMatLoadTensorNV calls them: row and block of 32 columns, and the column in that. Where the layout would have the number does not matter.
float16_t number_of_first(const in F16 ignored, const in uint at[2], const in uint inside[2]) { return number_at(part.w, at[0], at[1], inside[1]); }
float16_t number_of_second(const in F16 ignored, const in uint at[2], const in uint inside[2]) { return number_at(w1, at[0], at[1], inside[1]); }

// May be called more than once for an element.
float end(const in uint row, const in uint column, const in float sum) {
    const uint t = first_token + row, n = first_row + column;
    if (t < tokens && n < part.n) product_end(part, t, n, sum);
    return sum;
}
float end_gated(const in uint row, const in uint column, const in float gate, const in float up) {
    const uint t = first_token + row, n = first_row + column;
    if (t < tokens && n < part.n) product_end_gated(part, t, n, gate, up);
    return gate;
}

void main() {
    if (!product_part(gl_WorkGroupID.y, TILE_N, part)) return;
    blocks = (k + 31u) / 32u;
    last_tile = (part.n + 31u) / 32u - 1u;
    first_token = gl_WorkGroupID.x * TILE_M;
    first_row = part.group * TILE_N;
    fill_table();
    barrier();
    coopmat<float16_t, gl_ScopeWorkgroup, TILE_M, TILE_K, gl_MatrixUseA> a;
    coopmat<float16_t, gl_ScopeWorkgroup, TILE_K, TILE_N, gl_MatrixUseB> b;
    coopmat<float, gl_ScopeWorkgroup, TILE_M, TILE_N, gl_MatrixUseAccumulator> sums = coopmat<float, gl_ScopeWorkgroup, TILE_M, TILE_N, gl_MatrixUseAccumulator>(0), second_sums = sums, done;

    const uint pitch = (blocks + 1u) / 2u * 64u;
    F16s rows = F16s(tile_row(uvec2(x), TILE_F16, pitch / 32u, first_token / 32u));  // 32 rows of f16 are as long as a tile of them
    const tensorLayoutNV<2> x_layout = setTensorLayoutDimensionNV(createTensorLayoutNV(2), TILE_M, pitch);

    // Packed f16: row tile, 8 columns, row, column. Zeros past the last row tile and block.
    tensorLayoutNV<4, gl_CooperativeMatrixClampModeConstantNV> f16_layout = createTensorLayoutNV(4, gl_CooperativeMatrixClampModeConstantNV);
    f16_layout = setTensorLayoutDimensionNV(f16_layout, last_tile + 1u - first_row / 32u, blocks * 4u, 32, 8);
    f16_layout = setTensorLayoutStrideNV(f16_layout, (STORED != 0u ? STORED : blocks) * 1024u, 256, 8, 1);
    const tensorViewNV<4, false, 1, 3, 0, 2> f16_turned = createTensorViewNV(4, false, 1, 3, 0, 2);
    F16s first_f16 = F16s(weight_tile(part.w, TYPE0, blocks, first_row / 32u)), second_f16 = F16s(weight_tile(w1, TYPE0, blocks, first_row / 32u));

    tensorLayoutNV<2> any_layout = setTensorLayoutBlockSizeNV(createTensorLayoutNV(2), 1, 32);
    any_layout = setTensorLayoutDimensionNV(any_layout, first_row + TILE_N, pitch);
    const tensorViewNV<2, false, 1, 0> any_turned = createTensorViewNV(2, false, 1, 0);

    [[dont_unroll]] for (uint at = 0; at < pitch; at += TILE_K) {
        coopMatLoadTensorNV(a, rows.v, 0, sliceTensorLayoutNV(x_layout, 0, TILE_M, at, TILE_K));
        if (TYPE0 == TILE_F16) coopMatLoadTensorNV(b, first_f16.v, 0, sliceTensorLayoutNV(f16_layout, 0, TILE_N / 32u, at / 8u, TILE_K / 8u, 0, 32, 0, 8), f16_turned);
        else coopMatLoadTensorNV(b, rows.v, 0, sliceTensorLayoutNV(any_layout, first_row, TILE_N, at, TILE_K), any_turned, number_of_first);
        sums = coopMatMulAdd(a, b, sums);
        if (GATED == 0u) continue;
        if (TYPE0 == TILE_F16) coopMatLoadTensorNV(b, second_f16.v, 0, sliceTensorLayoutNV(f16_layout, 0, TILE_N / 32u, at / 8u, TILE_K / 8u, 0, 32, 0, 8), f16_turned);
        else coopMatLoadTensorNV(b, rows.v, 0, sliceTensorLayoutNV(any_layout, first_row, TILE_N, at, TILE_K), any_turned, number_of_second);
        second_sums = coopMatMulAdd(a, b, second_sums);
    }
    if (GATED != 0u) coopMatPerElementNV(done, sums, end_gated, second_sums);
    else coopMatPerElementNV(done, sums, end);
}
