#include "engine/backend/devices.hpp"

#include <charconv>

#include "engine/platform/files.hpp"
#include "engine/run/options.hpp"
#include "orrery/plugin.hpp"

#ifdef ORRERY_WITH_VULKAN
#include "engine/backend/vulkan/device.hpp"
#endif

namespace orrery {
namespace {
constexpr uint32_t kSubmissionMs = 100;
}

#ifdef ORRERY_WITH_VULKAN
struct Devices::Shared {
    orr_vulkan_host host{};
    bool has_host = false;
    std::shared_ptr<vulkan::Instance> instance;
    std::map<size_t, std::shared_ptr<vulkan::ShaderTrust>> trust;
};

size_t Devices::count() {
    if (!shared_->instance) shared_->instance = std::make_shared<vulkan::Instance>(shared_->has_host ? &shared_->host : nullptr);
    return shared_->instance->physical_devices().size();
}

std::shared_ptr<Device> Devices::open(size_t index) {
    vulkan::VulkanDevice::Options o;
    o.budget_bytes = budget_bytes_;
    o.cache_dir = cache_dir_;
    o.host = shared_->has_host ? &shared_->host : nullptr;
    o.submission_ns = submission_ns_;
    o.self_test = self_test_;
    o.without_shaders = without_shaders_;
    auto& trust = shared_->trust[index];
    o.trust = trust;
    try {
        auto device = std::make_shared<vulkan::VulkanDevice>(shared_->instance, index, o);
        trust = device->trust();
        return device;
    } catch (const Error& e) {
        throw Error(e.code(), "vulkan:" + std::to_string(index) + ": " + e.what());
    }
}

nlohmann::ordered_json Devices::describe_closed(size_t index) { return vulkan::VulkanDevice::describe_closed(*shared_->instance, index); }
#else
struct Devices::Shared {};
size_t Devices::count() { throw Error(ORR_UNSUPPORTED, "Vulkan: this library was built without it"); }
std::shared_ptr<Device> Devices::open(size_t) { return nullptr; }
nlohmann::ordered_json Devices::describe_closed(size_t) { return {}; }
#endif

Devices::Devices(const orr_engine_options& o) : budget_bytes_(o.device_memory_budget_bytes), self_test_(!o.no_self_test), submission_ns_((o.device_submission_ms ? o.device_submission_ms : kSubmissionMs) * uint64_t{1'000'000}), shared_(std::make_unique<Shared>()) {
    for (auto pattern = o.without_shaders; pattern && *pattern; pattern++) without_shaders_.emplace_back(*pattern);
    cache_dir_ = o.cache_dir ? o.cache_dir : platform::cache_folder();
#ifdef ORRERY_WITH_VULKAN
    if (!o.vulkan) return;
    shared_->host = copy_options(o.vulkan, "orr_vulkan_host");
    shared_->has_host = true;
    const orr_vulkan_host& h = shared_->host;
    if (!h.instance != !h.device || !h.device != !h.queue || !h.device != !h.physical_device)
        throw Error(ORR_INVALID_ARGUMENT, "orr_vulkan_host: instance, physical_device, device and queue must be given together");
    if (!h.lock_queue != !h.unlock_queue) throw Error(ORR_INVALID_ARGUMENT, "orr_vulkan_host: lock_queue and unlock_queue must be given together");
    if (!h.device) return;
    count();
    open_[0] = open(0);
    shared_->host.extensions = nullptr;  // read above, and the host's
    shared_->host.features = nullptr;
#else
    if (o.vulkan) throw Error(ORR_UNSUPPORTED, "orr_engine_options.vulkan: this library was built without Vulkan");
#endif
}

Devices::~Devices() = default;

std::shared_ptr<Device> Devices::get(const std::string& name) {
    if (name.empty() || name == "cpu") return nullptr;
    const std::string kind = name.substr(0, name.find(':'));
    size_t index = 0;
    const char* const end = name.data() + name.size();
    bool well_formed = kind == "vulkan";
    if (well_formed && kind.size() < name.size()) {
        const auto [at, problem] = std::from_chars(name.data() + kind.size() + 1, end, index);
        well_formed = problem == std::errc() && at == end;
    }
    if (!well_formed) throw Error(ORR_INVALID_ARGUMENT, "device \"" + name + "\" is not known; known: cpu, vulkan, vulkan:N");
    const std::lock_guard lock(mutex_);
    const size_t n = count();
    if (n == 0) throw Error(ORR_NOT_FOUND, "Vulkan: this machine has no device");
    if (index >= n) throw Error(ORR_NOT_FOUND, name + ": this machine has " + std::to_string(n) + " Vulkan device" + (n == 1 ? "" : "s"));
    auto& slot = open_[index];
    if (slot && slot->lost() && slot->shared_with_host())
        throw Error(ORR_DEVICE_LOST, name + ": the host's device was lost; another one needs another engine");
    if (!slot || slot->lost()) slot = open(index);
    return slot;
}

nlohmann::ordered_json Devices::describe(bool open) {
    auto out = nlohmann::ordered_json::array();
    out.push_back({{"id", "cpu"}});
    size_t n = 0;
    try {
        const std::lock_guard lock(mutex_);
        n = count();
    } catch (const Error& e) {
        out.push_back({{"id", "vulkan"}, {"problem", e.what()}});
    }
    for (size_t i = 0; i < n; i++) {
        const std::string id = "vulkan:" + std::to_string(i);
        try {
            std::shared_ptr<Device> device;
            if (open) {
                device = get(id);
            } else {
                const std::lock_guard lock(mutex_);
                if (const auto known = open_.find(i); known != open_.end()) device = known->second;
            }
            out.push_back(device ? device->describe() : describe_closed(i));
        } catch (const Error& e) {
            out.push_back({{"id", id}, {"problem", e.what()}});
        }
    }
    return out;
}

}  // namespace orrery
