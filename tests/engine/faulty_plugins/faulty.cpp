// A plugin with one operator (y = 2 x) and one model of it, and one fault: faulty_plugin_fault, which each library brings. "none"
// has none; "float_mode" gives the control bits of MXCSR that its chunks see, and the thread that ran each.
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "orrery/plugin.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

extern "C" const char faulty_plugin_fault[];

namespace {

bool fault(std::string_view name) { return name == faulty_plugin_fault; }

// What runs can be told by their data: only a negative first element is met with the fault, so that the same session can
// go on afterwards.
bool provoked(const orr_run* run) { return *static_cast<const float*>(run->inputs[0]->data) < 0; }

orr_status infer(const orr_infer* i) {
    if (fault("infer_throws")) throw std::runtime_error("thrown by infer");
    if (fault("infer_silent")) return ORR_UNSUPPORTED;
    orr_value_info& y = *i->outputs[0];
    y.type = ORR_TYPE_F32;
    y.rank = fault("infer_rank") ? ORR_MAX_RANK + 1 : i->inputs[0]->rank;
    std::memcpy(y.dims, i->inputs[0]->dims, sizeof y.dims);
    return ORR_OK;
}

bool supports(const orr_prepare*, char*, size_t) {
    if (fault("supports_throws")) throw std::runtime_error("thrown by supports");
    return !fault("supports_nothing");
}

orr_status prepare(orr_prepare*) {
    if (fault("prepare_throws")) throw std::runtime_error("thrown by prepare");
    return fault("prepare_silent") ? ORR_UNSUPPORTED : ORR_OK;
}

void chunk(void* arg, int64_t c, uint32_t thread) {
    const auto* run = static_cast<const orr_run*>(arg);
    const auto* x = static_cast<const float*>(run->inputs[0]->data);
    auto* y = static_cast<float*>(run->outputs[0]->data);
    if (fault("chunk_throws") && provoked(run) && c == 3) throw std::runtime_error("thrown by a chunk");
    if (fault("chunk_throws_7") && provoked(run)) throw 7;
    if (fault("float_mode")) {
        // Long enough for the other threads to come and take theirs.
        const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(300);
        while (std::chrono::steady_clock::now() < until) {
        }
#if defined(__x86_64__)
        y[c] = static_cast<float>((_mm_getcsr() & ~0x3fu) + thread * 65536);
#endif
        return;
    }
    y[c] = 2 * x[c];
}

orr_status run(const orr_run* run) {
    if (provoked(run)) {
        if (fault("run_throws")) throw std::runtime_error("thrown by run");
        if (fault("run_silent")) return ORR_INTERNAL;
    }
    int64_t n = 1;
    for (int32_t i = 0; i < run->inputs[0]->rank; i++) n *= run->inputs[0]->shape[i];
    run->parallel_for(run, n, chunk, const_cast<orr_run*>(run));
    return ORR_OK;
}

// Of the device's kernel: no test of it is ever made, as it takes the real node alone.
bool device_supports(const orr_prepare* p, char*, size_t) { return p->inputs[0]->shape[0] == 16; }

bool self_test(const orr_prepare*, uint32_t i, orr_self_test* test) {
    if (fault("self_test_throws")) throw std::runtime_error("thrown by self_test");
    if (fault("self_test_throws_7")) throw 7;
    test->inputs[0]->shape[0] = 17 + i;
    return true;  // however many were asked for
}

const orr_port kX = {ORR_HEADER(orr_port), "x", 0, "f32", "any shape", nullptr, fault("input_axis") ? ORR_AXIS(0) : 0};
const orr_port kY = {ORR_HEADER(orr_port), "y", 0, "f32", "as x", nullptr, fault("output_axis") ? ORR_AXIS(8) : fault("output_axis_last") ? ORR_AXIS(-9) : fault("infer_axis") ? ORR_AXIS(2) : 0};
const orr_port* const kIns[] = {&kX};
const orr_port* const kOuts[] = {&kY};
const bool kForDevices = fault("self_test_endless") || fault("self_test_throws") || fault("self_test_throws_7");
const orr_kernel kKernel = {{fault("kernel_small") ? 24u : static_cast<uint32_t>(sizeof(orr_kernel)), ORR_ABI_MAJOR, ORR_ABI_MINOR},
                            "plain", "cpu", kForDevices ? static_cast<uint32_t>(ORR_KERNEL_REFERENCE) : 0, supports, prepare, fault("kernel_no_run") ? nullptr : run};
const orr_kernel kDeviceKernel = {ORR_HEADER(orr_kernel), "tried", "vulkan", 0, device_supports, nullptr, run, self_test};
const orr_kernel* const kKernels[] = {fault("kernel_null") ? nullptr : kForDevices ? &kDeviceKernel : &kKernel, &kKernel};
const orr_operator kOperator = {
    {fault("operator_small") ? 40u : static_cast<uint32_t>(sizeof(orr_operator)), static_cast<uint16_t>(fault("operator_major") ? 9 : ORR_ABI_MAJOR), ORR_ABI_MINOR},
    fault("operator_other") ? "test.thrice/1" : "test.twice/1", "y = 2 x", 0, 1, fault("operator_no_output") ? 0u : 1u, 0, fault("operator_no_kernel") ? 0u : kForDevices ? 2u : 1u,
    fault("ports_null") ? nullptr : kIns, kOuts, nullptr, fault("kernels_null") ? nullptr : kKernels, fault("operator_no_infer") ? nullptr : infer, nullptr, nullptr, nullptr, nullptr};
const orr_operator* const kOperatorItems[] = {fault("operator_null") ? nullptr : &kOperator};
const orr_operators kOperators = {ORR_HEADER(orr_operators), 1, fault("operators_null") ? nullptr : kOperatorItems};

const char* const kEntries[] = {"forward", nullptr};
const char* const kNone[] = {nullptr};
const char* const kArchitectures[] = {fault("architecture_other") ? "FaultlessModel" : "FaultyModel", nullptr};
const char* const kNeeded[] = {"test.twice/1", nullptr};

orr_status configure(const orr_model_source*, void** config, orr_model_info* info) {
    if (fault("configure_throws")) throw std::runtime_error("thrown by configure");
    if (fault("configure_silent")) return ORR_CORRUPT;
    info->entries = kEntries;
    info->tasks = kNone;
    info->info_json = "{}";
    *config = nullptr;
    return ORR_OK;
}

orr_status build(void*, const orr_model_source*, const char*, orr_builder* b) {
    if (fault("build_throws")) throw std::runtime_error("thrown by build");
    if (fault("build_silent")) return ORR_UNSUPPORTED;
    const orr_dim dims[] = {b->symbol(b, "B"), 4};
    const orr_value x = b->input(b, "x", ORR_TYPE_F32, 2, dims, 0);
    orr_value y = 0;
    b->node(b, "test.twice/1", nullptr, 1, &x, 1, &y);
    b->output(b, "y", y);
    return ORR_OK;
}

void destroy(void*) {}

const orr_model_arch kModel = {ORR_HEADER(orr_model_arch), "faulty", "y = 2 x", kArchitectures, kNone, kNeeded, configure, fault("model_no_build") ? nullptr : build, destroy};
const orr_model_arch* const kModelItems[] = {&kModel};
const orr_models kModels = {ORR_HEADER(orr_models), 1, kModelItems};

const void* get_extension(const char* id) {
    if (fault("extension_throws")) throw std::runtime_error("thrown by get_extension");
    if (!std::strcmp(id, ORR_EXT_OPERATORS)) return &kOperators;
    if (!std::strcmp(id, ORR_EXT_MODELS)) return &kModels;
    return nullptr;
}

const orr_plugin kPlugin = {{fault("plugin_small") ? 24u : static_cast<uint32_t>(sizeof(orr_plugin)), static_cast<uint16_t>(fault("plugin_major") ? 2 : ORR_ABI_MAJOR), ORR_ABI_MINOR},
                            fault("id_other") ? "test.elsewhere" : fault("id_null") ? nullptr : "test.faulty", "1.0", "MIT",
                            fault("sanitizer_other") ? "martian" : ORR_SANITIZER, fault("extension_null") ? nullptr : get_extension};

}  // namespace

extern "C" ORR_EXPORT const orr_plugin* orr_plugin_entry(const orr_host* host) {
    if (fault("entry_throws")) throw std::runtime_error("thrown by the entry");
    if (fault("entry_throws_7")) throw 7;
    if (fault("entry_null")) return nullptr;
    if (fault("entry_refuses")) return host->fail(host, ORR_UNSUPPORTED, "wants a left-handed processor"), nullptr;
    return &kPlugin;
}
