#include "model/config.h"

#include <cmath>

namespace orrery {

namespace {
std::string shown(const Json& v) {
    const std::string text = json_text(v);
    return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}
}  // namespace

ModelConfig::ModelConfig(const orr_model_source& source) {
    gguf_ = std::string_view(source.checkpoint->format) == "gguf";
    label_ = gguf_ ? "" : "config.json: ";
    Json root = parse_json(source.checkpoint->config_json);
    if (!root.is_object()) throw Error(ORR_CORRUPT, gguf_ ? "the GGUF metadata is not an object" : "config.json is not a JSON object");
    root_ = std::make_shared<const Json>(std::move(root));
    if (const auto q = root_->find("quantization_config"); !gguf_ && q != root_->end() && q->is_object())
        throw Error(ORR_UNSUPPORTED, label("quantization_config") + " names " + shown(q->value("quant_method", Json("no method"))) + "; checkpoints are read with plain weights, or quantised as GGUF");
    if (!gguf_) return;
    const auto it = root_->find("general.architecture");
    if (it == root_->end() || !it->is_string()) throw Error(ORR_CORRUPT, "general.architecture is missing");
    prefix_ = it->get<std::string>() + ".";
}

ModelConfig::ModelConfig(const Json& object, const std::string& label) : root_(std::make_shared<const Json>(object)), label_(label + ".") {
    if (!object.is_object()) throw Error(ORR_CORRUPT, label + " is " + shown(object) + ", wanted an object");
}

const Json* ModelConfig::find(const std::string& key) const {
    const std::string full = key.starts_with('/') ? key.substr(1) : prefix_ + key;
    const auto it = root_->find(full);
    used_.insert(full);
    return it == root_->end() || it->is_null() ? nullptr : &*it;
}

std::string ModelConfig::label(const std::string& key) const { return label_ + (key.starts_with('/') ? key.substr(1) : prefix_ + key); }

const Json& ModelConfig::get(const std::string& key) const {
    const Json* v = find(key);
    if (!v) throw Error(ORR_CORRUPT, label(key) + " is missing");
    return *v;
}

int64_t ModelConfig::size(const std::string& key, int64_t most) const {
    const Json* v = &get(key);
    if (v->is_array()) {
        for (const Json& e : *v)
            if (e != v->front()) throw Error(ORR_UNSUPPORTED, label(key) + " differs between layers: " + shown(*v));
        if (v->empty()) throw Error(ORR_CORRUPT, label(key) + " is an empty list");
        v = &v->front();
    }
    if (!v->is_number_integer() || *v < 1 || *v > most)
        throw Error(ORR_CORRUPT, label(key) + " is " + shown(*v) + ", wanted an integer from 1 to " + std::to_string(most));
    return v->get<int64_t>();
}

int64_t ModelConfig::count_or(const std::string& key, int64_t fallback) const {
    const Json* v = find(key);
    if (!v) return fallback;
    if (v->is_number_integer() && *v == 0) return 0;
    return size(key);
}

double ModelConfig::number(const std::string& key) const {
    const Json& v = get(key);
    if (!v.is_number() || !std::isfinite(v.get<double>())) throw Error(ORR_CORRUPT, label(key) + " is " + shown(v) + ", wanted a number");
    return v.get<double>();
}

double ModelConfig::positive(const std::string& key) const {
    const double v = number(key);
    if (!(v > 0)) throw Error(ORR_CORRUPT, label(key) + " is " + shown(get(key)) + ", wanted a number above 0");
    return v;
}

bool ModelConfig::flag_or(const std::string& key, bool fallback) const {
    const Json* v = find(key);
    if (!v) return fallback;
    if (!v->is_boolean()) throw Error(ORR_CORRUPT, label(key) + " is " + shown(*v) + ", wanted true or false");
    return v->get<bool>();
}

std::string ModelConfig::text(const std::string& key) const {
    const Json& v = get(key);
    if (!v.is_string()) throw Error(ORR_CORRUPT, label(key) + " is " + shown(v) + ", wanted a string");
    return v.get<std::string>();
}

std::vector<double> ModelConfig::numbers(const std::string& key) const {
    const Json& v = get(key);
    std::vector<double> out;
    if (!v.is_array()) throw Error(ORR_CORRUPT, label(key) + " is " + shown(v) + ", wanted a list of numbers");
    for (const Json& e : v) {
        if (!e.is_number()) throw Error(ORR_CORRUPT, label(key) + " holds " + shown(e) + ", wanted numbers");
        out.push_back(e.get<double>());
    }
    return out;
}

std::vector<std::string> ModelConfig::texts(const std::string& key) const {
    const Json& v = get(key);
    std::vector<std::string> out;
    if (!v.is_array()) throw Error(ORR_CORRUPT, label(key) + " is " + shown(v) + ", wanted a list of strings");
    for (const Json& e : v) {
        if (!e.is_string()) throw Error(ORR_CORRUPT, label(key) + " holds " + shown(e) + ", wanted strings");
        out.push_back(e.get<std::string>());
    }
    return out;
}

void ModelConfig::refuse(const std::string& key, const std::string& value, const std::string& known) const {
    throw Error(ORR_UNSUPPORTED, label(key) + " \"" + value + "\" is not supported; known: " + known);
}

void ModelConfig::require_flag(const std::string& key, bool wanted) const {
    if (flag_or(key, wanted) != wanted) throw Error(ORR_UNSUPPORTED, label(key) + " " + (wanted ? "false" : "true") + " is not supported");
}

Json ModelConfig::unused() const {
    Json out = Json::array();
    for (const auto& [key, value] : root_->items())
        if (!used_.contains(key) && !value.is_null()) out.push_back(key);
    return out;
}

void require_multiple(const ModelConfig& c, const std::string& a, int64_t a_value, const std::string& b, int64_t b_value) {
    if (a_value % b_value == 0) return;
    throw Error(ORR_CORRUPT, c.label(a) + " " + std::to_string(a_value) + " is not a multiple of " + b + " " + std::to_string(b_value));
}

std::string activation_name(const ModelConfig& c, const std::string& key, const std::string& fallback) {
    static const std::vector<std::pair<const char*, const char*>> names = {{"silu", "silu"},
                                                                           {"swish", "silu"},
                                                                           {"gelu", "gelu"},
                                                                           {"gelu_new", "gelu_tanh"},
                                                                           {"gelu_pytorch_tanh", "gelu_tanh"},
                                                                           {"gelu_fast", "gelu_tanh"},
                                                                           {"quick_gelu", "quick_gelu"},
                                                                           {"relu", "relu"},
                                                                           {"relu2", "relu2"},
                                                                           {"tanh", "tanh"},
                                                                           {"sigmoid", "sigmoid"},
                                                                           {"mish", "mish"},
                                                                           {"hardswish", "hard_swish"},
                                                                           {"linear", "identity"}};
    const std::string name = c.text_or(key, fallback);
    std::string known;
    for (const auto& [hf, ours] : names) {
        if (name == hf) return ours;
        known += (known.empty() ? "" : ", ") + std::string(hf);
    }
    c.refuse(key, name, known);
}

std::string class_name(const orr_model_source& source, std::initializer_list<const char*> known) {
    for (const char* const* name = source.checkpoint->architectures; name && *name; name++)
        for (const char* k : known)
            if (std::string_view(k) == *name) return k;
    return *known.begin();
}

bool has_tensor(const orr_model_source& source, const std::string& name) { return source.find_tensor(&source, name.c_str()) != nullptr; }

std::string tensor_prefix(const orr_model_source& source, std::initializer_list<const char*> prefixes, const std::string& name) {
    for (const char* p : prefixes)
        if (has_tensor(source, p + name)) return p;
    return *prefixes.begin();
}

std::vector<int64_t> tensor_shape(const orr_model_source& source, const std::string& name, int32_t rank) {
    const orr_tensor_entry* t = source.find_tensor(&source, name.c_str());
    if (!t) throw Error(ORR_NOT_FOUND, "the checkpoint has no tensor \"" + name + "\"");
    if (t->rank != rank) throw Error(ORR_CORRUPT, "tensor \"" + name + "\" has rank " + std::to_string(t->rank) + ", wanted " + std::to_string(rank));
    return {t->shape, t->shape + t->rank};
}

int64_t gguf_vocabulary(const ModelConfig& c, const orr_model_source& source) {
    const int64_t rows = tensor_shape(source, "token_embd.weight", 2)[0];
    if (c.has("vocab_size") && c.size("vocab_size") != rows)
        throw Error(ORR_CORRUPT, c.label("vocab_size") + " is " + std::to_string(c.size("vocab_size")) + ", token_embd.weight has " + std::to_string(rows) + " rows");
    return rows;
}

std::vector<float> read_f32(const orr_model_source& source, const std::string& name) {
    const int64_t n = tensor_shape(source, name, 1)[0];
    const orr_tensor_entry* t = source.find_tensor(&source, name.c_str());
    if (std::string_view(t->type_id) != "f32") throw Error(ORR_UNSUPPORTED, "tensor \"" + name + "\" has type " + t->type_id + ", wanted f32");
    if (n < 0 || t->size_bytes != static_cast<uint64_t>(n) * sizeof(float))
        throw Error(ORR_CORRUPT, "tensor \"" + name + "\" has " + std::to_string(t->size_bytes) + " bytes for " + std::to_string(n) + " elements");
    std::vector<float> out(static_cast<size_t>(n));
    const orr_status status = source.files->read(source.files, t->file, t->offset, t->size_bytes, out.data());
    if (status != ORR_OK) throw Error(status, "tensor \"" + name + "\" cannot be read");
    return out;
}

int64_t parameter_count(const orr_model_source& source) {
    int64_t total = 0;
    for (uint64_t i = 0; i < source.checkpoint->tensor_count; i++) {
        const orr_tensor_entry* t = source.checkpoint->tensor(source.checkpoint, i);
        int64_t n = 1;
        bool overflow = false;
        for (int32_t d = 0; d < t->rank; d++) overflow = __builtin_mul_overflow(n, t->shape[d], &n) || overflow;
        if (overflow || __builtin_add_overflow(total, n, &total))
            throw Error(ORR_CORRUPT, std::string("tensor \"") + t->name + "\" has more than 2^63 elements");
    }
    return total;
}

std::string numbered(std::string_view pattern, int64_t index) {
    const size_t at = pattern.find("{}");
    if (at == std::string_view::npos) return std::string(pattern);
    return std::string(pattern.substr(0, at)) + std::to_string(index) + std::string(pattern.substr(at + 2));
}

}  // namespace orrery
