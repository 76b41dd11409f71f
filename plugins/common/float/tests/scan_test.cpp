#include "float/scan.hpp"

#include "float/scan_kernels.hpp"
#include "float/tests/support.hpp"

namespace orrery::flt {
namespace {

TEST(CausalConv, CarriesItsState) {
    for (const int64_t kernel : {1, 2, 4})
        for (const int64_t channels : {1, 3, 31, 33, 100}) {
            const int64_t tokens = 23;
            const std::vector<float> x = fill(tokens * channels, 51), w = fill(channels * kernel, 52), bias = fill(channels, 53), state = fill(channels * (kernel - 1), 54);
            std::vector<double> want;
            for (int64_t t = 0; t < tokens; ++t)
                for (int64_t c = 0; c < channels; ++c) {
                    double sum = bias[static_cast<size_t>(c)];
                    for (int64_t j = 0; j < kernel; ++j) {
                        const int64_t at = t - (kernel - 1) + j;
                        sum += static_cast<double>(w[static_cast<size_t>(c * kernel + j)]) * (at < 0 ? state[static_cast<size_t>(c * (kernel - 1) + kernel - 1 + at)] : x[static_cast<size_t>(at * channels + c)]);
                    }
                    want.push_back(sum / (1 + std::exp(-sum)));
                }
            for (const Isa isa : isas()) {
                EXPECT_EQ(scan_kernels(isa).isa, isa);
                std::vector<float> whole;
                for (const int64_t step : {23, 1, 2, 5})
                    for (const int threads : {1, 3}) {
                        Guarded y(tokens * channels), carried(channels * (kernel - 1));
                        std::copy(state.begin(), state.end(), carried.get());
                        Workspace workspace(causal_conv_workspace_bytes(kernel, threads));
                        for (int64_t t = 0; t < tokens; t += step) {
                            const CausalConvArgs a{std::min(step, tokens - t), channels, kernel, x.data() + t * channels, channels, w.data(), bias.data(), carried.get(), y.get() + t * channels, channels, carried.get(), true};
                            causal_conv(isa, &a, 1, workspace.get(), pool(threads).parallel());
                        }
                        EXPECT_TRUE(y.intact() && carried.intact() && workspace.intact());
                        if (whole.empty()) {
                            whole = y.values();
                            EXPECT_TRUE(near(whole, want, 2e-6)) << isa_name(isa) << " K " << kernel << " C " << channels;
                        }
                        EXPECT_TRUE(same_bits(y.values(), whole)) << isa_name(isa) << " step " << step;
                        for (int64_t c = 0; c < channels; ++c)
                            for (int64_t j = 0; j + 1 < kernel; ++j) ASSERT_EQ(carried.get()[c * (kernel - 1) + j], x[static_cast<size_t>((tokens - (kernel - 1) + j) * channels + c)]);
                    }
            }
        }
}

TEST(SelectiveScan, AgainstDoublePrecisionAndInPieces) {
    for (const int64_t channels : {1, 17, 33, 100})
        for (const int64_t states : {1, 8, 16}) {
            const int64_t tokens = 19, sequences = 2;
            const std::vector<float> u = fill(sequences * tokens * channels, 61), delta = fill(sequences * tokens * channels, 62, -3, 3), z = fill(sequences * tokens * channels, 63, -2, 2);
            const std::vector<float> a = fill(channels * states, 64, -4, -0.1), b = fill(sequences * tokens * states, 65), c = fill(sequences * tokens * states, 66);
            const std::vector<float> d = fill(channels, 67), bias = fill(channels, 68), state = fill(sequences * channels * states, 69);
            std::vector<double> want, h(state.begin(), state.end());
            for (int64_t q = 0; q < sequences; ++q)
                for (int64_t t = 0; t < tokens; ++t)
                    for (int64_t i = 0; i < channels; ++i) {
                        const auto at = static_cast<size_t>((q * tokens + t) * channels + i);
                        const double step = std::log1p(std::exp(static_cast<double>(delta[at]) + bias[static_cast<size_t>(i)]));
                        double y = 0;
                        for (int64_t n = 0; n < states; ++n) {
                            double& cell = h[static_cast<size_t>((q * channels + i) * states + n)];
                            const auto bc = static_cast<size_t>((q * tokens + t) * states + n);
                            cell = std::exp(step * a[static_cast<size_t>(i * states + n)]) * cell + step * b[bc] * u[at];
                            y += cell * c[bc];
                        }
                        want.push_back((y + d[static_cast<size_t>(i)] * u[at]) * z[at] / (1 + std::exp(-static_cast<double>(z[at]))));
                    }
            for (const Isa isa : isas()) {
                std::vector<float> whole, last;
                for (const int64_t step : {19, 1, 4})
                    for (const int threads : {1, 2, 3}) {
                        Guarded y(sequences * tokens * channels), carried(sequences * channels * states);
                        std::copy(state.begin(), state.end(), carried.get());
                        Workspace workspace(scan_workspace_bytes(states, threads));
                        for (int64_t t = 0; t < tokens; t += step) {
                            std::vector<ScanArgs> args;
                            for (int64_t q = 0; q < sequences; ++q) {
                                const int64_t row = q * tokens + t;
                                float* cell = carried.get() + q * channels * states;
                                args.push_back({std::min(step, tokens - t), channels, states, u.data() + row * channels, delta.data() + row * channels, a.data(), b.data() + row * states, c.data() + row * states,
                                                d.data(), z.data() + row * channels, bias.data(), cell, channels, channels, states, states, channels, y.get() + row * channels, channels, cell, true});
                            }
                            selective_scan(isa, args.data(), sequences, workspace.get(), pool(threads).parallel());
                        }
                        EXPECT_TRUE(y.intact() && carried.intact() && workspace.intact());
                        if (whole.empty()) {
                            whole = y.values(), last = carried.values();
                            EXPECT_TRUE(near(whole, want, 5e-6)) << isa_name(isa) << " C " << channels << " N " << states;
                            EXPECT_TRUE(near(last, h, 5e-6));
                        }
                        EXPECT_TRUE(same_bits(y.values(), whole) && same_bits(carried.values(), last)) << isa_name(isa) << " step " << step;
                    }
            }
        }
}

}  // namespace
}  // namespace orrery::flt
