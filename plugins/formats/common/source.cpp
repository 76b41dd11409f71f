#include "common/source.h"

#include <algorithm>

namespace orrery::formats {

void MemorySource::read(uint64_t offset, uint64_t size, void* dst) const {
    if (size != 0) std::memcpy(dst, data_ + offset, static_cast<size_t>(size));
}

void CallbackSource::read(uint64_t offset, uint64_t size, void* dst) const {
    if (size == 0 || read_at_(offset, size, dst)) return;
    throw FormatError(ErrorKind::kIo, "reading " + std::to_string(size) + " bytes at offset " + std::to_string(offset) +
                                          " failed; the source says that it has " + std::to_string(size_));
}

bool Prefix::ensure(uint64_t end) {
    constexpr uint64_t kFirstReadBytes = 64 << 10;
    if (end > size_) return false;
    if (mapped_ || end <= block_.size()) return true;
    const uint64_t have = block_.size();
    const uint64_t want = std::min(size_, std::max({end, 2 * have, kFirstReadBytes}));
    block_.resize(static_cast<size_t>(want));
    source_->read(have, want - have, block_.data() + have);
    return true;
}

void Prefix::finish(uint64_t end) {
    source_ = nullptr;
    if (mapped_) return;
    size_ = std::min(size_, end);
    block_.resize(static_cast<size_t>(std::min<uint64_t>(block_.size(), end)));
    block_.shrink_to_fit();
}

}  // namespace orrery::formats
