// The semantics are those of Hugging Face tokenizers 0.23 (tokenizers/src/processors/).
#include "post_processor.hpp"

#include <algorithm>

namespace orrery::text {

void Template::apply(std::vector<uint32_t>& ids, bool add_special) const {
    const auto texts = std::count_if(parts.begin(), parts.end(), [](const Part& part) { return part.sequence; });
    if (!add_special && texts == 1) return;
    std::vector<uint32_t> out;
    for (const Part& part : parts) {
        if (part.sequence) out.insert(out.end(), ids.begin(), ids.end());
        else if (add_special) out.insert(out.end(), part.ids.begin(), part.ids.end());
    }
    ids.swap(out);
}

Template wrap(std::vector<uint32_t> before, std::vector<uint32_t> after) {
    return {{{false, std::move(before)}, {true, {}}, {false, std::move(after)}}};
}

namespace {

uint32_t pair_id(const JsonView& v, const char* key) {
    const Json& pair = v.list(key);
    if (pair.size() != 2) v.fail(std::string("\"") + key + "\" has " + std::to_string(pair.size()) + " members, not a token and its id");
    return token_id(pair[1], v.where() + " " + key);
}

Template load_template(const JsonView& v) {
    Template out;
    const Json& pieces = v.list("single");
    const Json none = Json::object();
    const JsonView tokens(v.has("special_tokens") ? v.at("special_tokens") : none, v.where() + " special_tokens");
    for (const Json& piece : pieces) {
        const JsonView p(piece, v.where() + " single");
        if (p.has("Sequence")) {
            const std::string id = JsonView(p.at("Sequence"), p.where()).text("id");
            if (id != "A") p.fail("uses the sequence \"" + id + "\" where only A is");
            out.parts.push_back({true, {}});
            continue;
        }
        const std::string name = JsonView(p.at("SpecialToken"), p.where()).text("id");
        const JsonView token(tokens.at(name.c_str()), tokens.where() + " " + name);
        std::vector<uint32_t> ids;
        for (const Json& id : token.list("ids")) ids.push_back(token_id(id, token.where()));
        out.parts.push_back({false, std::move(ids)});
    }
    const auto texts = std::count_if(out.parts.begin(), out.parts.end(), [](const Template::Part& part) { return part.sequence; });
    if (texts > 16) v.fail("\"single\" repeats the text " + std::to_string(texts) + " times", ErrorKind::limit);
    return out;
}

}  // namespace

void load_post_processor(const Json& json, std::vector<Template>& out, int depth) {
    const JsonView plain(json, "post_processor");
    const std::string type = plain.type();
    const JsonView v(json, "post_processor " + type);
    if (depth > kMaxComponentDepth || out.size() > 16) v.fail("nested or repeated too often", ErrorKind::limit);
    if (type == "Sequence") {
        for (const Json& part : v.list("processors")) load_post_processor(part, out, depth + 1);
    } else if (type == "TemplateProcessing") {
        out.push_back(load_template(v));
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
        out.push_back(wrap({pair_id(v, "cls")}, {pair_id(v, "sep")}));
    } else if (type != "ByteLevel") {  // ByteLevel moves offsets alone
        plain.fail("unknown type \"" + type + "\"", ErrorKind::unsupported);
    }
}

}  // namespace orrery::text
