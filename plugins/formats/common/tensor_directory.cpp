#include "common/tensor_directory.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "common/format_error.h"

namespace orrery::formats {

const TensorEntry* TensorDirectory::find(std::string_view name) const {
    const auto it = by_name_.find(std::string(name));
    return it == by_name_.end() ? nullptr : &tensors_[it->second];
}

bool TensorDirectory::add(TensorEntry entry) {
    if (!by_name_.emplace(entry.name, tensors_.size()).second) return false;
    tensors_.push_back(std::move(entry));
    return true;
}

void TensorDirectory::reserve(size_t count) {
    tensors_.reserve(count);
    by_name_.reserve(count);
}

std::string shape_text(const std::vector<uint64_t>& shape) {
    std::string text = "[";
    for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
}

uint64_t stored_bytes(const std::string& who, const StoredType& type, const std::vector<uint64_t>& shape) {
    uint64_t elems = 1, bytes = 0;
    const bool empty = std::find(shape.begin(), shape.end(), 0u) != shape.end();
    for (const uint64_t axis : shape) {
        if (axis > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
            throw FormatError(ErrorKind::kCorrupt, who + " has shape " + shape_text(shape) + "; an axis has at most 2^63 - 1 elements");
        }
        if (!empty && !checked_mul(elems, axis, elems))
            throw FormatError(ErrorKind::kCorrupt, who + " has shape " + shape_text(shape) + ": more than 2^64 elements");
    }
    if (empty) return 0;
    const uint64_t row = shape.empty() ? 1 : shape.back();
    if (row % type.block_elems != 0) {
        throw FormatError(ErrorKind::kCorrupt, who + " has rows of " + std::to_string(row) + " elements; " + std::string(type.id) +
                                                   " is stored in blocks of " + std::to_string(type.block_elems));
    }
    if (!checked_mul(elems / type.block_elems, type.block_bytes, bytes)) {
        throw FormatError(ErrorKind::kCorrupt, who + " has shape " + shape_text(shape) + " of " + std::string(type.id) + ": more than 2^64 bytes");
    }
    return bytes;
}

uint64_t check_contiguous(const std::string& format, const std::vector<TensorEntry>& tensors, uint64_t data_begin, uint64_t alignment) {
    std::vector<size_t> order(tensors.size());
    std::iota(order.begin(), order.end(), size_t{0});
    // Empty tensors share their offset with the next one, hence the second key.
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        const TensorEntry &x = tensors[a], &y = tensors[b];
        return x.offset != y.offset ? x.offset < y.offset : x.size_bytes < y.size_bytes;
    });
    uint64_t end = data_begin;
    const TensorEntry* before = nullptr;
    for (const size_t i : order) {
        const TensorEntry& tensor = tensors[i];
        const uint64_t padding = (alignment - (end - data_begin) % alignment) % alignment;
        const std::string at = format + ": tensor " + in_quotes(tensor.name) + " begins at byte " + std::to_string(tensor.offset);
        if (before && tensor.offset < end) {
            throw FormatError(ErrorKind::kCorrupt, at + ", inside tensor " + in_quotes(before->name) + ", which ends at byte " + std::to_string(end));
        }
        if (tensor.offset != end + padding) {
            const std::string last = before ? "tensor " + in_quotes(before->name) + " ends at byte " : "the tensor data begins at byte ";
            throw FormatError(ErrorKind::kCorrupt,
                              at + "; " + last + std::to_string(end) +
                                  (padding ? " (" + std::to_string(end + padding) + " when aligned to " + std::to_string(alignment) + ")" : ""));
        }
        end = tensor.offset + tensor.size_bytes;
        before = &tensor;
    }
    return end;
}

}  // namespace orrery::formats
