// tokenizer.ggml.* of a GGUF file.
#include "common/tokenizer_table.hpp"
#include "json.hpp"

namespace {

using namespace orrery;
using namespace orrery::text;

constexpr const char* kModel = "tokenizer.ggml.model";

bool probe(const orr_files*, const orr_checkpoint* checkpoint) {
    if (!checkpoint || std::strcmp(checkpoint->format, "gguf") != 0) return false;
    const Json config = Json::parse(checkpoint->config_json, nullptr, false);
    return config.is_object() && config.contains(kModel);
}

// Metadata by key: short values stand in config_json, long arrays are asked for.
class Metadata {
  public:
    explicit Metadata(const orr_checkpoint* c) : checkpoint_(c), config_(parse_json(c->config_json, "the GGUF's metadata")) {}

    const Json* find(const char* key) const {
        const auto at = config_.find(key);
        return at == config_.end() || at->is_null() ? nullptr : &*at;
    }
    std::string text(const char* key) const {
        const Json* v = find(key);
        return v && v->is_string() ? v->get<std::string>() : std::string();
    }
    std::optional<uint32_t> id(const char* key) const {
        const Json* v = find(key);
        if (!v || !v->is_number_integer() || v->get<int64_t>() < 0 || v->get<int64_t>() > 0x7FFFFFFF) return std::nullopt;
        return static_cast<uint32_t>(v->get<int64_t>());
    }
    std::optional<bool> flag(const char* key) const {
        const Json* v = find(key);
        if (!v || !v->is_boolean()) return std::nullopt;
        return v->get<bool>();
    }
    std::vector<std::string_view> strings(const char* key) const {
        const char* const* values = nullptr;
        const uint64_t* sizes = nullptr;
        const uint64_t n = checkpoint_->get_strings(checkpoint_, key, &values, &sizes);
        std::vector<std::string_view> out;
        for (uint64_t i = 0; i < n; ++i) out.emplace_back(values[i], static_cast<size_t>(sizes[i]));
        if (out.empty())
            if (const Json* v = find(key); v && v->is_array())
                for (const Json& item : *v)
                    if (item.is_string()) out.emplace_back(item.get_ref<const std::string&>());
        return out;
    }
    std::vector<float> floats(const char* key) const {
        const float* values = nullptr;
        const uint64_t n = checkpoint_->get_floats(checkpoint_, key, &values);
        if (n) return {values, values + n};
        return from_config<float>(key);
    }
    template <class T>
    std::vector<T> ints(const char* key) const {
        const int64_t* values = nullptr;
        const uint64_t n = checkpoint_->get_ints(checkpoint_, key, &values);
        std::vector<T> out;
        out.reserve(n);
        for (uint64_t i = 0; i < n; ++i) out.push_back(static_cast<T>(values[i]));
        return n ? out : from_config<T>(key);
    }

  private:
    template <class T>
    std::vector<T> from_config(const char* key) const {
        std::vector<T> out;
        if (const Json* v = find(key); v && v->is_array())
            for (const Json& item : *v)
                if (item.is_number()) out.push_back(static_cast<T>(item.get<double>()));
        return out;
    }
    const orr_checkpoint* checkpoint_;
    Json config_;
};

orr_status open(const orr_files* files, const orr_checkpoint* checkpoint, orr_tokenizer** tokenizer) {
    return guarded(files->host, [&] {
        const Metadata m(checkpoint);
        GgufVocab v;
        v.model = m.text(kModel);
        v.pre = m.text("tokenizer.ggml.pre");
        v.model_name = m.text("general.name");
        v.architecture = m.text("general.architecture");
        v.tokens = m.strings("tokenizer.ggml.tokens");
        v.merges = m.strings("tokenizer.ggml.merges");
        const std::vector<float> scores = m.floats("tokenizer.ggml.scores");
        const std::vector<int32_t> types = m.ints<int32_t>("tokenizer.ggml.token_type");
        const std::vector<char> charsmap = m.ints<char>("tokenizer.ggml.precompiled_charsmap");
        v.scores = scores;
        v.token_types = types;
        v.precompiled_charsmap = {charsmap.data(), charsmap.size()};
        v.bos = m.id("tokenizer.ggml.bos_token_id");
        v.eos = m.id("tokenizer.ggml.eos_token_id");
        v.eot = m.id("tokenizer.ggml.eot_token_id");
        v.eom = m.id("tokenizer.ggml.eom_token_id");
        v.unk = m.id("tokenizer.ggml.unknown_token_id");
        v.sep = m.id("tokenizer.ggml.seperator_token_id");  // spelt so in the format
        v.pad = m.id("tokenizer.ggml.padding_token_id");
        v.cls = m.id("tokenizer.ggml.cls_token_id");
        v.mask = m.id("tokenizer.ggml.mask_token_id");
        v.add_bos = m.flag("tokenizer.ggml.add_bos_token");
        v.add_eos = m.flag("tokenizer.ggml.add_eos_token");
        v.add_sep = m.flag("tokenizer.ggml.add_sep_token");
        v.add_space_prefix = m.flag("tokenizer.ggml.add_space_prefix");
        v.remove_extra_whitespaces = m.flag("tokenizer.ggml.remove_extra_whitespaces");
        v.lowercase = m.flag("tokenizer.ggml.normalizer.lowercase");
        v.strip_accents = m.flag("tokenizer.ggml.normalizer.strip_accents");
        v.chat_template = m.text("tokenizer.chat_template");
        v.vocab_size = m.id((v.architecture + ".vocab_size").c_str()).value_or(0);
        const Json info{{"kind", "gguf"}, {"model", v.model}, {"pre_tokenizer", v.pre}};
        *tokenizer = make_table(files->host, Tokenizer::from_gguf(v), info.dump());
    });
}

}  // namespace

const orr_tokenizer_kind* orr_tokenizer_gguf() {
    static const orr_tokenizer_kind kind = {ORR_HEADER(orr_tokenizer_kind), "orr.tokenizer.gguf/1", probe, open};
    return &kind;
}
