// How the residual stream moves from layer to layer, as "Block-Recurrent Dynamics in Vision Transformers" (arXiv:2512.19941) looks at it: how far
// each token turns, how alike tokens point, how many directions an update has, and what a small push has become some layers later.
#include <algorithm>
#include <cmath>

#include "probe.hpp"

namespace orrery::cli {
namespace {

double dot(const float* a, const float* b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += static_cast<double>(a[i]) * b[i];
    return sum;
}

double length(const float* a, int64_t n) { return std::sqrt(dot(a, a, n)); }

// The angle between a and b in radians; 0 where one of them is zero.
double angle(const float* a, const float* b, int64_t n) {
    const double lengths = length(a, n) * length(b, n);
    return lengths > 0 ? std::acos(std::clamp(dot(a, b, n) / lengths, -1.0, 1.0)) : 0;
}

Values difference(const Values& now, const Values& before) {
    Values d{now.shape, std::vector<float>(now.data.size())};
    for (size_t i = 0; i < d.data.size(); i++) d.data[i] = now.data[i] - before.data[i];
    return d;
}

// |U|_F^2 / |U|_2^2, the stable rank (Rudelson and Vershynin 2007); 0 for a matrix of zeros. The spectral norm by power iteration.
double stable_rank(const Values& u) {
    const int64_t rows = u.rows(), width = u.width();
    double all = 0, most = 0;
    int64_t start = 0;
    for (int64_t r = 0; r < rows; r++) {
        const double square = dot(u.row(r), u.row(r), width);
        all += square;
        if (square > most) most = square, start = r;
    }
    if (!(most > 0)) return 0;
    std::vector<double> v(u.row(start), u.row(start) + width);
    double square = 0;
    constexpr int kMost = 10000;
    for (int i = 0; i < kMost; i++) {
        double norm = 0;
        for (const double x : v) norm += x * x;
        norm = std::sqrt(norm);
        std::vector<double> next(v.size(), 0.0);
        double now = 0;
        for (int64_t r = 0; r < rows; r++) {
            const float* row = u.row(r);
            double along = 0;
            for (size_t e = 0; e < v.size(); e++) along += row[e] * (v[e] / norm);
            now += along * along;
            for (size_t e = 0; e < v.size(); e++) next[e] += along * row[e];
        }
        v.swap(next);
        if (std::abs(now - square) <= 1e-13 * now) return all / now;
        square = now;
    }
    return all / square;
}

// Mean cosine of tokens from `first` on with their mean direction.
double coherence(const Values& x, int64_t first) {
    const int64_t width = x.width();
    std::vector<double> mean(static_cast<size_t>(width), 0.0);
    for (int64_t t = first; t < x.rows(); t++) {
        const double l = length(x.row(t), width);
        for (int64_t e = 0; l > 0 && e < width; e++) mean[static_cast<size_t>(e)] += x.row(t)[e] / l;
    }
    double norm = 0, sum = 0;
    for (const double m : mean) norm += m * m;
    norm = std::sqrt(norm);
    for (int64_t t = first; t < x.rows(); t++) {
        const double l = length(x.row(t), width);
        for (int64_t e = 0; l > 0 && norm > 0 && e < width; e++) sum += x.row(t)[e] / l * (mean[static_cast<size_t>(e)] / norm);
    }
    return sum / static_cast<double>(x.rows() - first);
}

double mean_of(const std::vector<double>& x, size_t first, size_t end) {
    double sum = 0;
    for (size_t i = first; i < end; i++) sum += x[i];
    return sum / static_cast<double>(end - first);
}

// A random direction for each token, as long as `share` of the token.
Values push_of(const Values& x, double share, Normal& normal) {
    Values push{x.shape, std::vector<float>(x.data.size())};
    const auto width = static_cast<size_t>(x.width());
    for (int64_t t = 0; t < x.rows(); t++) {
        float* row = push.data.data() + static_cast<size_t>(t) * width;
        for (size_t e = 0; e < width; e++) row[e] = static_cast<float>(normal.next());
        const double scale = share * length(x.row(t), x.width()) / std::max(length(row, x.width()), 1e-30);
        for (size_t e = 0; e < width; e++) row[e] = static_cast<float>(row[e] * scale);
    }
    return push;
}

class Trajectory {
  public:
    Trajectory(Subject& subject, const ProbeOptions& o) : subject_(subject), o_(o) {
        std::tie(names_, paths_) = residual_streams(subject);
        clean_ = subject.run(paths_);
        for (const std::string& path : paths_) {
            streams_.push_back(subject.one_row(clean_.at(path), path));
            if (streams_.back().shape != streams_[0].shape)
                throw host::Error(ORR_UNSUPPORTED, "trajectory needs layers of one shape; " + paths_[0] + " is " + json(streams_[0].shape).dump() + ", " + path + " is " +
                                                       json(streams_.back().shape).dump());
        }
        if (streams_.size() < 2) throw host::Error(ORR_UNSUPPORTED, "trajectory needs two named states; this model has " + names_.dump());
        if (o.apart < 0 || o.apart > tokens()) throw UsageError("--apart " + std::to_string(o.apart) + ": the run has " + std::to_string(tokens()) + " tokens");
    }

    json run() {
        const auto apart = static_cast<size_t>(o_.apart), all = static_cast<size_t>(tokens());
        json steps = json::array();
        Matrix turns(streams_.size() - 1, all);
        for (size_t s = 1; s < streams_.size(); s++) {
            const std::vector<double> turn = angles(streams_[s - 1], streams_[s]);
            for (size_t t = 0; t < all; t++) turns.at(s - 1, t) = turn[t];
            json step = {{"layer", names_[s]}};
            if (apart > 0) step["turn_apart"] = mean_of(turn, 0, apart);
            if (apart < all) step["turn"] = mean_of(turn, apart, all), step["coherence"] = coherence(streams_[s], o_.apart);
            step["update_rank"] = stable_rank(difference(streams_[s], streams_[s - 1]));
            steps.push_back(step);
        }
        if (!o_.png.empty()) write_png(o_.png, {{turns}, Colours::rising, 0, 0, "turns of tokens in radians, " + o_.model, "layers", "tokens"});
        json result = {{"steps", steps}};
        if (o_.push > 0) result["push"] = pushed();
        return result;
    }

  private:
    int64_t tokens() const { return streams_[0].rows(); }
    std::vector<double> angles(const Values& a, const Values& b) const {
        std::vector<double> out;
        for (int64_t t = 0; t < tokens(); t++) out.push_back(angle(a.row(t), b.row(t), a.width()));
        return out;
    }

    // Runs with each token of one state pushed: how far later states lie from where they were, beside their length, and how they are turned.
    json pushed() {
        size_t from = 0;
        while (o_.at >= 0 && from < names_.size() && names_[from] != json(o_.at)) from++;
        if (from == names_.size()) throw UsageError("--at " + std::to_string(o_.at) + ": the model has layers " + names_[names_.size() - subject_.layers().size()].dump() + " to " + names_.back().dump());
        std::vector<double> far(streams_.size(), 0.0), turned(streams_.size(), 0.0);
        Normal normal(static_cast<uint64_t>(o_.seed));
        const double runs = static_cast<double>(o_.samples) * static_cast<double>(tokens());
        for (int64_t n = 0; n < o_.samples; n++) {
            const Values push = push_of(clean_.at(paths_[from]), o_.push, normal);
            const auto values = subject_.run(paths_, {{paths_[from], "add", &push}});
            for (size_t s = from; s < streams_.size(); s++) {
                const Values now = subject_.one_row(values.at(paths_[s]), paths_[s]), d = difference(now, streams_[s]);
                for (int64_t t = 0; t < tokens(); t++) {
                    far[s] += length(d.row(t), d.width()) / std::max(length(streams_[s].row(t), d.width()), 1e-30) / runs;
                    turned[s] += angle(now.row(t), streams_[s].row(t), d.width()) / runs;
                }
            }
        }
        json steps = json::array();
        for (size_t s = from; s < streams_.size(); s++) steps.push_back({{"layer", names_[s]}, {"distance", far[s]}, {"turn", turned[s]}});
        return {{"at", names_[from]}, {"size", o_.push}, {"samples", o_.samples}, {"steps", steps}};
    }

    Subject& subject_;
    const ProbeOptions& o_;
    json names_;
    std::vector<std::string> paths_;
    std::map<std::string, Values> clean_;
    std::vector<Values> streams_;  // the row that is looked at
};

}  // namespace

json probe_trajectory(Subject& subject, const ProbeOptions& o) { return Trajectory(subject, o).run(); }

}  // namespace orrery::cli
