// orrery doctor: whether this installation can work, and on what machine it stands.
#include <memory>

#include "common.hpp"

namespace orrery::cli {
namespace {

struct Check {
    std::string name;
    bool good;
    std::string text;
};

size_t count_of(const json& value) {
    if (value.is_array()) return value.size();
    if (value.is_object() && value.size() == 1) return count_of(value.begin().value());
    return value.is_object() ? value.size() : 0;
}

int doctor(const Common& common) {
    std::vector<Check> checks;
    json capabilities;
    const uint32_t abi = orr_abi_version();
    checks.push_back({"abi", abi >> 16 == ORR_ABI_MAJOR,
                      "library " + std::to_string(abi >> 16) + "." + std::to_string(abi & 0xffff) + ", command built for " +
                          std::to_string(ORR_ABI_MAJOR) + "." + std::to_string(ORR_ABI_MINOR)});
    try {
        const host::Engine engine = make_engine(common);
        capabilities = parse_json(engine.describe("capabilities"));
        for (const char* kind : {"plugins", "formats", "models", "types", "tasks"}) {
            const size_t n = count_of(parse_json(engine.describe(kind)));
            checks.push_back({kind, n > 0, std::to_string(n) + " found" + (n ? "" : "; name their folder with --plugins")});
        }
        const json operators = parse_json(engine.describe("operators"));  // loads every plugin
        checks.push_back({"operators", count_of(operators) > 0, std::to_string(count_of(operators)) + " found, every plugin loads"});
        const json conflicts = parse_json(engine.describe("conflicts"));
        checks.push_back({"conflicts", count_of(conflicts) == 0, count_of(conflicts) ? conflicts.dump() : "none"});
    } catch (const host::Error& e) {
        checks.push_back({"engine", false, e.what()});
    }
    bool good = true;
    json list = json::array();
    for (const Check& c : checks) {
        good = good && c.good;
        list.push_back({{"check", c.name}, {"good", c.good}, {"text", c.text}});
    }
    const json value = {{"version", orr_version()}, {"licence", orr_licence()}, {"good", good}, {"checks", list}, {"capabilities", capabilities}};
    if (common.json)
        print_json(value);
    else
        print_human(value);
    return good ? kDone : kFailed;
}

}  // namespace

void add_doctor(CLI::App& app, Common& common, Action& action) {
    CLI::App* sub = app.add_subcommand("doctor", "Checks the installation and tells about the machine.");
    sub->callback([&common, &action] { action = [&common] { return doctor(common); }; });
}

}  // namespace orrery::cli
