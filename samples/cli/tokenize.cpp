// orrery tokenize: the ids of a text. Needs a tokeniser alone, no weights.
#include <cstdio>
#include <memory>

#include "common.hpp"

namespace orrery::cli {
namespace {

struct Options {
    std::string model;
    std::optional<std::string> text, file;
    bool no_special = false;
};

int tokenize(const Common& common, const Options& o) {
    if (o.text.has_value() == o.file.has_value()) throw UsageError("tokenize takes either --text or --file");
    const std::string text = o.text ? *o.text : read_file(*o.file);
    const host::Engine engine = make_engine(common);
    const host::Model model = open_tokenizer(engine, o.model, common);
    const std::vector<int32_t> ids = model.tokenize(text, o.no_special ? ORR_NO_SPECIAL : 0);
    if (common.json) {
        print_json({{"ids", ids}, {"count", ids.size()}});
        return kDone;
    }
    for (const int32_t id : ids)
        std::printf("%d\t%s\n", id, json(model.detokenize({id})).dump(-1, ' ', false, json::error_handler_t::replace).c_str());
    return kDone;
}

}  // namespace

void add_tokenize(CLI::App& app, Common& common, Action& action) {
    CLI::App* sub = app.add_subcommand("tokenize", "Prints the token ids of a text.");
    auto o = std::make_shared<Options>();
    sub->add_option("MODEL", o->model, "a GGUF, a model folder, or a folder with a tokenizer.json")->required();
    sub->add_option("-t,--text", o->text, "the text");
    sub->add_option("-f,--file", o->file, "file with the text; - for stdin");
    sub->add_flag("--no-special", o->no_special, "add no special tokens");
    sub->callback([&common, &action, o] { action = [&common, o] { return tokenize(common, *o); }; });
}

}  // namespace orrery::cli
