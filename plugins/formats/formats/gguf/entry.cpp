// GGUF as the engine sees it.
#include "common/checkpoint.h"
#include "formats/gguf/gguf.h"

namespace {

using namespace orrery::formats;

class GgufCheckpoint final : public Checkpoint {
  public:
    GgufCheckpoint(std::vector<std::string> names, std::unique_ptr<Source> source, Gguf gguf, int32_t file)
        : Checkpoint("gguf", std::move(names), gguf.metadata_json()), source_(std::move(source)), gguf_(std::move(gguf)) {
        set_tensors(gguf_.take_directory(), {file});
    }

  private:
    bool load_strings(std::string_view key, Strings& dst) const override {
        if (!is_array_of(key, GgufType::kString)) return false;
        const auto strings = gguf_.get_strings(key);
        dst.values.reserve(strings->size());
        dst.sizes.reserve(strings->size());
        for (const std::string_view text : *strings) {
            dst.values.push_back(text.data());
            dst.sizes.push_back(text.size());
        }
        return true;
    }
    bool load_floats(std::string_view key, std::vector<float>& dst) const override {
        if (!is_array_of(key, GgufType::kF32) && !is_array_of(key, GgufType::kF64)) return false;
        dst = *gguf_.get_f32s(key);
        return true;
    }
    bool load_ints(std::string_view key, std::vector<int64_t>& dst) const override {
        for (const GgufType other : {GgufType::kString, GgufType::kArray, GgufType::kF32, GgufType::kF64}) {
            if (is_array_of(key, other)) return false;
        }
        if (gguf_.type(key) != GgufType::kArray) return false;
        dst = *gguf_.get_i64s(key);
        return true;
    }
    bool is_array_of(std::string_view key, GgufType element) const {
        return gguf_.type(key) == GgufType::kArray && gguf_.element_type(key) == element;
    }

    std::unique_ptr<Source> source_;  // strings point into it where it lies in memory
    Gguf gguf_;
};

orr_checkpoint* open_gguf(const orr_files* files) {
    const int32_t file = files->open(files, "");
    if (file < 0) throw FormatError(ErrorKind::kNotFound, "gguf: a single file was expected");
    auto source = open_source(files, file);
    Gguf gguf = Gguf::parse(*source);
    const auto parts = gguf.get_u64("split.count");
    if (parts && *parts > 1) {
        throw FormatError(ErrorKind::kUnsupported, "gguf: this file is part " + std::to_string(gguf.get_u64("split.no").value_or(0) + 1) + " of " +
                                                       std::to_string(*parts) + "; parts have to be merged into one file first");
    }
    const auto architecture = gguf.get_string("general.architecture");
    if (!architecture) throw FormatError(ErrorKind::kCorrupt, "gguf: key 'general.architecture' is missing");
    check_name("gguf: the value of key 'general.architecture'", *architecture);
    std::vector<std::string> architectures{std::string(*architecture)};
    return new GgufCheckpoint(std::move(architectures), std::move(source), std::move(gguf), file);
}

}  // namespace

const orr_format* orr_format_gguf() {
    static const orr_format format = {
        ORR_HEADER(orr_format), "gguf", ".gguf", "", "47475546", [](const orr_files* files, orr_checkpoint** checkpoint) {
            return open_guarded(files, checkpoint, open_gguf);
        }};
    return &format;
}
