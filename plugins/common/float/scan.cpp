#include "float/scan.hpp"

#include <algorithm>

#include "float/scan_kernels.hpp"

namespace orrery::flt {
namespace {

constexpr int64_t kChannels = 16;

int64_t conv_floats(int64_t kernel) { return 2 * kernel * kChannels; }
int64_t scan_floats(int64_t states) { return 2 * states * kChannels; }

}  // namespace

size_t causal_conv_workspace_bytes(int64_t kernel, int threads) { return static_cast<size_t>(conv_floats(kernel) * threads) * sizeof(float); }

void causal_conv(Isa isa, const CausalConvArgs* args, int64_t sequences, void* workspace, const Parallel& parallel) {
    if (sequences == 0 || args->channels == 0) return;
    const ScanKernels& kernels = scan_kernels(isa);
    const int64_t blocks = ceil_div(args->channels, kChannels);
    const auto body = [&](int64_t chunk, int thread) {
        const CausalConvArgs& a = args[chunk / blocks];
        const int64_t c0 = chunk % blocks * kChannels;
        kernels.causal_conv(a, c0, std::min(kChannels, a.channels - c0), static_cast<float*>(workspace) + thread * conv_floats(a.kernel));
    };
    if (sequences * args->tokens * args->channels <= 32768) {
        for (int64_t i = 0; i < sequences * blocks; ++i) body(i, 0);
    } else {
        parallel_for(parallel, sequences * blocks, body);
    }
}

size_t scan_workspace_bytes(int64_t states, int threads) { return static_cast<size_t>(scan_floats(states) * threads) * sizeof(float); }

void selective_scan(Isa isa, const ScanArgs* args, int64_t sequences, void* workspace, const Parallel& parallel) {
    if (sequences == 0 || args->channels == 0) return;
    const ScanKernels& kernels = scan_kernels(isa);
    const int64_t blocks = ceil_div(args->channels, kChannels);
    const auto body = [&](int64_t chunk, int thread) {
        const ScanArgs& a = args[chunk / blocks];
        const int64_t c0 = chunk % blocks * kChannels;
        kernels.scan(a, c0, std::min(kChannels, a.channels - c0), static_cast<float*>(workspace) + thread * scan_floats(a.states));
    };
    if (sequences * args->tokens * args->channels * args->states <= 32768) {
        for (int64_t i = 0; i < sequences * blocks; ++i) body(i, 0);
    } else {
        parallel_for(parallel, sequences * blocks, body);
    }
}

}  // namespace orrery::flt
