// orrery embed: vectors of texts.
#include <memory>

#include "common.hpp"
#include "interrupt.hpp"

namespace orrery::cli {
namespace {

struct Options {
    std::string model;
    std::vector<std::string> positional, texts;
};

int embed(const Common& common, const Options& o) {
    std::vector<std::string> texts = o.positional;
    texts.insert(texts.end(), o.texts.begin(), o.texts.end());
    if (texts.empty()) throw UsageError("embed takes at least one text, as an argument or with --text");
    const host::Engine engine = make_engine(common);
    const host::Model model = open_model(engine, o.model, common);
    const orr_session_options options = session_options(common);
    const host::Session session = model.session(&options);
    host::Task task = model.task("embedding", &session);
    const json request = texts.size() == 1 ? json{{"text", texts[0]}} : json{{"texts", texts}};
    json result;
    {
        const Interrupt interrupt([&] { task.cancel(); });
        result = parse_json(task.run(request.dump(-1, ' ', false, json::error_handler_t::replace)));
    }
    if (common.json)
        print_json(result);
    else
        print_human(result.contains("vector") ? result["vector"] : result["vectors"]);
    return kDone;
}

}  // namespace

void add_embed(CLI::App& app, Common& common, Action& action) {
    CLI::App* sub = app.add_subcommand("embed", "Prints the vector of each text: orrery embed MODEL TEXT...");
    auto o = std::make_shared<Options>();
    sub->add_option("MODEL", o->model, "model folder or file")->required();
    sub->allow_extras();  // the texts; as an option CLI11 would split "[a,b]"
    sub->add_option("-t,--text", o->texts, "a text; may be given several times")->allow_extra_args(false);
    sub->callback([&common, &action, o, sub] {
        for (const std::string& text : sub->remaining()) {
            if (text.size() > 1 && text[0] == '-') throw UsageError("embed has no option " + text + "; a text that begins so is given with --text=TEXT");
            o->positional.push_back(text);
        }
        action = [&common, o] { return embed(common, *o); };
    });
}

}  // namespace orrery::cli
