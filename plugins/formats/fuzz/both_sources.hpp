// What the targets of single files share.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "common/source.h"
#include "common/tensor_directory.h"

namespace orrery::formats {

// Aborts where a tensor leaves the file.
template <class Tensors>
std::string tensors_text(const Source& source, const Tensors& tensors) {
    std::string text;
    for (const auto& tensor : tensors) {
        if (tensor.offset > source.size() || tensor.size_bytes > source.size() - tensor.offset) std::abort();
        text += tensor.name + shape_text(tensor.shape) + std::string(tensor.type->id) + std::to_string(tensor.offset);
    }
    return text;
}

// The bytes read from memory and through callbacks: aborts where the two differ.
inline void expect_same_through_both(const uint8_t* data, size_t size, std::string (*outcome)(const Source&)) {
    const MemorySource memory(data, size);
    const CallbackSource callbacks(size, [&](uint64_t offset, uint64_t count, void* dst) {
        if (offset > size || count > size - offset) std::abort();
        std::memcpy(dst, data + offset, count);
        return true;
    });
    if (outcome(memory) != outcome(callbacks)) std::abort();
}

}  // namespace orrery::formats
