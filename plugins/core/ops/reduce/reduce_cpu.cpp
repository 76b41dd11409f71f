// f32, contiguous, reduced axes side by side: x is [outer, n, inner]. Sums in f64. The order of additions depends on n and on
// whether inner is 1, never on threads.
#include "common/shapes.hpp"
#include "ops/reduce/reduce.hpp"

namespace orrery::core {
namespace {

constexpr int kLanes = 16;    // accumulators of one row
constexpr int kColumns = 64;  // columns that go together

struct Split {
    int64_t outer = 1, n = 1, inner = 1;
    bool neighbours = true;
};

Split split_of(const orr_tensor& x, uint32_t bits) {
    Split s;
    bool seen = false, left = false;
    for (int32_t axis = 0; axis < x.rank; axis++) {
        if (x.shape[axis] == 1) continue;
        if (bits >> axis & 1) {
            s.neighbours = s.neighbours && !left;
            seen = true;
            s.n *= x.shape[axis];
        } else {
            left = seen;
            (seen ? s.inner : s.outer) *= x.shape[axis];
        }
    }
    return s;
}

template <Reduction F>
double row_of(const float* x, int64_t n, double centre) {
    double lane[kLanes];
    std::fill(lane, lane + kLanes, start_of(F));
    int64_t k = 0;
    for (; k + kLanes <= n; k += kLanes)
        for (int c = 0; c < kLanes; c++) lane[c] = step<F>(lane[c], static_cast<double>(x[k + c]), centre);
    for (int c = 1; c < kLanes; c++) lane[0] = join<F>(lane[0], lane[c]);
    for (; k < n; k++) lane[0] = step<F>(lane[0], static_cast<double>(x[k]), centre);
    return lane[0];
}

template <Reduction F>
void columns_of(const float* x, int64_t n, int64_t inner, int width, const double* centre, double* acc) {
    std::fill(acc, acc + width, start_of(F));
    for (int64_t t = 0; t < n; t++)
        for (int c = 0; c < width; c++) acc[c] = step<F>(acc[c], static_cast<double>(x[t * inner + c]), centre[c]);
}

template <Reduction F>
void run_rows(const orr_run* run, const Split& s, bool unbiased) {
    const float* x = data<float>(run->inputs[0]);
    float* y = data<float>(run->outputs[0]);
    for_ranges(run, s.outer, s.n, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; r++) {
            const float* row = x + r * s.n;
            const double centre = needs_mean(F) ? row_of<Reduction::sum>(row, s.n, 0) / static_cast<double>(s.n) : 0;
            y[r] = finish<F>(row_of<F>(row, s.n, centre), s.n, unbiased);
        }
    });
}

template <Reduction F>
void run_columns(const orr_run* run, const Split& s, bool unbiased) {
    const float* x = data<float>(run->inputs[0]);
    float* y = data<float>(run->outputs[0]);
    const int64_t blocks = (s.inner + kColumns - 1) / kColumns;
    for_ranges(run, s.outer * blocks, s.n * kColumns, [&](int64_t begin, int64_t end) {
        for (int64_t unit = begin; unit < end; unit++) {
            const int64_t first = unit % blocks * kColumns;
            const int width = static_cast<int>(std::min<int64_t>(kColumns, s.inner - first));
            const float* src = x + unit / blocks * s.n * s.inner + first;
            double acc[kColumns], centre[kColumns] = {};
            if (needs_mean(F)) {
                columns_of<Reduction::sum>(src, s.n, s.inner, width, centre, acc);
                for (int c = 0; c < width; c++) centre[c] = acc[c] / static_cast<double>(s.n);
            }
            columns_of<F>(src, s.n, s.inner, width, centre, acc);
            for (int c = 0; c < width; c++) y[unit / blocks * s.inner + first + c] = finish<F>(acc[c], s.n, unbiased);
        }
    });
}

}  // namespace

bool reduce_cpu_supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& x = *p->inputs[0];
    if (x.type != ORR_TYPE_F32) return refuse(reason, size, std::string("takes f32, not ") + type_name(x.type));
    if (!is_contiguous(x)) return refuse(reason, size, "x must be contiguous");
    if (!split_of(x, reduce_attrs(p->attrs, x.rank).axes).neighbours) return refuse(reason, size, "the reduced axes must be neighbours");
    return true;
}

orr_status reduce_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor& x = *run->inputs[0];
        const ReduceAttrs a = reduce_attrs(run->attrs, x.rank);
        const Split s = split_of(x, a.axes);
        with_reduction(a.function, [&]<Reduction F>() { s.inner == 1 ? run_rows<F>(run, s, a.unbiased) : run_columns<F>(run, s, a.unbiased); });
    });
}

}  // namespace orrery::core
