// orrery bench: prompt and generation speed by the path that `run` takes, or the time of one entry on given tensors.
#include <algorithm>
#include <memory>

#include "common.hpp"
#include "interrupt.hpp"
#include "profile.hpp"
#include "safetensors_io.hpp"
#include "steering.hpp"
#include "tensor_run.hpp"

namespace orrery::cli {
namespace {

constexpr double kWarmUpSeconds = 0.6;  // idle graphics cards take as long to reach their speed
constexpr int64_t kChunk = 512;  // tokens per prompt run, as the text_generation task has it

struct Options {
    std::string model, inputs, entry, profile;
    int64_t prompt_tokens = 512, generate_tokens = 64, batch = 1;
    int repeat = 3;
    Steering steering;
};

void print(const Common& common, const json& result) {
    if (common.json)
        print_json(result);
    else
        print_human(result);
}

// Ids in [0, vocabulary), the same in every run.
class RandomIds {
  public:
    explicit RandomIds(int64_t vocabulary) : vocabulary_(static_cast<uint64_t>(vocabulary)) {}
    int32_t next() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX generator
        return static_cast<int32_t>((state_ >> 33) % vocabulary_);
    }
    std::vector<int32_t> next(int64_t n) {
        std::vector<int32_t> ids;
        for (int64_t i = 0; i < n; i++) ids.push_back(next());
        return ids;
    }

  private:
    uint64_t vocabulary_, state_ = 1;
};

// One run of "next" as `run` makes it, the same tokens in each sequence: the next is chosen where the logits lie, by models that can; else the logits
// come whole.
class Steps {
  public:
    Steps(host::Session& session, bool samples, int64_t batch) : session_(session), output_(samples ? "token" : "logits"), batch_(batch) {}
    void operator()(const std::vector<int32_t>& ids) {
        std::vector<int32_t> all;
        for (int64_t b = 0; b < batch_; b++) all.insert(all.end(), ids.begin(), ids.end());
        session_.run("next", {host::Tensor::view("input_ids", ORR_TYPE_I32, {batch_, static_cast<int64_t>(ids.size())}, all.data(), all.size() * sizeof(int32_t))}, {output_});
        (void)session_.output(output_.c_str());
    }

  private:
    host::Session& session_;
    std::string output_;
    int64_t batch_;
};

// The size of the last axis of the logits, from one token of each sequence.
int64_t vocabulary_of(host::Session& session, int64_t batch) {
    const std::vector<int32_t> zeros(static_cast<size_t>(batch));
    session.run("next", {host::Tensor::view("input_ids", ORR_TYPE_I32, {batch, 1}, zeros.data(), zeros.size() * sizeof(int32_t))}, {"logits"});
    const host::Tensor logits = session.output("logits");
    if (logits.type() != ORR_TYPE_F32 || logits.shape().empty() || logits.shape().back() < 1)
        throw host::Error(ORR_UNSUPPORTED, "entry next gives no f32 logits; name an entry and its tensors with --entry and --inputs");
    session.reset();
    return logits.shape().back();
}

bool samples(const host::Model& model) { return json::parse(model.describe("summary"))["info"].value("samples", false); }

// As JSON whole; for people a line, where something was left out.
void tell_work(const Common& common, const json& work, json& result) {
    if (const std::string line = work_line(work); common.json)
        result["work"] = work;
    else if (!line.empty())
        result["work"] = line;
}

int bench_generation(const Common& common, const Options& o) {
    const double load_start = now_seconds();
    const host::Engine engine = make_engine(common);
    const host::Model model = open_model(engine, o.model, common);
    orr_session_options options = session_options(common);
    const int64_t tokens = o.prompt_tokens + o.generate_tokens;
    if (options.context && options.context < tokens)
        throw UsageError("--context " + std::to_string(options.context) + " does not hold " + std::to_string(tokens) + " tokens");
    if (!options.context) options.context = std::max<int64_t>(tokens, 1);
    options.batch = o.batch;
    options.profile = !o.profile.empty();
    host::Session session = model.session(&options);
    steer(session, model, o.steering, "next");
    const Interrupt interrupt([&] { session.cancel(); });
    RandomIds random(vocabulary_of(session, o.batch));
    Steps step(session, samples(model), o.batch);
    const double load_s = seconds_since(load_start);

    const std::vector<int32_t> prompt = random.next(o.prompt_tokens), generated = random.next(o.generate_tokens);
    std::vector<double> prompt_rates, generate_rates;
    json work;
    json prompt_profile, generate_profile;
    const double warm_up_start = now_seconds();
    for (int repeat = -1; repeat < o.repeat; repeat++) {  // the first one warms up
        session.reset();
        double start = now_seconds();
        for (int64_t at = 0; at < o.prompt_tokens; at += kChunk)
            step({prompt.begin() + at, prompt.begin() + std::min(at + kChunk, o.prompt_tokens)});
        const double prompt_s = seconds_since(start);
        if (options.profile && o.prompt_tokens) prompt_profile = json::parse(session.describe("profile", "next"));
        start = now_seconds();
        for (const int32_t id : generated) step({id});
        const double generate_s = seconds_since(start);
        work = work_of(session, "next");
        if (options.profile && o.generate_tokens) generate_profile = json::parse(session.describe("profile", "next"));
        if (repeat < 0) {
            if (common.device != "cpu" && seconds_since(warm_up_start) < kWarmUpSeconds) repeat--;
            continue;
        }
        if (o.prompt_tokens) prompt_rates.push_back(static_cast<double>(o.batch * o.prompt_tokens) / prompt_s);
        if (o.generate_tokens) generate_rates.push_back(static_cast<double>(o.batch * o.generate_tokens) / generate_s);
    }
    json result = {{"prompt_tokens_per_s", median(prompt_rates)},
                   {"generate_tokens_per_s", median(generate_rates)},
                   {"prompt_tokens", o.prompt_tokens},
                   {"generate_tokens", o.generate_tokens},
                   {"batch", o.batch},
                   {"repeat", o.repeat},
                   {"load_s", load_s},
                   {"peak_memory_bytes", peak_resident_bytes()}};
    if (options.profile) {
        Trace trace;
        const auto tell = [&](const char* name, const json& profile) {
            if (profile.is_null()) return;
            trace.add(name, profile);
            result["profile"][name] = operator_times(profile);
        };
        tell("prompt", prompt_profile);
        tell("generate", generate_profile);
        trace.write(o.profile);
    }
    tell_work(common, work, result);
    print(common, result);
    return kDone;
}

int bench_entry(const Common& common, const Options& o) {
    const std::vector<host::Tensor> inputs = parse_safetensors(read_file(o.inputs), o.inputs);
    const double load_start = now_seconds();
    const host::Engine engine = make_engine(common);
    const host::Model model = open_model(engine, o.model, common);
    orr_session_options options = session_options(common);
    fit_session(options, inputs);
    options.profile = !o.profile.empty();
    host::Session session = model.session(&options);
    steer(session, model, o.steering, o.entry.empty() ? nullptr : o.entry.c_str());
    const double load_s = seconds_since(load_start);
    const Interrupt interrupt([&] { session.cancel(); });
    std::vector<double> times;
    const double warm_up_start = now_seconds();
    for (int repeat = -1; repeat < o.repeat; repeat++) {
        if (repeat == 0 && common.device != "cpu" && seconds_since(warm_up_start) < kWarmUpSeconds) repeat = -1;
        session.reset();
        const double start = now_seconds();
        session.run(o.entry.empty() ? nullptr : o.entry.c_str(), inputs);
        if (repeat >= 0) times.push_back(seconds_since(start) * 1000);
    }
    json result = {{"run_ms", median(times)},
                   {"run_ms_min", *std::min_element(times.begin(), times.end())},
                   {"repeat", o.repeat},
                   {"load_s", load_s},
                   {"peak_memory_bytes", peak_resident_bytes()}};
    if (options.profile) {
        const json profile = json::parse(session.describe("profile", o.entry.empty() ? nullptr : o.entry.c_str()));
        Trace trace;
        trace.add(o.entry.empty() ? "run" : o.entry, profile);
        trace.write(o.profile);
        result["profile"]["run"] = operator_times(profile);
    }
    tell_work(common, work_of(session, o.entry.empty() ? nullptr : o.entry.c_str()), result);
    print(common, result);
    return kDone;
}

}  // namespace

void add_bench(CLI::App& app, Common& common, Action& action) {
    CLI::App* sub = app.add_subcommand("bench", "Measures prompt and generation speed, or one entry point on given tensors.");
    auto o = std::make_shared<Options>();
    sub->add_option("MODEL", o->model, "model folder or file")->required();
    sub->add_option("--prompt-tokens", o->prompt_tokens, "tokens in the prompt")->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
    sub->add_option("--generate-tokens", o->generate_tokens, "tokens to generate")->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
    sub->add_option("--batch", o->batch, "sequences that are stepped together; speeds count the tokens of all")->check(CLI::Range(int64_t{1}, int64_t{1} << 16));
    sub->add_option("--profile", o->profile, "also tell the time of each operator class; writes a trace that Perfetto opens to this file");
    sub->add_option("--repeat", o->repeat, "how often; the median is told")->check(CLI::Range(1, 1000000));
    CLI::Option* inputs = sub->add_option("--inputs", o->inputs, "time an entry on the tensors of this safetensors file");
    sub->add_option("--entry", o->entry, "entry point for --inputs; the model's default when absent")->needs(inputs);
    add_steering(*sub, o->steering);
    sub->callback(
        [&common, &action, o] { action = [&common, o] { return o->inputs.empty() ? bench_generation(common, *o) : bench_entry(common, *o); }; });
}

}  // namespace orrery::cli
