#include "added_tokens.hpp"

#include <algorithm>

#include "unicode.hpp"

namespace orrery::text {
namespace {

bool ends_with_word(std::string_view s) {
    const char* p = s.data() + s.size() - 1;
    while ((static_cast<unsigned char>(*p) & 0xC0) == 0x80) --p;
    return is_word(utf8_next(p));
}

bool starts_with_word(std::string_view s) {
    const char* p = s.data();
    return is_word(utf8_next(p));
}

size_t space_at_end(std::string_view s) {  // where the white space at its end starts
    size_t end = s.size();
    while (end > 0) {
        size_t at = end - 1;
        while ((static_cast<unsigned char>(s[at]) & 0xC0) == 0x80) --at;
        const char* p = s.data() + at;
        if (!is_white_space(utf8_next(p))) break;
        end = at;
    }
    return end;
}

size_t space_at_start(std::string_view s) {
    const char *p = s.data(), *end = p + s.size(), *done = p;
    while (p < end && is_white_space(utf8_next(p))) done = p;
    return static_cast<size_t>(done - s.data());
}

}  // namespace

void AddedTokens::load(const Json& list, const Vocab& vocab, const Normalizer* normalizer) {
    auto next = static_cast<uint32_t>(vocab.ids());
    std::vector<Trie::Key> raw, normalized;
    for (const Json& item : list) {
        const JsonView v(item, "added_tokens");
        Token token;
        token.content = v.text("content");
        if (token.content.empty()) continue;
        token.special = v.flag("special");
        token.normalized = v.flag("normalized");
        token.single_word = v.flag("single_word");
        token.lstrip = v.flag("lstrip");
        token.rstrip = v.flag("rstrip");
        token.id = ids_.find(token.content);
        if (token.id == kNone) token.id = vocab.find(token.content);
        if (token.id == kNone) token.id = next++;
        ids_.set(token.content, token.id);
        if (token.special) special_.set(token.content, token.id);
        limit_ = std::max(limit_, token.id + 1);
        const auto [at, is_new] = by_id_.emplace(token.id, static_cast<uint32_t>(tokens_.size()));
        if (is_new) tokens_.push_back(std::move(token));
        else tokens_[at->second] = std::move(token);
    }
    forms_.resize(tokens_.size());
    for (size_t i = 0; i < tokens_.size(); ++i) {
        const Token& token = tokens_[i];
        forms_[i] = token.content;
        if (token.normalized && normalizer) {
            NormalText t{token.content, true};
            normalizer->apply(t);
            forms_[i] = std::move(t.text);
        }
        (token.normalized ? normalized : raw).push_back({forms_[i], token.id});
    }
    raw_.build(std::move(raw));
    normalized_.build(std::move(normalized));
}

const AddedTokens::Token* AddedTokens::by_id(uint32_t id) const {
    const auto at = by_id_.find(id);
    return at == by_id_.end() ? nullptr : &tokens_[at->second];
}

const std::string* AddedTokens::shown(uint32_t id) const {
    const auto at = by_id_.find(id);
    return at == by_id_.end() ? nullptr : &forms_[at->second];
}

void AddedTokens::find(const Trie& trie, std::string_view text, std::vector<Section>& out) const {
    out.clear();
    size_t done = 0;
    for (size_t at = 0; !trie.empty() && at < text.size();) {
        if (!trie.starts(static_cast<unsigned char>(text[at]))) {
            ++at;
            continue;
        }
        uint32_t node = trie.root(), id = kNone;
        size_t stop = at;
        for (size_t end = at; end < text.size();) {
            node = trie.child(node, static_cast<unsigned char>(text[end]));
            if (node == kNone) break;
            ++end;
            if (trie.value(node) != kNone) {
                id = trie.value(node);
                stop = end;
            }
        }
        if (id == kNone) {
            ++at;
            continue;
        }
        size_t begin = at;
        at = stop;
        const Token& token = *by_id(id);
        if (token.single_word && ((begin > 0 && ends_with_word(text.substr(0, begin))) || (stop < text.size() && starts_with_word(text.substr(stop))))) continue;
        if (token.lstrip) begin = std::max(space_at_end(text.substr(0, begin)), done);
        if (token.rstrip) stop += space_at_start(text.substr(stop));
        if (begin >= stop) continue;  // the token before it has stretched over all of it
        if (done < begin) out.push_back({done, begin, kNone});
        out.push_back({begin, stop, id});
        done = stop;
    }
    if (done != text.size()) out.push_back({done, text.size(), kNone});
}

void SpecialPartition::build(const std::vector<Token>& tokens) {
    std::vector<Trie::Key> keys;
    for (const Token& token : tokens) {
        if (token.text.empty()) continue;
        keys.push_back({token.text, token.id});
        lengths_.push_back(static_cast<uint32_t>(token.text.size()));
        if (token.lstrip || token.rstrip) strips_[token.id] = static_cast<uint8_t>((token.lstrip ? 1 : 0) | (token.rstrip ? 2 : 0));
    }
    std::sort(lengths_.begin(), lengths_.end(), std::greater<>());
    lengths_.erase(std::unique(lengths_.begin(), lengths_.end()), lengths_.end());
    trie_.build(std::move(keys));
}

// The token of exactly this length at `at`, or kNone.
uint32_t SpecialPartition::match(std::string_view text, size_t at, size_t end, size_t length) const {
    if (end - at < length) return kNone;
    uint32_t node = trie_.root();
    for (size_t i = 0; i < length; ++i) {
        node = trie_.child(node, static_cast<unsigned char>(text[at + i]));
        if (node == kNone) return kNone;
    }
    return trie_.value(node);
}

namespace {
// Neighbouring stretches of text are one.
void add_text(std::vector<Section>& out, size_t begin, size_t end) {
    if (!out.empty() && out.back().id == kNone && out.back().end == begin) out.back().end = end;
    else out.push_back({begin, end, kNone});
}
}  // namespace

// Clusters of matches that touch are settled one by one, so that a text without special tokens costs one pass.
void SpecialPartition::find(std::string_view text, std::vector<Section>& out) const {
    out.clear();
    size_t done = 0, cluster = 0, cluster_end = 0;
    const auto settle = [&] {
        if (cluster_end == 0) return;
        if (done < cluster) add_text(out, done, cluster);
        resolve(text, cluster, cluster_end, out);
        done = cluster_end;
        cluster_end = 0;
    };
    for (size_t at = 0; !trie_.empty() && at < text.size(); ++at) {
        if (!trie_.starts(static_cast<unsigned char>(text[at]))) continue;
        if (cluster_end != 0 && at >= cluster_end) settle();
        uint32_t node = trie_.root();
        for (size_t end = at; end < text.size();) {
            node = trie_.child(node, static_cast<unsigned char>(text[end]));
            if (node == kNone) break;
            ++end;
            if (trie_.value(node) == kNone) continue;
            if (cluster_end == 0) cluster = at;
            cluster_end = std::max(cluster_end, end);
        }
    }
    settle();
    if (done < text.size()) add_text(out, done, text.size());
    if (strips_.empty()) return;
    // Tokens that take the white space beside them with them.
    for (size_t i = 0; i < out.size(); ++i) {
        const auto at = out[i].id == kNone ? strips_.end() : strips_.find(out[i].id);
        if (at == strips_.end()) continue;
        const auto space = [&](size_t k) { return ascii_is_space(text[k]); };
        if ((at->second & 1) && i > 0 && out[i - 1].id == kNone)
            while (out[i - 1].end > out[i - 1].begin && space(out[i - 1].end - 1)) --out[i - 1].end;
        if ((at->second & 2) && i + 1 < out.size() && out[i + 1].id == kNone)
            while (out[i + 1].begin < out[i + 1].end && space(out[i + 1].begin)) ++out[i + 1].begin;
    }
    std::erase_if(out, [](const Section& s) { return s.id == kNone && s.begin == s.end; });
}

void SpecialPartition::resolve(std::string_view text, size_t begin, size_t end, std::vector<Section>& out) const {
    std::vector<Section> now{{begin, end, kNone}}, next;
    for (const uint32_t length : lengths_) {
        if (length > end - begin) continue;
        next.clear();
        bool changed = false;
        for (const Section& part : now) {
            size_t from = part.begin;
            for (size_t at = from; part.id == kNone && at + length <= part.end;) {
                const uint32_t id = match(text, at, part.end, length);
                if (id == kNone) {
                    ++at;
                    continue;
                }
                if (from < at) next.push_back({from, at, kNone});
                next.push_back({at, at + length, id});
                at = from = at + length;
                changed = true;
            }
            if (part.id != kNone) next.push_back(part);
            else if (from < part.end) next.push_back({from, part.end, kNone});
        }
        if (changed) now.swap(next);
    }
    for (const Section& part : now) {
        if (part.id == kNone) add_text(out, part.begin, part.end);
        else out.push_back(part);
    }
}

}  // namespace orrery::text
