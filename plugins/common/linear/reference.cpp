#include "linear/reference.hpp"

#include <cstring>

namespace orrery::linear {

int64_t row_count(const orr_tensor& tensor) {
    int64_t count = 1;
    for (int32_t i = 0; i + 1 < tensor.rank; ++i) count *= tensor.shape[i];
    return count;
}

const uint8_t* row_at(const orr_tensor& tensor, int64_t row) {
    const uint8_t* at = static_cast<const uint8_t*>(tensor.data);
    for (int32_t i = tensor.rank - 2; i >= 0; --i) {
        at += row % tensor.shape[i] * tensor.stride_bytes[i];
        row /= tensor.shape[i];
    }
    return at;
}

bool readable(const orr_tensor& tensor, char* reason, size_t size) {
    const quant::TypeInfo* type = find_type(tensor);
    if (!type) return refuse(reason, size, "no definition of type " + std::string(tensor.type_id ? tensor.type_id : "?"));
    if (tensor.layout && *tensor.layout) return refuse(reason, size, "layout " + std::string(tensor.layout));
    if (tensor.rank < 1) return refuse(reason, size, "a scalar where rows are wanted");
    if (tensor.shape[tensor.rank - 1] % type->block_elems) {
        return refuse(reason, size, describe(tensor) + ": rows are not whole blocks of " + std::to_string(type->block_elems));
    }
    return true;
}

void read_row(const orr_tensor& tensor, int64_t row, float* dst) {
    const quant::TypeInfo* type = find_type(tensor);
    const uint8_t* at = row_at(tensor, row);
    const int64_t n = tensor.shape[tensor.rank - 1], step = tensor.stride_bytes[tensor.rank - 1];
    if (type->block_elems > 1 || step == static_cast<int64_t>(type->block_bytes)) return type->dequantise(at, dst, n);
    for (int64_t i = 0; i < n; ++i) type->dequantise(at + i * step, dst + i, 1);
}

void put_row(const float* row, int64_t n, int64_t r, double* x) {
    for (int64_t k = 0; k < n; ++k) x[k * kRowsAtOnce + r] = static_cast<double>(row[k]);
}

void multiply_rows(const orr_tensor& weight, int64_t matrix, bool transposed, int64_t count, const double* x, double* dst, int64_t dst_row, float* scratch) {
    const int64_t outer = weight.shape[weight.rank - 2], inner = weight.shape[weight.rank - 1];
    for (int64_t i = 0; i < outer; ++i) {
        read_row(weight, matrix * outer + i, scratch);
        if (transposed) {
            for (int64_t r = 0; r < count; ++r)
                for (int64_t n = 0; n < inner; ++n) dst[r * dst_row + n] += x[i * kRowsAtOnce + r] * static_cast<double>(scratch[n]);
            continue;
        }
        double sums[kRowsAtOnce] = {};
        for (int64_t r = 0; r < count; ++r) sums[r] = dst[r * dst_row + i];
        for (int64_t k = 0; k < inner; ++k) {
            const auto w = static_cast<double>(scratch[k]);
            for (int64_t r = 0; r < kRowsAtOnce; ++r) sums[r] += x[k * kRowsAtOnce + r] * w;
        }
        for (int64_t r = 0; r < count; ++r) dst[r * dst_row + i] = sums[r];
    }
}

void multiply_row(const orr_tensor& weight, int64_t matrix, bool transposed, const float* x, double* dst, float* scratch) {
    const int64_t outer = weight.shape[weight.rank - 2], inner = weight.shape[weight.rank - 1];
    for (int64_t i = 0; i < outer; ++i) {
        read_row(weight, matrix * outer + i, scratch);
        if (transposed) {
            for (int64_t n = 0; n < inner; ++n) dst[n] += static_cast<double>(x[i]) * static_cast<double>(scratch[n]);
        } else {
            for (int64_t k = 0; k < inner; ++k) dst[i] += static_cast<double>(x[k]) * static_cast<double>(scratch[k]);
        }
    }
}

}  // namespace orrery::linear
