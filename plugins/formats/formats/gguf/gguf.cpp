#include "formats/gguf/gguf.h"

#include <algorithm>

namespace orrery::formats {

namespace {

struct NumberedType {
    uint32_t number;
    StoredType type;
};

// ggml.h, enum ggml_type; block sizes as in gguf's GGML_QUANT_SIZES.
constexpr NumberedType kGgmlTypes[] = {
    {0, {"f32", 1, 4}},        {1, {"f16", 1, 2}},         {2, {"q4_0", 32, 18}},    {3, {"q4_1", 32, 20}},    {6, {"q5_0", 32, 22}},
    {7, {"q5_1", 32, 24}},     {8, {"q8_0", 32, 34}},      {9, {"q8_1", 32, 36}},    {10, {"q2_k", 256, 84}},  {11, {"q3_k", 256, 110}},
    {12, {"q4_k", 256, 144}},  {13, {"q5_k", 256, 176}},   {14, {"q6_k", 256, 210}}, {15, {"q8_k", 256, 292}}, {16, {"iq2_xxs", 256, 66}},
    {17, {"iq2_xs", 256, 74}}, {18, {"iq3_xxs", 256, 98}}, {19, {"iq1_s", 256, 50}}, {20, {"iq4_nl", 32, 18}}, {21, {"iq3_s", 256, 110}},
    {22, {"iq2_s", 256, 82}},  {23, {"iq4_xs", 256, 136}}, {24, {"i8", 1, 1}},       {25, {"i16", 1, 2}},      {26, {"i32", 1, 4}},
    {27, {"i64", 1, 8}},       {28, {"f64", 1, 8}},        {29, {"iq1_m", 256, 56}}, {30, {"bf16", 1, 2}},     {34, {"tq1_0", 256, 54}},
    {35, {"tq2_0", 256, 66}},  {39, {"mxfp4", 32, 17}},    {40, {"nvfp4", 64, 36}},  {41, {"q1_0", 128, 18}},  {42, {"q2_0", 64, 18}},
};
// Numbers that once had a type and may not be given another; files with them cannot be read any more.
constexpr uint32_t kRemovedGgmlTypes[] = {4, 5, 31, 32, 33, 36, 37, 38};

constexpr std::string_view kTypeNames[] = {"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};
constexpr uint64_t kTypeBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
constexpr uint64_t kMinPairBytes = 8 + 1 + 4 + 1;        // key size, key, type, value
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 4 + 8;  // name size, name, rank, type, offset
constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint32_t kMaxRank = 4;
constexpr int kMaxArrayDepth = 4;

[[noreturn]] void corrupt(const std::string& message) { throw FormatError(ErrorKind::kCorrupt, "gguf: " + message); }

}  // namespace

const StoredType* find_ggml_type(uint32_t number) {
    for (const NumberedType& entry : kGgmlTypes) {
        if (entry.number == number) return &entry.type;
    }
    return nullptr;
}

uint64_t gguf_type_bytes(GgufType type) { return kTypeBytes[static_cast<uint32_t>(type)]; }

std::string_view gguf_type_name(GgufType type) { return kTypeNames[static_cast<uint32_t>(type)]; }

// Walks the head of the file once; `at_` never passes what has been made available.
class Gguf::Parser {
  public:
    Parser(Gguf& gguf, uint32_t file) : gguf_(gguf), head_(gguf.head_), file_(file) {}

    void run() {
        read_header();
        read_pairs();
        read_tensors();
        check_data();
        head_.finish(at_);
        for (size_t i = 0; i < gguf_.pairs_.size(); ++i) gguf_.by_key_.emplace(gguf_.key(i), i);
    }

  private:
    uint64_t remaining() const { return head_.source_size() - at_; }

    // Makes `bytes` bytes available at the cursor and passes them; returns where they begin.
    uint64_t take(uint64_t bytes, const std::string& what) {
        if (bytes > remaining() || !head_.ensure(at_ + bytes)) {
            corrupt(what + " takes " + std::to_string(bytes) + " bytes at byte " + std::to_string(at_) + "; the file has " +
                    std::to_string(head_.source_size()) + " bytes (truncated?)");
        }
        const uint64_t begin = at_;
        at_ += bytes;
        return begin;
    }
    template <typename T>
    T number(const std::string& what) {
        return load_le<T>(head_.bytes() + take(sizeof(T), what));
    }
    std::string_view text(const std::string& what) {
        const auto size = number<uint64_t>("the size of " + what);
        const uint64_t begin = take(size, what);
        return head_.view(begin, size);
    }

    void read_header() {
        const uint64_t magic = take(4, "the magic number");
        if (head_.view(magic, 4) != "GGUF") corrupt("the file begins with " + in_quotes(head_.view(magic, 4)) + ", not with 'GGUF'");
        gguf_.version_ = number<uint32_t>("the version");
        const uint32_t version = gguf_.version_;
        if (version != 0 && (version & 0xFFFF) == 0) {
            throw FormatError(ErrorKind::kUnsupported, "gguf: version " + std::to_string(version) +
                                                           " is a small number with its bytes reversed: the file is " +
                                                           "big-endian; little-endian files are read");
        }
        if (version < 2 || version > 3) {
            throw FormatError(ErrorKind::kUnsupported, "gguf: version " + std::to_string(version) + "; versions 2 and 3 are read");
        }
        tensor_count_ = number<uint64_t>("the number of tensors");
        pair_count_ = number<uint64_t>("the number of keys");
        check_count("keys", pair_count_, kMinPairBytes);
        check_count("tensors", tensor_count_, kMinTensorBytes);
    }

    void check_count(const std::string& what, uint64_t count, uint64_t least_bytes) {
        if (count <= remaining() / least_bytes) return;
        corrupt(std::to_string(count) + " " + what + " take at least " + std::to_string(least_bytes) + " bytes each; " + std::to_string(remaining()) +
                " bytes of the file are left at byte " + std::to_string(at_));
    }

    GgufType read_type(const std::string& what) {
        const auto type = number<uint32_t>("the type of " + what);
        if (type >= std::size(kTypeNames))
            corrupt(what + " has value type " + std::to_string(type) + "; the types are 0 to " + std::to_string(std::size(kTypeNames) - 1));
        return static_cast<GgufType>(type);
    }

    void read_pairs() {
        std::unordered_map<std::string, size_t> seen;
        gguf_.pairs_.reserve(static_cast<size_t>(pair_count_));
        for (uint64_t i = 0; i < pair_count_; ++i) {
            const std::string key(text("key " + std::to_string(i)));
            check_name("gguf: key " + std::to_string(i), key);
            if (key.size() > kMaxKeyBytes)
                corrupt("key " + in_quotes(key) + " has " + std::to_string(key.size()) + " bytes; at most " + std::to_string(kMaxKeyBytes) +
                        " are allowed");
            Pair pair{at_ - key.size(), key.size(), GgufType::kU8};
            const auto [it, added] = seen.emplace(key, i);
            if (!added)
                corrupt("key " + in_quotes(key) + " is there twice, as pair " + std::to_string(it->second) + " and as pair " + std::to_string(i));
            const std::string what = "key " + in_quotes(key);
            pair.type = read_type(what);
            if (pair.type == GgufType::kArray) {
                pair.element = read_type("the elements of " + what);
                pair.count = number<uint64_t>("the length of " + what);
                pair.begin = at_;
                if (pair.element == GgufType::kString) {
                    pair.strings = gguf_.string_begins_.size();
                    gguf_.string_begins_.push_back(read_strings(what, pair.count));
                } else {
                    skip_elements(what, pair.element, pair.count, 1);
                }
            } else {
                pair.begin = at_;
                skip_value(what, pair.type);
            }
            gguf_.pairs_.push_back(pair);
        }
        read_alignment();
    }

    std::vector<uint64_t> read_strings(const std::string& what, uint64_t count) {
        check_count("strings of " + what, count, 8);
        std::vector<uint64_t> begins;
        begins.reserve(static_cast<size_t>(count));
        for (uint64_t i = 0; i < count; ++i) {
            begins.push_back(at_);
            skip_string(what, i);
        }
        return begins;
    }

    // The message is made only when needed: vocabularies have hundreds of thousands of strings.
    void skip_string(const std::string& what, uint64_t index) {
        if (remaining() >= 8 && head_.ensure(at_ + 8)) {
            const auto size = load_le<uint64_t>(head_.bytes() + at_);
            if (size <= remaining() - 8 && head_.ensure(at_ + 8 + size)) {
                at_ += 8 + size;
                return;
            }
        }
        text("string " + std::to_string(index) + " of " + what);
    }

    void skip_value(const std::string& what, GgufType type) {
        if (type == GgufType::kString) {
            text(what);
            return;
        }
        const uint64_t begin = take(gguf_type_bytes(type), what);
        if (type == GgufType::kBool) check_bool(what, begin);
    }

    void check_bool(const std::string& what, uint64_t at) {
        const auto value = load_le<uint8_t>(head_.bytes() + at);
        if (value > 1) corrupt(what + " is a bool of value " + std::to_string(value) + "; 0 and 1 are allowed");
    }

    void skip_elements(const std::string& what, GgufType element, uint64_t count, int depth) {
        if (element == GgufType::kArray) {
            if (depth == kMaxArrayDepth) corrupt(what + " nests arrays deeper than " + std::to_string(kMaxArrayDepth) + " levels");
            check_count("arrays in " + what, count, 4 + 8);
            for (uint64_t i = 0; i < count; ++i) {
                const GgufType inner = read_type("the elements of " + what);
                const auto inner_count = number<uint64_t>("the length of an array in " + what);
                skip_elements(what, inner, inner_count, depth + 1);
            }
        } else if (element == GgufType::kString) {
            check_count("strings of " + what, count, 8);
            for (uint64_t i = 0; i < count; ++i) skip_string(what, i);
        } else {
            check_count("elements of " + what, count, gguf_type_bytes(element));
            const uint64_t begin = take(count * gguf_type_bytes(element), what);
            for (uint64_t i = 0; element == GgufType::kBool && i < count; ++i) check_bool("element " + std::to_string(i) + " of " + what, begin + i);
        }
    }

    void read_alignment() {
        for (const Pair& pair : gguf_.pairs_) {
            if (gguf_.key_of(pair) != "general.alignment") continue;
            if (pair.type != GgufType::kU32)
                corrupt("key 'general.alignment' is of type " + std::string(gguf_type_name(pair.type)) + "; it has to be u32");
            gguf_.alignment_ = load_le<uint32_t>(head_.bytes() + pair.begin);
        }
        if (gguf_.alignment_ == 0 || gguf_.alignment_ % 8 != 0) {
            corrupt("key 'general.alignment' is " + std::to_string(gguf_.alignment_) + "; it has to be a multiple of 8, and not 0");
        }
    }

    // Offsets stay relative to the tensor data until its begin is known, behind the last description.
    void read_tensors() {
        check_count("tensors", tensor_count_, kMinTensorBytes);
        tensors_.reserve(static_cast<size_t>(tensor_count_));
        for (uint64_t i = 0; i < tensor_count_; ++i) {
            TensorEntry tensor;
            tensor.name = text("the name of tensor " + std::to_string(i));
            check_name("gguf: the name of tensor " + std::to_string(i), tensor.name);
            const std::string who = "tensor " + in_quotes(tensor.name);
            const auto rank = number<uint32_t>("the rank of " + who);
            if (rank > kMaxRank) corrupt(who + " has " + std::to_string(rank) + " dimensions; at most " + std::to_string(kMaxRank) + " are allowed");
            for (uint32_t axis = 0; axis < rank; ++axis) tensor.shape.push_back(number<uint64_t>("a dimension of " + who));
            std::reverse(tensor.shape.begin(), tensor.shape.end());
            tensor.type = read_ggml_type(who);
            tensor.size_bytes = stored_bytes("gguf: " + who, *tensor.type, tensor.shape);
            tensor.offset = number<uint64_t>("the offset of " + who);
            tensor.file = file_;
            if (tensor.offset % gguf_.alignment_ != 0) {
                corrupt(who + " lies at offset " + std::to_string(tensor.offset) + " of the tensor data, no multiple of the alignment " +
                        std::to_string(gguf_.alignment_));
            }
            tensors_.push_back(std::move(tensor));
        }
    }

    const StoredType* read_ggml_type(const std::string& who) {
        const auto number_of_type = number<uint32_t>("the type of " + who);
        if (const StoredType* type = find_ggml_type(number_of_type)) return type;
        const bool removed = std::find(std::begin(kRemovedGgmlTypes), std::end(kRemovedGgmlTypes), number_of_type) != std::end(kRemovedGgmlTypes);
        throw FormatError(ErrorKind::kUnsupported, "gguf: " + who + " has ggml type " + std::to_string(number_of_type) +
                                                       (removed ? ", which was removed from the format" : ", which is not known"));
    }

    void check_data() {
        if (tensors_.empty()) return;
        const uint64_t size = head_.source_size();
        const uint64_t padding = (gguf_.alignment_ - at_ % gguf_.alignment_) % gguf_.alignment_;
        const uint64_t data_begin = at_ + padding;  // no overflow: a size in memory or on disk plus less than 2^32
        const uint64_t data_bytes = size > data_begin ? size - data_begin : 0;
        for (TensorEntry& tensor : tensors_) {
            if (tensor.offset > data_bytes || tensor.size_bytes > data_bytes - tensor.offset) {
                corrupt("tensor " + in_quotes(tensor.name) + " takes " + std::to_string(tensor.size_bytes) + " bytes at offset " +
                        std::to_string(tensor.offset) + " of the tensor data, which has " + std::to_string(data_bytes) + " (truncated?)");
            }
            tensor.offset += data_begin;
        }
        const uint64_t end = check_contiguous("gguf", tensors_, data_begin, gguf_.alignment_);
        if (size - end >= gguf_.alignment_) {
            corrupt("the last tensor ends at byte " + std::to_string(end) + "; the file has " + std::to_string(size) + " bytes, " +
                    std::to_string(size - end) + " more, where padding to " + std::to_string(gguf_.alignment_) + " alone is allowed");
        }
        gguf_.directory_.reserve(tensors_.size());
        for (size_t i = 0; i < tensors_.size(); ++i) {
            const std::string name = tensors_[i].name;
            if (!gguf_.directory_.add(std::move(tensors_[i])))
                corrupt("tensor " + in_quotes(name) + " is described twice, the second time as tensor " + std::to_string(i));
        }
    }

    Gguf& gguf_;
    Prefix& head_;
    const uint32_t file_;
    uint64_t at_ = 0, tensor_count_ = 0, pair_count_ = 0;
    std::vector<TensorEntry> tensors_;
};

Gguf Gguf::parse(const Source& source, uint32_t file) {
    Gguf gguf(source);
    Parser(gguf, file).run();
    return gguf;
}

}  // namespace orrery::formats
