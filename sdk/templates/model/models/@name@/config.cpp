#include "models/@name@/config.hpp"

#include <nlohmann/json.hpp>
#include <set>

namespace orrery::@name@_model {
namespace {

using Json = nlohmann::json;

// Typed reading of one JSON object, which remembers what was asked for.
class Reader {
  public:
    explicit Reader(const char* text) : root_(Json::parse(text, nullptr, false)) {
        if (!root_.is_object()) throw Error(ORR_CORRUPT, "config.json is no JSON object");
    }

    int64_t size(const char* key) {
        const Json& value = get(key);
        if (value.is_null()) throw Error(ORR_CORRUPT, std::string("config.json: ") + key + " is missing");
        if (!value.is_number_integer() || value < 1 || value > INT32_MAX) fail(key, value, "a whole number from 1 to 2147483647");
        return value.get<int64_t>();
    }
    double positive_or(const char* key, double fallback) {
        const Json& value = get(key);
        if (value.is_null()) return fallback;
        if (!value.is_number() || !(value.get<double>() > 0)) fail(key, value, "a number above 0");
        return value.get<double>();
    }
    std::string one_of(const char* key, const std::set<std::string>& known, const char* fallback) {
        const Json& value = get(key);
        if (value.is_null()) return fallback;
        if (value.is_string() && known.count(value.get<std::string>())) return value.get<std::string>();
        std::string list;
        for (const std::string& name : known) list.append(list.empty() ? "" : ", ").append(name);
        fail(key, value, list);
    }
    // Keys that nothing has asked for.
    Json unused() const {
        Json names = Json::array();
        for (const auto& [key, value] : root_.items())
            if (!used_.count(key)) names.push_back(key);
        return names;
    }

  private:
    const Json& get(const char* key) {
        static const Json none;
        used_.insert(key);
        const auto found = root_.find(key);
        return found == root_.end() ? none : *found;
    }
    [[noreturn]] static void fail(const char* key, const Json& value, const std::string& wanted) {
        throw Error(ORR_UNSUPPORTED, std::string("config.json: ") + key + " is " + value.dump(-1, ' ', false, Json::error_handler_t::replace) + ", wanted " + wanted);
    }
    Json root_;
    std::set<std::string> used_ = {"architectures", "model_type"};
};

}  // namespace

Config read_config(const orr_model_source& source) {
    Reader reader(source.checkpoint->config_json);
    Config c;
    c.vocabulary = reader.size("vocab_size");
    c.width = reader.size("hidden_size");
    c.inner = reader.size("intermediate_size");
    c.layers = reader.size("num_hidden_layers");
    c.heads = reader.size("num_attention_heads");
    c.eps = reader.positive_or("rms_norm_eps", 1e-6);
    c.activation = reader.one_of("hidden_act", {"gelu", "relu", "silu"}, "gelu");
    if (c.width % c.heads)
        throw Error(ORR_CORRUPT, "config.json: hidden_size " + std::to_string(c.width) + " is not a multiple of num_attention_heads " + std::to_string(c.heads));
    c.info_json = Json({{"layers", c.layers}, {"heads", c.heads}, {"head_dim", c.head_width()}, {"hidden", c.width}, {"ffn", c.inner}, {"ignored", reader.unused()}})
                      .dump(-1, ' ', false, Json::error_handler_t::replace);
    return c;
}

}  // namespace orrery::@name@_model
