// orrery perplexity: exp of the mean negative log likelihood of a text's tokens, each given all before it.
// One window: the session holds the whole text. Every token after the first is scored.
#include <algorithm>
#include <cmath>
#include <memory>
#include <thread>

#include "common.hpp"
#include "interrupt.hpp"
#include "steering.hpp"

namespace orrery::cli {
namespace {

constexpr size_t kChunk = 64;  // tokens per run: 64 rows of 262,144 logits are 64 MiB

struct Options {
    std::string model, file;
    Steering steering;
};

// -log softmax(row)[id] = log(sum_v exp(row[v] - max)) + max - row[id], in f64
double negative_log_likelihood(const float* row, int64_t width, int32_t id) {
    const double top = *std::max_element(row, row + width);
    double sum = 0;
    for (int64_t v = 0; v < width; v++) sum += std::exp(row[v] - top);
    return std::log(sum) + top - row[id];
}

// Sum over rows r of the score of ids[r]; rows are shared out to threads, the sum keeps their order.
double score(const host::Tensor& logits, const int32_t* ids, size_t rows, size_t threads) {
    const int64_t width = logits.shape().back();
    const float* data = static_cast<const float*>(logits.data());
    std::vector<double> scores(rows);
    std::vector<std::thread> workers;
    for (size_t w = 0; w < threads; w++)
        workers.emplace_back([&, w] {
            for (size_t r = w; r < rows; r += threads) scores[r] = negative_log_likelihood(data + static_cast<int64_t>(r) * width, width, ids[r]);
        });
    for (std::thread& t : workers) t.join();
    double sum = 0;
    for (const double s : scores) sum += s;
    return sum;
}

int perplexity(const Common& common, const Options& o) {
    const std::string text = read_file(o.file);
    const host::Engine engine = make_engine(common);
    const host::Model model = open_model(engine, o.model, common);
    std::vector<int32_t> ids = model.tokenize(text);
    if (common.context && static_cast<size_t>(common.context) < ids.size()) ids.resize(static_cast<size_t>(common.context));
    if (ids.size() < 2) throw host::Error(ORR_INVALID_ARGUMENT, o.file + ": gives " + std::to_string(ids.size()) + " tokens, perplexity needs 2");
    orr_session_options options = session_options(common);
    options.context = static_cast<int64_t>(ids.size());
    host::Session session = model.session(&options);
    steer(session, model, o.steering, "forward");
    const Interrupt interrupt([&] { session.cancel(); });
    const size_t threads = common.threads ? common.threads : std::max(1u, std::thread::hardware_concurrency());
    const double start = now_seconds();
    double nll = 0;
    for (size_t at = 0; at + 1 < ids.size(); at += kChunk) {
        const size_t rows = std::min(kChunk, ids.size() - 1 - at);  // the last token has none after it
        const std::vector<int32_t> chunk(ids.begin() + static_cast<ptrdiff_t>(at), ids.begin() + static_cast<ptrdiff_t>(at + rows));
        session.run("forward", {host::Tensor::ids("input_ids", chunk)});
        const host::Tensor logits = session.output("logits");
        const std::vector<int64_t> want = {1, static_cast<int64_t>(rows), logits.shape().empty() ? 0 : logits.shape().back()};
        if (logits.type() != ORR_TYPE_F32 || logits.shape() != want)
            throw host::Error(ORR_UNSUPPORTED, "entry forward gives no f32 logits for each token: this is not a language model");
        for (size_t r = 0; r < rows; r++)
            if (ids[at + r + 1] < 0 || ids[at + r + 1] >= want[2])
                throw host::Error(ORR_CORRUPT,
                                  "token id " + std::to_string(ids[at + r + 1]) + " outside the model's " + std::to_string(want[2]) + " logits");
        nll += score(logits, ids.data() + at + 1, rows, threads);
    }
    const double per_token = nll / static_cast<double>(ids.size() - 1);
    const json result = {
        {"tokens", ids.size()}, {"nll_per_token", per_token}, {"perplexity", std::exp(per_token)}, {"seconds", seconds_since(start)}};
    if (common.json)
        print_json(result);
    else
        print_human(result);
    return kDone;
}

}  // namespace

void add_perplexity(CLI::App& app, Common& common, Action& action) {
    CLI::App* sub = app.add_subcommand("perplexity", "Scores a text in one window; --context N takes its first N tokens.");
    auto o = std::make_shared<Options>();
    sub->add_option("MODEL", o->model, "model folder or file")->required();
    sub->add_option("-f,--file", o->file, "file with the text; - for stdin")->required();
    add_steering(*sub, o->steering);
    sub->callback([&common, &action, o] { action = [&common, o] { return perplexity(common, *o); }; });
}

}  // namespace orrery::cli
