#include "safetensors_io.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "output_file.hpp"

namespace orrery::cli {
namespace {

using json = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "safetensors holds little-endian values");

constexpr uint64_t kMaxHeaderBytes = 100u << 20;  // the upstream implementation's limit

struct Dtype {
    const char* name;
    uint32_t type;
};
constexpr Dtype kDtypes[] = {{"F32", ORR_TYPE_F32}, {"F16", ORR_TYPE_F16}, {"BF16", ORR_TYPE_BF16}, {"F64", ORR_TYPE_F64}, {"I8", ORR_TYPE_I8},
                             {"U8", ORR_TYPE_U8},   {"I16", ORR_TYPE_I16}, {"I32", ORR_TYPE_I32},   {"I64", ORR_TYPE_I64}, {"BOOL", ORR_TYPE_BOOL},
                             {"U16", ORR_TYPE_U16}, {"U32", ORR_TYPE_U32}, {"U64", ORR_TYPE_U64}};

[[noreturn]] void corrupt(const std::string& file, const std::string& text) { throw host::Error(ORR_CORRUPT, file + ": " + text); }

uint32_t dtype_of(const std::string& dtype, const std::string& file, const std::string& tensor) {
    for (const Dtype& d : kDtypes)
        if (dtype == d.name) return d.type;
    throw host::Error(ORR_UNSUPPORTED, file + ": tensor " + tensor + " has dtype " + dtype + ", which is not known");
}

struct Entry {
    uint64_t begin, end;
    host::Tensor tensor;
};

Entry parse_entry(const std::string& name, const json& value, const char* data, uint64_t data_bytes, const std::string& file) {
    if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() || !value.contains("shape") || !value["shape"].is_array() ||
        !value.contains("data_offsets") || !value["data_offsets"].is_array() || value["data_offsets"].size() != 2)
        corrupt(file, "tensor " + name + " lacks dtype, shape or data_offsets");
    const uint32_t type = dtype_of(value["dtype"].get<std::string>(), file, name);
    if (value["shape"].size() > ORR_MAX_RANK)
        corrupt(file, "tensor " + name + " has rank " + std::to_string(value["shape"].size()) + ", the most is " + std::to_string(ORR_MAX_RANK));
    std::vector<int64_t> shape;
    uint64_t bytes = host::type_bytes(type);
    for (const json& d : value["shape"]) {
        if (!d.is_number_unsigned() || d.get<uint64_t>() > INT64_MAX) corrupt(file, "tensor " + name + " has a size that is no natural number");
        const uint64_t size = d.get<uint64_t>();
        if (size && bytes > UINT64_MAX / size) corrupt(file, "tensor " + name + " is larger than memory can be");
        bytes *= size;
        shape.push_back(static_cast<int64_t>(size));
    }
    const json& offsets = value["data_offsets"];
    if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned())
        corrupt(file, "tensor " + name + " has offsets that are no natural numbers");
    const uint64_t begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
    if (begin > end || end > data_bytes)
        corrupt(file,
                "tensor " + name + " lies at bytes " + std::to_string(begin) + " to " + std::to_string(end) + " of " + std::to_string(data_bytes));
    if (end - begin != bytes)
        corrupt(file, "tensor " + name + " has " + std::to_string(end - begin) + " bytes, its shape needs " + std::to_string(bytes));
    return {begin, end, host::Tensor::own(name, type, std::move(shape), {data + begin, data + end})};
}

float half_to_float(uint16_t h) {
    const int exponent = h >> 10 & 31, mantissa = h & 1023;
    const float sign = h >> 15 ? -1.0f : 1.0f;
    if (exponent == 31) return mantissa ? std::nanf("") : sign * INFINITY;
    return sign * (exponent ? std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25) : std::ldexp(static_cast<float>(mantissa), -24));
}

template <class T>
std::vector<float> convert(const void* data, size_t n) {
    std::vector<float> out(n);
    for (size_t i = 0; i < n; i++) {
        T value;
        std::memcpy(&value, static_cast<const char*>(data) + i * sizeof(T), sizeof(T));
        out[i] = static_cast<float>(value);
    }
    return out;
}

}  // namespace

std::vector<host::Tensor> parse_safetensors(const std::string& bytes, const std::string& file) {
    uint64_t header_bytes = 0;
    if (bytes.size() < sizeof header_bytes) corrupt(file, "has " + std::to_string(bytes.size()) + " bytes, a safetensors file has 8 or more");
    std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
    if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - sizeof header_bytes)
        corrupt(file, "header of " + std::to_string(header_bytes) + " bytes in a file of " + std::to_string(bytes.size()));
    const char* const at = bytes.data() + sizeof header_bytes;
    // The depth is bounded before parsing: the parser's recursion would follow a file's nesting.
    const auto shallow = [](int depth, json::parse_event_t, json&) {
        if (depth > 8) throw std::length_error("nesting");
        return true;
    };
    json header;
    try {
        header = json::parse(at, at + header_bytes, shallow);
    } catch (const std::exception&) {
        corrupt(file, "header is not valid JSON");
    }
    if (!header.is_object()) corrupt(file, "header is not a JSON object");
    const char* const data = at + header_bytes;
    const uint64_t data_bytes = bytes.size() - sizeof header_bytes - header_bytes;
    std::vector<Entry> entries;
    for (const auto& [name, value] : header.items())
        if (name != "__metadata__") entries.push_back(parse_entry(name, value, data, data_bytes, file));
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.begin < b.begin; });
    for (size_t i = 1; i < entries.size(); i++)
        if (entries[i].begin < entries[i - 1].end)
            corrupt(file, "tensors " + entries[i - 1].tensor.name() + " and " + entries[i].tensor.name() + " overlap");
    std::vector<host::Tensor> tensors;
    for (Entry& e : entries) tensors.push_back(std::move(e.tensor));
    return tensors;
}

std::vector<float> to_f32(const host::Tensor& t) {
    const size_t width = host::type_bytes(t.type());
    const size_t n = width ? static_cast<size_t>(t.size_bytes()) / width : 0;
    switch (t.type()) {
        case ORR_TYPE_F32:
            return convert<float>(t.data(), n);
        case ORR_TYPE_F64:
            return convert<double>(t.data(), n);
        case ORR_TYPE_I8:
            return convert<int8_t>(t.data(), n);
        case ORR_TYPE_BOOL:
        case ORR_TYPE_U8:
            return convert<uint8_t>(t.data(), n);
        case ORR_TYPE_I16:
            return convert<int16_t>(t.data(), n);
        case ORR_TYPE_U16:
            return convert<uint16_t>(t.data(), n);
        case ORR_TYPE_I32:
            return convert<int32_t>(t.data(), n);
        case ORR_TYPE_U32:
            return convert<uint32_t>(t.data(), n);
        case ORR_TYPE_I64:
            return convert<int64_t>(t.data(), n);
        case ORR_TYPE_U64:
            return convert<uint64_t>(t.data(), n);
        case ORR_TYPE_F16:
        case ORR_TYPE_BF16: {
            std::vector<float> out(n);
            for (size_t i = 0; i < n; i++) {
                uint16_t bits;
                std::memcpy(&bits, static_cast<const char*>(t.data()) + 2 * i, 2);
                out[i] = t.type() == ORR_TYPE_F16 ? half_to_float(bits) : std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
            }
            return out;
        }
        default:
            throw host::Error(ORR_UNSUPPORTED, t.name() + ": element type " + std::to_string(t.type()) + " is not a plain type");
    }
}

void write_safetensors_f32(const std::string& path, const std::vector<host::Tensor>& tensors) {
    json header = json::object();
    uint64_t offset = 0;
    for (const host::Tensor& t : tensors) {
        const uint64_t bytes = static_cast<uint64_t>(t.elements()) * sizeof(float);
        header[t.name()] = {{"dtype", "F32"}, {"shape", t.shape()}, {"data_offsets", {offset, offset + bytes}}};
        offset += bytes;
    }
    std::string text = header.dump();
    text.append((8 - text.size() % 8) % 8, ' ');  // data starts aligned, as upstream's writer has it
    const uint64_t header_bytes = text.size();
    OutputFile file(path);
    file.write(&header_bytes, sizeof header_bytes);
    file.write(text.data(), text.size());
    for (const host::Tensor& t : tensors) {
        const std::vector<float> values = to_f32(t);
        file.write(values.data(), values.size() * sizeof(float));
    }
    file.keep();
}

}  // namespace orrery::cli
