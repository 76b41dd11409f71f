#include <functional>

#include "float/elementwise.hpp"
#include "float/norm.hpp"
#include "float/tests/support.hpp"

namespace orrery::flt {
namespace {

double ulps(float got, double want) {
    const float rounded = static_cast<float>(want);
    const double unit = std::fmax(std::abs(static_cast<double>(std::nextafter(rounded, INFINITY)) - rounded), 1.5e-45);
    return std::abs(got - want) / unit;
}

struct Function {
    const char* name;
    Unary op;
    double low, high, ulp;  // the most units in the last place
    double absolute;        // or this far off, whichever is more
    std::function<double(double)> exact;
};

const std::vector<Function>& functions() {
    static const std::vector<Function> all = {
        {"exp", Unary::exp, -87, 88, 1.5, 0, [](double x) { return std::exp(x); }},
        {"erf", Unary::erf, -5, 5, 2.5, 0, [](double x) { return std::erf(x); }},
        {"tanh", Unary::tanh, -12, 12, 2.5, 0, [](double x) { return std::tanh(x); }},
        {"sigmoid", Unary::sigmoid, -80, 30, 4, 0, [](double x) { return 1 / (1 + std::exp(-x)); }},
        {"silu", Unary::silu, -80, 30, 4, 0, [](double x) { return x / (1 + std::exp(-x)); }},
        {"quick_gelu", Unary::quick_gelu, -30, 30, 40, 1e-7, [](double x) { return x / (1 + std::exp(-1.702 * x)); }},
        {"gelu_erf", Unary::gelu_erf, -13, 13, 4, 1e-7, [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }},
        {"gelu_tanh", Unary::gelu_tanh, -10, 10, 4, 3e-7, [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }},
        {"softplus", Unary::softplus, -80, 40, 3, 0, [](double x) { return x > 20 ? x : std::log1p(std::exp(x)); }},
        {"relu", Unary::relu, -3, 3, 0, 0, [](double x) { return x > 0 ? x : 0; }},
        {"sqrt", Unary::sqrt, 0, 9, 0.51, 0, [](double x) { return std::sqrt(x); }},
        {"square", Unary::square, -3, 3, 0.51, 0, [](double x) { return x * x; }},
        {"log", Unary::log, 1e-3, 9, 1, 0, [](double x) { return std::log(x); }},
    };
    return all;
}

TEST(Elementwise, FunctionsAgainstDoublePrecision) {
    for (const Function& f : functions()) {
        const std::vector<float> x = fill(40003, 7, f.low, f.high);
        for (const Isa isa : isas()) {
            std::vector<float> y(x.size());
            unary(isa, f.op, x.data(), y.data(), static_cast<int64_t>(x.size()), pool(2).parallel());
            double worst = 0;
            float at = 0;
            for (size_t i = 0; i < x.size(); ++i) {
                const double want = f.exact(x[i]), error = ulps(y[i], want);
                if (std::abs(y[i] - want) > f.absolute && error > worst) worst = error, at = x[i];
            }
            EXPECT_LE(worst, f.ulp) << f.name << " " << isa_name(isa) << " at " << at;
        }
    }
}

TEST(Elementwise, EdgesOfTheRange) {
    const float inf = INFINITY, nan = NAN;
    const std::vector<float> x = {inf, -inf, nan, 0.0f, -0.0f, 1000.0f, -1000.0f, 88.8f, -88.0f, 1e-40f};
    for (const Isa isa : isas()) {
        const auto run = [&](Unary op) {
            std::vector<float> y(x.size());
            unary(isa, op, x.data(), y.data(), static_cast<int64_t>(x.size()), serial());
            return y;
        };
        const std::vector<float> e = run(Unary::exp);
        EXPECT_EQ(e[0], inf);
        EXPECT_EQ(e[1], 0.0f);
        EXPECT_TRUE(std::isnan(e[2]));
        EXPECT_EQ(e[3], 1.0f);
        EXPECT_EQ(e[5], inf);
        EXPECT_EQ(e[6], 0.0f);
        EXPECT_EQ(e[7], inf);
        EXPECT_NEAR(e[8], std::exp(-88.0), 1e-43);
        for (const Unary op : {Unary::tanh, Unary::erf}) {
            const std::vector<float> t = run(op);
            EXPECT_EQ(t[0], 1.0f);
            EXPECT_EQ(t[1], -1.0f);
            EXPECT_TRUE(std::isnan(t[2]));
            EXPECT_EQ(t[3], 0.0f);
            EXPECT_TRUE(std::signbit(t[4]));
            EXPECT_EQ(t[5], 1.0f);
        }
        const std::vector<float> g = run(Unary::gelu_erf);
        EXPECT_EQ(g[0], inf);
        EXPECT_TRUE(std::isnan(g[2]));
        EXPECT_EQ(g[5], 1000.0f);
        EXPECT_EQ(g[6], 0.0f);
        // -inf times a factor that is 0 there, as torch.nn.functional.gelu and silu have it
        for (const Unary op : {Unary::gelu_erf, Unary::gelu_tanh, Unary::quick_gelu, Unary::silu}) EXPECT_TRUE(std::isnan(run(op)[1]));
        const std::vector<float> s = run(Unary::sigmoid);
        EXPECT_EQ(s[0], 1.0f);
        EXPECT_EQ(s[1], 0.0f);
        EXPECT_TRUE(std::isnan(s[2]));
    }
}

TEST(Elementwise, BinaryBroadcastsAndTails) {
    for (const int64_t n : {1, 3, 31, 32, 33, 100}) {
        const std::vector<float> a = fill(3 * n, 8, 0.5, 2), b = fill(3 * n, 9, 0.5, 2);
        for (const Isa isa : isas()) {
            for (int i = 0; i <= static_cast<int>(Binary::min); ++i) {
                const auto op = static_cast<Binary>(i);
                for (const int mode : {0, 1, 2}) {  // whole, one row of b, one value of b a row
                    Guarded y(3 * n);
                    binary(isa, op, {a.data(), n, 1, b.data(), mode == 1 ? 0 : n, mode == 2 ? 0 : 1, y.get(), n, 3, n}, serial());
                    EXPECT_TRUE(y.intact());
                    const std::vector<float> got = y.values();
                    for (int64_t r = 0; r < 3; ++r)
                        for (int64_t c = 0; c < n; ++c) {
                            const float p = a[static_cast<size_t>(r * n + c)], q = b[static_cast<size_t>(mode == 1 ? c : mode == 2 ? r * n : r * n + c)];
                            const float want = op == Binary::add ? p + q : op == Binary::sub ? p - q : op == Binary::mul ? p * q : op == Binary::div ? p / q : op == Binary::max ? std::fmax(p, q) : std::fmin(p, q);
                            ASSERT_EQ(got[static_cast<size_t>(r * n + c)], want) << isa_name(isa) << " op " << i << " mode " << mode;
                        }
                }
            }
        }
    }
}

TEST(Elementwise, Gated) {
    const std::vector<float> gate = fill(101, 10, -4, 4), up = fill(101, 11);
    for (const Isa isa : isas()) {
        Guarded y(101);
        gated(isa, Activation::silu, gate.data(), up.data(), y.get(), 101, serial());
        std::vector<double> want;
        for (size_t i = 0; i < gate.size(); ++i) want.push_back(gate[i] / (1 + std::exp(-static_cast<double>(gate[i]))) * up[i]);
        EXPECT_TRUE(near(y.values(), want, 1e-6));
        EXPECT_TRUE(y.intact());
    }
}

TEST(Norm, AgainstDoublePrecisionWithSameBitsForAnyThreads) {
    for (const int64_t n : {1, 3, 31, 32, 33, 100, 768, 1000}) {
        const int64_t rows = 70;
        const std::vector<float> x = fill(rows * n, 12, -3, 5), w = fill(n, 13), b = fill(n, 14);
        std::vector<double> rms, layer, soft, log_soft, unit;
        for (int64_t r = 0; r < rows; ++r) {
            const float* p = x.data() + r * n;
            double mean = 0, square = 0, variance = 0, top = -1e300, total = 0;
            for (int64_t i = 0; i < n; ++i) mean += p[i], square += static_cast<double>(p[i]) * p[i], top = std::fmax(top, p[i]);
            mean /= static_cast<double>(n);
            for (int64_t i = 0; i < n; ++i) variance += (p[i] - mean) * (p[i] - mean), total += std::exp(p[i] - top);
            variance /= static_cast<double>(n);
            for (int64_t i = 0; i < n; ++i) {
                const auto at = static_cast<size_t>(i);
                rms.push_back(p[i] / std::sqrt(square / static_cast<double>(n) + 1e-6) * (1.0 + w[at]));
                layer.push_back((p[i] - mean) / std::sqrt(variance + 1e-5) * w[at] + b[at]);
                soft.push_back(std::exp(p[i] - top) / total);
                log_soft.push_back(p[i] - top - std::log(total));
                unit.push_back(p[i] / std::fmax(std::sqrt(square), 1e-12));
            }
        }
        for (const Isa isa : isas()) {
            std::vector<float> before[5];
            for (const int threads : {1, 2, 3}) {
                const Parallel parallel = pool(threads).parallel();
                for (int which = 0; which < 5; ++which) {
                    Guarded y(rows * n);
                    const Rows args{x.data(), y.get(), rows, n, n, n};
                    if (which == 0) rms_norm(isa, args, w.data(), 1.0f, 1e-6f, parallel);
                    if (which == 1) layer_norm(isa, args, w.data(), b.data(), 1e-5f, parallel);
                    if (which == 2) softmax(isa, args, parallel);
                    if (which == 3) log_softmax(isa, args, parallel);
                    if (which == 4) l2_norm(isa, args, 1e-12f, parallel);
                    const std::vector<double>* want[] = {&rms, &layer, &soft, &log_soft, &unit};
                    EXPECT_TRUE(near(y.values(), *want[which], 4e-6)) << isa_name(isa) << " n " << n << " norm " << which;
                    EXPECT_TRUE(y.intact());
                    if (threads == 1) before[which] = y.values();
                    else EXPECT_TRUE(same_bits(y.values(), before[which]));
                }
            }
        }
    }
}

TEST(Norm, SoftmaxOfMaskedRows) {
    const std::vector<float> x = {-INFINITY, -INFINITY, -INFINITY, 1.0f, -INFINITY, 1.0f};
    for (const Isa isa : isas()) {
        std::vector<float> y(6);
        softmax(isa, {x.data(), y.data(), 2, 3, 3, 3}, serial());
        EXPECT_EQ(y, (std::vector<float>{0, 0, 0, 0.5f, 0, 0.5f}));
    }
}

TEST(Rope, BothFormsPartialWidthsAndTheSwitch) {
    const int64_t batch = 2, tokens = 5, heads = 3, width = 40, pairs = 17;
    const std::vector<float> x = fill(batch * tokens * heads * width, 15), freq = fill(pairs, 16, 0.01, 1), far = fill(pairs, 17, 0.01, 1);
    const std::vector<int32_t> positions = {0, 1, 2, 3, 4, 100, 101, 102, 103, 104};
    for (const bool interleaved : {false, true})
        for (const Isa isa : isas()) {
            std::vector<double> want;
            for (int64_t b = 0; b < batch; ++b)
                for (int64_t t = 0; t < tokens; ++t)
                    for (int64_t h = 0; h < heads; ++h) {
                        const float* p = x.data() + ((b * tokens + t) * heads + h) * width;
                        std::vector<double> row(p, p + width);
                        const bool is_far = b == 1;
                        for (int64_t i = 0; i < pairs; ++i) {
                            const int64_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + pairs;
                            const double angle = positions[static_cast<size_t>(b * tokens + t)] * static_cast<double>((is_far ? far : freq)[static_cast<size_t>(i)]);
                            const double factor = is_far ? 1.5 : 0.5, c = std::cos(angle) * factor, s = std::sin(angle) * factor;
                            row[static_cast<size_t>(first)] = p[first] * c - p[second] * s;
                            row[static_cast<size_t>(second)] = p[second] * c + p[first] * s;
                        }
                        want.insert(want.end(), row.begin(), row.end());
                    }
            Guarded y(static_cast<int64_t>(x.size()));
            Workspace workspace(static_cast<size_t>(rope_workspace_floats(pairs)) * 4 * 2);
            const int64_t token = heads * width;
            rope(isa, {batch, tokens, heads, width, pairs, x.data(), tokens * token, token, width, y.get(), tokens * token, token, width, positions.data(), tokens,
                       freq.data(), 0.5f, far.data(), 1.5f, 100, interleaved}, workspace.get(), pool(2).parallel());
            EXPECT_TRUE(near(y.values(), want, 1e-5)) << isa_name(isa);
            EXPECT_TRUE(y.intact() && workspace.intact());
        }
}

}  // namespace
}  // namespace orrery::flt
