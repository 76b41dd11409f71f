// Tensor element types: block geometry, reference dequantiser and (for some) quantiser.
// The block layouts are those of the GGUF file format; every dequantiser agrees bit for bit with the NumPy implementation in PyPI `gguf`
// (tests/type_cases.txt).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace orrery::quant {

struct TypeInfo {
    const char* id;       // "q4_k": the GGUF name in lower case
    int32_t block_elems;  // elements of one block along the last axis
    int32_t block_bytes;
    // src: elems / block_elems whole blocks; elems is a multiple of block_elems. No alignment is needed of src. [any-thread]
    void (*dequantise)(const void* src, float* dst, int64_t elems);
    // Null where no quantiser exists. Same sizes as above. [any-thread]
    void (*quantise)(const float* src, void* dst, int64_t elems);
};

// Null for an unknown id. The result lives for ever. [any-thread]
const TypeInfo* find_type(std::string_view id);
std::span<const TypeInfo> all_types();

// Bytes of a row of cols elements, or -1 when cols is not a multiple of the block.
inline int64_t row_bytes(const TypeInfo& type, int64_t cols) {
    return cols % type.block_elems ? -1 : cols / type.block_elems * type.block_bytes;
}

}  // namespace orrery::quant
