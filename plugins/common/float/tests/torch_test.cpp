// The library against PyTorch's own f32 results.
#include "float/attention.hpp"
#include "float/conv.hpp"
#include "float/elementwise.hpp"
#include "float/gemm.hpp"
#include "float/norm.hpp"
#include "float/tests/support.hpp"
#include "float/tests/torch_values.hpp"

namespace orrery::flt {
namespace {

template <size_t N>
::testing::AssertionResult matches(const std::vector<float>& got, const float (&want)[N], double tol) {
    return near(got, std::vector<double>(want, want + N), tol);
}

std::vector<float> linear(Isa isa, Activation activation) {
    const std::vector<float> x = fill(700, 5), w = fill(1900, 6), bias = fill(19, 7);
    std::vector<float> packed(gemm_packed_bytes(19, 100) / 4), y(7 * 19);
    gemm_pack(isa, w.data(), 19, 100, 100, WeightOrder::rows, packed.data(), serial());
    Workspace workspace(gemm_workspace_bytes(7, 19, 100, 1));
    GemmArgs a;
    a.t = 7, a.n = 19, a.k = 100, a.x = x.data(), a.ldx = 100, a.w = packed.data(), a.dst = y.data(), a.dst_row = 19;
    a.epilogue.bias = bias.data(), a.epilogue.activation = activation;
    gemm(isa, a, workspace.get(), serial());
    return y;
}

TEST(Torch, LinearWithActivations) {
    for (const Isa isa : isas()) {
        EXPECT_TRUE(matches(linear(isa, Activation::gelu_erf), kLinearGelu, 4e-6)) << isa_name(isa);
        EXPECT_TRUE(matches(linear(isa, Activation::gelu_tanh), kLinearGeluTanh, 4e-6)) << isa_name(isa);
        EXPECT_TRUE(matches(linear(isa, Activation::silu), kLinearSilu, 4e-6)) << isa_name(isa);
    }
}

TEST(Torch, ScaledDotProductAttention) {
    const std::vector<float> q = fill(2 * 5 * 4 * 24, 1, -2, 2), k = fill(2 * 9 * 2 * 24, 2, -2, 2), v = fill(2 * 9 * 2 * 12, 3), bias = fill(4 * 5 * 9, 4);
    for (const Isa isa : isas())
        for (const bool causal : {false, true}) {
            AttentionArgs a{};
            a.batch = 2, a.tokens = 5, a.keys = 9, a.heads = 4, a.kv_heads = 2, a.width = 24, a.value_width = 12;
            a.q = q.data(), a.q_batch = 5 * 4 * 24, a.q_token = 4 * 24, a.q_head = 24;
            a.k.data = k.data(), a.k.batch = 9 * 2 * 24, a.k.token = 2 * 24, a.k.head = 24;
            a.v.data = v.data(), a.v.batch = 9 * 2 * 12, a.v.token = 2 * 12, a.v.head = 12;
            std::vector<float> y(2 * 5 * 4 * 12);
            a.dst = y.data(), a.dst_batch = 5 * 4 * 12, a.dst_token = 4 * 12, a.dst_head = 12;
            a.scale = 1.0f / std::sqrt(24.0f);
            if (causal) a.ahead = 0;
            else a.bias = bias.data(), a.bias_head = 5 * 9, a.bias_token = 9;
            Workspace workspace(attention_workspace_bytes(a, 1));
            attention(isa, a, workspace.get(), serial());
            if (causal) EXPECT_TRUE(matches(y, kAttentionCausal, 3e-6)) << isa_name(isa);
            else EXPECT_TRUE(matches(y, kAttentionBias, 3e-6)) << isa_name(isa);
        }
}

TEST(Torch, Conv2d) {
    const std::vector<float> x = fill(6 * 9 * 8, 8), w = fill(5 * 6 * 9, 9), bias = fill(5, 10);
    for (const Isa isa : isas()) {
        ConvArgs a{};
        a.batch = 1, a.channels = 6, a.height = 9, a.width = 8, a.out_channels = 5, a.kernel_h = 3, a.kernel_w = 3;
        a.stride_h = 2, a.stride_w = 2, a.pad_h = 1, a.pad_w = 1;
        a.x = x.data(), a.x_channel = 72, a.x_row = 8, a.x_col = 1, a.bias = bias.data();
        const int64_t pixels = a.out_height() * a.out_width();
        std::vector<float> packed(conv_packed_bytes(a) / 4), y(static_cast<size_t>(5 * pixels));
        conv_pack(isa, a, w.data(), packed.data(), serial());
        a.w = packed.data(), a.y = y.data(), a.y_channel = pixels, a.y_col = 1, a.y_row = a.out_width();
        Workspace workspace(conv_workspace_bytes(a, 1));
        conv(isa, a, workspace.get(), serial());
        EXPECT_TRUE(matches(y, kConv, 3e-6)) << isa_name(isa);
    }
}

TEST(Torch, NormsAndFunctions) {
    const std::vector<float> x = fill(99, 11, -3, 5), w = fill(33, 12), b = fill(33, 13), s = fill(40, 14, -30, 30), e = fill(40, 15, -5, 5);
    for (const Isa isa : isas()) {
        std::vector<float> y(99), z(40);
        const Rows rows{x.data(), y.data(), 3, 33, 33, 33};
        layer_norm(isa, rows, w.data(), b.data(), 1e-5f, serial());
        EXPECT_TRUE(matches(y, kLayerNorm, 3e-6)) << isa_name(isa);
        rms_norm(isa, rows, w.data(), 0.0f, 1e-6f, serial());
        EXPECT_TRUE(matches(y, kRmsNorm, 3e-6)) << isa_name(isa);
        log_softmax(isa, rows, serial());
        EXPECT_TRUE(matches(y, kLogSoftmax, 3e-6)) << isa_name(isa);
        unary(isa, Unary::softplus, s.data(), z.data(), 40, serial());
        EXPECT_TRUE(matches(z, kSoftplus, 1e-6)) << isa_name(isa);
        unary(isa, Unary::erf, e.data(), z.data(), 40, serial());
        EXPECT_TRUE(matches(z, kErf, 1e-6)) << isa_name(isa);
    }
}

}  // namespace
}  // namespace orrery::flt
