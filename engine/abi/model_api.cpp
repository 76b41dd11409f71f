#include <algorithm>
#include <cstring>

#include "engine/abi/handles.hpp"
#include "engine/platform/files.hpp"
#include "engine/registry/json_text.hpp"
#include "engine/registry/error_text.hpp"
#include "engine/run/estimate.hpp"
#include "engine/run/options.hpp"

using namespace orrery;

namespace {

orr_model_options model_options(const orr_model_options* options) {
    require(options, "options");
    return copy_options(options, "orr_model_options");
}

void append_ids(void* user, const int32_t* ids, uint64_t count) { static_cast<std::vector<int32_t>*>(user)->insert(static_cast<std::vector<int32_t>*>(user)->end(), ids, ids + count); }
void append_text(void* user, const char* text, uint64_t size) { static_cast<std::string*>(user)->append(text, size); }

}  // namespace

extern "C" {

orr_status orr_model_open(orr_engine* engine, const orr_model_options* options, orr_model** model) {
    return boundary([&] {
        require(engine, "engine");
        require(model, "model");
        *model = new orr_model{std::make_shared<Model>(engine->engine, model_options(options), Purpose::run)};
    });
}

void orr_model_release(orr_model* model) { delete model; }

orr_status orr_model_describe(orr_model* model, const char* what, const char* entry, orr_text** json) {
    return boundary([&] {
        require(model, "model");
        require(what, "what");
        require(json, "json");
        *json = make_text(json_text(model->model->describe(what, entry)));
    });
}

orr_status orr_model_estimate(orr_engine* engine, const orr_model_options* options, int64_t context, orr_estimate* estimate) {
    return boundary([&] {
        require(engine, "engine");
        require(estimate, "estimate");
        const size_t size = estimate->header.struct_size ? whole_members<orr_estimate>(estimate->header.struct_size, "orr_estimate") : sizeof *estimate;
        const auto model = std::make_shared<Model>(engine->engine, model_options(options), Purpose::measure);
        const int64_t most = model->info().context_length;
        if (context < 0 || (most > 0 && context > most)) throw Error(ORR_LIMIT, "context " + std::to_string(context) + "; the model's is " + std::to_string(most));
        const Need need = estimate_need(*model, context ? context : most > 0 ? most : kDefaultContext);
        orr_estimate e{};
        e.header = ORR_HEADER(orr_estimate);
        const Memory& memory = *engine->engine->memory();
        const bool budget = memory.budget_bytes() != 0;
        // Weights that are used in the mapped file take memory, but none of a budget.
        e.weight_bytes = need.weight_bytes - (budget ? need.mapped_bytes : 0);
        e.state_bytes = need.state_bytes;
        e.workspace_bytes = need.workspace_bytes;
        e.available_bytes = budget ? memory.budget_bytes() - std::min(memory.budget_bytes(), memory.used_bytes()) : platform::available_memory_bytes();
        e.fits = e.weight_bytes + e.state_bytes + e.workspace_bytes <= e.available_bytes;
        std::memcpy(estimate, &e, size);
    });
}

orr_status orr_tokenizer_open(orr_engine* engine, const orr_model_options* options, orr_model** model) {
    return boundary([&] {
        require(engine, "engine");
        require(model, "model");
        auto m = std::make_shared<Model>(engine->engine, model_options(options), Purpose::tokenizer);
        m->tokenizer();
        *model = new orr_model{std::move(m)};
    });
}

orr_status orr_tokenize(orr_model* model, const char* text, uint64_t size, uint32_t flags, int32_t* ids, uint64_t capacity, uint64_t* count) {
    return boundary([&] {
        require(model, "model");
        require(count, "count");
        if (size) require(text, "text");
        if (capacity) require(ids, "ids");
        const orr_tokenizer& t = model->model->tokenizer();
        std::vector<int32_t> out;
        call_plugin([&] { return t.encode(&t, text ? text : "", size, flags & ORR_NO_SPECIAL ? 0 : ORR_TOKENIZE_ADD_SPECIAL, append_ids, &out); }, [] { return std::string(); });
        std::copy_n(out.begin(), std::min<uint64_t>(out.size(), capacity), ids);
        *count = out.size();
    });
}

orr_status orr_detokenize(orr_model* model, const int32_t* ids, uint64_t count, uint32_t flags, orr_text** text) {
    return boundary([&] {
        require(model, "model");
        require(text, "text");
        if (count) require(ids, "ids");
        const orr_tokenizer& t = model->model->tokenizer();
        const int64_t tokens = std::max<int64_t>(t.vocabulary, model->model->info().vocabulary);
        for (uint64_t i = 0; i < count; i++)
            if (ids[i] < 0 || ids[i] >= tokens) throw Error(ORR_NOT_FOUND, "token " + std::to_string(ids[i]) + " does not exist; there are " + std::to_string(tokens));
        std::string out;
        call_plugin([&] { return t.decode(&t, ids, count, flags & ORR_SKIP_SPECIAL ? ORR_DETOKENIZE_SKIP_SPECIAL : 0, append_text, &out); }, [] { return std::string(); });
        *text = make_text(std::move(out));
    });
}

orr_status orr_apply_chat_template(orr_model* model, const char* messages_json, const char* options_json, orr_text** text) {
    return boundary([&] {
        require(model, "model");
        require(messages_json, "messages_json");
        require(text, "text");
        const orr_tokenizer& t = model->model->tokenizer();
        std::string out;
        call_plugin([&] { return t.chat(&t, messages_json, options_json, append_text, &out); }, [] { return std::string(); });
        *text = make_text(std::move(out));
    });
}

}  // extern "C"
