// Developer's timing of the matrix kernels: quant_bench [isa] [types...]
// GEMM: N = 8192, K = 2048, T = 512 on 1 and 2 threads, GOP/s (2 N K T). GEMV: matrices of 512 MiB in all, GB/s of packed weights.
#include <sys/mman.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "quant/matmul.hpp"

using namespace orrery::quant;

namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

uint8_t* big_buffer(size_t bytes) {
    const size_t size = (bytes + (2u << 20) + 4096) / (2u << 20) * (2u << 20) + (2u << 20);
    void* at = std::aligned_alloc(2u << 20, size);
    madvise(at, size, MADV_HUGEPAGE);
    return static_cast<uint8_t*>(at);
}

// Best of `repeats` of work(thread) on `threads` threads.
double best_time(int repeats, int threads, const std::function<void(int)>& work) {
    double best = 1e30;
    for (int i = 0; i < repeats; ++i) {
        const double begin = seconds();
        std::vector<std::thread> others;
        for (int t = 1; t < threads; ++t) others.emplace_back(work, t);
        work(0);
        for (auto& other : others) other.join();
        const double took = seconds() - begin;
        if (took < best) best = took;
    }
    return best;
}

struct Matrix {
    const WeightFormat* format;
    int64_t rows, cols;
    uint8_t* packed;
};

Matrix random_matrix(const WeightFormat& format, int64_t rows, int64_t cols) {
    const int64_t row = cols / format.spec().source_elems * format.spec().source_bytes;
    std::vector<uint8_t> src(static_cast<size_t>(row * 16));
    Matrix m{&format, rows, cols, big_buffer(static_cast<size_t>(format.packed_bytes(rows, cols)))};
    const int64_t tile = format.packed_bytes(16, cols);
    uint32_t state = 1;
    for (auto& byte : src) byte = static_cast<uint8_t>((state = state * 1664525u + 1013904223u) >> 24) & 0x3F;
    format.pack(src.data(), 16, cols, 0, 1, m.packed);
    for (int64_t t = 1; t < format.tiles(rows); ++t) std::memcpy(m.packed + t * tile, m.packed, static_cast<size_t>(tile));
    return m;
}

void bench_type(const WeightFormat& format, Isa isa) {
    std::printf("%-7s", format.type);
    constexpr int64_t kK = 2048, kN = 8192;
    std::vector<float> x(512 * 8192);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(static_cast<int>(i * 2654435761u >> 16) % 2001 - 1000) * 1e-3f;
    std::vector<float> y(512 * kN);
    auto run = [&](const Matrix& m, const QuantisedRows& q, int64_t tokens, int threads, int thread) {
        const int64_t tiles = format.tiles(m.rows);
        const int64_t begin = tiles * thread / threads / kTileStep * kTileStep;
        const int64_t end = thread + 1 == threads ? tiles : tiles * (thread + 1) / threads / kTileStep * kTileStep;
        Product p{&format, m.packed, m.rows, m.cols, tokens, nullptr, y.data(), kN, nullptr};
        if (format.quantised) matmul(p, q, begin, end, isa);
        else matmul_f32(p, x.data(), m.cols, begin, end, isa);
    };
    for (const int64_t cols : {kK, int64_t{8192}}) {
        const int64_t rows = kN * kK / cols;
        const Matrix m = random_matrix(format, rows, cols);
        std::vector<uint8_t> buffer(static_cast<size_t>(QuantisedRows::bytes(512, cols)) + 64);
        const QuantisedRows q = QuantisedRows::view(reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(buffer.data()) + 63) & ~uintptr_t{63}), 512, cols);
        quantise_rows(x.data(), cols, 0, 512, q, isa);
        for (const int threads : {1, 2}) {
            const double t = best_time(5, threads, [&](int thread) { run(m, q, 512, threads, thread); });
            std::printf("  K%ld gemm%d %6.0f", static_cast<long>(cols), threads, 2.0 * static_cast<double>(rows * cols) * 512 / t * 1e-9);
        }
        std::free(m.packed);
    }
    const int64_t bytes = format.packed_bytes(kN, kK);
    const int count = static_cast<int>((512ll << 20) / bytes) + 1;
    const Matrix all = random_matrix(format, kN * count, kK);
    std::vector<uint8_t> buffer(static_cast<size_t>(QuantisedRows::bytes(512, kK)) + 64);
    const QuantisedRows q = QuantisedRows::view(reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(buffer.data()) + 63) & ~uintptr_t{63}), 512, kK);
    quantise_rows(x.data(), kK, 0, 512, q, isa);
    for (const int tokens : {1, 2, 4, 8, 16}) {
        for (const int threads : {1, 2}) {
            const double t = best_time(tokens == 1 ? 7 : 3, threads, [&](int thread) {
                for (int i = 0; i < count; ++i) {
                    const Matrix m{&format, kN, kK, all.packed + i * bytes};
                    run(m, q, tokens, threads, thread);
                }
            });
            std::printf("  gemv%d/%d %5.1f", tokens, threads, static_cast<double>(bytes) * count / t * 1e-9);
        }
    }
    std::free(all.packed);
    std::printf("\n");
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    Isa isa = best_isa();
    int first = 1;
    if (argc > 1 && isa_from_name(argv[1], &isa)) first = 2;
    if (!isa_supported(isa)) {
        std::fprintf(stderr, "%s: not supported by this processor\n", isa_name(isa));
        return 1;
    }
    std::printf("%s\n", isa_name(isa));
    for (int i = 0; i < kFormatCount; ++i) {
        bool wanted = first >= argc;
        for (int a = first; a < argc; ++a) wanted = wanted || std::string(argv[a]) == kSpecs[i].type;
        if (wanted) bench_type(*find_weight_format(kSpecs[i].type), isa);
    }
    return 0;
}
