#include "cases.hpp"

#include <cmath>
#include <fstream>
#include <stdexcept>

namespace orrery::conformance {
namespace {

using nlohmann::json;

constexpr int64_t kMostElements = int64_t{1} << 28;  // of a tensor, a zero among its extents counted as 1

void known_keys(const json& object, std::initializer_list<const char*> keys) {
    for (const auto& [key, value] : object.items()) {
        bool known = false;
        for (const char* k : keys) known = known || key == k;
        if (!known) throw std::runtime_error("unknown key \"" + key + "\"");
    }
}

double number_of(const json& v) {
    if (v.is_number()) return v.get<double>();
    if (v.is_boolean()) return v.get<bool>();
    if (v.is_string()) {
        if (v == "nan") return NAN;
        if (v == "inf") return INFINITY;
        if (v == "-inf") return -INFINITY;
    }
    throw std::runtime_error("not a number: " + v.dump());
}
int64_t integer_of(const json& v) {
    if (v.is_boolean()) return v.get<bool>();
    if (v.is_number_integer()) return v.get<int64_t>();
    const double d = number_of(v);
    if (std::floor(d) != d) throw std::runtime_error("not an integer: " + v.dump());
    return static_cast<int64_t>(d);
}

uint64_t mix(uint64_t z) {
    z *= 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
std::vector<double> filled(const json& fill, int64_t count) {
    const uint64_t seed = fill.at("seed").get<uint64_t>() * 0x9E3779B97F4A7C15u;
    const double low = fill.value("low", -1.0), high = fill.value("high", 1.0);
    std::vector<double> out(static_cast<size_t>(count));
    for (size_t i = 0; i < out.size(); i++) out[i] = static_cast<float>(low + (high - low) * (static_cast<double>(mix(seed + i + 1) >> 40) / 16777216.0));
    return out;
}

std::vector<uint8_t> unhex(const std::string& text) {
    const auto digit = [](char c) {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        throw std::runtime_error(std::string("not a hexadecimal digit: ") + c);
    };
    if (text.size() % 2) throw std::runtime_error("bytes: an odd number of digits");
    std::vector<uint8_t> out;
    for (size_t n = 0; n < text.size(); n += 2) out.push_back(static_cast<uint8_t>(digit(text[n]) * 16 + digit(text[n + 1])));
    return out;
}

std::vector<int64_t> per_row(const json& v, const char* key, int64_t batch, int64_t fallback) {
    if (!v.contains(key)) return std::vector<int64_t>(static_cast<size_t>(batch), fallback);
    if (v[key].is_number()) return std::vector<int64_t>(static_cast<size_t>(batch), v[key].get<int64_t>());
    auto list = v[key].get<std::vector<int64_t>>();
    if (static_cast<int64_t>(list.size()) != batch)
        throw std::runtime_error(std::string(key) + " has " + std::to_string(list.size()) + " numbers for a batch of " + std::to_string(batch));
    return list;
}

void read_paged(const json& v, Value& out) {
    if (out.shape.size() != 4) throw std::runtime_error("layout paged needs [B, S, Hkv, D]");
    out.page_tokens = v.value("page_tokens", 16);
    if (out.page_tokens < 1) throw std::runtime_error("page_tokens is " + std::to_string(out.page_tokens));
    out.past = per_row(v, "past", out.shape[0], out.shape[1]);
    out.first = per_row(v, "first", out.shape[0], 0);
    out.length = per_row(v, "length", out.shape[0], out.shape[1]);
}

// Everything but the content.
Value read_frame(const json& v, const Types& types) {
    known_keys(v, {"type", "shape", "data", "bytes", "fill", "at", "constant", "layout", "past", "page_tokens", "first", "length"});
    Value out;
    out.present = true;
    out.type = &types.get(v.value("type", std::string("f32")));
    out.shape = v.at("shape").get<std::vector<int64_t>>();
    if (out.shape.size() > ORR_MAX_RANK)
        throw std::runtime_error("shape " + shape_text(out.shape) + " has " + std::to_string(out.shape.size()) + " axes, the most is " + std::to_string(ORR_MAX_RANK));
    int64_t elements = 1;
    for (const int64_t d : out.shape) {
        if (d < 0) throw std::runtime_error("shape " + shape_text(out.shape) + " holds a negative extent");
        if (d > 0 && elements > kMostElements / d) throw std::runtime_error("shape " + shape_text(out.shape) + " has more than " + std::to_string(kMostElements) + " elements");
        elements *= std::max<int64_t>(d, 1);
    }
    out.layout = v.value("layout", std::string());
    if (out.layout != ORR_LAYOUT_PLAIN && out.layout != ORR_LAYOUT_PAGED && out.layout != ORR_LAYOUT_ROWS)
        throw std::runtime_error("unknown layout \"" + out.layout + "\"");
    if (v.contains("constant")) out.constant = v["constant"].get<bool>();
    if (out.layout == ORR_LAYOUT_PAGED) read_paged(v, out);
    return out;
}

void expect_count(size_t have, int64_t want, const Value& v) {
    if (static_cast<int64_t>(have) != want)
        throw std::runtime_error(v.describe() + " has " + std::to_string(want) + " elements, data has " + std::to_string(have));
}

Value read_input(const json& v, const Types& types) {
    if (v.is_null()) return {};
    Value out = read_frame(v, types);
    const Type& t = *out.type;
    if (v.contains("bytes")) {
        out.bytes = unhex(v["bytes"].get<std::string>());
        const auto want = static_cast<size_t>(out.rows() * row_bytes(t, out.row_elems()));
        if (out.bytes.size() != want)
            throw std::runtime_error(out.describe() + " takes " + std::to_string(want) + " bytes, the case gives " + std::to_string(out.bytes.size()));
        return out;
    }
    if (v.contains("fill")) {
        auto values = filled(v["fill"], out.elems());
        if (!t.is_float())
            for (double& d : values) d = std::floor(d);
        out.bytes = encode(t, values);
        return out;
    }
    const json& data = v.at("data");
    expect_count(data.size(), out.elems(), out);
    if (t.is_float()) {
        std::vector<double> values;
        for (const json& d : data) values.push_back(number_of(d));
        out.bytes = encode(t, values);
    } else {
        std::vector<int64_t> values;
        for (const json& d : data) values.push_back(integer_of(d));
        out.bytes = encode_integers(t, values);
    }
    return out;
}

Expected read_output(const json& v, const Types& types) {
    Expected out;
    if (v.is_null()) return out;
    out.compare = true;
    out.value = read_frame(v, types);
    out.typed = v.contains("type");
    if (v.contains("at")) {
        for (const json& pair : v["at"]) out.at.emplace_back(pair.at(0).get<int64_t>(), number_of(pair.at(1)));
        return out;
    }
    const json& data = v.at("data");
    expect_count(data.size(), out.value.elems(), out.value);
    for (const json& d : data) {
        out.numbers.push_back(number_of(d));
        if (!out.value.type->is_float()) out.integers.push_back(integer_of(d));
    }
    return out;
}

Free read_free(const json& v) {
    known_keys(v, {"dims", "values", "multiple", "attrs"});
    Free out;
    for (const json& d : v.at("dims")) out.dims.emplace_back(d.at(0).get<int>(), d.at(1).get<int>());
    for (const json& d : v.value("attrs", json::array())) out.attrs.emplace_back(d.at(0).get<std::string>(), d.at(1).get<int>());
    out.values = v.value("values", std::vector<int64_t>{1, 31, 32, 33, 256, 1000});
    out.multiple = v.value("multiple", int64_t{1});
    for (int64_t& n : out.values) n = (n + out.multiple - 1) / out.multiple * out.multiple;
    return out;
}

uint32_t numerics_of(const std::string& name) {
    for (const uint32_t n : {ORR_NUMERICS_DEFAULT, ORR_NUMERICS_EXACT, ORR_NUMERICS_FAST})
        if (name == (n == ORR_NUMERICS_EXACT ? "exact" : n == ORR_NUMERICS_FAST ? "fast" : "default")) return n;
    throw std::runtime_error("numerics: \"" + name + "\"");
}

Case read_case(const json& v, const Types& types) {
    known_keys(v, {"name", "attrs", "inputs", "outputs", "tol", "tol_default", "tol_rms", "numerics", "error", "n_outputs", "sizes", "batch", "in_place"});
    Case c;
    c.name = v.value("name", std::string());
    c.attrs = v.value("attrs", json::object());
    for (const json& i : v.at("inputs")) c.inputs.push_back(read_input(i, types));
    c.fails = v.contains("error");
    if (c.fails) {
        c.error = v["error"].get<std::string>();
        c.outputs.resize(v.value("n_outputs", size_t{1}));
    } else {
        for (const json& o : v.at("outputs")) c.outputs.push_back(read_output(o, types));
    }
    c.tol = v.value("tol", 0.0);
    c.tol_default = v.value("tol_default", c.tol);
    c.tol_rms = v.value("tol_rms", -1.0);
    for (const std::string& n : v.value("numerics", std::vector<std::string>{"exact", "default"})) c.numerics.push_back(numerics_of(n));
    for (const json& s : v.value("sizes", json::array())) c.sizes.push_back(read_free(s));
    if (v.contains("batch")) {
        c.batch_inputs = v["batch"].at("inputs").get<std::vector<int>>();
        c.batch_outputs = v["batch"].at("outputs").get<std::vector<int>>();
    }
    for (const json& p : v.value("in_place", json::array())) c.in_place.emplace_back(p.at(0).get<int>(), p.at(1).get<int>());
    for (const Free& f : c.sizes)
        for (const auto& [input, axis] : f.dims) {
            const bool good = input >= 0 && input < static_cast<int>(c.inputs.size()) && c.inputs[static_cast<size_t>(input)].present && axis >= 0 &&
                              axis < static_cast<int>(c.inputs[static_cast<size_t>(input)].shape.size());
            if (!good) throw std::runtime_error("sizes: there is no axis " + std::to_string(axis) + " of input " + std::to_string(input));
        }
    return c;
}

}  // namespace

std::vector<Case> read_cases(const std::filesystem::path& file, const Types& types) {
    std::ifstream in(file);
    if (!in) throw std::runtime_error(file.string() + " cannot be read");
    return read_cases(in, file.string(), types);
}

std::vector<Case> read_cases(std::istream& in, const std::string& name, const Types& types) {
    std::vector<Case> cases;
    std::string line;
    for (int number = 1; std::getline(in, line); number++) {
        if (line.empty() || line[0] == '#') continue;
        try {
            cases.push_back(read_case(json::parse(line), types));
        } catch (const std::exception& e) {
            throw std::runtime_error(name + ":" + std::to_string(number) + ": " + e.what());
        }
        cases.back().line = number;
    }
    return cases;
}

}  // namespace orrery::conformance
