#include "mirror.hpp"

#include <cstring>
#include <stdexcept>

#include "orrery/ext/vulkan.h"
#include "plan.hpp"

namespace orrery::conformance {
namespace {
constexpr uint64_t kGuard = 256;
constexpr uint8_t kGuardByte = 0xc5;
}  // namespace

Mirror::Mirror(std::shared_ptr<Device> device, const Binding& binding) : device_(std::move(device)) {
    uint64_t end = 0;
    const auto add = [&](const Held& held) {
        const bool constant = held.tensor()->flags & ORR_TENSOR_CONSTANT;
        for (const auto& m : held.memory()) {
            // Weights lie at the begin of memory of their own; activations may begin at any element.
            const uint64_t shift = constant ? 0 : reinterpret_cast<uintptr_t>(m->data()) % 64;
            const uint64_t at = (end + kGuard + 255) / 256 * 256 + shift;
            regions_.push_back({m->data(), m->size(), at, constant});
            end = at + m->size() + kGuard;
        }
    };
    for (const auto* list : {&binding.inputs, &binding.outputs})
        for (const auto& held : *list)
            if (held) add(*held);
    tensors_ = device_->allocate(end + kGuard, DeviceUse::work, "tensors of a case");
    image_.resize(end + kGuard);
}

uint64_t Mirror::address_of(const void* host) const {
    if (!host) return 0;
    for (const Region& r : regions_)
        if (r.host == host) return tensors_->address() + r.offset;
    throw std::runtime_error("a state's page is not among the tensors of the case");
}

void Mirror::place(const Held& held, orr_tensor& t) {
    const orr_tensor& from = *held.tensor();
    t.data = nullptr;
    t.offset = 0;
    std::vector<uint8_t> table;
    const auto put = [&](const void* data, size_t bytes) { table.insert(table.end(), static_cast<const uint8_t*>(data), static_cast<const uint8_t*>(data) + bytes); };
    const auto batch = static_cast<size_t>(from.rank ? from.shape[0] : 0);
    if (from.layout == intern(ORR_LAYOUT_PAGED)) {
        const uint64_t bytes = (batch * sizeof(orr_vulkan_paged) + 63) / 64 * 64 + batch * static_cast<uint64_t>(from.shape[1] + 1) * 8;
        more_.push_back(device_->allocate(bytes, DeviceUse::step, "pages of a case"));
        tables_.push_back({static_cast<const orr_paged* const*>(from.data), batch, from.shape[1], more_.back()});
        write_table(tables_.back());
    } else if (from.layout == intern(ORR_LAYOUT_ROWS)) {
        more_.push_back(device_->allocate(batch * 8 + 8, DeviceUse::step, "rows of a case"));
        for (size_t b = 0; b < batch; b++) {
            const uint64_t address = address_of(static_cast<void* const*>(from.data)[b]);
            put(&address, 8);
        }
    } else {
        const auto* const base = static_cast<const uint8_t*>(from.data);
        for (const Region& r : regions_)
            if (r.host == base) t.offset = r.offset;
        t.buffer = tensors_->handle();
        return;
    }
    if (!table.empty()) device_->write(*more_.back(), 0, table.data(), table.size());
    t.buffer = more_.back()->handle();
}

void Mirror::write_table(const PagedTable& t) {
    std::vector<uint8_t> table;
    std::vector<uint64_t> pages;
    const auto put = [&](const void* data, size_t bytes) { table.insert(table.end(), static_cast<const uint8_t*>(data), static_cast<const uint8_t*>(data) + bytes); };
    const uint64_t pages_at = (t.batch * sizeof(orr_vulkan_paged) + 63) / 64 * 64;
    for (size_t b = 0; b < t.batch; b++) {
        const orr_paged& p = *t.rows[b];
        const orr_vulkan_paged view{t.block->address() + pages_at + pages.size() * 8, static_cast<int32_t>(p.past), static_cast<int32_t>(p.length), static_cast<int32_t>(p.first), p.page_tokens};
        put(&view, sizeof view);
        for (int64_t n = 0; n * p.page_tokens < t.tokens; n++) pages.push_back(address_of(p.pages[n]));
    }
    table.resize(pages_at);
    put(pages.data(), pages.size() * 8);
    if (!table.empty()) device_->write(*t.block, 0, table.data(), table.size());
}

void Mirror::refresh() {
    for (const PagedTable& t : tables_) write_table(t);
}

void Mirror::place_packed(orr_tensor& t, const Guarded& packed) {
    more_.push_back(device_->allocate(std::max<uint64_t>(packed.size(), 1), DeviceUse::weights, "packed weights of a case"));
    if (packed.size()) device_->write(*more_.back(), 0, packed.data(), packed.size());
    t.data = nullptr;
    t.buffer = more_.back()->handle();
    t.offset = 0;
}

uint64_t Mirror::add_workspace(uint64_t bytes) {
    workspace_bytes_ = bytes;
    workspace_ = device_->allocate(bytes + 2 * kGuard, DeviceUse::work, "workspace of a case");
    return workspace_->address() + kGuard;
}

void Mirror::upload() {
    std::memset(image_.data(), kGuardByte, image_.size());
    for (const Region& r : regions_)
        if (r.bytes) std::memcpy(image_.data() + r.offset, r.host, r.bytes);
    device_->write(*tensors_, 0, image_.data(), image_.size());
    if (!workspace_) return;
    std::vector<uint8_t> scratch(workspace_bytes_ + 2 * kGuard, kGuardByte);
    std::memset(scratch.data() + kGuard, 0xff, workspace_bytes_);
    device_->write(*workspace_, 0, scratch.data(), scratch.size());
}

void Mirror::download() {
    std::vector<uint8_t> now(image_.size());
    device_->read(*tensors_, 0, now.data(), now.size());
    for (const Region& r : regions_) {
        if (r.bytes) std::memcpy(const_cast<uint8_t*>(r.host), now.data() + r.offset, r.bytes);
        std::memset(now.data() + r.offset, kGuardByte, r.bytes);
    }
    for (const uint8_t b : now) intact_ = intact_ && b == kGuardByte;
    if (!workspace_) return;
    std::vector<uint8_t> scratch(workspace_bytes_ + 2 * kGuard);
    device_->read(*workspace_, 0, scratch.data(), scratch.size());
    for (uint64_t i = 0; i < kGuard; i++) intact_ = intact_ && scratch[i] == kGuardByte && scratch[kGuard + workspace_bytes_ + i] == kGuardByte;
}

}  // namespace orrery::conformance
