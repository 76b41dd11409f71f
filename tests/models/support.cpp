#include "support.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

namespace model_tests {
namespace {

uint32_t type_of(const std::string& dtype) {
    static const std::map<std::string, uint32_t> types = {{"F32", ORR_TYPE_F32}, {"F16", ORR_TYPE_F16}, {"BF16", ORR_TYPE_BF16},
                                                          {"I64", ORR_TYPE_I64}, {"I32", ORR_TYPE_I32}, {"BOOL", ORR_TYPE_BOOL}};
    const auto it = types.find(dtype);
    if (it == types.end()) throw std::runtime_error("tensor type " + dtype);
    return it->second;
}

SharedEngine* const shared = new SharedEngine([] {
    orr_engine* made = nullptr;
    check(orr_engine_create(nullptr, &made));
    return Engine(made);
});

int64_t type_bytes(uint32_t type) {
    return type == ORR_TYPE_I64 ? 8 : type == ORR_TYPE_F32 || type == ORR_TYPE_I32 ? 4 : type == ORR_TYPE_BOOL ? 1 : 2;
}

}  // namespace

int64_t Tensor::elements() const {
    int64_t n = 1;
    for (const int64_t d : shape) n *= d;
    return n;
}

std::vector<float> Tensor::floats() const {
    if (type != ORR_TYPE_F32) throw std::runtime_error("not an f32 tensor");
    std::vector<float> v(static_cast<size_t>(elements()));
    std::memcpy(v.data(), bytes.data(), v.size() * sizeof(float));
    return v;
}

std::vector<int64_t> Tensor::integers() const {
    std::vector<int64_t> v(static_cast<size_t>(elements()));
    for (size_t i = 0; i < v.size(); i++) {
        int32_t narrow = 0;
        if (type == ORR_TYPE_I64) {
            std::memcpy(&v[i], &bytes[i * 8], 8);
        } else if (type == ORR_TYPE_I32) {
            std::memcpy(&narrow, &bytes[i * 4], 4);
            v[i] = narrow;
        } else {
            throw std::runtime_error("not an integer tensor");
        }
    }
    return v;
}

Tensor Tensor::cut(size_t axis, int64_t from, int64_t to) const {
    int64_t outer = 1, inner = type_bytes(type);
    for (size_t i = 0; i < axis; i++) outer *= shape[i];
    for (size_t i = axis + 1; i < shape.size(); i++) inner *= shape[i];
    Tensor part{type, shape, {}};
    part.shape[axis] = to - from;
    for (int64_t o = 0; o < outer; o++) {
        const char* row = bytes.data() + (o * shape[axis] + from) * inner;
        part.bytes.insert(part.bytes.end(), row, row + (to - from) * inner);
    }
    return part;
}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

Tensors read_tensors(const std::string& path) {
    const std::string data = read_file(path);
    uint64_t size = 0;
    std::memcpy(&size, data.data(), sizeof size);
    const Json header = Json::parse(data.substr(8, size));
    Tensors out;
    for (const auto& [name, entry] : header.items()) {
        if (name == "__metadata__") continue;
        const size_t begin = 8 + size + entry["data_offsets"][0].get<size_t>(), end = 8 + size + entry["data_offsets"][1].get<size_t>();
        out[name] = {type_of(entry["dtype"]), entry["shape"].get<std::vector<int64_t>>(), {data.data() + begin, data.data() + end}};
    }
    return out;
}

void check(orr_status status) {
    if (status != ORR_OK) throw Failure(status, orr_error_text());
}

orr_engine* SharedEngine::get() {
    const std::lock_guard lock(mutex_);
    if (!engine_) engine_ = make_();
    return engine_.get();
}

void SharedEngine::TearDown() {
    const std::lock_guard lock(mutex_);
    engine_.reset();
}

orr_engine* engine() { return shared->get(); }

Model open_model(const std::string& folder) {
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    const std::string gguf = folder + "/model.gguf", path = std::filesystem::exists(gguf) ? gguf : folder;
    options.path = path.c_str();
    orr_model* model = nullptr;
    check(orr_model_open(engine(), &options, &model));
    return Model(model);
}

orr_blob blob_of(const char* name, const std::string& bytes) { return {ORR_HEADER(orr_blob), name, bytes.data(), bytes.size()}; }

Model open_blobs(orr_engine* owner, const std::vector<orr_blob>& blobs, bool allow_extra_tensors, const char* device) {
    std::vector<const orr_blob*> pointers;
    for (const orr_blob& blob : blobs) pointers.push_back(&blob);
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    options.blobs = pointers.data();
    options.blob_count = static_cast<uint32_t>(pointers.size());
    options.allow_extra_tensors = allow_extra_tensors;
    options.device = device;
    orr_model* model = nullptr;
    check(orr_model_open(owner, &options, &model));
    return Model(model);
}

Model open_changed(const std::string& folder, const Json& config) {
    static std::deque<std::string> kept;  // blobs stay valid as long as any model may live
    const std::string& text = kept.emplace_back(config.dump());
    const std::string& tensors = kept.emplace_back(read_file(folder + "/model.safetensors"));
    return open_blobs(engine(), {blob_of("config.json", text), blob_of("model.safetensors", tensors)});
}

Session open_session(const Model& model, const SessionOptions& o) {
    orr_session_options options{};
    options.header = ORR_HEADER(orr_session_options);
    options.threads = o.threads;
    options.batch = o.batch;
    options.numerics = o.numerics;
    options.cache_type = "f32";
    options.reference_kernels = o.reference;
    options.no_rewrites = o.no_rewrites;
    orr_session* session = nullptr;
    check(orr_session_create(model.get(), &options, &session));
    return Session(session);
}

Tensors run(const Session& session, const Tensors& inputs, const char* entry, const std::vector<std::string>& outputs) {
    std::vector<orr_named_tensor> tensors;
    std::vector<const orr_named_tensor*> pointers;
    std::vector<const char*> wanted;
    for (const auto& [name, t] : inputs) {
        orr_named_tensor named{};
        named.header = ORR_HEADER(orr_named_tensor);
        named.name = name.c_str();
        named.type = t.type;
        named.rank = static_cast<int32_t>(t.shape.size());
        std::copy(t.shape.begin(), t.shape.end(), named.shape);
        named.data = t.bytes.data();
        named.size_bytes = t.bytes.size();
        tensors.push_back(named);
    }
    for (const auto& t : tensors) pointers.push_back(&t);
    for (const auto& o : outputs) wanted.push_back(o.c_str());
    check(orr_session_run(session.get(), entry, static_cast<uint32_t>(pointers.size()), pointers.data(), static_cast<uint32_t>(wanted.size()),
                          wanted.empty() ? nullptr : wanted.data()));
    Tensors results;
    for (uint32_t i = 0; const char* name = orr_session_output_name(session.get(), i); i++) {
        orr_named_tensor t{};
        t.header = ORR_HEADER(orr_named_tensor);
        check(orr_session_output(session.get(), name, &t));
        const char* bytes = static_cast<const char*>(t.data);
        results[name] = {t.type, {t.shape, t.shape + t.rank}, {bytes, bytes + t.size_bytes}};
    }
    return results;
}

double difference(const Tensor& got, const Tensor& want) {
    if (got.shape != want.shape) return std::numeric_limits<double>::infinity();
    const std::vector<float> g = got.floats(), w = want.floats();
    double mean = 0, variance = 0, worst = 0;
    for (const float x : w) mean += x / static_cast<double>(w.size());
    for (const float x : w) variance += (x - mean) * (x - mean) / static_cast<double>(w.size());
    for (size_t i = 0; i < w.size(); i++) {
        const double d = std::fabs(static_cast<double>(g[i]) - w[i]);
        if (!std::isfinite(d)) return std::numeric_limits<double>::infinity();
        worst = std::max(worst, d);
    }
    return worst / (variance > 0 ? std::sqrt(variance) : 1);
}

std::vector<std::string> golden(const std::string& prefix) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(GOLDEN_DIR)) {
        const std::string name = entry.path().filename().string();
        if (entry.is_directory() && name.starts_with(prefix) && std::filesystem::exists(entry.path() / "outputs.safetensors")) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::string golden_folder(const std::string& name) { return std::string(GOLDEN_DIR) + "/" + name; }

}  // namespace model_tests
