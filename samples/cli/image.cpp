#include "image.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#ifdef ORRERY_WITH_PNG
#include <png.h>
#endif

#include "output_file.hpp"

namespace orrery::cli {

json to_json(const Matrix& m) {
    json out = json::array();
    for (size_t r = 0; r < m.rows; r++)
        out.push_back(std::vector<double>(m.values.begin() + static_cast<ptrdiff_t>(r * m.columns),
                                          m.values.begin() + static_cast<ptrdiff_t>((r + 1) * m.columns)));
    return out;
}

#ifndef ORRERY_WITH_PNG

bool can_write_png() { return false; }
void write_png(const std::string& path, const Picture&) {
    throw host::Error(ORR_UNSUPPORTED, path + ": this build writes no PNG (it was made without libpng)");
}

#else

namespace {

using Colour = std::array<uint8_t, 3>;
constexpr size_t kGap = 3, kLargestSide = 1024, kLargestCell = 32;
constexpr uint64_t kMostPixels = uint64_t{1} << 26;

Colour between(const Colour& a, const Colour& b, double t) {
    Colour c{};
    for (size_t k = 0; k < 3; k++) c[k] = static_cast<uint8_t>(std::lround(a[k] + (b[k] - a[k]) * t));
    return c;
}

// x in 0 … 1. Anchors of viridis (S. van der Walt, N. Smith, 2015; CC0), lightness rising evenly.
Colour rising(double x) {
    static constexpr std::array<Colour, 9> kAnchors = {
        {{68, 1, 84}, {71, 44, 122}, {59, 81, 139}, {44, 113, 142}, {33, 144, 141}, {39, 173, 129}, {92, 200, 99}, {170, 220, 50}, {253, 231, 37}}};
    const double at = x * (kAnchors.size() - 1);
    const auto i = std::min(static_cast<size_t>(at), kAnchors.size() - 2);
    return between(kAnchors[i], kAnchors[i + 1], at - static_cast<double>(i));
}

// x in -1 … 1
Colour around_zero(double x) {
    constexpr Colour kWhite = {247, 247, 247}, kBlue = {33, 102, 172}, kRed = {178, 24, 43};
    return between(kWhite, x < 0 ? kBlue : kRed, std::fabs(x));
}

class Painter {
  public:
    explicit Painter(const Picture& p) : p_(p), low_(p.low), high_(p.high) {
        const Matrix& first = p.panels.at(0);
        if (low_ == high_) {
            low_ = INFINITY, high_ = -INFINITY;
            for (const Matrix& m : p.panels)
                for (const double v : m.values)
                    if (std::isfinite(v)) low_ = std::min(low_, v), high_ = std::max(high_, v);
        }
        if (p.colours == Colours::signed_) high_ = std::max(std::fabs(low_), std::fabs(high_)), low_ = -high_;
        across_ = static_cast<size_t>(std::ceil(std::sqrt(static_cast<double>(p.panels.size()))));
        const size_t down = (p.panels.size() + across_ - 1) / across_;
        const size_t longest = std::max<size_t>({first.columns * across_, first.rows * down, 1});
        cell_ = std::clamp<size_t>(kLargestSide / longest, 1, kLargestCell);
        width_ = across_ * (first.columns * cell_ + kGap) - kGap;
        height_ = down * (first.rows * cell_ + kGap) - kGap;
        if (static_cast<uint64_t>(width_) * height_ > kMostPixels)
            throw host::Error(ORR_LIMIT, "a picture of " + std::to_string(width_) + " x " + std::to_string(height_) +
                                             " points is too large; the most is " + std::to_string(kMostPixels) + " points");
        pixels_.assign(width_ * height_ * 3, 255);
        for (size_t n = 0; n < p.panels.size(); n++)
            paint(p.panels[n], n % across_ * (first.columns * cell_ + kGap), n / across_ * (first.rows * cell_ + kGap));
    }
    size_t width() const { return width_; }
    size_t height() const { return height_; }
    double low() const { return low_; }
    double high() const { return high_; }
    const uint8_t* line(size_t y) const { return pixels_.data() + y * width_ * 3; }

  private:
    void paint(const Matrix& m, size_t left, size_t top) {
        for (size_t r = 0; r < m.rows; r++)
            for (size_t c = 0; c < m.columns; c++) {
                const Colour colour = colour_of(m.at(r, c));
                for (size_t y = top + r * cell_; y < top + (r + 1) * cell_; y++)
                    for (size_t x = left + c * cell_; x < left + (c + 1) * cell_; x++)
                        std::copy(colour.begin(), colour.end(), pixels_.begin() + static_cast<ptrdiff_t>((y * width_ + x) * 3));
            }
    }
    Colour colour_of(double v) const {
        if (!std::isfinite(v)) return {128, 128, 128};
        if (p_.colours == Colours::signed_) return around_zero(high_ > 0 ? std::clamp(v / high_, -1.0, 1.0) : 0.0);
        return rising(high_ > low_ ? std::clamp((v - low_) / (high_ - low_), 0.0, 1.0) : 0.0);
    }

    const Picture& p_;
    double low_, high_;
    size_t across_ = 1, cell_ = 1, width_ = 0, height_ = 0;
    std::vector<uint8_t> pixels_;
};

// What libpng jumps out of: only plain data lives here.
bool write_rows(FILE* file, const Painter& painter, png_text* texts, int text_count, const uint8_t** lines, char* why, size_t why_size) {
    struct Failure {
        char* text;
        size_t size;
    } failure{why, why_size};
    png_structp png = png_create_write_struct(
        PNG_LIBPNG_VER_STRING, &failure,
        [](png_structp p, png_const_charp text) {
            auto& f = *static_cast<Failure*>(png_get_error_ptr(p));
            std::snprintf(f.text, f.size, "%s", text);
            png_longjmp(p, 1);
        },
        [](png_structp, png_const_charp) {});
    if (!png) return false;
    png_infop info = png_create_info_struct(png);
    if (!info || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        return false;
    }
    png_init_io(png, file);
    png_set_IHDR(png, info, static_cast<png_uint_32>(painter.width()), static_cast<png_uint_32>(painter.height()), 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_text(png, info, texts, text_count);
    png_write_info(png, info);
    for (size_t y = 0; y < painter.height(); y++) png_write_row(png, const_cast<png_bytep>(lines[y]));
    png_write_end(png, nullptr);
    png_destroy_write_struct(&png, &info);
    return true;
}

}  // namespace

bool can_write_png() { return true; }

void write_png(const std::string& path, const Picture& picture) {
    if (picture.panels.empty() || picture.panels[0].values.empty()) throw host::Error(ORR_INVALID_ARGUMENT, path + ": there is nothing to draw");
    const Painter painter(picture);
    char range[96];
    std::snprintf(range, sizeof range, "%g to %g", painter.low(), painter.high());
    std::string values[] = {picture.title, picture.rows, picture.columns, range};
    std::string keys[] = {"Title", "Rows", "Columns", "Values"};
    std::vector<png_text> texts;
    for (size_t i = 0; i < 4; i++) {
        std::replace_if(
            values[i].begin(), values[i].end(), [](char c) { return static_cast<unsigned char>(c) < 32; }, ' ');
        png_text t{};
        t.compression = PNG_TEXT_COMPRESSION_NONE;
        t.key = keys[i].data();
        t.text = values[i].data();
        t.text_length = values[i].size();
        texts.push_back(t);
    }
    std::vector<const uint8_t*> lines;
    for (size_t y = 0; y < painter.height(); y++) lines.push_back(painter.line(y));
    OutputFile file(path);
    char why[160] = "out of memory";
    if (!write_rows(file.stream(), painter, texts.data(), static_cast<int>(texts.size()), lines.data(), why, sizeof why)) throw host::Error(ORR_IO, path + ": " + why);
    file.keep();
}

#endif

}  // namespace orrery::cli
