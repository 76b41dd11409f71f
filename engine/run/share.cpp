#include "engine/run/share.hpp"

#include <algorithm>

#include "engine/run/convert.hpp"
#include "engine/run/options.hpp"

namespace orrery {
namespace {

std::vector<DeviceSignal> read_signals(uint32_t count, const orr_vulkan_semaphore* const* list, const std::string& name) {
    std::vector<DeviceSignal> out;
    if (count && !list) throw Error(ORR_INVALID_ARGUMENT, "orr_vulkan_share: " + name + " is NULL, its count " + std::to_string(count));
    for (uint32_t i = 0; i < count; i++) {
        const std::string which = name + "[" + std::to_string(i) + "]";
        if (!list[i]) throw Error(ORR_INVALID_ARGUMENT, "orr_vulkan_share: " + which + " is NULL");
        const orr_vulkan_semaphore s = copy_options(list[i], "orr_vulkan_semaphore");
        if (!s.handle) throw Error(ORR_INVALID_ARGUMENT, "orr_vulkan_share: " + which + " has no handle");
        out.push_back({s.handle, s.value});
    }
    return out;
}

// Bytes of a VkBuffer.
struct Range {
    const void* handle;
    uint64_t begin, bytes;
    bool meets(const Range& o) const { return handle == o.handle && begin < o.begin + o.bytes && o.begin < begin + bytes; }
    std::string text() const { return std::to_string(begin) + " to " + std::to_string(begin + bytes); }
};

Range range_of(const DeviceBlock& block, uint64_t offset, uint64_t bytes) {
    const auto& table = *static_cast<const orr_vulkan_buffer*>(block.handle());
    return {table.handle, table.offset + offset, bytes};
}

}  // namespace

Share read_share(const orr_vulkan_share& given) {
    const orr_vulkan_share g = copy_options(&given, "orr_vulkan_share");
    Share share;
    share.given = true;
    share.waits = read_signals(g.wait_count, g.waits, "waits");
    share.signals = read_signals(g.signal_count, g.signals, "signals");
    if (g.output_count && !g.outputs) throw Error(ORR_INVALID_ARGUMENT, "orr_vulkan_share: outputs is NULL, output_count " + std::to_string(g.output_count));
    for (uint32_t i = 0; i < g.output_count; i++) {
        const std::string which = "orr_vulkan_share: outputs[" + std::to_string(i) + "]";
        if (!g.outputs[i]) throw Error(ORR_INVALID_ARGUMENT, which + " is NULL");
        const orr_vulkan_output o = copy_options(g.outputs[i], "orr_vulkan_output");
        if (!o.name) throw Error(ORR_INVALID_ARGUMENT, which + " has no name");
        for (const Share::Output& other : share.outputs)
            if (other.name == o.name) throw Error(ORR_INVALID_ARGUMENT, "orr_vulkan_share: output " + other.name + " is named twice");
        Share::Output& out = share.outputs.emplace_back();
        out.name = o.name;
        out.copied = o.buffer != nullptr;
        if (o.buffer) out.buffer = copy_options(o.buffer, "orr_vulkan_buffer");
    }
    return share;
}

std::vector<std::shared_ptr<DeviceBlock>> import_inputs(Device& device, Plan& plan, uint32_t input_count, const orr_named_tensor* const* inputs) {
    std::vector<std::shared_ptr<DeviceBlock>> out(plan.inputs().size());
    for (size_t k = 0; k < out.size(); k++) {
        const PlanInput& in = plan.inputs()[k];
        if (!in.imported) continue;
        const orr_named_tensor& from = **std::find_if(inputs, inputs + input_count, [&](const orr_named_tensor* t) { return in.name == t->name; });
        const orr_tensor& t = *in.tensor;
        if (from.type != t.type)
            throw Error(ORR_INVALID_ARGUMENT, "input " + in.name + ": element type number " + std::to_string(from.type) + " was given in a buffer of the device, the model wants " + std::to_string(t.type) + " (" + t.type_id +
                                                  "); buffers are not converted");
        const auto buffer = copy_options(static_cast<const orr_vulkan_buffer*>(named_buffer(from)), ("input " + in.name + ": orr_vulkan_buffer").c_str());
        out[k] = device.import_buffer(&buffer, t.size_bytes, false, "input " + in.name);
    }
    return out;
}

DeviceExchange make_exchange(Device& device, Plan& plan, const Share& share, const std::vector<std::shared_ptr<DeviceBlock>>& imports, const std::shared_ptr<DeviceBlock>& host) {
    DeviceExchange e{share.waits, share.signals, {}, {}};
    for (size_t k = 0; k < imports.size(); k++) {
        const orr_tensor& t = *plan.inputs()[k].tensor;
        if (imports[k] && plan.inputs()[k].read_by_host && t.size_bytes) e.before.push_back({imports[k], 0, host, plan.host_offset(t), t.size_bytes});
    }
    std::vector<std::pair<std::string, Range>> written;
    for (const Share::Output& o : share.outputs) {
        if (!o.copied) continue;
        const orr_tensor& t = *std::find_if(plan.outputs().begin(), plan.outputs().end(), [&](const PlanOutput& p) { return p.name == o.name; })->tensor;
        const auto dst = device.import_buffer(&o.buffer, t.size_bytes, true, "output " + o.name);
        if (t.size_bytes == 0) continue;
        const auto src = plan.block_of(t);
        const Range to = range_of(*dst, 0, t.size_bytes), from = range_of(*src, t.offset, t.size_bytes);
        if (to.meets(from)) throw Error(ORR_INVALID_ARGUMENT, "output " + o.name + ": the bytes " + to.text() + " of its VkBuffer hold the input that it is (" + from.text() + ")");
        for (const auto& [name, range] : written)
            if (to.meets(range)) throw Error(ORR_INVALID_ARGUMENT, "outputs " + name + " and " + o.name + " overlap: bytes " + range.text() + " and " + to.text() + " of one VkBuffer");
        written.emplace_back(o.name, to);
        e.after.push_back({src, t.offset, dst, 0, t.size_bytes});
    }
    return e;
}

}  // namespace orrery
