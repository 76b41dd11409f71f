#include "steering.hpp"

#include <cctype>
#include <charconv>
#include <deque>
#include <filesystem>
#include <map>
#include <regex>
#include <sstream>

#include "safetensors_io.hpp"

namespace orrery::cli {
namespace {

// What an orr_tap borrows from.
struct Held {
    std::string path, kind;
    std::vector<float> operand;
    orr_named_tensor tensor{};
    orr_tap tap{};
};

[[noreturn]] void refuse(const std::string& given, const std::string& why) { throw UsageError("--tap " + given + ": " + why); }

double number(const std::string& given, const std::string& text) {
    size_t used = 0;
    double value = 0;
    try {
        value = std::stod(text, &used);
    } catch (const std::exception&) {
        used = 0;
    }
    if (text.empty() || used != text.size()) refuse(given, "\"" + text + "\" is no number");
    return value;
}

int64_t whole(const std::string& given, const std::string& text) {
    int64_t value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc() || end != text.data() + text.size()) refuse(given, "\"" + text + "\" is no whole number");
    return value;
}

class Taps {
  public:
    // controlled: the session has values that the model alone does not name.
    Taps(const host::Model& model, const char* entry, bool controlled) : model_(model), entry_(entry), controlled_(controlled) {}

    void add(const std::string& given) {
        const size_t equal = given.find('=');
        if (equal == std::string::npos || equal == 0) refuse(given, "wanted PATTERN=KIND[:ARGUMENT][@FIRST:END]");
        std::string what = given.substr(equal + 1);
        orr_tap tap{};
        tap.header = ORR_HEADER(orr_tap);
        tap.factor = 1;
        static const std::regex kPositions(R"(^(.*)@(\d+):(\d*)$)");
        if (std::smatch m; std::regex_match(what, m, kPositions)) {
            tap.first_position = whole(given, m[2]);
            tap.end_position = m[3].length() ? whole(given, m[3]) : 0;
            what = m[1];
        }
        const size_t colon = what.find(':');
        if (what.empty() || colon == 0) refuse(given, "names no kind");
        if (what.substr(0, colon).find('@') != std::string::npos) refuse(given, "wanted @FIRST:END, whole numbers; END may be left out");
        std::string kind = what.substr(0, colon), argument = colon == std::string::npos ? "" : what.substr(colon + 1);
        if (kind == "read" && !argument.empty() && std::isalpha(static_cast<unsigned char>(argument[0]))) {  // read:mean, read:top_k:5
            const size_t next = argument.find(':');
            kind = argument.substr(0, next);
            argument = next == std::string::npos ? "" : argument.substr(next + 1);
        }
        const std::string pattern = given.substr(0, equal);
        if (kind == "set" || kind == "add") return add_files(given, pattern, kind, argument, tap);
        if (kind == "scale")
            tap.factor = number(given, argument);
        else if (kind == "top_k")
            tap.count = whole(given, argument);
        else if (!argument.empty())
            refuse(given, "\"" + kind + "\" takes no \"" + argument + "\"");
        hold(pattern, kind, tap);
    }

    void set(host::Session& session) const {
        std::vector<orr_tap> taps;
        for (const Held& h : held_) taps.push_back(h.tap);
        session.set_taps(taps);
    }

  private:
    Held& hold(const std::string& path, const std::string& kind, const orr_tap& tap) {
        Held& h = held_.emplace_back();
        h.path = path;
        h.kind = kind;
        h.tap = tap;
        h.tap.path = h.path.c_str();
        h.tap.kind = h.kind.c_str();
        return h;
    }

    // Paths that fit the pattern: the model's; under controls those that the file has, of which the session knows the rest.
    std::vector<std::string> paths(const std::string& pattern, const std::vector<host::Tensor>& tensors) const {
        std::vector<std::string> found;
        const auto take = [&](const std::string& path) {
            if (path_fits(path, pattern)) found.push_back(path);
        };
        if (controlled_)
            for (const host::Tensor& t : tensors) take(t.name());
        else
            for (const json& value : parse_json(model_.describe("values", entry_))) take(value["name"]);
        return found;
    }

    // FILE, or FILE*FACTOR: for each value that fits, the tensor of its path.
    void add_files(const std::string& given, const std::string& pattern, const std::string& kind, std::string file, orr_tap tap) {
        if (kind == "add")
            if (const size_t star = file.rfind('*'); star != std::string::npos) {
                tap.factor = number(given, file.substr(star + 1));
                file.resize(star);
            }
        if (file.empty()) refuse(given, "wanted " + kind + ":FILE.safetensors");
        const std::vector<host::Tensor> tensors = parse_safetensors(read_file(file), file);
        const std::vector<std::string> fitting = paths(pattern, tensors);
        if (fitting.empty() && controlled_) throw host::Error(ORR_NOT_FOUND, file + ": holds no tensor that fits " + pattern + ", which --tap " + given + " asks for");
        for (const std::string& path : fitting) {
            const auto tensor = std::find_if(tensors.begin(), tensors.end(), [&](const host::Tensor& t) { return t.name() == path; });
            if (tensor == tensors.end())
                throw host::Error(ORR_NOT_FOUND, file + ": holds no tensor " + path + ", which --tap " + given + " asks for");
            Held& h = hold(path, kind, tap);
            h.operand = to_f32(*tensor);
            h.tensor = tensor->raw();
            h.tensor.name = h.path.c_str();
            h.tensor.type = ORR_TYPE_F32;
            h.tensor.data = h.operand.data();
            h.tensor.size_bytes = h.operand.size() * sizeof(float);
            h.tap.operand = &h.tensor;
        }
        if (fitting.empty())
            throw host::Error(ORR_NOT_FOUND,
                              "--tap " + given + ": no value of the model fits " + pattern + "; `orrery inspect MODEL values` lists them");
    }

    const host::Model& model_;
    const char* entry_;
    bool controlled_;
    std::deque<Held> held_;
};

void add_adapters(host::Session& session, const host::Model& model, const std::vector<std::string>& given) {
    std::deque<host::Adapter> adapters;
    std::vector<orr_adapter*> raw;
    std::vector<double> scales;
    for (const std::string& g : given) {
        std::string folder = g;
        scales.push_back(1);
        std::error_code none;
        // A folder may have a colon in its name.
        if (const size_t colon = g.rfind(':'); colon != std::string::npos && !std::filesystem::exists(g, none)) {
            folder.resize(colon);
            const std::string text = g.substr(colon + 1);
            size_t used = 0;
            try {
                scales.back() = std::stod(text, &used);
            } catch (const std::exception&) {
                used = 0;
            }
            if (text.empty() || used != text.size()) throw UsageError("--lora " + g + ": \"" + text + "\" is no scale, wanted FOLDER[:SCALE]");
        }
        raw.push_back(adapters.emplace_back(model.adapter(folder)).raw());
    }
    if (!raw.empty()) session.set_adapters(raw, scales);  // which holds them from now on
}

// "memory=300MB,time=20ms"
orr_fit limits_of(const std::string& given, const std::string& text, const char* entry) {
    struct Unit {
        const char* name;
        double factor;
    };
    static constexpr Unit kBytes[] = {{"", 1}, {"B", 1}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}};
    static constexpr Unit kTimes[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    orr_fit fit = host::options<orr_fit>();
    fit.entry = entry;
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');) {
        const size_t equal = part.find('=');
        const std::string what = part.substr(0, equal), amount = equal == std::string::npos ? "" : part.substr(equal + 1);
        const auto in = [&](const auto& units) {
            double value = 0;
            const auto [end, failed] = std::from_chars(amount.data(), amount.data() + amount.size(), value);
            for (const Unit& u : units)
                if (failed == std::errc() && value * u.factor >= 1 && value * u.factor < 1e18 && std::string_view(end, amount.data() + amount.size()) == u.name) return static_cast<uint64_t>(value * u.factor);
            throw UsageError("--control " + given + ": \"" + amount + "\" is no " + (what == "time" ? "time: 20ms" : "number of bytes: 300MB"));
        };
        if (what == "memory")
            fit.memory_bytes = in(kBytes);
        else if (what == "weights")
            fit.weight_bytes = in(kBytes);
        else if (what == "time")
            fit.time_ns = in(kTimes);
        else
            throw UsageError("--control " + given + ": \"" + part + "\" is no limit: memory=BYTES, weights=BYTES or time=TIME, separated by commas");
    }
    return fit;
}

void fit_control(host::Session& session, const std::string& given, const std::string& name, const std::string& text, const char* entry) {
    const json report = json::parse(session.fit_control(name, limits_of(given, text, entry)));
    std::string line = name + ": " + (report["value"].is_string() ? report["value"].get<std::string>() : report["value"].dump());
    char part[80];
    std::snprintf(part, sizeof part, ", reads %.1f MB of weights a run", report["weight_bytes"].get<double>() / 1e6);
    line += part;
    if (report.contains("memory_bytes")) std::snprintf(part, sizeof part, ", takes %.1f MB", report["memory_bytes"].get<double>() / 1e6), line += part;
    if (report.contains("time_ns")) std::snprintf(part, sizeof part, ", %.3g ms", report["time_ns"].get<double>() / 1e6), line += part;
    std::fprintf(stderr, "%s (%zu values were tried)\n", line.c_str(), report["tried"].size());
}

}  // namespace

bool path_fits(const std::string& path, const std::string& pattern) {
    const std::string literal = std::regex_replace(pattern, std::regex(R"([.+?^$(){}|\[\]\\])"), R"(\$&)");
    return std::regex_match(path, std::regex(std::regex_replace(literal, std::regex(R"(\*)"), "[^.]*")));
}

void add_steering(CLI::App& app, Steering& s) {
    app.add_option(
           "--tap", s.taps,
           "PATTERN=KIND[:ARGUMENT][@FIRST:END], repeatable: read, last, mean, norm, entropy, top_k:N, zero, scale:X, set:FILE, add:FILE[*X]; "
           "values read are outputs; FIRST:END are tokens")
        ->allow_extra_args(false);
    app.add_option("--control", s.controls,
                   "NAME=VALUE, repeatable, each name once: a control of the model (`orrery inspect MODEL controls`); NAME=fit:LIMITS chooses a value: memory=300MB, weights=40MB (that a step reads), time=20ms (of a step), separated by commas")
        ->allow_extra_args(false);
    app.add_option("--lora", s.adapters, "FOLDER[:SCALE], repeatable: an adapter as PEFT writes it, added to the model's weights")
        ->allow_extra_args(false);
}

void steer(host::Session& session, const host::Model& model, const Steering& s, const char* entry) {
    std::map<std::string, std::string> values;
    for (const std::string& given : s.controls) {
        const size_t equal = given.find('=');
        if (equal == std::string::npos || equal == 0) throw UsageError("--control " + given + ": wanted NAME=VALUE");
        const std::string name = given.substr(0, equal), value = given.substr(equal + 1);
        if (const auto [before, first] = values.emplace(name, value); !first) throw UsageError("--control " + name + " is given twice, as \"" + before->second + "\" and as \"" + value + "\"");
        if (value.rfind("fit:", 0) == 0) {
            fit_control(session, given, name, value.substr(4), entry);
            continue;
        }
        // What is no JSON is a string.
        const json parsed = json::parse(value, nullptr, false);
        session.set_control(name, parsed.is_discarded() ? json(value).dump() : value);
    }
    add_adapters(session, model, s.adapters);
    if (s.taps.empty()) return;
    Taps taps(model, entry, !s.controls.empty());
    for (const std::string& given : s.taps) taps.add(given);
    taps.set(session);
}

json work_of(const host::Session& session, const char* entry) { return json::parse(session.describe("work", entry)); }

std::string work_line(const json& work) {
    const json& total = work["total"];
    const auto share = [&](const char* what) { return total[what].value("plain", 0.0) > 0 ? total[what]["run"].get<double>() / total[what]["plain"].get<double>() : 1; };
    const double runs = total["runs"];
    if (runs == 0 || (total["flops"]["run"] == total["flops"].value("plain", total["flops"]["run"]) && work["skipped"].empty())) return "";
    char text[160];
    std::snprintf(text, sizeof text, "%.3g of %.3g layers a run, %.1f %% of the FLOPs, %.1f %% of the weight bytes", total["layers"]["run"].get<double>() / runs,
                  total["layers"].value("plain", 0.0) / runs, 100 * share("flops"), 100 * share("weight_bytes"));
    return text;
}

}  // namespace orrery::cli
