#include "float/conv.hpp"

#include <algorithm>
#include <cstring>

#include "float/gemm.hpp"
#include "float/tile_kernels.hpp"

namespace orrery::flt {
namespace {

// Groups this narrow would leave a panel of 16 columns, or its k, nearly empty.
bool is_direct(const ConvArgs& a) { return a.groups > 1 && (a.group_in() * a.kernel_h * a.kernel_w < 16 || a.group_out() < 4); }

int64_t taps(const ConvArgs& a) { return a.group_in() * a.kernel_h * a.kernel_w; }

// Patches of one image and group as matrix rows: row = output pixel, column = (c, u, v).
struct Patches {
    const ConvArgs& a;
    const float* x;

    static void fill(const void* self, int64_t row0, int64_t row1, int64_t k0, int64_t k1, float* dst, int64_t ldd) {
        static_cast<const Patches*>(self)->fill_rows(row0, row1, k0, k1, dst, ldd);
    }

    void fill_rows(int64_t row0, int64_t row1, int64_t k0, int64_t k1, float* dst, int64_t ldd) const {
        const int64_t out_w = a.out_width(), kw = a.kernel_w;
        // (c, u) lines of kw taps; the first and the last may be cut by the block of k.
        for (int64_t line = k0 / kw; line * kw < k1; ++line) {
            const int64_t c = line / a.kernel_h, u = line % a.kernel_h;
            const Range taps = {std::max(k0 - line * kw, int64_t{0}), std::min(k1 - line * kw, kw)};
            float* out = dst + line * kw - k0;
            for (int64_t r = row0; r < row1;) {  // pixel row by pixel row
                const int64_t i = r / out_w, j = r % out_w, count = std::min(out_w - j, row1 - r);
                fill_pixels(x + c * a.x_channel, i * a.stride_h + u * a.dilation_h - a.pad_h, {j, j + count}, taps, out, ldd);
                r += count;
                out += count * ldd;
            }
        }
    }

    // Taps of the pixels [j0, j1) of one output row: the middle, which no padding touches, in a loop without questions.
    void fill_pixels(const float* plane, int64_t y, Range pixels, Range taps, float* out, int64_t ldd) const {
        const auto edge = [&](int64_t from, int64_t to) {
            for (int64_t j = from; j < to; ++j) fill_line(plane, y, j * a.stride_w - a.pad_w, taps.begin, taps.end, out + (j - pixels.begin) * ldd);
        };
        if (y < 0 || y >= a.height) return edge(pixels.begin, pixels.end);
        // 0 <= j sw - pw + v dw < width for every tap v of the line
        const int64_t first = ceil_div(std::max<int64_t>(a.pad_w - taps.begin * a.dilation_w, 0), a.stride_w);
        const int64_t room = a.width - 1 + a.pad_w - (taps.end - 1) * a.dilation_w;
        const int64_t j0 = std::clamp(first, pixels.begin, pixels.end), j1 = std::clamp(room < 0 ? 0 : room / a.stride_w + 1, j0, pixels.end);
        edge(pixels.begin, j0);
        edge(j1, pixels.end);
        const int64_t count = taps.end - taps.begin, step = a.dilation_w * a.x_col, jump = a.stride_w * a.x_col;
        const float* from = plane + y * a.x_row + (j0 * a.stride_w - a.pad_w) * a.x_col + taps.begin * step;
        float* to = out + (j0 - pixels.begin) * ldd + taps.begin;
        if (count == 3) {
            for (int64_t j = j0; j < j1; ++j, from += jump, to += ldd) to[0] = from[0], to[1] = from[step], to[2] = from[2 * step];
        } else if (step == 1 && count >= 8) {
            for (int64_t j = j0; j < j1; ++j, from += jump, to += ldd) std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
        } else {
            for (int64_t j = j0; j < j1; ++j, from += jump, to += ldd)
                for (int64_t v = 0; v < count; ++v) to[v] = from[v * step];
        }
    }

    // out[v] = plane[y, left + v dw], zero outside the plane
    void fill_line(const float* plane, int64_t y, int64_t left, int64_t v0, int64_t v1, float* out) const {
        if (y < 0 || y >= a.height) {
            for (int64_t v = v0; v < v1; ++v) out[v] = 0.0f;
            return;
        }
        const float* line = plane + y * a.x_row;
        for (int64_t v = v0; v < v1; ++v) {
            const int64_t at = left + v * a.dilation_w;
            out[v] = at < 0 || at >= a.width ? 0.0f : line[at * a.x_col];
        }
    }
};

// One output channel of one image, tap by tap over whole rows.
void direct_plane(const ConvArgs& a, const VectorKernels& kernels, int64_t b, int64_t o, float* row) {
    const int64_t out_h = a.out_height(), out_w = a.out_width(), c0 = o / a.group_out() * a.group_in();
    const float* w = a.w + o * taps(a);
    Epilogue e;
    e.activation = a.activation;
    const float bias = a.bias == nullptr ? 0.0f : a.bias[o];
    for (int64_t i = 0; i < out_h; ++i) {
        std::fill_n(row, out_w, bias);
        for (int64_t tap = 0; tap < taps(a); ++tap) {
            const int64_t c = tap / (a.kernel_h * a.kernel_w), u = tap / a.kernel_w % a.kernel_h, v = tap % a.kernel_w;
            const int64_t y = i * a.stride_h + u * a.dilation_h - a.pad_h, shift = v * a.dilation_w - a.pad_w;
            if (y < 0 || y >= a.height) continue;
            // j with 0 <= j sw + shift < width
            const int64_t j0 = shift < 0 ? std::min(ceil_div(-shift, a.stride_w), out_w) : 0;
            const int64_t j1 = shift >= a.width ? 0 : std::min((a.width - 1 - shift) / a.stride_w + 1, out_w);
            if (j1 <= j0) continue;
            const float* x = a.x + b * a.x_batch + (c0 + c) * a.x_channel + y * a.x_row + (j0 * a.stride_w + shift) * a.x_col;
            kernels.add_scaled(w[tap], x, a.stride_w * a.x_col, row + j0, j1 - j0);
        }
        kernels.epilogue(e, {row, out_w, nullptr, nullptr, a.y + b * a.y_batch + o * a.y_channel + i * a.y_row, a.y_row, a.y_col, 1, out_w});
    }
}

}  // namespace

size_t conv_packed_bytes(const ConvArgs& a) {
    if (is_direct(a)) return static_cast<size_t>(a.out_channels * taps(a)) * sizeof(float);
    return static_cast<size_t>(a.groups) * gemm_packed_bytes(a.group_out(), taps(a));
}

void conv_pack(Isa isa, const ConvArgs& a, const float* w, float* dst, const Parallel& parallel) {
    if (is_direct(a)) {
        std::memcpy(dst, w, conv_packed_bytes(a));
        return;
    }
    const int64_t one = static_cast<int64_t>(gemm_packed_bytes(a.group_out(), taps(a)) / sizeof(float)), k = taps(a);
    for (int64_t g = 0; g < a.groups; ++g) gemm_pack(isa, w + g * a.group_out() * k, a.group_out(), k, k, WeightOrder::rows, dst + g * one, parallel);
}

size_t conv_workspace_bytes(const ConvArgs& a, int threads) {
    if (is_direct(a)) return static_cast<size_t>(round_up(a.out_width(), kPanel) * threads) * sizeof(float);
    return gemm_workspace_bytes(a.out_height() * a.out_width(), a.group_out(), taps(a), threads);
}

void conv(Isa isa, const ConvArgs& a, void* workspace, const Parallel& parallel) {
    if (a.out_height() <= 0 || a.out_width() <= 0) return;
    if (is_direct(a)) {
        const VectorKernels& kernels = vector_kernels(isa);
        const int64_t row = round_up(a.out_width(), kPanel);
        parallel_for(parallel, a.batch * a.out_channels, [&](int64_t c, int thread) {
            direct_plane(a, kernels, c / a.out_channels, c % a.out_channels, static_cast<float*>(workspace) + thread * row);
        });
        return;
    }
    const int64_t one = static_cast<int64_t>(gemm_packed_bytes(a.group_out(), taps(a)) / sizeof(float));
    for (int64_t b = 0; b < a.batch; ++b) {
        for (int64_t g = 0; g < a.groups; ++g) {
            const Patches patches{a, a.x + b * a.x_batch + g * a.group_in() * a.x_channel};
            GemmArgs m;
            m.t = a.out_height() * a.out_width();
            m.n = a.group_out();
            m.k = taps(a);
            m.rows = {&Patches::fill, &patches};
            m.w = a.w + g * one;
            m.dst = a.y + b * a.y_batch + g * a.group_out() * a.y_channel;
            m.dst_row = a.y_col;
            m.dst_col = a.y_channel;
            m.epilogue.bias = a.bias == nullptr ? nullptr : a.bias + g * a.group_out();
            m.epilogue.activation = a.activation;
            gemm(isa, m, workspace, parallel);
        }
    }
}

}  // namespace orrery::flt
