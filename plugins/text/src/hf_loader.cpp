// A tokeniser from tokenizer.json and the files beside it.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "pipeline.hpp"

namespace orrery::text {
namespace {

Vocab load_vocab(const JsonView& v) {
    const Json& json = v.at("vocab");
    if (!json.is_object()) v.fail(std::string("\"vocab\" is ") + json.type_name() + ", not an object");
    Vocab vocab;
    vocab.reserve(json.size(), json.size() * 8);
    for (const auto& item : json.items()) vocab.set(item.key(), token_id(item.value(), v.where() + " vocab \"" + item.key() + "\""));
    vocab.finish();
    return vocab;
}

std::unique_ptr<Model> load_bpe(const JsonView& v) {
    BpeOptions options;
    options.has_unk = v.has("unk_token");
    options.unk_token = v.text_or("unk_token", "");
    options.prefix = v.text_or("continuing_subword_prefix", "");
    options.suffix = v.text_or("end_of_word_suffix", "");
    options.fuse_unk = v.flag_or("fuse_unk", false);
    options.byte_fallback = v.flag_or("byte_fallback", false);
    options.ignore_merges = v.flag_or("ignore_merges", false);
    const Json& list = v.list("merges");
    std::vector<std::pair<std::string_view, std::string_view>> merges;
    merges.reserve(list.size());
    for (const Json& merge : list) {
        if (merge.is_string()) {
            const std::string_view text = merge.get_ref<const std::string&>();
            if (text.starts_with("#version")) continue;
            const size_t space = text.find(' ');
            if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos)
                v.fail("merge " + std::to_string(merges.size()) + " is \"" + std::string(text) + "\", not two tokens with a space between");
            merges.push_back({text.substr(0, space), text.substr(space + 1)});
        } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
            merges.push_back({merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()});
        } else {
            v.fail("merge " + std::to_string(merges.size()) + " is no pair of strings");
        }
    }
    return make_bpe(load_vocab(v), merges, options);
}

// The number that tokenizers reads where the file says x: its JSON reader (serde_json) takes up to 19 digits as a whole number and scales it by a
// power of ten, which can be off by one in the last place. Scores of equal cuts tie or not by that place.
double as_tokenizers_reads(double x) {
    char text[40];
    const auto end = std::to_chars(text, text + sizeof text, x, std::chars_format::scientific).ptr;
    uint64_t digits = 0;
    int exponent = 0, sign = 1;
    const char* p = text;
    if (*p == '-') sign = -1, ++p;
    for (bool fraction = false; p < end && *p != 'e'; ++p) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        if (*p < '0' || *p > '9') return x;  // inf, nan
        digits = digits * 10 + static_cast<uint64_t>(*p - '0');
        exponent -= fraction;
    }
    int written = 0;
    if (p < end) std::from_chars(p + 1 + (p[1] == '+'), end, written);
    exponent += written;
    if (exponent < -308 || exponent > 308) return x;
    const double power = std::pow(10.0, std::abs(exponent)), value = static_cast<double>(digits);
    return sign * (exponent >= 0 ? value * power : value / power);
}

std::unique_ptr<Model> load_unigram(const JsonView& v) {
    const Json& list = v.list("vocab");
    Vocab vocab;
    vocab.reserve(list.size(), list.size() * 8);
    std::vector<double> scores;
    scores.reserve(list.size());
    double lowest = std::numeric_limits<double>::infinity();
    for (const Json& item : list) {
        if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_number())
            v.fail("vocab " + std::to_string(scores.size()) + " is no pair of a token and its score");
        vocab.set(item[0].get_ref<const std::string&>(), static_cast<uint32_t>(scores.size()));
        scores.push_back(as_tokenizers_reads(item[1].get<double>()));
        lowest = std::min(lowest, scores.back());
    }
    vocab.finish();
    UnigramOptions options;
    options.byte_fallback = v.flag_or("byte_fallback", false);
    options.unk_score = lowest - 10.0;  // SentencePiece's kUnkPenalty
    if (v.has("unk_id")) {
        const uint32_t unk = token_id(v.at("unk_id"), v.where() + " unk_id");
        if (unk >= scores.size()) v.fail("unk_id is " + std::to_string(unk) + ", the vocabulary has " + std::to_string(scores.size()) + " tokens");
        options.unk = unk;
    }
    return make_unigram(std::move(vocab), std::move(scores), options);
}

std::unique_ptr<Model> load_model(const Json& json) {
    const JsonView plain(json, "model");
    std::string type = plain.text_or("type", "");
    if (type.empty()) {  // files from before the types were written
        type = plain.has("merges") ? "BPE" : plain.has("max_input_chars_per_word") ? "WordPiece" : plain.has("unk_token") ? "WordLevel" : "Unigram";
    }
    const JsonView v(json, "model " + type);
    if (type == "BPE") return load_bpe(v);
    if (type == "Unigram") return load_unigram(v);
    if (type == "WordPiece") {
        WordPieceOptions options;
        options.unk_token = v.text("unk_token");
        options.rest_prefix = v.text("continuing_subword_prefix");
        options.max_chars = v.count("max_input_chars_per_word");
        return make_word_piece(load_vocab(v), options);
    }
    if (type == "WordLevel") return make_word_level(load_vocab(v), v.text("unk_token"));
    plain.fail("unknown type \"" + type + "\"", ErrorKind::unsupported);
}

// A JSON file that may be missing: then an empty object.
Json load_side(const std::string& text, const char* what) {
    if (text.empty()) return Json::object();
    Json json = parse_json(text, what);
    if (!json.is_object()) throw TextError(ErrorKind::invalid_data, std::string(what) + ": is " + json.type_name() + ", not an object");
    return json;
}

// A special token's text: a string, or an object with its content.
std::string token_text(const Json& file, const char* key) {
    const auto at = file.find(key);
    if (at == file.end()) return {};
    if (at->is_string()) return at->get<std::string>();
    if (at->is_object()) {
        const auto content = at->find("content");
        if (content != at->end() && content->is_string()) return content->get<std::string>();
    }
    return {};
}

void add_ids(const Json& file, const char* key, uint32_t limit, std::vector<uint32_t>& out) {
    const auto at = file.find(key);
    if (at == file.end()) return;
    const auto add = [&](const Json& id) {
        if (id.is_number_unsigned() && id.get<uint64_t>() < limit) out.push_back(static_cast<uint32_t>(id.get<uint64_t>()));
    };
    if (at->is_array()) {
        for (const Json& id : *at) add(id);
    } else {
        add(*at);
    }
}

void load_chat_template(const Json& config, const std::string& file, Pipeline& p) {
    const auto at = config.find("chat_template");
    if (at != config.end() && at->is_string()) p.chat_template = at->get<std::string>();
    if (at != config.end() && at->is_array()) {
        for (const Json& item : *at) {
            if (!item.is_object()) continue;
            const std::string name = token_text(item, "name"), text = token_text(item, "template");
            if (name == "default" || (p.chat_template.empty() && name != "tool_use")) p.chat_template = text;
            if (name == "tool_use") p.tool_template = text;
        }
    }
    if (!file.empty()) p.chat_template = file;
}

void load_special(const SideFiles& side, Pipeline& p) {
    const Json config = load_side(side.tokenizer_config, "tokenizer_config.json"), map = load_side(side.special_tokens_map, "special_tokens_map.json");
    const Json generation = load_side(side.generation_config, "generation_config.json"), model = load_side(side.config, "config.json");
    const auto text = [&](const char* key) {
        std::string found = token_text(config, key);
        return found.empty() ? token_text(map, key) : found;
    };
    const auto id_of = [&](const std::string& token) -> std::optional<uint32_t> {
        if (token.empty()) return std::nullopt;
        uint32_t id = p.added.find_id(token);
        if (id == kNone) id = p.model->vocab.find(token);
        return id == kNone ? std::nullopt : std::optional(id);
    };
    p.bos_token = text("bos_token");
    p.eos_token = text("eos_token");
    SpecialIds& s = p.special;
    s.bos = id_of(p.bos_token);
    s.eos = id_of(p.eos_token);
    s.unk = id_of(text("unk_token"));
    s.sep = id_of(text("sep_token"));
    s.pad = id_of(text("pad_token"));
    s.cls = id_of(text("cls_token"));
    s.mask = id_of(text("mask_token"));
    if (s.eos) s.eog.push_back(*s.eos);
    std::vector<uint32_t> ids;
    add_ids(generation, "eos_token_id", p.vocab_size, ids);
    if (ids.empty()) add_ids(model, "eos_token_id", p.vocab_size, ids);
    s.eog.insert(s.eog.end(), ids.begin(), ids.end());
    std::sort(s.eog.begin(), s.eog.end());
    s.eog.erase(std::unique(s.eog.begin(), s.eog.end()), s.eog.end());
    const auto default_id = [&](const char* key, std::optional<uint32_t>& into, std::string& token) {
        std::vector<uint32_t> found;
        add_ids(generation, key, p.vocab_size, found);
        if (found.empty()) add_ids(model, key, p.vocab_size, found);
        if (into || found.empty()) return;
        into = found[0];
        if (const AddedTokens::Token* added = p.added.by_id(found[0])) token = added->content;
        else if (const auto plain = p.model->vocab.text(found[0])) token = *plain;
    };
    default_id("bos_token_id", s.bos, p.bos_token);
    default_id("eos_token_id", s.eos, p.eos_token);
    load_chat_template(config, side.chat_template, p);
}

}  // namespace

std::unique_ptr<Pipeline> load_json(std::string_view tokenizer_json, const SideFiles& side) {
    auto p = std::make_unique<Pipeline>();
    const Json json = parse_json(tokenizer_json, "tokenizer.json");
    const JsonView v(json, "tokenizer.json");
    if (v.has("version") && v.text("version") != "1.0") v.fail("version is \"" + v.text("version") + "\", known is \"1.0\"", ErrorKind::unsupported);
    p->model = load_model(v.at("model"));
    if (v.has("normalizer")) p->normalizer = make_normalizer(v.at("normalizer"));
    if (v.has("pre_tokenizer")) p->pre_tokenizer = make_pre_tokenizer(v.at("pre_tokenizer"));
    if (v.has("added_tokens")) p->added.load(v.list("added_tokens"), p->model->vocab, p->normalizer.get());
    if (v.has("post_processor")) load_post_processor(v.at("post_processor"), p->post);
    p->decoder = v.has("decoder") ? make_decoder(v.at("decoder")) : make_join_decoder();
    // Bytes need not pass through GPT-2's alphabet where both sides can do without.
    if (p->pre_tokenizer && p->pre_tokenizer->writes_alphabet() && p->model->accept_bytes()) p->pre_tokenizer->keep_bytes_raw();
    p->vocab_size = std::max(p->model->vocab.limit(), p->added.limit());
    load_special(side, *p);
    const SpecialIds& s = p->special;
    std::vector<uint32_t> alone;
    for (const Template& step : p->post) step.apply(alone, true);
    p->special.add_bos = !alone.empty() && s.bos && alone.front() == *s.bos;
    p->special.add_eos = !alone.empty() && s.eos && alone.back() == *s.eos;
    return p;
}

}  // namespace orrery::text
