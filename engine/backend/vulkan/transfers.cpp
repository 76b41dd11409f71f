#include "engine/backend/vulkan/transfers.hpp"

#include <algorithm>
#include <cstring>

#include "orrery/plugin.hpp"

namespace orrery::vulkan {
namespace {

const orr_vulkan_buffer& table(const DeviceBlock& block) { return *static_cast<const orr_vulkan_buffer*>(block.handle()); }

void copy_region(const DeviceApi& api, VkCommandBuffer commands, const DeviceBlock& src, uint64_t src_offset, const DeviceBlock& dst, uint64_t dst_offset, uint64_t bytes) {
    const VkBufferCopy region{table(src).offset + src_offset, table(dst).offset + dst_offset, bytes};
    api.CmdCopyBuffer(commands, reinterpret_cast<VkBuffer>(table(src).handle), reinterpret_cast<VkBuffer>(table(dst).handle), 1, &region);
}

constexpr VkAccessFlags kAll = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
constexpr VkPipelineStageFlags kWork = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;

void visible(const DeviceApi& api, VkCommandBuffer commands, VkPipelineStageFlags from, VkAccessFlags written, VkPipelineStageFlags to, VkAccessFlags used) {
    VkMemoryBarrier barrier{};
    barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
    barrier.srcAccessMask = written;
    barrier.dstAccessMask = used;
    api.CmdPipelineBarrier(commands, from, to, 0, 1, &barrier, 0, nullptr, 0, nullptr);
}

}  // namespace

Transfers::Transfers(const DeviceApi& api, VkDevice device, Queue& queue, std::shared_ptr<VulkanMemory> memory) : api_(api), device_(device), queue_(queue), memory_(std::move(memory)) {
    VkCommandPoolCreateInfo pool{};
    pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
    pool.queueFamilyIndex = queue_.family();
    if (const VkResult r = api_.CreateCommandPool(device_, &pool, nullptr, &pool_); r != VK_SUCCESS) fail(r, "vkCreateCommandPool", "copying");
    std::array<VkCommandBuffer, kStagings> buffers{};
    VkCommandBufferAllocateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    info.commandPool = pool_;
    info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    info.commandBufferCount = kStagings;
    if (const VkResult r = api_.AllocateCommandBuffers(device_, &info, buffers.data()); r != VK_SUCCESS) {
        api_.DestroyCommandPool(device_, pool_, nullptr);
        fail(r, "vkAllocateCommandBuffers", "copying");
    }
    for (size_t i = 0; i < kStagings; i++) slots_[i].commands = buffers[i];
}

Transfers::~Transfers() {
    for (Slot& slot : slots_) try {
            if (!queue_.lost()) finish(slot);
        } catch (const Error&) {  // lost by now
        }
    api_.DestroyCommandPool(device_, pool_, nullptr);
}

void Transfers::finish(Slot& slot) {
    if (slot.ticket.value == 0) return;
    const Queue::Ticket ticket = slot.ticket;
    slot.ticket = {};
    queue_.wait(ticket, 0);
}

Transfers::Slot& Transfers::next() {
    Slot& slot = slots_[turn_++ % kStagings];
    finish(slot);
    return slot;
}

void Transfers::stage(Slot& slot) {
    if (!slot.staging) slot.staging = memory_->allocate(kStagingBytes, DeviceUse::result, "staging", nullptr);
}

template <class Record>
void Transfers::submit(Slot& slot, Record&& record, const DeviceExchange* exchange) {
    VkCommandBufferBeginInfo begin{};
    begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    if (const VkResult r = api_.BeginCommandBuffer(slot.commands, &begin); r != VK_SUCCESS) fail(r, "vkBeginCommandBuffer", "copying");
    record(slot.commands);
    visible(api_, slot.commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT, kWork | VK_PIPELINE_STAGE_HOST_BIT, kAll | VK_ACCESS_HOST_READ_BIT);
    if (const VkResult r = api_.EndCommandBuffer(slot.commands); r != VK_SUCCESS) fail(r, "vkEndCommandBuffer", "copying");
    slot.ticket = queue_.submit({slot.commands}, exchange);
}

void Transfers::write(const DeviceBlock& dst, uint64_t offset, const char* src, uint64_t bytes, const DeviceProgress& progress) {
    Queue::Ticket last;
    // The caller may free the block when this ends, however it ends.
    const auto drain = [&] {
        if (last.value) queue_.wait(last, 0);
    };
    try {
        for (uint64_t at = 0; at < bytes; at += kStagingBytes) {
            const uint64_t n = std::min(kStagingBytes, bytes - at);
            {
                const std::lock_guard lock(mutex_);
                Slot& slot = next();
                stage(slot);
                std::memcpy(slot.staging->mapped(), src + at, n);
                submit(slot, [&](VkCommandBuffer c) { copy_region(api_, c, *slot.staging, 0, dst, offset + at, n); });
                last = slot.ticket;
            }
            if (progress) progress(at + n);
        }
    } catch (...) {
        try {
            drain();
        } catch (const Error&) {  // the first failure is the one to tell
        }
        throw;
    }
    drain();
}

void Transfers::read(const DeviceBlock& src, uint64_t offset, char* dst, uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto size = [&](uint64_t at) { return std::min(kStagingBytes, bytes - at); };
    std::vector<Slot*> ahead;  // whose bytes are still to be taken, of the positions from `taken` on
    uint64_t taken = 0;
    const auto take = [&] {
        Slot& slot = *ahead.front();
        ahead.erase(ahead.begin());
        finish(slot);
        std::memcpy(dst + taken, slot.staging->mapped(), size(taken));
        taken += size(taken);
    };
    for (uint64_t at = 0; at < bytes; at += kStagingBytes) {
        if (ahead.size() == kStagings) take();
        Slot& slot = next();
        stage(slot);
        submit(slot, [&](VkCommandBuffer c) { copy_region(api_, c, src, offset + at, *slot.staging, 0, size(at)); });
        ahead.push_back(&slot);
    }
    while (!ahead.empty()) take();
}

void Transfers::copy(const DeviceBlock& src, uint64_t src_offset, const DeviceBlock& dst, uint64_t dst_offset, uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    Slot& slot = next();
    submit(slot, [&](VkCommandBuffer c) { copy_region(api_, c, src, src_offset, dst, dst_offset, bytes); });
    finish(slot);
}

void Transfers::fill_zero(const DeviceBlock& dst, uint64_t offset, uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    Slot& slot = next();
    submit(slot, [&](VkCommandBuffer c) { api_.CmdFillBuffer(c, reinterpret_cast<VkBuffer>(table(dst).handle), table(dst).offset + offset, (bytes + 3) / 4 * 4, 0); });
    finish(slot);
}

void Transfers::run(const DeviceExchange& exchange) {
    const std::lock_guard lock(mutex_);
    Slot& slot = next();
    submit(
        slot,
        [&](VkCommandBuffer c) {
            record_copies(api_, c, exchange.before);
            record_copies(api_, c, exchange.after);
        },
        &exchange);
    finish(slot);
}

void Transfers::record_copies(const DeviceApi& api, VkCommandBuffer commands, const std::vector<DeviceCopy>& copies) {
    if (copies.empty()) return;
    visible(api, commands, kWork, VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
    for (const DeviceCopy& c : copies) copy_region(api, commands, *c.src, c.src_offset, *c.dst, c.dst_offset, c.bytes);
    visible(api, commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT, kWork | VK_PIPELINE_STAGE_HOST_BIT, kAll | VK_ACCESS_HOST_READ_BIT);
}

}  // namespace orrery::vulkan
