#include "common/tokenizer_table.hpp"

#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>

namespace orrery::text {
namespace {

using Json = nlohmann::ordered_json;

struct Table : orr_tokenizer {
    std::unique_ptr<Tokenizer> tokenizer;
    std::string info;
    std::vector<int32_t> eog_ids;
    // The templates, compiled when first asked for.
    std::mutex mutex;
    std::unique_ptr<ChatTemplate> chat_template, tool_template;
};

struct Stream {
    const orr_host* host;
    StreamDecoder decoder;
};

const Table& self(const orr_tokenizer* t) { return *static_cast<const Table*>(t); }

orr_status encode(const orr_tokenizer* t, const char* text, uint64_t size, uint32_t flags, orr_emit_ids emit, void* user) {
    return guarded(t->host, [&] {
        const auto ids = self(t).tokenizer->encode({text ? text : "", text ? static_cast<size_t>(size) : 0}, flags & ORR_TOKENIZE_ADD_SPECIAL);
        emit(user, reinterpret_cast<const int32_t*>(ids.data()), ids.size());
    });
}

orr_status decode(const orr_tokenizer* t, const int32_t* ids, uint64_t count, uint32_t flags, orr_emit_text emit, void* user) {
    return guarded(t->host, [&] {
        const std::string text = self(t).tokenizer->decode({reinterpret_cast<const uint32_t*>(ids), static_cast<size_t>(count)}, flags & ORR_DETOKENIZE_SKIP_SPECIAL);
        emit(user, text.data(), text.size());
    });
}

orr_status stream_open(const orr_tokenizer* t, uint32_t flags, void** stream) {
    return guarded(t->host, [&] { *stream = new Stream{t->host, StreamDecoder(*self(t).tokenizer, flags & ORR_DETOKENIZE_SKIP_SPECIAL)}; });
}

orr_status stream_put(void* stream, int32_t id, orr_emit_text emit, void* user) {
    auto& s = *static_cast<Stream*>(stream);
    return guarded(s.host, [&] {
        const std::string text = s.decoder.push(static_cast<uint32_t>(id));
        if (!text.empty()) emit(user, text.data(), text.size());
    });
}

orr_status stream_finish(void* stream, orr_emit_text emit, void* user) {
    auto& s = *static_cast<Stream*>(stream);
    return guarded(s.host, [&] {
        const std::string text = s.decoder.finish();
        if (!text.empty()) emit(user, text.data(), text.size());
    });
}

int32_t token_id(const orr_tokenizer* t, const char* text, uint64_t size) {
    int32_t id = -1;
    guarded(t->host, [&] {
        const auto found = self(t).tokenizer->token_to_id({text, static_cast<size_t>(size)});
        if (found) id = static_cast<int32_t>(*found);
    });
    return id;
}

Json parse(const char* text, const char* what) {
    Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) throw Error(ORR_INVALID_ARGUMENT, std::string(what) + " is not JSON");
    return json;
}

// The variables as transformers sets them: options first, so that they cannot replace the messages.
std::string variables(const Tokenizer& tokenizer, const char* messages_json, const char* options_json, bool& has_tools) {
    Json v = options_json && *options_json ? parse(options_json, "options_json") : Json::object();
    if (!v.is_object()) throw Error(ORR_INVALID_ARGUMENT, "options_json is no object");
    Json messages = parse(messages_json ? messages_json : "", "messages_json");
    if (!messages.is_array()) throw Error(ORR_INVALID_ARGUMENT, "messages_json is no list");
    for (Json& message : messages) {
        if (!message.is_object()) throw Error(ORR_INVALID_ARGUMENT, "messages_json has a member that is no object");
        // Templates read an assistant's reasoning under one of these names (transformers: _alias_reasoning_fields).
        for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
            const auto at = message.find(name);
            if (at == message.end() || at->is_null()) continue;
            const Json reasoning = *at;
            message["reasoning_content"] = reasoning;
            if (!message.contains("thinking")) message["thinking"] = reasoning;
            break;
        }
    }
    v["messages"] = std::move(messages);
    if (!v.contains("tools")) v["tools"] = nullptr;
    if (!v.contains("documents")) v["documents"] = nullptr;
    if (!v.contains("add_generation_prompt")) v["add_generation_prompt"] = false;
    if (!v.contains("bos_token")) v["bos_token"] = tokenizer.bos_token();
    if (!v.contains("eos_token")) v["eos_token"] = tokenizer.eos_token();
    has_tools = v["tools"].is_array() && !v["tools"].empty();
    return v.dump();
}

// What fails here but did not when the template was read is up to the messages: none, a role that it does not know, a field that it needs.
std::string render(const ChatTemplate& program, const std::string& values) {
    try {
        return program.render(values);
    } catch (const TextError& e) {
        if (e.kind() != ErrorKind::invalid_data) throw;
        throw Error(ORR_INVALID_ARGUMENT, std::string("the messages do not suit the checkpoint's template: ") + e.what());
    }
}

orr_status chat(const orr_tokenizer* t, const char* messages_json, const char* options_json, orr_emit_text emit, void* user) {
    auto& table = *const_cast<Table*>(static_cast<const Table*>(t));
    const Tokenizer& tokenizer = *table.tokenizer;
    if (tokenizer.chat_template().empty()) return t->host->fail(t->host, ORR_NOT_FOUND, "the checkpoint has no chat template");
    return guarded(t->host, [&] {
        bool has_tools = false;
        const std::string values = variables(tokenizer, messages_json, options_json, has_tools);
        const bool separate = has_tools && &tokenizer.tool_template() != &tokenizer.chat_template();
        const ChatTemplate* program;
        {
            const std::lock_guard lock(table.mutex);
            auto& slot = separate ? table.tool_template : table.chat_template;
            if (!slot) slot = std::make_unique<ChatTemplate>(separate ? tokenizer.tool_template() : tokenizer.chat_template());
            program = slot.get();
        }
        const std::string text = render(*program, values);
        emit(user, text.data(), text.size());
    });
}

int32_t id_or_none(std::optional<uint32_t> id) { return id ? static_cast<int32_t>(*id) : -1; }

}  // namespace

orr_tokenizer* make_table(const orr_host* host, std::unique_ptr<Tokenizer> tokenizer, std::string info_json) {
    auto table = std::make_unique<Table>();
    const SpecialIds& special = tokenizer->special();
    table->header = ORR_HEADER(orr_tokenizer);
    table->host = host;
    table->vocabulary = tokenizer->vocab_size();
    table->bos = id_or_none(special.bos);
    table->eos = id_or_none(special.eos);
    table->pad = id_or_none(special.pad);
    table->unk = id_or_none(special.unk);
    table->eog_ids.assign(special.eog.begin(), special.eog.end());
    table->n_eog = static_cast<uint32_t>(table->eog_ids.size());
    table->eog = table->eog_ids.data();
    table->info = std::move(info_json);
    table->info_json = table->info.c_str();
    table->encode = encode;
    table->decode = decode;
    table->stream_open = stream_open;
    table->stream_put = stream_put;
    table->stream_finish = stream_finish;
    table->stream_close = [](void* stream) { delete static_cast<Stream*>(stream); };
    table->token_id = token_id;
    table->chat = chat;
    table->close = [](orr_tokenizer* t) { delete static_cast<Table*>(t); };
    table->tokenizer = std::move(tokenizer);
    return table.release();
}

std::string read_file(const orr_files* files, const char* name) {
    const int32_t file = files->open(files, name);
    if (file < 0) return {};
    const uint64_t size = files->size(files, file);
    constexpr uint64_t kMost = 1u << 30;
    if (size > kMost) throw Error(ORR_LIMIT, std::string(name) + " has " + std::to_string(size) + " bytes, the limit is " + std::to_string(kMost));
    std::string text(static_cast<size_t>(size), '\0');
    const orr_status status = files->read(files, file, 0, size, text.data());
    if (status != ORR_OK) throw Error(status, std::string("reading ") + name + " failed");
    return text;
}

}  // namespace orrery::text
