// tokenizer.json of Hugging Face, with tokenizer_config.json, special_tokens_map.json, generation_config.json, config.json and
// chat_template.jinja where they stand beside it.
#include "common/tokenizer_table.hpp"
#include "json.hpp"

namespace {

using namespace orrery;
using namespace orrery::text;

bool probe(const orr_files* files, const orr_checkpoint*) { return files->open(files, "tokenizer.json") >= 0; }

// The parts' types, for people.
std::string describe(const std::string& json) {
    const Json file = parse_json(json, "tokenizer.json");
    Json info{{"kind", "hf_json"}};
    for (const char* part : {"model", "normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
        const auto at = file.find(part);
        if (at != file.end() && at->is_object() && at->contains("type")) info[part] = (*at)["type"];
    }
    return info.dump();
}

orr_status open(const orr_files* files, const orr_checkpoint*, orr_tokenizer** tokenizer) {
    return guarded(files->host, [&] {
        const std::string json = read_file(files, "tokenizer.json");
        SideFiles side;
        side.tokenizer_config = read_file(files, "tokenizer_config.json");
        side.special_tokens_map = read_file(files, "special_tokens_map.json");
        side.generation_config = read_file(files, "generation_config.json");
        side.config = read_file(files, "config.json");
        side.chat_template = read_file(files, "chat_template.jinja");
        *tokenizer = make_table(files->host, Tokenizer::from_json(json, side), describe(json));
    });
}

}  // namespace

const orr_tokenizer_kind* orr_tokenizer_hf_json() {
    static const orr_tokenizer_kind kind = {ORR_HEADER(orr_tokenizer_kind), "orr.tokenizer.hf_json/1", probe, open};
    return &kind;
}
