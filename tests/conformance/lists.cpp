#include "lists.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace orrery::conformance {

bool matches(const std::string& pattern, const std::string& text) {
    // The last star is where a mismatch goes back to.
    size_t p = 0, t = 0, star = std::string::npos, from = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.size() && pattern[p] == text[t]) {
            p++, t++;
        } else if (star != std::string::npos) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') p++;
    return p == pattern.size();
}

bool selects(const Entry& e, const Failure& f, const std::string& device) {
    if (e.op != f.op) return false;
    if (!e.device.empty() && device.substr(0, device.find(':')) != e.device) return false;
    return matches(e.select, f.check + ": " + f.where + ": " + f.what);
}

std::vector<Entry> read_lists(const std::filesystem::path& cases) {
    std::vector<Entry> out;
    for (const bool temporary : {false, true}) {
        auto file = cases;
        file.replace_extension(temporary ? ".expected_failures" : ".unsupported");
        std::ifstream in(file);
        if (!in) continue;
        std::string line;
        for (int number = 1; std::getline(in, line); number++) {
            if (line.empty() || line[0] == '#') continue;
            try {
                const auto v = nlohmann::json::parse(line);
                for (const auto& [key, value] : v.items())
                    if (key != "op" && key != "select" && key != "device" && key != "reason") throw std::runtime_error("unknown key \"" + key + "\"");
                out.push_back({file, number, temporary, v.at("op").get<std::string>(), v.at("select").get<std::string>(), v.value("device", std::string()),
                               v.at("reason").get<std::string>()});
                if (out.back().reason.find_first_not_of(" \t\r\n") == std::string::npos) throw std::runtime_error("the reason is empty");
            } catch (const std::exception& e) {
                throw std::runtime_error(file.string() + ":" + std::to_string(number) + ": " + e.what());
            }
        }
    }
    return out;
}

}  // namespace orrery::conformance
