#include <algorithm>
#include <set>

#include "common/json_events.h"
#include "formats/safetensors/safetensors.h"

namespace orrery::formats {

namespace {

[[noreturn]] void corrupt(const std::string& message) { throw FormatError(ErrorKind::kCorrupt, message); }

// A shard is a file beside the index. Separators of every platform are refused on each, so that a folder means the same everywhere.
void check_shard_name(std::string_view tensor, std::string_view shard) {
    const std::string who = "safetensors index: tensor " + in_quotes(tensor) + " lies in " + in_quotes(shard);
    check_name("safetensors index: the file of tensor " + in_quotes(tensor), shard);
    if (shard == "." || shard == ".." || shard.find_first_of("/\\:") != std::string_view::npos)
        corrupt(who + ", which is not the plain name of a file beside the index");
}

class IndexReader final : public JsonReader {
  public:
    std::map<std::string, std::string> shard_of;
    std::map<std::string, std::string> metadata;
    bool saw_map = false;

    void on_key(std::string_view key) override { (at_ == At::kTop ? section_ : key_) = key; }

    void on_scalar(const JsonScalar& value) override {
        if (at_ == At::kMetadata) {
            std::string& text = metadata[key_];
            text.clear();
            if (value.kind == JsonScalar::Kind::kString) {
                append_json_string(text, value.text);
            } else {
                text = value.text;
            }
        } else if (at_ == At::kMap) {
            if (value.kind != JsonScalar::Kind::kString)
                corrupt("safetensors index: tensor " + in_quotes(key_) + " maps to " + kind_text(value.kind) + ", not to a file name");
            check_name("safetensors index: a tensor's name", key_);
            check_shard_name(key_, value.text);
            const auto [it, added] = shard_of.emplace(key_, value.text);
            if (!added)
                corrupt("safetensors index: tensor " + in_quotes(key_) + " is mapped twice, to " + in_quotes(it->second) + " and to " +
                        in_quotes(value.text));
        } else if (at_ == At::kStart) {
            corrupt(std::string("safetensors index: the document is ") + kind_text(value.kind) + ", not an object");
        } else if (section_ == "weight_map") {
            corrupt(std::string("safetensors index: weight_map is ") + kind_text(value.kind) + ", not an object");
        }
    }

    void on_begin_object() override {
        if (at_ == At::kStart) {
            at_ = At::kTop;
        } else if (at_ == At::kTop && section_ == "weight_map") {
            if (saw_map) corrupt("safetensors index: there are two weight_maps");
            saw_map = true;
            at_ = At::kMap;
        } else if (at_ == At::kTop && section_ == "metadata") {
            at_ = At::kMetadata;
        } else if (at_ == At::kMap) {
            corrupt("safetensors index: tensor " + in_quotes(key_) + " maps to an object, not to a file name");
        } else {
            skip();
        }
    }
    void on_end_object() override { at_ = At::kTop; }

    void on_begin_array() override {
        if (at_ == At::kStart) corrupt("safetensors index: the document is an array, not an object");
        if (at_ == At::kTop && section_ == "weight_map") corrupt("safetensors index: weight_map is an array, not an object");
        if (at_ == At::kMap) corrupt("safetensors index: tensor " + in_quotes(key_) + " maps to an array, not to a file name");
        skip();
    }
    void on_end_array() override {}

  private:
    enum class At { kStart, kTop, kMetadata, kMap };
    At at_ = At::kStart;
    std::string section_, key_;
};

}  // namespace

SafetensorsIndex parse_safetensors_index(std::string_view json) {
    IndexReader reader;
    read_json("safetensors index: the document", json, reader);
    if (!reader.saw_map) corrupt("safetensors index: there is no weight_map");
    std::set<std::string> files;
    for (const auto& [tensor, shard] : reader.shard_of) files.insert(shard);
    SafetensorsIndex index;
    index.files.assign(files.begin(), files.end());
    for (const auto& [tensor, shard] : reader.shard_of) {
        const auto at = std::lower_bound(index.files.begin(), index.files.end(), shard);
        index.file_of.emplace_hint(index.file_of.end(), tensor, static_cast<uint32_t>(at - index.files.begin()));
    }
    index.metadata = std::move(reader.metadata);
    return index;
}

TensorDirectory join_shards(const SafetensorsIndex& index, std::vector<Safetensors> shards) {
    if (shards.size() != index.files.size()) {
        corrupt("safetensors index: it names " + std::to_string(index.files.size()) + " files, " + std::to_string(shards.size()) + " were opened");
    }
    TensorDirectory joined;
    for (const Safetensors& shard : shards) {
        for (const TensorEntry& tensor : shard.directory.tensors()) {
            if (joined.add(tensor)) continue;
            corrupt("safetensors index: tensor " + in_quotes(tensor.name) + " lies in two files, " +
                    in_quotes(index.files[joined.find(tensor.name)->file]) + " and " + in_quotes(index.files[tensor.file]));
        }
    }
    for (const auto& [name, file] : index.file_of) {
        const TensorEntry* tensor = joined.find(name);
        if (tensor && tensor->file == file) continue;
        corrupt("safetensors index: tensor " + in_quotes(name) + " should lie in " + in_quotes(index.files[file]) +
                (tensor ? ", but lies in " + in_quotes(index.files[tensor->file]) : ", which has no such tensor"));
    }
    return joined;
}

}  // namespace orrery::formats
