// What is seen without changing anything: logit lens, attention, likeness of layers.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "interrupt.hpp"
#include "probe.hpp"

namespace orrery::cli {
namespace {

constexpr int64_t kLensRows = 64;  // at a time: 64 rows of 262,144 logits are 64 MiB

std::string layer_name(int64_t layer) { return std::to_string(layer); }

// The model's final norm and unembedding by themselves: a session whose layer plan holds one layer that everything passes by, so that what a
// tap sets as the embedding meets the norm and the head next. The same nodes and kernels as behind the last layer, and nothing is computed
// besides. nostalgebraist 2020, "interpreting GPT: the logit lens".
class Head {
  public:
    explicit Head(Subject& subject)
        : subject_(subject), path_(subject.embedding()), most_(std::min(kLensRows, static_cast<int64_t>(subject.ids().size()))) {
        const std::string& prefix = subject.prefix();
        for (const char* control : {"layer_plan", "bypass"})
            if (!declares(prefix + control))
                throw host::Error(ORR_UNSUPPORTED, "lens needs the control " + prefix + control + ", which this model does not declare");
        if (!subject.has(path_)) throw host::Error(ORR_UNSUPPORTED, "lens needs a value " + path_ + ", which this model does not name");
        orr_session_options options = subject.options();
        options.context = most_;
        options.batch = 1;
        session_ = subject.model().session(&options);
        const std::string last = json(layer_name(subject.layers().back())).dump();
        session_.set_control(prefix + "layer_plan", last);
        session_.set_control(prefix + "bypass", last);
    }

    // Logits [rows, V] of rows of a residual stream.
    Values logits(const std::vector<const float*>& rows, int64_t width) {
        Values all;
        for (size_t at = 0; at < rows.size(); at += static_cast<size_t>(most_)) {
            const size_t n = std::min(static_cast<size_t>(most_), rows.size() - at);
            Values x{{1, static_cast<int64_t>(n), width}, {}};
            for (size_t r = at; r < at + n; r++) x.data.insert(x.data.end(), rows[r], rows[r] + width);
            const std::vector<int32_t> ids(n, 0);  // whatever: their embeddings are replaced
            run(x, ids);
            const host::Tensor t = session_.output("logits");
            if (t.type() != ORR_TYPE_F32 || t.shape().size() != 3 || t.shape()[1] != static_cast<int64_t>(n))
                throw host::Error(ORR_UNSUPPORTED, "lens needs logits for each token; this model gives others");
            const auto* data = static_cast<const float*>(t.data());
            all.data.insert(all.data.end(), data, data + t.elements());
            all.shape = {static_cast<int64_t>(rows.size()), t.shape()[2]};
        }
        return all;
    }

  private:
    bool declares(const std::string& control) const {
        const json list = parse_json(subject_.model().describe("controls"));
        return std::any_of(list.begin(), list.end(), [&](const json& c) { return c["name"] == control; });
    }
    void run(const Values& x, const std::vector<int32_t>& ids) {
        orr_named_tensor operand = host::options<orr_named_tensor>();
        operand.name = path_.c_str();
        operand.type = ORR_TYPE_F32;
        operand.rank = 3;
        std::copy(x.shape.begin(), x.shape.end(), operand.shape);
        operand.data = x.data.data();
        operand.size_bytes = x.data.size() * sizeof(float);
        orr_tap tap = host::options<orr_tap>();
        tap.path = path_.c_str();
        tap.kind = "set";
        tap.factor = 1;
        tap.operand = &operand;
        session_.set_taps({tap});
        session_.reset();
        const Interrupt interrupt([&] { session_.cancel(); });
        session_.run(subject_.entry(), {host::Tensor::ids("input_ids", ids)}, {"logits"});
    }

    Subject& subject_;
    std::string path_;
    int64_t most_;
    host::Session session_;
};

json token(const Subject& subject, int64_t id) { return subject.token_text(static_cast<int32_t>(id)); }

}  // namespace

json probe_lens(Subject& subject, const ProbeOptions& o) {
    if (subject.ids().empty()) throw host::Error(ORR_UNSUPPORTED, "lens needs tokens: a text, --ids, or input_ids in --inputs");
    const std::vector<std::string> names = subject.output_names();
    if (std::find(names.begin(), names.end(), "logits") == names.end())
        throw host::Error(ORR_UNSUPPORTED, "lens needs a model with logits; this one has " + json(names).dump());
    const std::vector<int64_t> positions = parse_positions(o.positions, static_cast<int64_t>(subject.ids().size()), "--positions");
    const auto [streams, paths] = residual_streams(subject);
    const auto values = subject.run(paths);

    Head head(subject);
    std::vector<Values> logits;  // by stream
    for (const std::string& path : paths) {
        const Values v = subject.one_row(values.at(path), path);
        std::vector<const float*> rows;
        for (const int64_t t : positions) rows.push_back(v.row(t));
        logits.push_back(head.logits(rows, v.width()));
    }
    json rows = json::array();
    Picture picture{{Matrix(streams.size(), positions.size())},  Colours::rising,           0,       0,
                    "logit lens: entropy in nats of " + o.model, "layers: embedding first", "tokens"};
    for (size_t p = 0; p < positions.size(); p++) {
        const Values& last = logits.back();
        const float* final_row = last.row(static_cast<int64_t>(p));
        const auto predicted = static_cast<size_t>(std::max_element(final_row, final_row + last.width()) - final_row);
        for (size_t l = 0; l < streams.size(); l++) {
            const std::vector<double> q = probabilities(logits[l].row(static_cast<int64_t>(p)), logits[l].width());
            const double entropy = entropy_of(q);
            picture.panels[0].at(l, p) = entropy;
            json ids = json::array(), texts = json::array(), shares = json::array();
            for (const int64_t id : largest(q, o.top)) {
                ids.push_back(id);
                texts.push_back(token(subject, id));
                shares.push_back(q[static_cast<size_t>(id)]);
            }
            rows.push_back({{"position", positions[p]},
                            {"layer", streams[l]},
                            {"entropy", entropy},
                            {"final_probability", q[predicted]},
                            {"final_rank", std::count_if(q.begin(), q.end(), [&](double x) { return x > q[predicted]; })},
                            {"ids", ids},
                            {"tokens", texts},
                            {"probabilities", shares}});
        }
    }
    if (!o.png.empty()) write_png(o.png, picture);
    return {{"tokens", subject.token_texts()}, {"lens", rows}};
}

json probe_attention(Subject& subject, const ProbeOptions& o) {
    std::vector<int64_t> layers = o.layers;
    if (layers.empty()) layers.push_back(subject.layers().back());
    std::vector<std::string> paths;
    for (const int64_t l : layers) {
        paths.push_back(subject.path(l, "mixer.probabilities"));
        if (!subject.has(paths.back()))
            throw host::Error(ORR_NOT_FOUND, "this model has no " + paths.back() +
                                                 (subject.has(subject.path(l, "output")) ? ": its mixers are no attention"
                                                                                         : ": it has layers " + layer_name(subject.layers().front()) +
                                                                                               " to " + layer_name(subject.layers().back())));
    }
    const auto values = subject.run(paths);
    json heads = json::array();
    Picture picture{{}, Colours::rising, 0, 0, "attention probabilities of " + o.model, "queries", "keys"};
    for (size_t i = 0; i < layers.size(); i++) {
        const Values v = subject.one_row(values.at(paths[i]), paths[i]);  // [1, H, T, S]
        const int64_t count = v.shape[1], queries = v.shape[2], keys = v.shape[3];
        const auto matrix = [&](int64_t h) {
            Matrix m(static_cast<size_t>(queries), static_cast<size_t>(keys));
            for (size_t k = 0; k < m.values.size(); k++) m.values[k] = v.data[static_cast<size_t>(h * queries * keys) + k];
            return m;
        };
        std::vector<std::pair<std::string, Matrix>> shown;
        if (o.head == "mean") {
            Matrix mean(static_cast<size_t>(queries), static_cast<size_t>(keys));
            for (int64_t h = 0; h < count; h++)
                for (size_t k = 0; k < mean.values.size(); k++)
                    mean.values[k] += v.data[static_cast<size_t>(h * queries * keys) + k] / static_cast<double>(count);
            shown.emplace_back("mean", mean);
        } else if (!o.head.empty()) {
            int64_t h = -1;
            const auto [end, failed] = std::from_chars(o.head.data(), o.head.data() + o.head.size(), h);
            if (failed != std::errc() || end != o.head.data() + o.head.size() || h < 0 || h >= count)
                throw UsageError("--head " + o.head + ": wanted mean, or 0 to " + std::to_string(count - 1));
            shown.emplace_back(o.head, matrix(h));
        } else {
            for (int64_t h = 0; h < count; h++) shown.emplace_back(std::to_string(h), matrix(h));
        }
        for (const auto& [name, m] : shown) {
            double entropy = 0, first = 0, own = 0;
            for (size_t t = 0; t < m.rows; t++) {
                const std::vector<double> row(m.values.begin() + static_cast<ptrdiff_t>(t * m.columns),
                                              m.values.begin() + static_cast<ptrdiff_t>((t + 1) * m.columns));
                entropy += entropy_of(row) / static_cast<double>(m.rows);
                first += row[0] / static_cast<double>(m.rows);
                own += row[std::min(m.columns - 1, t + m.columns - m.rows)] / static_cast<double>(m.rows);
            }
            json entry = {{"layer", layers[i]}, {"head", name}, {"mean_entropy", entropy}, {"on_first_key", first}, {"on_itself", own}};
            if (!o.head.empty()) entry["probabilities"] = to_json(m);
            heads.push_back(entry);
            picture.panels.push_back(m);
        }
    }
    if (!o.png.empty()) write_png(o.png, picture);
    return {{"tokens", subject.token_texts()}, {"heads", heads}};
}

json probe_similarity(Subject& subject, const ProbeOptions& o) {
    const auto [names, paths] = residual_streams(subject);
    const auto values = subject.run(paths);
    std::vector<Values> streams;
    for (const std::string& path : paths) {
        streams.push_back(subject.one_row(values.at(path), path));
        if (streams.back().shape != streams[0].shape)
            throw host::Error(ORR_UNSUPPORTED, "similarity needs layers of one shape; " + paths[0] + " is " + json(streams[0].shape).dump() + ", " +
                                                   path + " is " + json(streams.back().shape).dump());
    }
    Matrix m(streams.size(), streams.size());
    for (size_t i = 0; i < streams.size(); i++)
        for (size_t j = 0; j < streams.size(); j++) {
            const Values &a = streams[i], &b = streams[j];
            for (int64_t t = 0; t < a.rows(); t++) {
                double dot = 0, aa = 0, bb = 0;
                for (int64_t e = 0; e < a.width(); e++) {
                    const double x = a.row(t)[e], y = b.row(t)[e];
                    dot += x * y, aa += x * x, bb += y * y;
                }
                const double norms = std::sqrt(aa) * std::sqrt(bb);
                m.at(i, j) += (norms > 0 ? dot / norms : 0) / static_cast<double>(a.rows());
            }
        }
    if (!o.png.empty())
        write_png(
            o.png,
            {{m}, Colours::rising, 0, 0, "mean cosine of residual streams of " + o.model, "layers: embedding first", "layers: embedding first"});
    return {{"layers", names}, {"similarity", to_json(m)}};
}

}  // namespace orrery::cli
