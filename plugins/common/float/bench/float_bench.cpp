// float_bench [threads] [repeat] [isa]: the products, attention and convolutions of four encoders, batch 1, and their sums in ms.
// Each layer has weights of its own, so that they come from memory as they do in a model. Best of `repeat` passes; one thread is
// measured in processor time, which neighbours on a busy machine disturb less.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "float/attention.hpp"
#include "float/conv.hpp"
#include "float/gemm.hpp"
#include "float/norm.hpp"
#include "float/tests/pool.hpp"

namespace {

using namespace orrery::flt;

std::vector<float> noise(size_t n) {
    std::vector<float> x(n);
    uint32_t state = 12345;
    for (float& v : x) {
        state = state * 1664525u + 1013904223u;
        v = static_cast<float>(static_cast<int32_t>(state)) * (1.0f / 2147483648.0f);
    }
    return x;
}

// 64-byte aligned scratch shared by everything that runs in turn.
struct Scratch {
    std::vector<float> floats;
    void* take(size_t bytes) {
        if (floats.size() * 4 < bytes + 64) floats.resize(bytes / 4 + 32);
        auto at = reinterpret_cast<uintptr_t>(floats.data());
        return reinterpret_cast<void*>((at + 63) & ~uintptr_t{63});
    }
};

struct Bench {
    Isa isa;
    int repeat;
    Pool pool;
    Scratch scratch;
    double total_ms = 0, flops = 0;

    Bench(int threads, int repeat, Isa isa) : isa(isa), repeat(repeat), pool(threads) {}

    template <class Body>
    double best_ms(const Body& body) {
        double best = 1e30;
        for (int i = 0; i < repeat; ++i) {
            const auto start = std::chrono::steady_clock::now();
            const std::clock_t busy = std::clock();
            body();
            const double wall = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
            best = std::min(best, pool.parallel().threads == 1 ? 1e3 * static_cast<double>(std::clock() - busy) / CLOCKS_PER_SEC : wall);
        }
        return best;
    }
    void report(const std::string& what, double ms, double work) {
        std::printf("  %-46s %8.3f ms %7.1f GFLOP/s\n", what.c_str(), ms, work / ms * 1e-6);
        total_ms += ms;
        flops += work;
    }

    // `layers` products of one shape, each with weights of its own.
    void gemm_layers(int64_t t, int64_t n, int64_t k, int layers, Activation activation = Activation::none, bool residual = false) {
        const Parallel parallel = pool.parallel();
        const std::vector<float> x = noise(static_cast<size_t>(t * k)), bias = noise(static_cast<size_t>(n)), packed = noise(gemm_packed_bytes(n, k) / 4);
        std::vector<std::vector<float>> weights(static_cast<size_t>(layers), packed);
        std::vector<float> dst(static_cast<size_t>(t * n)), other = noise(dst.size());
        void* workspace = scratch.take(gemm_workspace_bytes(t, n, k, parallel.threads));
        const double ms = best_ms([&] {
            for (const std::vector<float>& w : weights) {
                GemmArgs a;
                a.t = t, a.n = n, a.k = k, a.x = x.data(), a.ldx = k, a.w = w.data(), a.dst = dst.data(), a.dst_row = n;
                a.epilogue.bias = bias.data(), a.epilogue.activation = activation;
                if (residual) a.epilogue.residual = other.data(), a.epilogue.residual_stride = n;
                gemm(isa, a, workspace, parallel);
            }
        });
        report("gemm " + std::to_string(t) + " x " + std::to_string(k) + " -> " + std::to_string(n) + " x" + std::to_string(layers), ms, 2.0 * static_cast<double>(t * n * k * layers));
    }

    void attention_layers(int64_t batch, int64_t t, int64_t heads, int64_t width, int layers, bool bias) {
        const Parallel parallel = pool.parallel();
        const int64_t row = 3 * heads * width;
        const std::vector<float> qkv = noise(static_cast<size_t>(batch * t * row)), table = noise(static_cast<size_t>(heads * t * t));
        std::vector<float> dst(static_cast<size_t>(batch * t * heads * width));
        AttentionArgs a{};
        a.batch = batch, a.tokens = t, a.keys = t, a.heads = heads, a.kv_heads = heads, a.width = width, a.value_width = width;
        a.q = qkv.data(), a.q_batch = t * row, a.q_token = row, a.q_head = width;
        a.k.data = qkv.data() + heads * width, a.k.batch = t * row, a.k.token = row, a.k.head = width;
        a.v = a.k, a.v.data = qkv.data() + 2 * heads * width;
        a.dst = dst.data(), a.dst_batch = t * heads * width, a.dst_token = heads * width, a.dst_head = width;
        a.scale = 1.0f / std::sqrt(static_cast<float>(width));
        if (bias) a.bias = table.data(), a.bias_head = t * t, a.bias_token = t;
        void* workspace = scratch.take(attention_workspace_bytes(a, parallel.threads));
        const double ms = best_ms([&] {
            for (int i = 0; i < layers; ++i) attention(isa, a, workspace, parallel);
        });
        report("attention " + std::to_string(batch) + " x " + std::to_string(t) + ", " + std::to_string(heads) + " heads x" + std::to_string(layers), ms,
               4.0 * static_cast<double>(batch * t * t * heads * width * layers));
    }

    void conv_layer(ConvArgs a, bool tokens) {
        const Parallel parallel = pool.parallel();
        const int64_t taps = a.channels * a.kernel_h * a.kernel_w, pixels = a.out_height() * a.out_width();
        const std::vector<float> x = noise(static_cast<size_t>(a.channels * a.height * a.width)), w = noise(conv_packed_bytes(a) / 4), bias = noise(static_cast<size_t>(a.out_channels));
        std::vector<float> y(static_cast<size_t>(a.out_channels * pixels));
        a.batch = 1, a.x = x.data(), a.x_batch = 0, a.x_channel = a.height * a.width, a.x_row = a.width, a.x_col = 1, a.w = w.data(), a.bias = bias.data(), a.y = y.data();
        a.y_channel = tokens ? 1 : pixels, a.y_col = tokens ? a.out_channels : 1, a.y_row = a.y_col * a.out_width();
        void* workspace = scratch.take(conv_workspace_bytes(a, parallel.threads));
        const double ms = best_ms([&] { conv(isa, a, workspace, parallel); });
        report("conv " + std::to_string(a.channels) + " -> " + std::to_string(a.out_channels) + ", " + std::to_string(pixels) + " pixels", ms, 2.0 * static_cast<double>(a.out_channels * pixels * taps));
    }

    void norm_layers(int64_t rows, int64_t n, int layers) {
        const std::vector<float> x = noise(static_cast<size_t>(rows * n)), w = noise(static_cast<size_t>(n));
        std::vector<float> y(x.size());
        const double ms = best_ms([&] {
            for (int i = 0; i < layers; ++i) layer_norm(isa, {x.data(), y.data(), rows, n, n, n}, w.data(), w.data(), 1e-5f, pool.parallel());
        });
        report("layer_norm " + std::to_string(rows) + " x " + std::to_string(n) + " x" + std::to_string(layers), ms, 8.0 * static_cast<double>(rows * n * layers));
    }

    void block(int64_t t, int64_t e, int64_t f, int layers) {
        gemm_layers(t, 3 * e, e, layers);
        gemm_layers(t, e, e, layers, Activation::none, true);
        gemm_layers(t, f, e, layers, Activation::gelu_erf);
        gemm_layers(t, e, f, layers, Activation::none, true);
        norm_layers(t, e, 2 * layers);
    }
    void finish(const char* name) {
        std::printf("%s: %.1f ms, %.1f GFLOP/s\n\n", name, total_ms, flops / total_ms * 1e-6);
        total_ms = flops = 0;
    }
};

ConvArgs conv_shape(int64_t channels, int64_t height, int64_t width, int64_t out, int64_t kh, int64_t kw, int64_t sh, int64_t sw, int64_t pw, Activation activation) {
    ConvArgs a{};
    a.channels = channels, a.height = height, a.width = width, a.out_channels = out, a.kernel_h = kh, a.kernel_w = kw, a.stride_h = sh, a.stride_w = sw, a.pad_w = pw, a.activation = activation;
    return a;
}

}  // namespace

int main(int argc, char** argv) {
    const int threads = argc > 1 ? std::atoi(argv[1]) : 2, repeat = argc > 2 ? std::atoi(argv[2]) : 10;
    const Isa isa = argc > 3 ? static_cast<Isa>(std::atoi(argv[3])) : best_isa();
    if (threads < 1 || repeat < 1 || !isa_supported(isa)) return std::fprintf(stderr, "usage: float_bench [threads >= 1] [repeat >= 1] [isa 0..4 of this machine]\n"), 2;
    std::printf("%s, %d threads, best of %d\n", isa_name(isa), threads, repeat);
    Bench b(threads, repeat, isa);
    b.conv_layer(conv_shape(3, 224, 224, 768, 16, 16, 16, 16, 0, Activation::none), true);
    b.block(197, 768, 3072, 12);
    b.attention_layers(1, 197, 12, 64, 12, false);
    b.finish("vit_b16");
    b.block(128, 768, 3072, 12);
    b.attention_layers(1, 128, 12, 64, 12, false);
    b.finish("bert_base_128");
    b.conv_layer(conv_shape(3, 224, 224, 96, 4, 4, 4, 4, 0, Activation::none), true);
    const int64_t depths[] = {2, 2, 6, 2};
    for (int stage = 0; stage < 4; ++stage) {
        const int64_t width = 96 << stage, side = 56 >> stage, t = side * side;
        b.block(t, width, 4 * width, static_cast<int>(depths[stage]));
        b.attention_layers(t / 49, 49, 3 << stage, 32, static_cast<int>(depths[stage]), true);
        if (stage < 3) b.gemm_layers(t / 4, 2 * width, 4 * width, 1);
    }
    b.finish("swin_t");
    b.conv_layer(conv_shape(80, 1, 3000, 512, 1, 3, 1, 1, 1, Activation::gelu_erf), true);
    b.conv_layer(conv_shape(512, 1, 3000, 512, 1, 3, 1, 2, 1, Activation::gelu_erf), true);
    b.block(1500, 512, 2048, 6);
    b.attention_layers(1, 1500, 8, 64, 6, false);
    b.finish("whisper_base_encoder");
    return 0;
}
