// What changes when something inside is changed: causal trace, ablation sweep.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "probe.hpp"

namespace orrery::cli {
namespace {

// ---------------------------------------------------------------- causal trace

// How runs are corrupted: other tokens, or noise on some tokens' embeddings.
struct Corruption {
    std::vector<int32_t> ids;   // empty: the clean ones
    std::vector<Values> noise;  // one a sample
    int64_t first = 0, end = 0;
};

Corruption read_noise(const ProbeOptions& o, const Values& embedding) {
    const std::string usage = "--noise " + o.noise + ": wanted SIGMA@FIRST:END";
    const size_t at = o.noise.find('@');
    double sigma = 0;
    const auto [end, failed] = std::from_chars(o.noise.data(), o.noise.data() + std::min(at, o.noise.size()), sigma);
    if (at == std::string::npos || failed != std::errc() || end != o.noise.data() + at || !(sigma > 0) || !std::isfinite(sigma))
        throw UsageError(usage);
    const std::vector<int64_t> tokens = parse_positions(o.noise.substr(at + 1), embedding.rows(), "--noise SIGMA@");
    Corruption c;
    c.first = tokens.front(), c.end = tokens.back() + 1;
    Normal normal(static_cast<uint64_t>(o.seed));
    for (int64_t s = 0; s < o.samples; s++) {
        Values noise{embedding.shape, std::vector<float>(embedding.data.size(), 0.0f)};
        for (int64_t t = c.first; t < c.end; t++)
            for (int64_t e = 0; e < noise.width(); e++)
                noise.data[static_cast<size_t>(t * noise.width() + e)] = static_cast<float>(sigma * normal.next());
        c.noise.push_back(std::move(noise));
    }
    return c;
}

Corruption read_corruption(const Subject& subject, const ProbeOptions& o, const std::map<std::string, Values>& clean) {
    if (!o.corrupted.empty() + !o.corrupted_ids.empty() + !o.noise.empty() != 1)
        throw UsageError("trace wants one of --corrupted, --corrupted-ids and --noise");
    if (!o.noise.empty()) return read_noise(o, clean.at(subject.embedding()));
    Corruption c;
    c.ids = o.corrupted_ids.empty() ? subject.tokenize(o.corrupted) : parse_ids(o.corrupted_ids, "--corrupted-ids");
    if (c.ids.size() != subject.ids().size())
        throw UsageError("the corrupted run has " + std::to_string(c.ids.size()) + " tokens, the clean one " + std::to_string(subject.ids().size()) +
                         "; a trace needs as many");
    if (c.ids == subject.ids()) throw UsageError("the corrupted run has the same tokens as the clean one");
    return c;
}

int64_t read_target(const Subject& subject, const std::string& given, const std::vector<double>& clean) {
    if (given.empty()) return largest(clean, 1)[0];
    int64_t id = -1;
    if (given[0] == '#') {
        const auto [end, failed] = std::from_chars(given.data() + 1, given.data() + given.size(), id);
        if (failed != std::errc() || end != given.data() + given.size()) throw UsageError("--target " + given + ": wanted a text, or #NUMBER");
    } else {
        const std::vector<int32_t> ids = subject.tokenize(given, ORR_NO_SPECIAL);
        if (ids.size() != 1)
            throw UsageError("--target " + given + ": wanted one token, this gives " + std::to_string(ids.size()) + (ids.empty() ? "" : "; #" + std::to_string(ids[0]) + " is the first"));
        id = ids[0];
    }
    if (id < 0 || id >= static_cast<int64_t>(clean.size()))
        throw UsageError("--target " + given + ": token " + std::to_string(id) + " is none of " + std::to_string(clean.size()));
    return id;
}

class Trace {
  public:
    Trace(Subject& subject, const ProbeOptions& o) : subject_(subject), o_(o), ids_(subject.ids()) {
        if (ids_.empty() || subject.inputs().size() != 1) throw host::Error(ORR_UNSUPPORTED, "trace needs a text or --ids");
        std::vector<std::string> wanted = {"logits"};
        if (subject.has(subject.embedding())) wanted.push_back(subject.embedding());
        for (const int64_t l : subject.layers())
            if (subject.has(subject.path(l, o.site == "output" ? "output" : o.site + ".output"))) layers_.push_back(l), wanted.push_back(site(l));
        if (layers_.empty()) throw host::Error(ORR_UNSUPPORTED, "this model has no layers.N." + o.site + ".output");
        clean_ = subject.run(wanted);
        const std::vector<double> p = last_probabilities(clean_);
        target_ = read_target(subject, o.target, p);
        clean_probability_ = p[static_cast<size_t>(target_)];
        corruption_ = read_corruption(subject, o, clean_);
    }

    json run() {
        if (!corruption_.ids.empty()) subject_.set_ids(corruption_.ids);
        const double corrupted = measure({});
        Matrix effect(layers_.size(), ids_.size());
        for (size_t l = 0; l < layers_.size(); l++)
            for (size_t t = 0; t < ids_.size(); t++) effect.at(l, t) = measure(restored(l, static_cast<int64_t>(t))) - corrupted;
        subject_.set_ids(ids_);
        if (!o_.png.empty())
            write_png(o_.png, {{effect},
                               Colours::signed_,
                               0,
                               0,
                               "causal trace of " + o_.model + ": what restoring " + o_.site + " gives back of the probability",
                               "layers",
                               "tokens"});
        return {{"tokens", subject_.token_texts()},
                {"target", {{"id", target_}, {"text", subject_.token_text(static_cast<int32_t>(target_))}}},
                {"site", o_.site},
                {"clean", clean_probability_},
                {"corrupted", corrupted},
                {"layers", layers_},
                {"effect", to_json(effect)}};
    }

  private:
    std::string site(int64_t layer) const { return subject_.path(layer, o_.site == "output" ? "output" : o_.site + ".output"); }

    static std::vector<double> last_probabilities(const std::map<std::string, Values>& values) {
        const auto at = values.find("logits");
        if (at == values.end() || at->second.shape.size() != 3) throw host::Error(ORR_UNSUPPORTED, "trace needs a model with logits for each token");
        return probabilities(at->second.row(at->second.rows() - 1), at->second.width());
    }

    // Of a window of layers round the l-th, at token t.
    std::vector<Edit> restored(size_t l, int64_t t) const {
        std::vector<Edit> edits;
        const auto half = static_cast<ptrdiff_t>(o_.window / 2), from = static_cast<ptrdiff_t>(l) - half;
        for (ptrdiff_t i = std::max<ptrdiff_t>(from, 0); i < std::min<ptrdiff_t>(from + o_.window, static_cast<ptrdiff_t>(layers_.size())); i++) {
            const std::string path = site(layers_[static_cast<size_t>(i)]);
            edits.push_back({path, "set", &clean_.at(path), t, t + 1});
        }
        return edits;
    }

    // The target's probability in corrupted runs with these edits, averaged over samples.
    double measure(const std::vector<Edit>& edits) {
        double sum = 0;
        const size_t samples = std::max<size_t>(corruption_.noise.size(), 1);
        for (size_t s = 0; s < samples; s++) {
            std::vector<Edit> all = edits;
            if (!corruption_.noise.empty()) all.push_back({subject_.embedding(), "add", &corruption_.noise[s], corruption_.first, corruption_.end});
            sum += last_probabilities(subject_.run({"logits"}, all))[static_cast<size_t>(target_)];
        }
        return sum / static_cast<double>(samples);
    }

    Subject& subject_;
    const ProbeOptions& o_;
    const std::vector<int32_t> ids_;
    std::vector<int64_t> layers_;
    std::map<std::string, Values> clean_;
    int64_t target_ = 0;
    double clean_probability_ = 0;
    Corruption corruption_;
};

// ---------------------------------------------------------------- ablation

struct Score {
    double loss = 0, divergence = 0, same = 0;
};

// Mean over tokens: loss of the next token (0 where there is none), KL of the clean distribution from this one, share of tokens whose first choice stays.
Score score_tokens(const Values& clean, const Values& now, const std::vector<int32_t>& ids) {
    Score s;
    const int64_t tokens = now.rows();
    for (int64_t t = 0; t < tokens; t++) {
        const std::vector<double> p = probabilities(clean.row(t), clean.width()), q = probabilities(now.row(t), now.width());
        for (size_t v = 0; v < p.size(); v++)
            if (p[v] > 0) s.divergence += p[v] * std::log(p[v] / std::max(q[v], 1e-300)) / static_cast<double>(tokens);
        s.same += (largest(p, 1) == largest(q, 1) ? 1.0 : 0.0) / static_cast<double>(tokens);
        if (t + 1 < tokens)
            s.loss -= std::log(std::max(q[static_cast<size_t>(ids[static_cast<size_t>(t + 1)])], 1e-300)) / static_cast<double>(tokens - 1);
    }
    return s;
}

double relative_change(const Values& clean, const Values& now) {
    double difference = 0, size = 0;
    for (size_t i = 0; i < clean.data.size(); i++) {
        const double d = static_cast<double>(now.data[i]) - clean.data[i];
        difference += d * d, size += static_cast<double>(clean.data[i]) * clean.data[i];
    }
    return size > 0 ? std::sqrt(difference / size) : std::sqrt(difference);
}

}  // namespace

json probe_trace(Subject& subject, const ProbeOptions& o) { return Trace(subject, o).run(); }

json probe_ablate(Subject& subject, const ProbeOptions& o) {
    std::vector<std::string> kinds = {"layer"};  // then the parts that hand something on, as the model names them
    for (const int64_t l : subject.layers())
        for (const auto& [path, rank] : subject.paths()) {
            const std::string start = subject.path(l, "");
            if (!path.starts_with(start) || !path.ends_with(".output") || path.size() < start.size() + 8) continue;
            const std::string part = path.substr(start.size(), path.size() - start.size() - 7);
            if (part.find('.') == std::string::npos && std::find(kinds.begin(), kinds.end(), part) == kinds.end()) kinds.push_back(part);
        }
    const std::string output = subject.output_names().at(0);
    const Values clean = subject.one_row(subject.run({output}).at(output), output);
    const std::vector<int32_t>& ids = subject.ids();
    const bool by_token = output == "logits" && clean.shape.size() == 3 && clean.rows() == static_cast<int64_t>(ids.size()) &&
                          std::all_of(ids.begin(), ids.end(), [&](int32_t id) { return id >= 0 && id < clean.width(); });
    const bool by_loss = by_token && ids.size() > 1;  // a token alone has none behind it to be judged by
    const double base = by_loss ? score_tokens(clean, clean, ids).loss : 0;
    json rows = json::array();
    Picture picture{{Matrix(kinds.size(), subject.layers().size())},
                    by_loss ? Colours::signed_ : Colours::rising,
                    0,
                    0,
                    "ablation of " + o.model +
                        (by_loss ? ": change of the loss, nats a token" : by_token ? ": KL divergence, nats a token" : ": relative change of " + output),
                    json(kinds).dump(),
                    "layers"};
    for (size_t k = 0; k < kinds.size(); k++)
        for (size_t i = 0; i < subject.layers().size(); i++) {
            const int64_t l = subject.layers()[i];
            std::vector<Edit> edits;
            for (size_t part = 1; part < kinds.size(); part++)
                if ((k == 0 || part == k) && subject.has(subject.path(l, kinds[part] + ".output")))
                    edits.push_back({subject.path(l, kinds[part] + ".output"), "zero"});
            picture.panels[0].at(k, i) = NAN;
            if (edits.empty()) continue;
            const Values now = subject.one_row(subject.run({output}, edits).at(output), output);
            json row = {{"layer", l}, {"silenced", kinds[k]}};
            if (by_token) {
                const Score s = score_tokens(clean, now, ids);
                if (by_loss) row.update({{"loss", s.loss}, {"loss_change", s.loss - base}});
                row.update({{"divergence", s.divergence}, {"same_choice", s.same}});
                picture.panels[0].at(k, i) = by_loss ? s.loss - base : s.divergence;
            } else {
                row["change"] = picture.panels[0].at(k, i) = relative_change(clean, now);
            }
            rows.push_back(row);
        }
    if (!o.png.empty()) write_png(o.png, picture);
    json result = {{"output", output}};
    if (by_loss) result["loss"] = base;
    result["ablations"] = rows;
    return result;
}

}  // namespace orrery::cli
