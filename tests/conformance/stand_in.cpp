#include "stand_in.hpp"

#include <algorithm>
#include <stdexcept>

namespace orrery::conformance {

const orr_vulkan_device* StandIn::device(const void* real) {
    real_device_ = static_cast<const orr_vulkan_device*>(real);
    device_.self = this;
    device_.base = *real_device_;
    device_.base.header = ORR_HEADER(orr_vulkan_device);
    if (bare_) device_.base.features = 0;
    device_.base.refuses = [](const orr_vulkan_device* d, const orr_vulkan_shader* s) { return reinterpret_cast<const DeviceTable*>(d)->self->refuse(*s); };
    return &device_.base;
}

const char* StandIn::refuse(const orr_vulkan_shader& s) const {
    if (refused_.count(s.name)) return "refused by the kit, to see the kernel's other ways";
    return real_device_->refuses ? real_device_->refuses(real_device_, &s) : nullptr;
}

const orr_vulkan_recorder* StandIn::recorder(const void* real) {
    real_ = static_cast<const orr_vulkan_recorder*>(real);
    held_.clear();
    recorder_.self = this;
    recorder_.base = *real_;
    recorder_.base.header = ORR_HEADER(orr_vulkan_recorder);
    recorder_.base.device = &device_.base;
    recorder_.base.dispatch = [](const orr_vulkan_recorder* r, const orr_vulkan_dispatch* d) { return reinterpret_cast<const RecorderTable*>(r)->self->hold(*d); };
    recorder_.base.barrier = [](const orr_vulkan_recorder* r) {
        StandIn* self = reinterpret_cast<const RecorderTable*>(r)->self;
        self->flush();
        self->real_->barrier(self->real_);
    };
    recorder_.base.zeros = [](const orr_vulkan_recorder* r, uint32_t n) {
        const orr_vulkan_recorder* behind = reinterpret_cast<const RecorderTable*>(r)->self->real_;
        return behind->zeros(behind, n);
    };
    recorder_.base.fault = [](const orr_vulkan_recorder* r, const char* text) {
        const orr_vulkan_recorder* behind = reinterpret_cast<const RecorderTable*>(r)->self->real_;
        return behind->fault(behind, text);
    };
    return &recorder_.base;
}

orr_status StandIn::hold(const orr_vulkan_dispatch& d) {
    used_.insert(d.shader->name);
    if (!reversed_) {
        held_.resize(held_.size() + 1);  // counted alone
        side_by_side_ = side_by_side_ || held_.size() > 1;
        return real_->dispatch(real_, &d);
    }
    Dispatch copy{d, {d.constants, d.constants + d.n_constants}, {}};
    const auto* bytes = static_cast<const uint8_t*>(d.push);
    copy.push.assign(bytes, bytes + d.push_bytes);
    held_.push_back(std::move(copy));
    return ORR_OK;
}

void StandIn::flush() {
    if (reversed_)
        for (auto d = held_.rbegin(); d != held_.rend(); ++d) {
            d->what.constants = d->constants.data();
            d->what.push = d->push.data();
            const orr_status status = real_->dispatch(real_, &d->what);
            if (status != ORR_OK) throw std::runtime_error("a dispatch fails with status " + std::to_string(status));
        }
    held_.clear();
}

}  // namespace orrery::conformance
