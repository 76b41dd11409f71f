#include "pipeline.hpp"
#include "unicode.hpp"

namespace orrery::text {
namespace {

constexpr size_t kMaxText = 1u << 30;

// A Scratch of the pipeline's, for the length of one call.
class Lease {
  public:
    explicit Lease(const Pipeline& p) : pipeline_(p) {
        const std::lock_guard lock(p.mutex);
        if (!p.idle.empty()) {
            scratch_ = std::move(p.idle.back());
            p.idle.pop_back();
        }
    }
    ~Lease() {
        if (!scratch_) return;
        constexpr size_t kKeep = 1u << 16;  // after a huge word, give its memory back
        if (scratch_->symbols.capacity() > kKeep) scratch_->symbols = {};
        if (scratch_->heap.capacity() > kKeep) scratch_->heap = {};
        if (scratch_->best.capacity() > kKeep) scratch_->best = {};
        if (scratch_->ids.capacity() > kKeep) scratch_->ids = {};
        if (scratch_->starts.capacity() > kKeep) scratch_->starts = {};
        if (scratch_->parts.capacity() > kKeep) scratch_->parts = {};
        try {
            const std::lock_guard lock(pipeline_.mutex);
            if (pipeline_.idle.size() < 16) pipeline_.idle.push_back(std::move(scratch_));
        } catch (...) {  // then it is simply freed
        }
    }
    Scratch& get() {
        if (!scratch_) scratch_ = std::make_unique<Scratch>();
        return *scratch_;
    }

  private:
    const Pipeline& pipeline_;
    std::unique_ptr<Scratch> scratch_;
};

// One stretch of text between added tokens, normalised.
void encode_text(const Pipeline& p, std::string_view text, bool at_origin, Scratch& scratch, std::vector<uint32_t>& out) {
    if (text.empty()) return;
    if (!p.pre_tokenizer) return p.model->tokenize(text, scratch, out);
    Pieces pieces{std::string(text), {{0, text.size(), at_origin}}};
    p.pre_tokenizer->apply(pieces);
    for (const Piece& piece : pieces.list) p.model->tokenize(pieces.view(piece), scratch, out);
}

void encode_hf(const Pipeline& p, std::string_view text, Scratch& scratch, std::vector<uint32_t>& out) {
    std::vector<Section> sections, inner;
    p.added.find_raw(text, sections);
    NormalText normal;
    for (const Section& section : sections) {
        if (section.id != kNone) {
            if (section.end > section.begin) out.push_back(section.id);
            continue;
        }
        if (section.begin == section.end) continue;
        std::string_view part = text.substr(section.begin, section.end - section.begin);
        bool at_origin = section.begin == 0;
        if (p.normalizer) {
            normal.text.assign(part);
            normal.at_origin = at_origin;
            p.normalizer->apply(normal);
            part = normal.text;
            at_origin = normal.at_origin;
        }
        p.added.find_normalized(part, inner);
        for (const Section& s : inner) {
            if (s.id != kNone) out.push_back(s.id);
            else encode_text(p, part.substr(s.begin, s.end - s.begin), at_origin && s.begin == 0, scratch, out);
        }
    }
}

void encode_gguf(const Pipeline& p, std::string_view text, Scratch& scratch, std::vector<uint32_t>& out) {
    std::vector<Section> sections;
    p.partition.find(text, sections);
    bool after_special = true;
    NormalText normal;
    for (const Section& section : sections) {
        if (section.id != kNone) {
            out.push_back(section.id);
            after_special = true;
            continue;
        }
        normal.text.clear();
        if (p.space_prefix && after_special) normal.text = p.escape_spaces ? "\xE2\x96\x81" : " ";
        after_special = false;
        const std::string_view part = text.substr(section.begin, section.end - section.begin);
        if (p.escape_spaces) {
            for (char c : part) {
                if (c == ' ') normal.text += "\xE2\x96\x81";
                else normal.text += c;
            }
        } else {
            normal.text.append(part);
        }
        normal.at_origin = section.begin == 0;
        if (p.normalizer) p.normalizer->apply(normal);
        encode_text(p, normal.text, normal.at_origin, scratch, out);
    }
}

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Pipeline> pipeline) : pipeline_(std::move(pipeline)) {}
Tokenizer::~Tokenizer() = default;

std::unique_ptr<Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json, const SideFiles& side) {
    return std::unique_ptr<Tokenizer>(new Tokenizer(load_json(tokenizer_json, side)));
}

std::unique_ptr<Tokenizer> Tokenizer::from_gguf(const GgufVocab& vocab) { return std::unique_ptr<Tokenizer>(new Tokenizer(load_gguf(vocab))); }

std::vector<uint32_t> Tokenizer::encode(std::string_view text, bool add_special) const {
    const Pipeline& p = *pipeline_;
    if (!p.model) throw TextError(ErrorKind::unsupported, "tokenizer.ggml.model is \"none\": this model has no vocabulary to encode text with");
    if (text.size() > kMaxText) throw TextError(ErrorKind::limit, "a text of " + std::to_string(text.size()) + " bytes, the limit is " + std::to_string(kMaxText));
    std::string valid;
    if (!utf8_valid(text)) {
        valid = utf8_lossy(text);
        text = valid;
    }
    std::vector<uint32_t> out;
    out.reserve(text.size() / 4 + 8);
    Lease lease(p);
    if (p.gguf) encode_gguf(p, text, lease.get(), out);
    else encode_hf(p, text, lease.get(), out);
    for (const Template& step : p.post) step.apply(out, add_special);
    return out;
}

std::string Tokenizer::decode(std::span<const uint32_t> ids, bool skip_special) const {
    StreamDecoder stream(*this, skip_special);
    std::string out;
    for (uint32_t id : ids) out += stream.push(id);
    return out + stream.finish();
}

std::optional<uint32_t> Tokenizer::token_to_id(std::string_view token) const {
    uint32_t id = pipeline_->added.find_id(token);
    if (id == kNone && pipeline_->model) id = pipeline_->model->vocab.find(token);
    if (id == kNone) return std::nullopt;
    return id;
}

std::optional<std::string> Tokenizer::id_to_token(uint32_t id) const {
    if (const AddedTokens::Token* token = pipeline_->added.by_id(id)) return token->content;
    if (!pipeline_->model) return std::nullopt;
    if (const auto text = pipeline_->model->vocab.text(id)) return std::string(*text);
    return std::nullopt;
}

bool Tokenizer::is_special(uint32_t id) const {
    const Pipeline& p = *pipeline_;
    if (p.gguf) return id < p.special_ids.size() && p.special_ids[id];
    const std::string* shown = p.added.shown(id);
    if (shown) return p.added.is_special_text(*shown);
    const auto text = p.model->vocab.text(id);
    return text && p.added.is_special_text(*text);
}

uint32_t Tokenizer::vocab_size() const { return pipeline_->vocab_size; }
const SpecialIds& Tokenizer::special() const { return pipeline_->special; }
const std::string& Tokenizer::chat_template() const { return pipeline_->chat_template; }
const std::string& Tokenizer::tool_template() const { return pipeline_->tool_template.empty() ? pipeline_->chat_template : pipeline_->tool_template; }
const std::string& Tokenizer::bos_token() const { return pipeline_->bos_token; }
const std::string& Tokenizer::eos_token() const { return pipeline_->eos_token; }

struct StreamDecoder::State {
    const Pipeline& p;
    const Tokenizer& tokenizer;
    bool skip_special;
    std::unique_ptr<DecodeChain> chain;
    std::string bytes;          // of a character not yet whole
    bool at_start = true;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : state_(new State{*tokenizer.pipeline_, tokenizer, skip_special, nullptr, {}, true}) {
    if (!state_->p.gguf) state_->chain = std::make_unique<DecodeChain>(*state_->p.decoder);
}
StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;

std::string StreamDecoder::push(uint32_t id) {
    State& s = *state_;
    if (s.skip_special && s.tokenizer.is_special(id)) return {};
    if (s.chain) {
        if (const std::string* shown = s.p.added.shown(id)) s.chain->push(*shown);
        else if (const auto text = s.p.model->vocab.text(id)) s.chain->push(*text);
        return s.chain->take();
    }
    if (id >= s.p.pieces.size()) return {};
    std::string_view piece = s.p.pieces[id];
    if (s.p.strip_space && s.at_start && piece.starts_with(' ')) piece.remove_prefix(1);
    if (!s.p.special_ids[id]) s.at_start = false;
    s.bytes.append(piece);
    std::string out;
    utf8_drain(s.bytes, out);
    return out;
}

std::string StreamDecoder::finish() {
    State& s = *state_;
    s.at_start = true;
    if (s.chain) {
        s.chain->finish();
        return s.chain->take();
    }
    if (s.bytes.empty()) return {};
    s.bytes.clear();
    return "\xEF\xBF\xBD";
}

}  // namespace orrery::text
