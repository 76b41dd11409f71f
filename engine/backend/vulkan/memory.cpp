#include "engine/backend/vulkan/memory.hpp"

#include <algorithm>

#include "orrery/plugin.hpp"

namespace orrery::vulkan {
namespace {
constexpr uint64_t kChunkBytes = 64 << 20;
constexpr uint64_t kSmallChunkBytes = 64 << 10;  // where little is left; allocations are few on some drivers (maxMemoryAllocationCount)
constexpr uint64_t kAlignment = 256;
constexpr VkBufferUsageFlags kChunkUsage =
    VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
uint64_t aligned(uint64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }
}  // namespace

VulkanBlock::VulkanBlock(std::shared_ptr<void> keep, std::shared_ptr<VulkanMemory> owner, Chunk* chunk, DeviceUse use, uint64_t offset, uint64_t bytes, uint64_t taken)
    : keep_(std::move(keep)), owner_(std::move(owner)), chunk_(chunk), use_(use), taken_(taken) {
    table_ = {ORR_HEADER(orr_vulkan_buffer), reinterpret_cast<void*>(chunk->buffer), offset, chunk->address + offset, bytes, kChunkUsage};
    handle_ = &table_;
    address_ = table_.address;
    bytes_ = bytes;
    mapped_ = chunk->mapped ? chunk->mapped + offset : nullptr;
}

VulkanBlock::~VulkanBlock() { owner_->give_back(chunk_, use_, table_.offset, taken_); }

VulkanMemory::VulkanMemory(const DeviceApi& api, VkDevice device, const Capability& capability, uint64_t budget_bytes)
    : api_(api), device_(device), capability_(capability), budget_(budget_bytes ? std::min(budget_bytes, capability.heap_bytes) : capability.heap_bytes) {}

VulkanMemory::~VulkanMemory() {
    for (auto& kind : chunks_)
        for (auto& c : kind) destroy(*c);
}

void VulkanMemory::destroy(Chunk& c) noexcept {
    if (c.buffer) api_.DestroyBuffer(device_, c.buffer, nullptr);
    if (c.memory) api_.FreeMemory(device_, c.memory, nullptr);
}

uint64_t VulkanMemory::used_bytes() const {
    const std::lock_guard lock(mutex_);
    return used_;
}

uint64_t VulkanMemory::free_bytes() const {
    const std::lock_guard lock(mutex_);
    uint64_t inside = 0;
    for (const auto& c : chunks_[0])
        for (const auto& [offset, size] : c->free) inside += size;
    return budget_ - std::min(budget_, used_) + inside;
}

uint32_t VulkanMemory::find_type(uint32_t allowed, DeviceUse use) const {
    constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, kMapped = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                                    kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    std::vector<VkMemoryPropertyFlags> wishes;
    switch (use) {
        case DeviceUse::step: wishes = {kLocal | kMapped, kMapped}; break;
        case DeviceUse::result: wishes = {kMapped | kCached, kMapped}; break;
        default:
            if (capability_.table.integrated || capability_.table.software) wishes = {kLocal | kMapped};
            wishes.insert(wishes.end(), {kLocal, 0});
    }
    for (const VkMemoryPropertyFlags want : wishes)
        for (uint32_t i = 0; i < capability_.memory.memoryTypeCount; i++)
            if ((allowed >> i & 1) && (capability_.memory.memoryTypes[i].propertyFlags & want) == want) return i;
    throw Error(ORR_UNSUPPORTED, capability_.name + ": no memory type fits");
}

Chunk* VulkanMemory::grow(uint64_t bytes, DeviceUse use, const char* what, uint64_t beside) {
    const uint64_t left = budget_ - std::min(budget_, used_);
    const auto refuse = [&](const std::string& why) {
        throw NoDeviceMemory(ORR_OUT_OF_MEMORY, std::string(what) + ": " + std::to_string(bytes) + " bytes are not to be had on " + capability_.name + ": " + why + "; the budget is " + std::to_string(budget_) +
                                           " bytes and " + std::to_string(used_) + " are in use");
    };
    const bool small = use == DeviceUse::step || use == DeviceUse::result;
    const bool host_side = use == DeviceUse::result;  // lies in the host's memory, outside the device's budget
    const uint64_t room = host_side ? UINT64_MAX : left - std::min(left, beside);
    if (bytes > room) refuse("over the budget" + (beside ? ", of which " + std::to_string(beside) + " bytes stay for states and activations" : std::string()));
    const uint64_t wish = std::min({small ? kChunkBytes / 16 : kChunkBytes, std::max(room / 8, kSmallChunkBytes), room, capability_.largest_allocation});
    const uint64_t size = std::max(bytes, wish / kAlignment * kAlignment);
    auto chunk = std::make_unique<Chunk>();
    chunk->bytes = size;
    VkBufferCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
    info.size = size;
    info.usage = kChunkUsage;
    info.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
    VkResult result = api_.CreateBuffer(device_, &info, nullptr, &chunk->buffer);
    if (result != VK_SUCCESS) refuse(std::string("vkCreateBuffer: ") + result_name(result));
    try {
        VkMemoryRequirements needs;
        api_.GetBufferMemoryRequirements(device_, chunk->buffer, &needs);
        VkMemoryAllocateFlagsInfo flags{};
        flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
        flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
        VkMemoryAllocateInfo allocate{};
        allocate.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
        allocate.pNext = &flags;
        allocate.allocationSize = needs.size;
        allocate.memoryTypeIndex = find_type(needs.memoryTypeBits, use);
        result = api_.AllocateMemory(device_, &allocate, nullptr, &chunk->memory);
        if (result != VK_SUCCESS) refuse(std::string("vkAllocateMemory: ") + result_name(result));
        result = api_.BindBufferMemory(device_, chunk->buffer, chunk->memory, 0);
        if (result != VK_SUCCESS) refuse(std::string("vkBindBufferMemory: ") + result_name(result));
        if (capability_.memory.memoryTypes[allocate.memoryTypeIndex].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) {
            void* mapped = nullptr;
            result = api_.MapMemory(device_, chunk->memory, 0, VK_WHOLE_SIZE, 0, &mapped);
            if (result != VK_SUCCESS) refuse(std::string("vkMapMemory: ") + result_name(result));
            chunk->mapped = static_cast<char*>(mapped);
        }
        VkBufferDeviceAddressInfo address{};
        address.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
        address.buffer = chunk->buffer;
        chunk->address = api_.GetBufferDeviceAddress(device_, &address);
        chunk->free[0] = size;
        auto& list = chunks_for(use);
        list.push_back(std::move(chunk));
        if (!host_side) used_ += size;
        return list.back().get();
    } catch (...) {
        if (chunk) destroy(*chunk);
        throw;
    }
}

std::shared_ptr<VulkanBlock> VulkanMemory::allocate(uint64_t bytes, DeviceUse use, const char* what, std::shared_ptr<void> keep, uint64_t beside) {
    const uint64_t taken = aligned(std::max<uint64_t>(bytes, 1));
    Chunk* from = nullptr;
    uint64_t offset = 0;
    {
        const std::lock_guard lock(mutex_);
        const auto take = [&](Chunk& c) {
            for (auto it = c.free.begin(); it != c.free.end(); ++it) {
                if (it->second < taken) continue;
                offset = it->first;
                const uint64_t rest = it->second - taken;
                c.free.erase(it);
                if (rest) c.free[offset + taken] = rest;
                from = &c;
                return true;
            }
            return false;
        };
        for (auto& c : chunks_for(use))
            if (take(*c)) break;
        if (!from) take(*grow(taken, use, what, beside));
    }
    try {
        return std::make_shared<VulkanBlock>(std::move(keep), shared_from_this(), from, use, offset, bytes, taken);
    } catch (...) {
        give_back(from, use, offset, taken);
        throw;
    }
}

void VulkanMemory::give_back(Chunk* c, DeviceUse use, uint64_t offset, uint64_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    auto at = c->free.emplace(offset, bytes).first;
    if (const auto next = std::next(at); next != c->free.end() && at->first + at->second == next->first) {
        at->second += next->second;
        c->free.erase(next);
    }
    if (at != c->free.begin())
        if (const auto before = std::prev(at); before->first + before->second == at->first) {
            before->second += at->second;
            c->free.erase(at);
            at = before;
        }
    if (at->second != c->bytes) return;
    if (use != DeviceUse::result) used_ -= c->bytes;
    destroy(*c);
    auto& list = chunks_for(use);
    list.erase(std::find_if(list.begin(), list.end(), [&](const auto& p) { return p.get() == c; }));
}

}  // namespace orrery::vulkan
