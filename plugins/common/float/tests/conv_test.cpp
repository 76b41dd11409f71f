#include "float/conv.hpp"

#include "float/tests/support.hpp"

namespace orrery::flt {
namespace {

struct Shape {
    int64_t batch, channels, height, width, out, kh, kw, sh, sw, ph, pw, dh, dw, groups;
};

const Shape kShapes[] = {
    {1, 3, 32, 32, 20, 8, 8, 8, 8, 0, 0, 1, 1, 1},     // patches
    {2, 5, 13, 17, 33, 3, 3, 1, 1, 1, 1, 1, 1, 1},     // same size
    {1, 4, 20, 15, 6, 3, 5, 2, 3, 2, 1, 2, 1, 2},      // strides, dilation, two groups
    {1, 80, 1, 100, 31, 1, 3, 1, 1, 0, 1, 1, 1, 1},    // Whisper's first
    {1, 32, 1, 101, 40, 1, 3, 1, 2, 0, 1, 1, 1, 1},    // and second
    {2, 12, 9, 11, 12, 3, 3, 1, 1, 1, 1, 1, 1, 12},    // depthwise
    {1, 6, 10, 9, 12, 3, 3, 2, 2, 1, 1, 1, 2, 6},      // two outputs a channel
    {1, 200, 5, 5, 3, 3, 3, 1, 1, 2, 2, 1, 1, 1},      // k over one block, padding over the edge
    {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1},
};

TEST(Conv, EveryShapeBothLayoutsOnEveryInstructionSet) {
    for (const Shape& s : kShapes) {
        const std::vector<float> x = fill(s.batch * s.channels * s.height * s.width, 41), w = fill(s.out * s.channels / s.groups * s.kh * s.kw, 42), bias = fill(s.out, 43);
        ConvArgs a{};
        a.batch = s.batch, a.channels = s.channels, a.height = s.height, a.width = s.width, a.out_channels = s.out, a.kernel_h = s.kh, a.kernel_w = s.kw;
        a.stride_h = s.sh, a.stride_w = s.sw, a.pad_h = s.ph, a.pad_w = s.pw, a.dilation_h = s.dh, a.dilation_w = s.dw, a.groups = s.groups;
        const int64_t oh = a.out_height(), ow = a.out_width(), pixels = oh * ow;
        std::vector<double> want(static_cast<size_t>(s.batch * s.out * pixels));
        for (int64_t b = 0; b < s.batch; ++b)
            for (int64_t o = 0; o < s.out; ++o)
                for (int64_t i = 0; i < oh; ++i)
                    for (int64_t j = 0; j < ow; ++j) {
                        double sum = bias[static_cast<size_t>(o)];
                        const int64_t per = s.channels / s.groups, c0 = o / (s.out / s.groups) * per;
                        for (int64_t c = 0; c < per; ++c)
                            for (int64_t u = 0; u < s.kh; ++u)
                                for (int64_t v = 0; v < s.kw; ++v) {
                                    const int64_t y = i * s.sh + u * s.dh - s.ph, z = j * s.sw + v * s.dw - s.pw;
                                    if (y < 0 || y >= s.height || z < 0 || z >= s.width) continue;
                                    sum += static_cast<double>(x[static_cast<size_t>(((b * s.channels + c0 + c) * s.height + y) * s.width + z)]) * w[static_cast<size_t>(((o * per + c) * s.kh + u) * s.kw + v)];
                                }
                        want[static_cast<size_t>((b * s.out + o) * pixels + i * ow + j)] = sum > 0 ? sum : 0;
                    }
        a.activation = Activation::relu;
        a.bias = bias.data();
        for (const bool tokens_out : {false, true})
            for (const bool tokens_in : {false, true})
                for (const Isa isa : isas()) {
                    std::vector<float> source = x;
                    if (tokens_in)
                        for (int64_t b = 0; b < s.batch; ++b)
                            for (int64_t c = 0; c < s.channels; ++c)
                                for (int64_t p = 0; p < s.height * s.width; ++p)
                                    source[static_cast<size_t>((b * s.height * s.width + p) * s.channels + c)] = x[static_cast<size_t>((b * s.channels + c) * s.height * s.width + p)];
                    a.x = source.data();
                    a.x_batch = s.channels * s.height * s.width;
                    a.x_channel = tokens_in ? 1 : s.height * s.width, a.x_col = tokens_in ? s.channels : 1, a.x_row = a.x_col * s.width;
                    a.y_batch = s.out * pixels;
                    a.y_channel = tokens_out ? 1 : pixels, a.y_col = tokens_out ? s.out : 1, a.y_row = a.y_col * ow;
                    std::vector<float> before;
                    for (const int threads : {1, 2, 3}) {
                        const Parallel parallel = pool(threads).parallel();
                        Guarded packed(static_cast<int64_t>(conv_packed_bytes(a) / 4)), y(s.batch * s.out * pixels);
                        conv_pack(isa, a, w.data(), packed.get(), parallel);
                        a.w = packed.get(), a.y = y.get();
                        Workspace workspace(conv_workspace_bytes(a, threads));
                        conv(isa, a, workspace.get(), parallel);
                        EXPECT_TRUE(packed.intact() && y.intact() && workspace.intact()) << isa_name(isa);
                        std::vector<float> got = y.values();
                        if (tokens_out) {
                            const std::vector<float> raw = got;
                            for (int64_t b = 0; b < s.batch; ++b)
                                for (int64_t o = 0; o < s.out; ++o)
                                    for (int64_t p = 0; p < pixels; ++p) got[static_cast<size_t>((b * s.out + o) * pixels + p)] = raw[static_cast<size_t>((b * pixels + p) * s.out + o)];
                        }
                        EXPECT_TRUE(near(got, want, 1e-5)) << isa_name(isa) << " channels " << s.channels << " groups " << s.groups << " tokens " << tokens_in << tokens_out;
                        if (threads == 1) before = got;
                        else EXPECT_TRUE(same_bits(got, before));
                    }
                }
    }
}

}  // namespace
}  // namespace orrery::flt
