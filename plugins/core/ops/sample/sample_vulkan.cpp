// orr.sample/1 on a Vulkan device, in integers as plugins/common/sampling: thresholds by searching the digits of keys from the top,
// sums of weights without order. Device half: shaders/core/sample/*.comp
#include "core/sample/params.h"
#include "core/sample/work.h"
#include "ops/sample/sample.hpp"
#include "orrery/vulkan.hpp"
#include "sample_shaders.hpp"

namespace orrery::core {
namespace {

constexpr int64_t kMostRows = 65535;  // workgroups along an axis

int64_t chunks_of(const orr_tensor& logits) { return (logits.shape[1] + shaders::SAMPLE_CHUNK - 1) / shaders::SAMPLE_CHUNK; }
int64_t words_of(const orr_tensor& logits) { return shaders::SAMPLE_TOPS + shaders::SAMPLE_CHUNK_WORDS * chunks_of(logits); }

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& x = *p->inputs[0];
    constexpr int64_t kMost = static_cast<int64_t>(shaders::SAMPLE_CHUNK) * shaders::SAMPLE_MOST_CHUNKS;
    if (x.shape[1] > kMost) return refuse(reason, size, std::to_string(x.shape[1]) + " logits, the shader takes " + std::to_string(kMost));
    if (x.shape[0] > kMostRows) return refuse(reason, size, std::to_string(x.shape[0]) + " rows, the shader takes " + std::to_string(kMostRows));
    if (!vk::even_rows(x)) return refuse(reason, size, "logits of a row do not lie side by side");
    if (x.shape[0] * std::max(vk::row_stride_bytes(x), words_of(x) * 4) >= int64_t{1} << 33) return refuse(reason, size, "logits span more than the 8 GiB that the shader reaches");
    for (const uint32_t i : {1u, 2u})
        if (const orr_tensor* t = vk::input(p, i); t && !is_contiguous(*t)) return refuse(reason, size, "parameters and random must be contiguous");
    for (const auto* s : {&shaders::sample_max, &shaders::sample_count, &shaders::sample_share, &shaders::sample_sum, &shaders::sample_draw})
        if (!vk::can_run(vk::device(p), *s, reason, size)) return false;
    return true;
}

orr_status prepare(orr_prepare* p) {
    const orr_tensor& x = *p->inputs[0];
    p->workspace(p, static_cast<uint64_t>(x.shape[0] * words_of(x)) * 4);
    return ORR_OK;
}

// Every pass is recorded; rows that do not need one leave it at once, since their parameters are known only when it runs.
orr_status run(const orr_run* run) {
    const orr_tensor& x = *run->inputs[0];
    const orr_vulkan_recorder& recorder = vk::recorder(run);
    shaders::SampleParams p{};
    p.logits = vk::address(&x);
    p.parameters = vk::address(vk::input(run, 1));
    p.random = vk::address(vk::input(run, 2));
    p.token = vk::address(run->outputs[0]);
    p.work = recorder.workspace;
    p.n = static_cast<uint32_t>(x.shape[1]);
    p.row_stride = static_cast<uint32_t>(vk::row_stride_bytes(x) / 4);
    p.chunks = static_cast<uint32_t>(chunks_of(x));
    p.words = static_cast<uint32_t>(words_of(x));
    p.sampled = vk::input(run, 1) != nullptr;
    const auto rows = static_cast<uint32_t>(x.shape[0]);
    if (rows == 0) return ORR_OK;
    const auto pass = [&](const orr_vulkan_shader& shader, uint32_t groups) {
        const orr_status status = vk::dispatch(run, shader, {}, p, {groups, rows, 1});
        recorder.barrier(&recorder);
        return status;
    };
    if (const orr_status s = pass(shaders::sample_max, p.chunks)) return s;
    if (p.sampled) {
        for (const auto* shader : {&shaders::sample_count, &shaders::sample_share})
            for (p.level = 0; p.level < 3; p.level++)
                if (const orr_status s = pass(*shader, p.chunks)) return s;
        if (const orr_status s = pass(shaders::sample_sum, p.chunks)) return s;
    }
    return vk::dispatch(run, shaders::sample_draw, {}, p, {1, rows, 1});
}

}  // namespace

const KernelDef kSampleVulkan = {"vulkan", "vulkan", 0, supports, prepare, run};

}  // namespace orrery::core
