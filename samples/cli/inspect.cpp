// orrery inspect: what a model is and how it would run.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "common.hpp"
#include "interrupt.hpp"
#include "steering.hpp"

namespace orrery::cli {
namespace {

const std::vector<std::string> kOfModel = {"summary", "entries", "inputs",  "outputs",   "states", "controls",
                                           "values",  "graph",   "weights", "tokenizer", "config", "ignored"};
const std::vector<std::string> kOfSession = {"plan", "memory", "rewrites", "profile"};  // known once an entry is planned

struct Options {
    std::string model, what = "summary", entry;
    int64_t tokens = 1;
    Steering steering;
};

std::vector<std::string> all_topics() {
    std::vector<std::string> all = kOfModel;
    all.insert(all.end(), kOfSession.begin(), kOfSession.end());
    return all;
}

json describe(const Common& common, const Options& o) {
    const host::Engine engine = make_engine(common);
    const host::Model model = o.what == "tokenizer" ? open_tokenizer(engine, o.model, common) : open_model(engine, o.model, common);
    const char* entry = o.entry.empty() ? nullptr : o.entry.c_str();
    if (std::find(kOfSession.begin(), kOfSession.end(), o.what) == kOfSession.end()) return parse_json(model.describe(o.what, entry));
    orr_session_options options = session_options(common);
    options.profile = o.what == "profile";
    host::Session session = model.session(&options);
    steer(session, model, o.steering, entry);
    const Interrupt interrupt([&] { session.cancel(); });
    session.warm_up(entry, o.tokens);
    json value = parse_json(session.describe(o.what, entry));
    if (o.what == "memory" && value.is_object()) {
        orr_model_options m = host::options<orr_model_options>();
        m.path = o.model.c_str();
        m.device = common.device.c_str();
        const orr_estimate e = engine.estimate(m, common.context);
        value["estimate"] = {{"weight_bytes", e.weight_bytes},
                             {"state_bytes", e.state_bytes},
                             {"workspace_bytes", e.workspace_bytes},
                             {"available_bytes", e.available_bytes},
                             {"fits", e.fits}};
        value["peak_resident_bytes"] = peak_resident_bytes();
    }
    return value;
}

int inspect(const Common& common, const Options& o) {
    const json value = describe(common, o);
    if (common.json) {
        print_json(value);
    } else if (o.what == "graph" && value.is_string()) {
        std::printf("%s\n", value.get_ref<const std::string&>().c_str());
    } else {
        print_human(value);
    }
    return kDone;
}

}  // namespace

void add_inspect(CLI::App& app, Common& common, Action& action) {
    CLI::App* sub = app.add_subcommand("inspect", "Shows what a model is and how it runs.");
    auto o = std::make_shared<Options>();
    sub->add_option("MODEL", o->model, "model folder or file")->required();
    sub->add_option("WHAT", o->what, "what to show")->check(CLI::IsMember(all_topics()));
    sub->add_option("--entry", o->entry, "entry point; the model's default when absent");
    sub->add_option("--tokens", o->tokens, "tokens of the run that plan and memory tell of")->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
    add_steering(*sub, o->steering);
    sub->callback([&common, &action, o] { action = [&common, o] { return inspect(common, *o); }; });
}

}  // namespace orrery::cli
