#include "matmul.hpp"

#include <cstring>

#include "kernel_table.hpp"

namespace orrery::quant {
namespace {

// The kernels of isa, or of the best one below it that this build has.
const KernelTable& kernels(Isa* isa) {
#ifdef ORR_QUANT_HAVE_X86
    switch (*isa) {
#ifndef ORR_QUANT_ONE_ISA
        case Isa::kAvx512Vnni: return avx512vnni_kernels();
        case Isa::kAvxVnni: return avxvnni_kernels();
        case Isa::kSse41: return sse41_kernels();
#endif
        case Isa::kAvx2: return avx2_kernels();
        default: break;
    }
#endif
    *isa = Isa::kScalar;
    return scalar_kernels();
}

ProductCall make_call(const Product& product, int64_t tile_begin, int64_t tile_end) {
    ProductCall call;
    call.packed = static_cast<const uint8_t*>(product.packed);
    call.rows = product.rows;
    call.cols = product.cols;
    call.stored_cols = product.stored_cols ? product.stored_cols : product.cols;
    call.tokens = product.tokens;
    call.row_index = product.row_index;
    call.dst = product.dst;
    call.dst_stride = product.dst_stride;
    call.bias = product.bias;
    call.tile_begin = tile_begin;
    call.tile_end = tile_end;
    return call;
}

FloatCall make_float_call(const Product& product, const float* x, int64_t x_stride, int64_t tile_begin, int64_t tile_end) {
    FloatCall call;
    static_cast<ProductCall&>(call) = make_call(product, tile_begin, tile_end);
    call.x = x;
    call.x_stride = x_stride;
    call.fill = nullptr;
    call.context = nullptr;
    return call;
}

struct SourceWeights {
    const TypeInfo* type;
    const uint8_t* data;
    int64_t rows, row_bytes;
};

void fill_from_source(const void* context, int64_t tile, int64_t begin, int count, float* panel) {
    const SourceWeights& weights = *static_cast<const SourceWeights*>(context);
    float values[kPanelCols];
    for (int r = 0; r < kTileRows; ++r) {
        const int64_t row = tile * kTileRows + r;
        if (row < weights.rows) {
            const uint8_t* src = weights.data + row * weights.row_bytes + begin / weights.type->block_elems * weights.type->block_bytes;
            weights.type->dequantise(src, values, count);
        } else {
            std::memset(values, 0, sizeof values);
        }
        for (int k = 0; k < count; ++k) panel[k * kTileRows + r] = values[k];
    }
}

// A product without columns is the bias, or zero.
void write_empty(const ProductCall& call) {
    const int64_t end = call.tile_end * kTileRows < call.rows ? call.tile_end * kTileRows : call.rows;
    for (int64_t t = 0; t < call.tokens; ++t) {
        for (int64_t n = call.tile_begin * kTileRows; n < end; ++n) call.dst[t * call.dst_stride + n] = call.bias ? call.bias[n] : 0.0f;
    }
}

int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

int64_t QuantisedRows::bytes(int64_t rows, int64_t cols) {
    const int64_t blocks = rows * (cols / kBlock);
    return aligned(rows * cols) + 2 * aligned(blocks * 4) + aligned(blocks * 8);
}

QuantisedRows QuantisedRows::view(void* buffer, int64_t rows, int64_t cols) {
    const int64_t blocks = rows * (cols / kBlock);
    char* at = static_cast<char*>(buffer);
    QuantisedRows result;
    result.rows = rows;
    result.cols = cols;
    result.codes = reinterpret_cast<int8_t*>(at);
    at += aligned(rows * cols);
    result.scales = reinterpret_cast<float*>(at);
    at += aligned(blocks * 4);
    result.sums = reinterpret_cast<int32_t*>(at);
    at += aligned(blocks * 4);
    result.halves = reinterpret_cast<int32_t*>(at);
    return result;
}

Isa quantise_rows(const float* src, int64_t src_stride, int64_t row_begin, int64_t row_end, const QuantisedRows& dst, Isa isa) {
    const KernelTable& table = kernels(&isa);
    const int64_t blocks = dst.cols / kBlock;
    for (int64_t row = row_begin; row < row_end; ++row) {
        table.quantise_row(src + row * src_stride, blocks, dst.codes + row * dst.cols, dst.scales + row * blocks, dst.sums + row * blocks,
                           dst.halves + row * blocks * 2);
    }
    return isa;
}

Isa matmul(const Product& product, const QuantisedRows& x, int64_t tile_begin, int64_t tile_end, Isa isa) {
    const KernelTable& table = kernels(&isa);
    QuantCall call;
    static_cast<ProductCall&>(call) = make_call(product, tile_begin, tile_end);
    call.codes = x.codes;
    call.scales = x.scales;
    call.sums = x.sums;
    call.halves = x.halves;
    if (call.cols == 0) write_empty(call);
    else table.matmul[static_cast<int>(product.format->id)](call);
    return isa;
}

Isa matmul_f32(const Product& product, const float* x, int64_t x_stride, int64_t tile_begin, int64_t tile_end, Isa isa) {
    const KernelTable& table = kernels(&isa);
    const FloatCall call = make_float_call(product, x, x_stride, tile_begin, tile_end);
    if (call.cols == 0) write_empty(call);
    else table.matmul_f32[static_cast<int>(product.format->id)](call);
    return isa;
}

void matmul_bf16(const Product& product, const float* x, int64_t x_stride, int64_t tile_begin, int64_t tile_end) {
    const FloatCall call = make_float_call(product, x, x_stride, tile_begin, tile_end);
    if (call.cols == 0) return write_empty(call);
#ifdef ORR_QUANT_HAVE_BF16
    avx512bf16_product(call);
#endif
}

Isa matmul_f32_source(const Product& product, const TypeInfo& type, const void* src, const float* x, int64_t x_stride, int64_t tile_begin,
                      int64_t tile_end, Isa isa) {
    const KernelTable& table = kernels(&isa);
    const SourceWeights weights = {&type, static_cast<const uint8_t*>(src), product.rows, row_bytes(type, product.cols)};
    FloatCall call = make_float_call(product, x, x_stride, tile_begin, tile_end);
    call.fill = fill_from_source;
    call.context = &weights;
    if (call.cols == 0) write_empty(call);
    else table.matmul_fill(call);
    return isa;
}

}  // namespace orrery::quant
