// orrery plugins: what is installed, from manifests alone; with a word: the list of that kind.
#include <memory>

#include "common.hpp"

namespace orrery::cli {

void add_plugins(CLI::App& app, Common& common, Action& action) {
    CLI::App* sub = app.add_subcommand("plugins", "Lists plugins, or what they bring.");
    auto what = std::make_shared<std::string>("plugins");
    sub->add_option("WHAT", *what, "plugins, operators, formats, models, types, tokenizers, tasks, taps or conflicts")
        ->check(CLI::IsMember({"plugins", "operators", "formats", "models", "types", "tokenizers", "tasks", "taps", "adapters", "conflicts"}));
    sub->callback([&common, &action, what] {
        action = [&common, what] {
            const json value = parse_json(make_engine(common).describe(*what));
            if (common.json)
                print_json(value);
            else
                print_human(value);
            return static_cast<int>(kDone);
        };
    });
}

}  // namespace orrery::cli
