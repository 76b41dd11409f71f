#include "engine/weights/device_weights.hpp"

#include "orrery/plugin.hpp"

namespace orrery {

std::shared_ptr<DeviceBlock> DeviceWeights::plain(const std::shared_ptr<Constant>& c, uint64_t beside, const DeviceProgress& progress) {
    const std::lock_guard lock(mutex_);
    auto& slot = blocks_[c->key()];
    if (slot) return slot;
    auto block = device_->allocate(c->bytes(), DeviceUse::weights, c->name().c_str(), beside);
    const orr_tensor src = weights_.tensor(c, true);
    device_->write(*block, 0, src.data, c->bytes(), progress);
    weights_.release_source(c);
    return slot = std::move(block);
}

std::shared_ptr<DeviceBlock> DeviceWeights::pack(const std::shared_ptr<Constant>& c, const orr_pack& pack, uint64_t beside, const std::function<void(int64_t, orr_chunk_fn, void*)>& parallel,
                                                 const DeviceProgress& progress) {
    const std::lock_guard lock(mutex_);
    auto& slot = blocks_[c->key() + "|" + pack.layout];
    if (slot) {
        if (slot->bytes() != pack.bytes)
            throw Error(ORR_INTERNAL, "layout " + std::string(pack.layout) + " of " + c->name() + " takes " + std::to_string(slot->bytes()) + " bytes and now " + std::to_string(pack.bytes));
        return slot;
    }
    auto block = device_->allocate(pack.bytes, DeviceUse::weights, c->name().c_str(), beside);
    const orr_tensor src = weights_.tensor(c, true);
    // Straight into the device where the host sees its memory; the device's copy of a card is filled from a packed one.
    Buffer packed;
    if (!block->mapped()) packed = Buffer(memory_, pack.bytes, pack.alignment, ("packing " + c->name()).c_str());
    struct Arg {
        const orr_pack* pack;
        const orr_tensor* src;
        void* dst;
    } arg{&pack, &src, block->mapped() ? block->mapped() : packed.data()};
    parallel(
        pack.chunks, [](void* a, int64_t chunk, uint32_t) { static_cast<Arg*>(a)->pack->pack(static_cast<Arg*>(a)->src, static_cast<Arg*>(a)->dst, chunk); }, &arg);
    if (!block->mapped()) device_->write(*block, 0, packed.data(), pack.bytes, progress);
    weights_.release_source(c);
    return slot = std::move(block);
}

void DeviceWeights::drop_unused() {
    const std::lock_guard lock(mutex_);
    std::erase_if(blocks_, [](const auto& b) { return b.second.use_count() <= 1; });
}

void DeviceWeights::forget(const std::string& mark) {
    const std::lock_guard lock(mutex_);
    std::erase_if(blocks_, [&](const auto& b) { return b.first.find(mark) != std::string::npos; });
}

uint64_t DeviceWeights::bytes() {
    const std::lock_guard lock(mutex_);
    uint64_t sum = 0;
    for (const auto& [key, block] : blocks_)
        if (block) sum += block->bytes();
    return sum;
}

}  // namespace orrery
