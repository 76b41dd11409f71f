#include "float/gemm.hpp"

#include "float/tests/support.hpp"
#include "float/tile_kernels.hpp"

namespace orrery::flt {
namespace {

struct Problem {
    int64_t t, n, k;
    std::vector<float> x, w, bias, residual;
    Problem(int64_t t, int64_t n, int64_t k) : t(t), n(n), k(k), x(fill(t * k, 1)), w(fill(n * k, 2)), bias(fill(n, 3)), residual(fill(t * n, 4)) {}

    std::vector<float> run(Isa isa, int threads, WeightOrder order = WeightOrder::rows, Activation act = Activation::none, bool extras = false) const {
        const Parallel parallel = pool(threads).parallel();
        std::vector<float> source = w;
        if (order == WeightOrder::columns)
            for (int64_t i = 0; i < n; ++i)
                for (int64_t j = 0; j < k; ++j) source[static_cast<size_t>(j * n + i)] = w[static_cast<size_t>(i * k + j)];
        Guarded packed(static_cast<int64_t>(gemm_packed_bytes(n, k) / 4)), dst(t * n);
        gemm_pack(isa, source.data(), n, k, order == WeightOrder::rows ? k : n, order, packed.get(), parallel);
        Workspace workspace(gemm_workspace_bytes(t, n, k, threads));
        GemmArgs a;
        a.t = t, a.n = n, a.k = k;
        a.x = x.data(), a.ldx = k, a.w = packed.get(), a.dst = dst.get(), a.dst_row = n;
        if (extras) a.epilogue = {bias.data(), residual.data(), n, 0.5f, act};
        gemm(isa, a, workspace.get(), parallel);
        EXPECT_TRUE(packed.intact() && dst.intact() && workspace.intact()) << isa_name(isa) << " " << t << " " << n << " " << k;
        return dst.values();
    }
    std::vector<double> reference() const {
        std::vector<double> y(static_cast<size_t>(t * n));
        for (int64_t r = 0; r < t; ++r)
            for (int64_t c = 0; c < n; ++c)
                for (int64_t i = 0; i < k; ++i)
                    y[static_cast<size_t>(r * n + c)] += static_cast<double>(x[static_cast<size_t>(r * k + i)]) * w[static_cast<size_t>(c * k + i)];
        return y;
    }
};

TEST(Gemm, TheForcedInstructionSetIsTheOneThatRuns) {
    for (const Isa isa : isas()) EXPECT_EQ(tile_kernels(isa).isa, isa);
    for (const Isa isa : isas()) EXPECT_EQ(vector_kernels(isa).isa, isa);
    EXPECT_GE(isas().size(), 2u);
}

TEST(Gemm, OddSizesOnEveryInstructionSet) {
    const int64_t sizes[] = {1, 3, 31, 32, 33, 100};
    for (const int64_t t : sizes)
        for (const int64_t n : sizes)
            for (const int64_t k : sizes) {
                const Problem p(t, n, k);
                const std::vector<double> want = p.reference();
                for (const Isa isa : isas()) EXPECT_TRUE(near(p.run(isa, 1), want, 3e-6)) << isa_name(isa) << " " << t << " " << n << " " << k;
            }
}

TEST(Gemm, LongSumsAndManyRowsAreCutIntoBlocks) {
    for (const auto& [t, n, k] : std::vector<std::array<int64_t, 3>>{{300, 70, 1500}, {13, 515, 2100}, {520, 33, 1030}, {1, 1000, 1025}}) {
        const Problem p(t, n, k);
        const std::vector<double> want = p.reference();
        for (const Isa isa : isas()) EXPECT_TRUE(near(p.run(isa, 2), want, 3e-6 * std::sqrt(static_cast<double>(k)))) << isa_name(isa) << " " << t << " " << n << " " << k;
    }
}

TEST(Gemm, TheFirstColumnsOfAPackedMatrix) {
    for (const auto& [t, n, k, whole] : std::vector<std::array<int64_t, 4>>{{1, 33, 100, 257}, {13, 70, 1100, 1500}, {300, 40, 1024, 1025}}) {
        const Problem p(t, n, k);
        Problem wide(t, n, whole);
        for (int64_t r = 0; r < n; ++r) std::copy_n(p.w.begin() + r * k, k, wide.w.begin() + r * whole);
        for (const Isa isa : isas()) {
            std::vector<float> packed(gemm_packed_bytes(n, whole) / 4), dst(static_cast<size_t>(t * n));
            gemm_pack(isa, wide.w.data(), n, whole, whole, WeightOrder::rows, packed.data(), serial());
            Workspace workspace(gemm_workspace_bytes(t, n, k, 1));
            GemmArgs a;
            a.t = t, a.n = n, a.k = k;
            a.x = p.x.data(), a.ldx = k, a.w = packed.data(), a.w_k = whole, a.dst = dst.data(), a.dst_row = n;
            gemm(isa, a, workspace.get(), serial());
            EXPECT_TRUE(same_bits(dst, p.run(isa, 1))) << isa_name(isa) << " " << k << " of " << whole;
        }
    }
}

TEST(Gemm, ThreadsDoNotChangeBits) {
    for (const auto& [t, n, k] : std::vector<std::array<int64_t, 3>>{{197, 768, 96}, {40, 500, 1300}, {1, 3000, 257}, {300, 100, 1100}}) {
        const Problem p(t, n, k);
        for (const Isa isa : isas()) {
            const std::vector<float> one = p.run(isa, 1);
            EXPECT_TRUE(same_bits(p.run(isa, 2), one)) << isa_name(isa);
            EXPECT_TRUE(same_bits(p.run(isa, 3), one)) << isa_name(isa);
        }
    }
}

TEST(Gemm, ABatchOfNEqualsNBatches) {
    for (const int64_t k : {100, 1500}) {
        const Problem p(29, 90, k);
        for (const Isa isa : isas()) {
            const std::vector<float> all = p.run(isa, 2);
            for (int64_t r = 0; r < p.t; ++r) {
                Problem one(1, p.n, k);
                one.w = p.w;
                std::copy_n(p.x.begin() + r * k, k, one.x.begin());
                EXPECT_TRUE(same_bits(one.run(isa, 1), {all.begin() + r * p.n, all.begin() + (r + 1) * p.n})) << isa_name(isa) << " row " << r;
            }
        }
    }
}

TEST(Gemm, FusedMachinesAgreeToTheBit) {
    // One chain of fused steps an element: the width of the vectors cannot show.
    if (!isa_supported(Isa::avx512)) GTEST_SKIP() << "no AVX-512 here";
    const Problem p(33, 100, 257);
    EXPECT_TRUE(same_bits(p.run(Isa::avx2, 1), p.run(Isa::avx512, 1)));
    EXPECT_FALSE(same_bits(p.run(Isa::sse4, 1), p.run(Isa::avx512, 1)));  // so the forced set really ran
}

TEST(Gemm, TransposedWeightsPackToTheSame) {
    const Problem p(5, 37, 45);
    for (const Isa isa : isas()) EXPECT_TRUE(same_bits(p.run(isa, 1, WeightOrder::columns), p.run(isa, 1)));
}

double activate(Activation a, double x) {
    switch (a) {
        case Activation::none: return x;
        case Activation::gelu_erf: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
        case Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
        case Activation::quick_gelu: return x / (1 + std::exp(-1.702 * x));
        case Activation::silu: return x / (1 + std::exp(-x));
        case Activation::relu: return x > 0 ? x : 0;
        case Activation::tanh: return std::tanh(x);
        case Activation::sigmoid: return 1 / (1 + std::exp(-x));
    }
    return x;
}

TEST(Gemm, Epilogues) {
    for (const int64_t k : {40, 1200}) {
        const Problem p(19, 45, k);
        for (int i = 0; i <= static_cast<int>(Activation::sigmoid); ++i) {
            const auto act = static_cast<Activation>(i);
            std::vector<double> want = p.reference();
            for (size_t at = 0; at < want.size(); ++at) want[at] = activate(act, 0.5 * want[at] + p.bias[at % static_cast<size_t>(p.n)]) + p.residual[at];
            for (const Isa isa : isas()) EXPECT_TRUE(near(p.run(isa, 2, WeightOrder::rows, act, true), want, 1e-5)) << isa_name(isa) << " activation " << i;
        }
    }
}

TEST(Gemm, TheResidualMayBeTheDestinationAndColumnsMayBeRows) {
    const Problem p(21, 50, 1100);
    const Parallel parallel = serial();
    for (const Isa isa : isas()) {
        std::vector<float> packed(gemm_packed_bytes(p.n, p.k) / 4), dst = p.residual;
        gemm_pack(isa, p.w.data(), p.n, p.k, p.k, WeightOrder::rows, packed.data(), parallel);
        Workspace workspace(gemm_workspace_bytes(p.t, p.n, p.k, 1));
        GemmArgs a;
        a.t = p.t, a.n = p.n, a.k = p.k;
        a.x = p.x.data(), a.ldx = p.k, a.w = packed.data(), a.dst = dst.data(), a.dst_row = p.n;
        a.epilogue.residual = dst.data(), a.epilogue.residual_stride = p.n;
        gemm(isa, a, workspace.get(), parallel);
        std::vector<double> want = p.reference();
        for (size_t i = 0; i < want.size(); ++i) want[i] += p.residual[i];
        EXPECT_TRUE(near(dst, want, 2e-5)) << isa_name(isa);
        Guarded turned(p.t * p.n);
        a.dst = turned.get(), a.dst_row = 1, a.dst_col = p.t;
        a.epilogue = {};
        gemm(isa, a, workspace.get(), parallel);
        const std::vector<float> plain = p.run(isa, 1), got = turned.values();
        for (int64_t r = 0; r < p.t; ++r)
            for (int64_t c = 0; c < p.n; ++c) ASSERT_EQ(got[static_cast<size_t>(c * p.t + r)], plain[static_cast<size_t>(r * p.n + c)]);
        EXPECT_TRUE(turned.intact());
    }
}

TEST(Matmul, BothOrdersBatchesAndBroadcast) {
    for (const auto& [m, n, k] : std::vector<std::array<int64_t, 3>>{{1, 1, 1}, {3, 33, 31}, {33, 100, 64}, {270, 150, 20}, {5, 32, 1100}, {1, 130, 7}}) {
        const int64_t batch0 = 2, batch1 = 3;
        const std::vector<float> a = fill(batch0 * batch1 * m * k, 5), b = fill(batch1 * k * n, 6);  // b is shared by batch0
        for (const bool turned : {false, true}) {
            std::vector<double> want(static_cast<size_t>(batch0 * batch1 * m * n));
            for (int64_t i = 0; i < batch0 * batch1; ++i)
                for (int64_t r = 0; r < m; ++r)
                    for (int64_t c = 0; c < n; ++c) {
                        double sum = 0;
                        const int64_t base = i % batch1 * k * n;
                        for (int64_t j = 0; j < k; ++j) sum += static_cast<double>(a[static_cast<size_t>((i * m + r) * k + j)]) * b[static_cast<size_t>(base + (turned ? c * k + j : j * n + c))];
                        want[static_cast<size_t>((i * m + r) * n + c)] = 0.25 * sum;
                    }
            for (const Isa isa : isas()) {
                std::vector<float> one;
                for (const int threads : {1, 2, 3}) {
                    Guarded dst(batch0 * batch1 * m * n);
                    Workspace workspace(matmul_workspace_bytes(m, n, k, threads));
                    MatmulArgs args{batch0, batch1, m, n, k, a.data(), batch1 * m * k, m * k, k, b.data(), 0, k * n, turned ? 1 : n, turned ? k : 1,
                                    dst.get(), batch1 * m * n, m * n, n, 0.25f};
                    matmul(isa, args, workspace.get(), pool(threads).parallel());
                    EXPECT_TRUE(near(dst.values(), want, 1e-5)) << isa_name(isa) << " " << m << " " << n << " " << k << " turned " << turned;
                    EXPECT_TRUE(dst.intact() && workspace.intact());
                    if (threads == 1) one = dst.values();
                    else EXPECT_TRUE(same_bits(dst.values(), one));
                }
            }
        }
    }
}

}  // namespace
}  // namespace orrery::flt
