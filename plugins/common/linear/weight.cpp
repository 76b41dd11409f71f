#include "linear/weight.hpp"

#include <algorithm>
#include <cstring>

#include "float/gemm.hpp"
#include "linear/work.hpp"
#include "orrery/ext/parts.h"

namespace orrery::linear {
namespace {

constexpr const char* kRowsLayout = "orr.rows16/1";
constexpr const char* kColumnsLayout = "orr.rows16.transposed/1";
constexpr int64_t kPackTiles = 16;  // tiles of one packing chunk

struct Shape {
    int64_t rows, cols, stack;
};

Shape shape_of(const orr_tensor& weight, bool transposed) {
    const int64_t* last = weight.shape + weight.rank - 2;
    int64_t stack = 1;
    for (int32_t i = 0; i + 2 < weight.rank; ++i) stack *= weight.shape[i];
    return {last[transposed ? 1 : 0], last[transposed ? 0 : 1], stack};
}

int64_t pack_chunks(int64_t rows) { return (quant::WeightFormat::tiles(rows) + kPackTiles - 1) / kPackTiles; }

// Chunk c packs tiles of matrix c / chunks-per-matrix.
void pack_rows(const orr_tensor* src, void* dst, int64_t chunk) {
    const quant::WeightFormat& format = *quant::find_weight_format(src->type_id);
    const Shape shape = shape_of(*src, false);
    const int64_t matrix = chunk / pack_chunks(shape.rows);
    const int64_t begin = chunk % pack_chunks(shape.rows) * kPackTiles;
    const int64_t end = std::min(begin + kPackTiles, quant::WeightFormat::tiles(shape.rows));
    const int64_t src_bytes = shape.rows * quant::row_bytes(*quant::find_type(src->type_id), shape.cols);
    format.pack(static_cast<const uint8_t*>(src->data) + matrix * src_bytes, shape.rows, shape.cols, begin, end,
                static_cast<uint8_t*>(dst) + matrix * format.packed_bytes(shape.rows, shape.cols));
}

// Float types from [K, N]: tile = K x 16, k-major, so a source row gives 16 neighbouring elements.
void pack_columns(const orr_tensor* src, void* dst, int64_t chunk) {
    const quant::WeightFormat& format = *quant::find_weight_format(src->type_id);
    const Shape shape = shape_of(*src, true);
    const int64_t bytes = src->block_bytes;
    const int64_t tile_bytes = format.packed_bytes(quant::kTileRows, shape.cols);
    const int64_t matrix = chunk / pack_chunks(shape.rows);
    const int64_t begin = chunk % pack_chunks(shape.rows) * kPackTiles;
    const int64_t end = std::min(begin + kPackTiles, quant::WeightFormat::tiles(shape.rows));
    const uint8_t* from = static_cast<const uint8_t*>(src->data) + matrix * shape.rows * shape.cols * bytes;
    uint8_t* to = static_cast<uint8_t*>(dst) + matrix * format.packed_bytes(shape.rows, shape.cols);
    for (int64_t tile = begin; tile < end; ++tile) {
        const int64_t first = tile * quant::kTileRows;
        const int64_t count = std::min<int64_t>(quant::kTileRows, shape.rows - first);
        uint8_t* at = to + tile * tile_bytes;
        std::memset(at, 0, static_cast<size_t>(tile_bytes));
        for (int64_t k = 0; k < shape.cols; ++k) {
            std::memcpy(at + k * quant::kTileRows * bytes, from + (k * shape.rows + first) * bytes, static_cast<size_t>(count * bytes));
        }
    }
}

}  // namespace

const char* Weight::variant() const { return method == Method::kGemm ? flt::isa_name(float_isa) : method == Method::kBf16 ? "avx512_bf16" : variant_name(isa); }

const quant::TypeInfo* find_type(const orr_tensor& weight) { return weight.type_id ? quant::find_type(weight.type_id) : nullptr; }

bool weight_fits(const orr_tensor& weight, bool transposed, char* reason, size_t size) {
    const quant::TypeInfo* type = find_type(weight);
    if (!type || !quant::find_weight_format(weight.type_id)) return refuse(reason, size, "no kernel for weights " + describe(weight));
    if (*weight.layout) return refuse(reason, size, "weights come in layout " + std::string(weight.layout));
    if (!is_contiguous(weight)) return refuse(reason, size, "weights " + describe(weight) + " are not contiguous");
    const bool constant = weight.flags & ORR_TENSOR_CONSTANT;
    if (transposed && type->block_elems != 1) return refuse(reason, size, "transposed weights of block type " + std::string(type->id));
    if (transposed && !constant) return refuse(reason, size, "transposed weights that are not constant");
    if (!transposed && weight.shape[weight.rank - 1] % type->block_elems) {
        return refuse(reason, size, "rows of " + std::to_string(weight.shape[weight.rank - 1]) + " are not whole blocks of " + std::to_string(type->block_elems));
    }
    return true;
}

Weight describe_weight(const orr_prepare* p, const orr_tensor& weight, bool transposed) {
    Weight result;
    result.format = quant::find_weight_format(weight.type_id);
    result.type = find_type(weight);
    const Shape shape = shape_of(weight, transposed);
    result.rows = shape.rows;
    result.cols = shape.cols;
    result.stack = shape.stack;
    result.stored_rows = shape.rows;
    result.stored_cols = shape.cols;
    result.first_tile = 0;
    result.isa = quant_isa(p->isa);
    result.float_isa = float_isa(p->isa);
    if (!(weight.flags & ORR_TENSOR_CONSTANT)) result.method = Method::kSource;
    else if (weight.type == ORR_TYPE_F32 && shape.stack == 1 && weight.rank == 2) result.method = Method::kGemm;
    else if (result.format->quantised && p->numerics != ORR_NUMERICS_EXACT) result.method = Method::kInt8;
    else if (weight.type == ORR_TYPE_BF16 && p->numerics == ORR_NUMERICS_FAST && p->isa == ORR_ISA_AVX512_BF16 && quant::bf16_dot_supported() && shape.cols % 2 == 0)
        result.method = Method::kBf16;
    else result.method = Method::kF32;
    return result;
}

namespace {

const orr_parts* parts_of(const orr_prepare* p) { return static_cast<const orr_parts*>(p->host->get_extension(p->host, ORR_EXT_PARTS)); }

// Where the input lies in the packed form of the constant that it is a part of. False: it has to be packed by itself.
bool place_in_whole(orr_prepare* p, uint32_t input, bool transposed, Weight& weight) {
    orr_part part{};
    part.header = ORR_HEADER(orr_part);
    const orr_parts* parts = parts_of(p);
    if (!parts || !parts->find(p, input, &part) || part.whole->rank != 2) return false;
    const Shape shape = shape_of(*part.whole, transposed);
    const int64_t first_row = part.first[transposed ? 1 : 0], first_col = part.first[transposed ? 0 : 1];
    if (first_col || first_row % quant::kTileRows || weight.format->packed_bytes(shape.rows, shape.cols) < 0) return false;
    weight.stored_rows = shape.rows;
    weight.stored_cols = shape.cols;
    weight.first_tile = first_row / quant::kTileRows;
    return true;
}

}  // namespace

orr_status pack_weight(orr_prepare* p, uint32_t input, Weight& weight, bool transposed) {
    if (weight.method == Method::kSource) return ORR_OK;
    orr_pack pack{};
    const bool whole = place_in_whole(p, input, transposed, weight);
    pack.header = ORR_HEADER(orr_pack);
    pack.layout = transposed ? kColumnsLayout : kRowsLayout;
    pack.bytes = static_cast<uint64_t>(weight.stack * weight.matrix_bytes());
    pack.alignment = 64;
    pack.chunks = weight.stack * pack_chunks(weight.stored_rows);
    pack.pack = transposed ? pack_columns : pack_rows;
    return whole ? parts_of(p)->prepack_whole(p, input, &pack) : p->prepack(p, input, &pack);
}

void multiply(const Weight& weight, const void* data, int64_t matrix, const Rows& x, const int32_t* row_index, int64_t token_begin, int64_t token_end,
              int64_t tile_begin, int64_t tile_end, const Target& target) {
    quant::Product product;
    product.format = weight.format;
    product.packed = static_cast<const uint8_t*>(weight.at(data)) + matrix * weight.matrix_bytes();
    product.rows = weight.rows;
    product.cols = weight.cols;
    product.stored_cols = weight.stored_cols;
    product.tokens = token_end - token_begin;
    product.dst = target.dst + token_begin * target.stride;
    product.dst_stride = target.stride;
    product.bias = target.bias;
    const float* rows = x.x;
    quant::QuantisedRows q = x.q;
    if (row_index) {
        product.row_index = row_index + token_begin;
    } else {
        const int64_t blocks = weight.cols / quant::kBlock;
        rows += token_begin * x.x_stride;
        if (weight.method == Method::kInt8) {
            q.codes += token_begin * weight.cols;
            q.scales += token_begin * blocks;
            q.sums += token_begin * blocks;
            q.halves += token_begin * blocks * 2;
        }
    }
    switch (weight.method) {
        case Method::kInt8: quant::matmul(product, q, tile_begin, tile_end, weight.isa); break;
        case Method::kBf16: quant::matmul_bf16(product, rows, x.x_stride, tile_begin, tile_end); break;
        case Method::kF32:
        case Method::kGemm: quant::matmul_f32(product, rows, x.x_stride, tile_begin, tile_end, weight.isa); break;
        case Method::kSource:
            quant::matmul_f32_source(product, *weight.type, product.packed, rows, x.x_stride, tile_begin, tile_end, weight.isa);
            break;
    }
}

void quantise(const orr_run* run, const float* x, int64_t x_stride, int64_t count, const quant::QuantisedRows& q, quant::Isa isa) {
    constexpr int64_t kSmall = 32768;  // elements that one thread converts in a few microseconds
    const int64_t step = std::max<int64_t>(1, std::min<int64_t>(16, count / (4 * static_cast<int64_t>(run->threads))));
    for_chunks(run, (count + step - 1) / step, count * q.cols <= kSmall, [&](int64_t chunk, uint32_t) {
        quant::quantise_rows(x, x_stride, chunk * step, std::min((chunk + 1) * step, count), q, isa);
    });
}

const float* bias_f32(const orr_tensor* bias, float* scratch) {
    if (!bias) return nullptr;
    if (bias->type == ORR_TYPE_F32) return data<float>(bias);
    find_type(*bias)->dequantise(bias->data, scratch, elements(*bias));
    return scratch;
}

}  // namespace orrery::linear
