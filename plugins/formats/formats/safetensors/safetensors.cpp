#include "formats/safetensors/safetensors.h"

#include <array>
#include <optional>

#include "common/json_events.h"

namespace orrery::formats {

namespace {

// The dtypes of safetensors 0.8 (F4 is two elements a byte, F6 four in three bytes).
constexpr std::pair<std::string_view, StoredType> kDtypes[] = {
    {"BOOL", {"bool", 1, 1}},
    {"U8", {"u8", 1, 1}},
    {"I8", {"i8", 1, 1}},
    {"U16", {"u16", 1, 2}},
    {"I16", {"i16", 1, 2}},
    {"U32", {"u32", 1, 4}},
    {"I32", {"i32", 1, 4}},
    {"U64", {"u64", 1, 8}},
    {"I64", {"i64", 1, 8}},
    {"F16", {"f16", 1, 2}},
    {"BF16", {"bf16", 1, 2}},
    {"F32", {"f32", 1, 4}},
    {"F64", {"f64", 1, 8}},
    {"C64", {"c64", 1, 8}},
    {"F8_E4M3", {"f8_e4m3", 1, 1}},
    {"F8_E5M2", {"f8_e5m2", 1, 1}},
    {"F8_E8M0", {"f8_e8m0", 1, 1}},
    {"F8_E4M3FNUZ", {"f8_e4m3fnuz", 1, 1}},
    {"F8_E5M2FNUZ", {"f8_e5m2fnuz", 1, 1}},
    {"F6_E2M3", {"f6_e2m3", 4, 3}},
    {"F6_E3M2", {"f6_e3m2", 4, 3}},
    {"F4", {"f4", 2, 1}},
};
constexpr size_t kMaxRank = 8;

const StoredType* find_dtype(std::string_view name) {
    for (const auto& [dtype, type] : kDtypes) {
        if (dtype == name) return &type;
    }
    return nullptr;
}

[[noreturn]] void corrupt(const std::string& message) { throw FormatError(ErrorKind::kCorrupt, message); }

// Builds the directory while the header is read. Only the tensor being read is kept apart.
class HeaderReader final : public JsonReader {
  public:
    HeaderReader(uint64_t data_begin, uint64_t data_bytes, uint32_t file) : data_begin_(data_begin), data_bytes_(data_bytes), file_(file) {}

    Safetensors take() { return std::move(result_); }

    void on_key(std::string_view key) override {
        if (at_ == At::kTop) {
            name_ = key;
            is_metadata_ = key == "__metadata__";
            if (is_metadata_ ? saw_metadata_ : result_.directory.find(key) != nullptr)
                corrupt("safetensors: the header has " + in_quotes(key) + " twice");
            if (!is_metadata_) check_name("safetensors: a tensor's name", key);
        } else {
            field_ = key;
            if (at_ == At::kMetadata && result_.metadata.count(field_)) corrupt("safetensors: __metadata__ has " + in_quotes(key) + " twice");
        }
    }

    void on_scalar(const JsonScalar& value) override {
        switch (at_) {
            case At::kStart:
                corrupt("safetensors: the header is " + std::string(kind_text(value.kind)) + ", not an object");
            case At::kTop:
                corrupt(who() + " is described by " + kind_text(value.kind) + ", not by an object");
            case At::kMetadata:
                if (value.kind != JsonScalar::Kind::kString) {
                    corrupt("safetensors: __metadata__ has " + std::string(kind_text(value.kind)) + " under " + in_quotes(field_) +
                            "; only strings are allowed");
                }
                result_.metadata.emplace(field_, value.text);
                break;
            case At::kTensor:
                on_field(value);
                break;
            case At::kShape:
                push(shape_, value, kMaxRank, "shape", "axes");
                break;
            case At::kOffsets:
                push(offsets_, value, 2, "data_offsets", "numbers");
                break;
        }
    }

    void on_begin_object() override {
        if (at_ == At::kStart) {
            at_ = At::kTop;
        } else if (at_ == At::kTop && is_metadata_) {
            saw_metadata_ = true;
            at_ = At::kMetadata;
        } else if (at_ == At::kTop) {
            type_ = nullptr;
            has_shape_ = has_offsets_ = false;
            shape_.clear();
            offsets_.clear();
            at_ = At::kTensor;
        } else if (at_ == At::kTensor && !is_known_field()) {
            skip();
        } else {
            corrupt(place() + " is an object");
        }
    }

    void on_begin_array() override {
        if (at_ == At::kTensor && field_ == "shape" && !has_shape_) {
            has_shape_ = true;
            at_ = At::kShape;
        } else if (at_ == At::kTensor && field_ == "data_offsets" && !has_offsets_) {
            has_offsets_ = true;
            at_ = At::kOffsets;
        } else if (at_ == At::kTensor && !is_known_field()) {
            skip();
        } else if (at_ == At::kTensor && field_ != "dtype") {
            corrupt(who() + " has " + in_quotes(field_) + " twice");
        } else {
            corrupt(place() + " is an array");
        }
    }

    void on_end_array() override { at_ = At::kTensor; }

    void on_end_object() override {
        if (at_ == At::kTensor) finish_tensor();
        at_ = At::kTop;
    }

  private:
    enum class At { kStart, kTop, kMetadata, kTensor, kShape, kOffsets };

    std::string who() const { return is_metadata_ ? "safetensors: __metadata__" : "safetensors: tensor " + in_quotes(name_); }
    std::string place() const {
        switch (at_) {
            case At::kStart:
                return "safetensors: the header";
            case At::kTop:
                return who();
            case At::kShape:
                return who() + ": an element of 'shape'";
            case At::kOffsets:
                return who() + ": an element of 'data_offsets'";
            default:
                return who() + ": " + in_quotes(field_);
        }
    }
    bool is_known_field() const { return field_ == "dtype" || field_ == "shape" || field_ == "data_offsets"; }

    void on_field(const JsonScalar& value) {
        if (!is_known_field()) return;
        if (field_ != "dtype") corrupt(place() + " is " + kind_text(value.kind) + ", not an array");
        if (type_) corrupt(who() + " has 'dtype' twice");
        if (value.kind != JsonScalar::Kind::kString) corrupt(place() + " is " + kind_text(value.kind) + ", not a string");
        type_ = find_dtype(value.text);
        if (!type_) throw FormatError(ErrorKind::kUnsupported, who() + " has dtype " + in_quotes(value.text) + ", which is not known");
    }

    void push(std::vector<uint64_t>& dst, const JsonScalar& value, size_t limit, const char* field, const char* unit) {
        if (value.kind != JsonScalar::Kind::kUnsigned) {
            corrupt(who() + " has " + (value.kind == JsonScalar::Kind::kString ? "a string" : std::string(value.text)) + " in its " + field +
                    ", not an unsigned 64-bit integer");
        }
        if (dst.size() == limit) {
            throw FormatError(limit == 2 ? ErrorKind::kCorrupt : ErrorKind::kUnsupported,
                              who() + " has more than " + std::to_string(limit) + " " + unit + " in its " + field);
        }
        dst.push_back(value.number);
    }

    void finish_tensor() {
        if (!type_) corrupt(who() + " has no dtype");
        if (!has_shape_) corrupt(who() + " has no shape");
        if (offsets_.size() != 2) corrupt(who() + " has " + std::to_string(offsets_.size()) + " data_offsets instead of 2");
        const auto [begin, end] = std::pair(offsets_[0], offsets_[1]);
        const std::string range = who() + " has data_offsets [" + std::to_string(begin) + ", " + std::to_string(end) + "]";
        if (begin > end) corrupt(range + ": its begin lies behind its end");
        if (end > data_bytes_) corrupt(range + "; the file has " + std::to_string(data_bytes_) + " bytes of tensor data (truncated?)");
        const uint64_t need = stored_bytes(who(), *type_, shape_);
        if (end - begin != need) {
            corrupt(range + ", " + std::to_string(end - begin) + " bytes; shape " + shape_text(shape_) + " of " + std::string(type_->id) + " takes " +
                    std::to_string(need));
        }
        result_.directory.add({name_, type_, shape_, file_, data_begin_ + begin, need});
    }

    const uint64_t data_begin_, data_bytes_;
    const uint32_t file_;
    Safetensors result_;
    At at_ = At::kStart;
    bool is_metadata_ = false, saw_metadata_ = false, has_shape_ = false, has_offsets_ = false;
    std::string name_, field_;
    const StoredType* type_ = nullptr;
    std::vector<uint64_t> shape_, offsets_;
};

}  // namespace

std::string Safetensors::metadata_json() const {
    std::string json = "{";
    for (const auto& [key, value] : metadata) {
        if (json.size() > 1) json += ',';
        append_json_string(json, key);
        json += ':';
        append_json_string(json, value);
    }
    return json + "}";
}

Safetensors parse_safetensors(const Source& source, uint32_t file) {
    Prefix head(source);
    const uint64_t size = source.size();
    if (!head.ensure(8)) corrupt("safetensors: the file has " + std::to_string(size) + " bytes; the header's size alone takes 8 (truncated?)");
    const auto header_bytes = load_le<uint64_t>(head.bytes());
    if (header_bytes > kMaxSafetensorsHeaderBytes) {
        corrupt("safetensors: a header of " + std::to_string(header_bytes) + " bytes; at most " + std::to_string(kMaxSafetensorsHeaderBytes) +
                " are allowed (not a safetensors file?)");
    }
    if (!head.ensure(8 + header_bytes)) {
        corrupt("safetensors: a header of " + std::to_string(header_bytes) + " bytes does not fit in the file's " + std::to_string(size) +
                " (truncated?)");
    }
    const std::string_view json = head.view(8, header_bytes);
    if (json.empty() || json.front() != '{') {
        corrupt("safetensors: the header begins with " + in_quotes(json.substr(0, 1)) + ", not with '{' (not a safetensors file?)");
    }
    HeaderReader reader(8 + header_bytes, size - 8 - header_bytes, file);
    read_json("safetensors: the header", json, reader);
    Safetensors result = reader.take();
    const uint64_t end = check_contiguous("safetensors", result.directory.tensors(), 8 + header_bytes, 1);
    if (end != size) {
        corrupt("safetensors: the last tensor ends at byte " + std::to_string(end) + "; the file has " + std::to_string(size) + " bytes");
    }
    return result;
}

}  // namespace orrery::formats
