// What the parts of `orrery probe` share: a model, what it is run on, values read and edits made by path.
#ifndef ORRERY_CLI_PROBE_HPP
#define ORRERY_CLI_PROBE_HPP

#include <map>
#include <random>
#include <string>
#include <vector>

#include "common.hpp"
#include "image.hpp"

namespace orrery::cli {

struct ProbeOptions {
    std::string model, text, file, ids, inputs, entry, stack, png;
    int64_t row = 0;  // of the batch
    // lens
    int64_t top = 5;
    std::string positions;
    // attention
    std::vector<int64_t> layers;
    std::string head;
    // trace
    std::string corrupted, corrupted_ids, noise, target, site = "output";
    int64_t window = 1, samples = 8, seed = 1;
    // trajectory; samples and seed too
    int64_t apart = 1, at = -1;
    double push = 0;
    // dump
    std::vector<std::string> values;
    std::string out;
};

struct Values {
    std::vector<int64_t> shape;
    std::vector<float> data;
    // Rows of the last axis.
    int64_t width() const { return shape.empty() ? 1 : shape.back(); }
    int64_t rows() const { return width() ? static_cast<int64_t>(data.size()) / width() : 0; }
    const float* row(int64_t r) const { return data.data() + r * width(); }
};

// Puts something in the place of a value, where [first, end) says; end 0: everywhere from there on.
struct Edit {
    std::string path, kind;  // "zero", "set", "add"
    const Values* operand = nullptr;
    int64_t first = 0, end = 0;
};

class Subject {
  public:
    Subject(const Common& common, const ProbeOptions& options);

    const host::Model& model() const { return model_; }
    const char* entry() const { return entry_.empty() ? nullptr : entry_.c_str(); }
    // Of the text, or of input_ids' row that was asked for; empty where the model takes none.
    const std::vector<int32_t>& ids() const { return ids_; }
    std::vector<host::Tensor>& inputs() { return inputs_; }
    void set_ids(const std::vector<int32_t>& ids);
    std::vector<int32_t> tokenize(const std::string& text, uint32_t flags = 0) const { return model_.tokenize(text, flags); }
    // As people would see it; "#17" without a tokeniser.
    std::string token_text(int32_t id) const;
    json token_texts() const;

    // From the start of the sequence. outputs: names and paths, empty for all that the entry declares.
    std::map<std::string, Values> run(const std::vector<std::string>& outputs, const std::vector<Edit>& edits = {});
    std::vector<std::string> output_names();

    // The stack of layers looked at: "encoder." for layers named encoder.layers.3; numbers of its layers, rising.
    const std::string& prefix() const { return prefix_; }
    const std::vector<int64_t>& layers() const { return layers_; }
    std::string path(int64_t layer, const std::string& part) const { return prefix_ + "layers." + std::to_string(layer) + "." + part; }
    bool has(const std::string& path) const { return paths_.contains(path); }
    const std::map<std::string, size_t>& paths() const { return paths_; }  // with the rank of each
    std::string embedding() const { return prefix_ + "embed.output"; }

    // The batch row that was asked for, of a value [B, …].
    Values one_row(const Values& v, const std::string& name) const;
    orr_session_options options() const { return session_options_; }

  private:
    void read_inputs(const ProbeOptions& o);
    void find_layers(const std::string& stack);

    host::Engine engine_;
    host::Model model_;
    orr_session_options session_options_{};
    std::string cache_type_ = "f32";
    std::string entry_, prefix_;
    int64_t row_ = 0;
    std::vector<int32_t> ids_;
    std::vector<host::Tensor> inputs_;
    std::vector<int64_t> layers_;
    std::map<std::string, size_t> paths_;
    host::Session session_;
    bool edited_ = false;
};

// The residual stream: "embed", where the model names it, then the layers' numbers, and the path of each.
std::pair<json, std::vector<std::string>> residual_streams(const Subject& subject);

// Independent normal numbers, the same on every machine: Box and Muller 1958, from a 64-bit Mersenne twister.
class Normal {
  public:
    explicit Normal(uint64_t seed) : bits_(seed) {}
    double next();

  private:
    std::mt19937_64 bits_;
};

// softmax(row), in f64; and log of it.
std::vector<double> probabilities(const float* row, int64_t width);
double entropy_of(const std::vector<double>& p);  // in nats
std::vector<int64_t> largest(const std::vector<double>& p, int64_t count);
// Whole numbers separated by commas. what: for messages.
std::vector<int32_t> parse_ids(const std::string& text, const std::string& what);
// "last", "all", "3" or "2:5" of n tokens.
std::vector<int64_t> parse_positions(const std::string& text, int64_t n, const std::string& option);

json probe_lens(Subject& subject, const ProbeOptions& o);
json probe_attention(Subject& subject, const ProbeOptions& o);
json probe_similarity(Subject& subject, const ProbeOptions& o);
json probe_trace(Subject& subject, const ProbeOptions& o);
json probe_ablate(Subject& subject, const ProbeOptions& o);
json probe_trajectory(Subject& subject, const ProbeOptions& o);
json probe_dump(Subject& subject, const ProbeOptions& o);

}  // namespace orrery::cli
#endif
