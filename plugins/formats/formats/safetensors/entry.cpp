// safetensors as the engine sees it: a Hugging Face folder (config.json beside one file or several shards), or a file alone.
#include "common/checkpoint.h"
#include "common/json_events.h"
#include "formats/safetensors/safetensors.h"

namespace {

using namespace orrery::formats;

class SafetensorsCheckpoint final : public Checkpoint {
  public:
    SafetensorsCheckpoint(std::vector<std::string> names, std::string config, TensorDirectory directory, const std::vector<int32_t>& files)
        : Checkpoint("safetensors", std::move(names), std::move(config)) {
        set_tensors(std::move(directory), files);
    }
};

// The members of config.json that choose an architecture; all others are the model's.
class ConfigReader final : public JsonReader {
  public:
    std::vector<std::string> architectures;
    std::string model_type;

    void on_key(std::string_view key) override { key_ = key; }
    void on_scalar(const JsonScalar& value) override {
        if (!inside_)
            throw FormatError(ErrorKind::kCorrupt, std::string("config.json: the document is ") + kind_text(value.kind) + ", not an object");
        const bool is_list = in_list_ || key_ == "architectures";
        if (!is_list && key_ != "model_type") return;
        if (value.kind == JsonScalar::Kind::kNull && !in_list_) return;
        if (value.kind != JsonScalar::Kind::kString || (is_list && !in_list_)) {
            throw FormatError(ErrorKind::kCorrupt, "config.json: " + in_quotes(key_) + " holds " + kind_text(value.kind) + "; " +
                                                       (is_list ? "a list of strings" : "a string") + " was expected");
        }
        check_name("config.json: a value of " + in_quotes(key_), value.text);
        if (is_list) {
            architectures.emplace_back(value.text);
        } else {
            model_type = value.text;
        }
    }
    void on_begin_object() override {
        if (inside_) skip();
        inside_ = true;
    }
    void on_begin_array() override {
        if (!inside_) throw FormatError(ErrorKind::kCorrupt, "config.json: the document is an array, not an object");
        if (key_ != "architectures" || in_list_) return skip();
        in_list_ = true;
    }
    void on_end_array() override { in_list_ = false; }
    void on_end_object() override {}

  private:
    bool inside_ = false, in_list_ = false;
    std::string key_;
};

TensorDirectory open_shards(const orr_files* files, int32_t index_file, std::vector<int32_t>& numbers) {
    const SafetensorsIndex index = parse_safetensors_index(read_text(files, index_file));
    std::vector<Safetensors> shards;
    for (size_t i = 0; i < index.files.size(); ++i) {
        const int32_t number = files->open(files, index.files[i].c_str());
        if (number < 0) {
            throw FormatError(ErrorKind::kNotFound, "safetensors index: file " + in_quotes(index.files[i]) + " is missing, one of the " +
                                                        std::to_string(index.files.size()) + " that it names");
        }
        numbers.push_back(number);
        try {
            shards.push_back(parse_safetensors(*open_source(files, number), static_cast<uint32_t>(i)));
        } catch (const FormatError& error) {
            throw FormatError(error.kind(), "file " + in_quotes(index.files[i]) + ": " + error.what());
        }
    }
    return join_shards(index, std::move(shards));
}

orr_checkpoint* open_safetensors(const orr_files* files) {
    std::vector<int32_t> numbers;
    const int32_t lone = files->open(files, "");
    if (lone >= 0) {
        Safetensors parsed = parse_safetensors(*open_source(files, lone));
        numbers.push_back(lone);
        return new SafetensorsCheckpoint({}, parsed.metadata_json(), std::move(parsed.directory), numbers);
    }
    const int32_t config_file = files->open(files, "config.json");
    if (config_file < 0) throw FormatError(ErrorKind::kNotFound, "config.json is missing from the folder");
    std::string config = read_text(files, config_file);
    ConfigReader reader;
    read_json("config.json", config, reader);
    // A class that nobody knows is not run as another one of its family.
    if (reader.architectures.empty() && !reader.model_type.empty()) reader.architectures.push_back(reader.model_type);

    // As upstream, the single file wins where both are there.
    const int32_t single = files->open(files, "model.safetensors");
    TensorDirectory directory;
    if (single >= 0) {
        numbers.push_back(single);
        directory = parse_safetensors(*open_source(files, single)).directory;
    } else {
        const int32_t index_file = files->open(files, "model.safetensors.index.json");
        if (index_file < 0) throw FormatError(ErrorKind::kNotFound, "the folder has neither model.safetensors nor model.safetensors.index.json");
        directory = open_shards(files, index_file, numbers);
    }
    return new SafetensorsCheckpoint(std::move(reader.architectures), std::move(config), std::move(directory), numbers);
}

}  // namespace

const orr_format* orr_format_safetensors() {
    static const orr_format format = {
        ORR_HEADER(orr_format),
        "safetensors",
        ".safetensors",
        "config.json model.safetensors model.safetensors.index.json",
        "",
        [](const orr_files* files, orr_checkpoint** checkpoint) { return open_guarded(files, checkpoint, open_safetensors); }};
    return &format;
}
