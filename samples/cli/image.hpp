// Pictures of matrices, as PNG.
#ifndef ORRERY_CLI_IMAGE_HPP
#define ORRERY_CLI_IMAGE_HPP

#include <string>
#include <vector>

#include "common.hpp"

namespace orrery::cli {

struct Matrix {
    size_t rows = 0, columns = 0;
    std::vector<double> values;  // row by row

    Matrix() = default;
    Matrix(size_t r, size_t c) : rows(r), columns(c), values(r * c, 0.0) {}
    double& at(size_t r, size_t c) { return values[r * columns + c]; }
    double at(size_t r, size_t c) const { return values[r * columns + c]; }
};

enum class Colours {
    rising,   // dark to bright, from the smallest value to the largest
    signed_,  // blue below zero, white at zero, red above, as far to both sides
};

struct Picture {
    std::vector<Matrix> panels;  // side by side, then in further lines; all of one size
    Colours colours = Colours::rising;
    double low = 0, high = 0;          // equal: what the values span
    std::string title, rows, columns;  // text chunks of the file
};

// Whether this build writes PNG; else write_png throws.
bool can_write_png();
// One square of whole pixels a value. Throws host::Error naming the file.
void write_png(const std::string& path, const Picture& picture);

// A matrix as rows of numbers, for JSON.
json to_json(const Matrix& m);

}  // namespace orrery::cli
#endif
