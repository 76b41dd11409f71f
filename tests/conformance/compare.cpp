// Numbers against numbers.
#include <cmath>
#include <cstdio>

#include "checker.hpp"

namespace orrery::conformance {

std::string first_difference(const std::vector<double>& got, const std::vector<double>& want, double tol, const std::vector<double>* slack) {
    if (got.size() != want.size()) return std::to_string(got.size()) + " elements, expected " + std::to_string(want.size());
    double worst = 0;
    size_t place = got.size(), count = 0;
    for (size_t n = 0; n < got.size(); n++) {
        if (std::isnan(want[n]) && std::isnan(got[n])) continue;
        if (got[n] == want[n]) continue;
        const double error = (std::fabs(got[n] - want[n]) - (slack ? slack->at(n) : 0)) / std::max(1.0, std::fabs(want[n]));
        if (error <= tol && std::isfinite(want[n])) continue;
        count++;
        if (place == got.size() || error > worst) {
            place = n;
            worst = error;
        }
    }
    if (place == got.size()) return "";
    char text[240], rounding[48] = "";
    if (slack) std::snprintf(rounding, sizeof rounding, " and %.3g for rounding", slack->at(place));
    std::snprintf(text, sizeof text, "element %zu is %.9g, expected %.9g (off by %.3g, tolerance %.3g%s); %zu of %zu differ", place, got[place], want[place],
                  got[place] - want[place], tol, rounding, count, got.size());
    return text;
}

std::string rms_difference(const std::vector<double>& got, const std::vector<double>& want, double tol) {
    if (got.size() != want.size()) return std::to_string(got.size()) + " elements, expected " + std::to_string(want.size());
    double off = 0, size = 0;
    for (size_t n = 0; n < got.size(); n++) {
        off += (got[n] - want[n]) * (got[n] - want[n]);
        size += want[n] * want[n];
    }
    if (off <= tol * tol * size) return "";
    char text[120];
    std::snprintf(text, sizeof text, "rms of the difference is %.4g of the expected rms, tolerance %.4g", std::sqrt(off / size), tol);
    return text;
}

}  // namespace orrery::conformance
