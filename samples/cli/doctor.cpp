// orrery doctor: whether this installation can work, and on what machine it stands.
#include <memory>
#include <set>

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

// "orr.core, orr.text": the ids of those that `which` picks.
template <class Which>
std::string listed(const json& items, Which&& which) {
    std::string text;
    for (const json& item : items)
        if (which(item)) text += (text.empty() ? "" : ", ") + item["id"].get<std::string>();
    return text;
}

std::string joined(const json& texts) {
    std::string text;
    for (const json& t : texts) text += (text.empty() ? "" : "; ") + (t.is_string() ? t.get<std::string>() : t.dump());
    return text;
}

// Whether the operators that models name are all there.
Check operators_of_models(const json& models, const json& operators) {
    std::set<std::string> known, missing;
    for (const json& op : operators) known.insert(op["id"].get<std::string>());
    const std::string unable = listed(models, [&](const json& model) {
        bool lacks = false;
        for (const json& op : model["operators"])
            if (!known.count(op.get<std::string>())) {
                missing.insert(op.get<std::string>());
                lacks = true;
            }
        return lacks;
    });
    std::string text;
    for (const std::string& op : missing) text += (text.empty() ? "" : ", ") + op;
    return {"operators of models", missing.empty(), missing.empty() ? "all found" : "none of the plugins has " + text + "; without them these models cannot run: " + unable};
}

// What self-tests found on a device, and what is left alone for its driver's sake. What is out of use is slower, not wrong.
Check device_check(const json& device) {
    const std::string id = device["id"].get<std::string>();
    if (device.contains("problem")) return {id, true, "not used: " + device["problem"].get<std::string>()};
    std::string text = device["name"].get<std::string>();
    const json quirks = device.value("quirks", json::array()), tests = device.value("self_test", json::object());
    for (const json& q : quirks) text += "; left out" + (q.contains("features") ? " " + q["features"].get<std::string>() : " shaders " + q["shaders"].get<std::string>()) + ", since " + q["reason"].get<std::string>() + " (" + q["source"].get<std::string>() + ")";
    if (!tests.value("enabled", false)) return {id, true, text + "; no self-tests are made"};
    if (tests["pipelines"] == 0 && tests["out_of_use"].empty()) return {id, true, text + "; not tested yet: that comes with the first model on it"};
    text += "; " + std::to_string(tests["pipelines"].get<size_t>()) + " pipelines passed their self-tests (" + std::to_string(tests["milliseconds"].get<size_t>()) + " ms in all, building them apart; the last " + tests["tested"].get<std::string>() + ")";
    for (const json& s : tests["out_of_use"]) text += "; out of use: shader " + s["shader"].get<std::string>() + ", which " + s["reason"].get<std::string>();
    return {id, true, text};
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
        capabilities["devices"] = parse_json(engine.describe("devices"));
        for (const json& device : capabilities["devices"])
            if (device["id"] != "cpu") checks.push_back(device_check(device));
        for (const char* kind : {"plugins", "formats", "models", "types", "tokenizers", "tasks"}) {
            const size_t n = count_of(parse_json(engine.describe(kind)));
            checks.push_back({kind, n > 0, std::to_string(n) + " found" + (n ? "" : "; name their folder with --plugins")});
        }
        const json operators = parse_json(engine.describe("operators"));  // loads every plugin
        const std::string failed = listed(parse_json(engine.describe("plugins")), [](const json& p) { return !p["loaded"].get<bool>(); });
        checks.push_back({"operators", count_of(operators) > 0 && failed.empty(),
                          std::to_string(count_of(operators)) + " found, " + (failed.empty() ? "every plugin loads" : "these plugins do not load: " + failed)});
        checks.push_back(operators_of_models(parse_json(engine.describe("models")), operators));
        const json conflicts = parse_json(engine.describe("conflicts"));
        checks.push_back({"conflicts", count_of(conflicts) == 0, count_of(conflicts) ? joined(conflicts) : "none"});
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
