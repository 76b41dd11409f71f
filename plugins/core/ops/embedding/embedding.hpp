// orr.embedding/1, shared by its files.
#pragma once

#include <string>

#include "linear/reference.hpp"

namespace orrery::core {

enum EmbeddingInput : uint32_t { kEmbeddingIds, kEmbeddingTable };

inline std::string embedding_refusal(const std::string& id, const std::string& index, int64_t vocabulary) {
    return "orr.embedding/1: id " + id + " at index " + index + ", the table has " + std::to_string(vocabulary) + " rows";
}

// Id number i of a tensor of any strides. Throws where it lies outside the table.
inline int64_t embedding_id(const orr_tensor& ids, int64_t i, int64_t vocabulary) {
    const uint8_t* at = static_cast<const uint8_t*>(ids.data);
    int64_t rest = i;
    for (int32_t axis = ids.rank - 1; axis >= 0; --axis) {
        at += rest % ids.shape[axis] * ids.stride_bytes[axis];
        rest /= ids.shape[axis];
    }
    const int64_t id = ids.type == ORR_TYPE_I64 ? *reinterpret_cast<const int64_t*>(at) : *reinterpret_cast<const int32_t*>(at);
    if (id < 0 || id >= vocabulary) throw Error(ORR_INVALID_ARGUMENT, embedding_refusal(std::to_string(id), std::to_string(i), vocabulary));
    return id;
}

extern const KernelDef kEmbeddingVulkan;
extern const KernelDef kEmbeddingCpu;
extern const KernelDef kEmbeddingReference;

}  // namespace orrery::core
