#include "profile.hpp"

#include <algorithm>
#include <fstream>
#include <map>

namespace orrery::cli {
namespace {

double ms_of(const json& step) { return step.contains("time_ns") ? step["time_ns"].get<double>() / 1e6 / step["runs"].get<double>() : 0; }
std::string device_of(const json& step) { return step.value("device", "cpu"); }

}  // namespace

json operator_times(const json& profile) {
    struct Row {
        int steps = 0;
        double ms = 0;
    };
    std::map<std::pair<std::string, std::string>, Row> rows;
    double total = 0;
    for (const json& step : profile["steps"]) {
        Row& row = rows[{step["op"].get<std::string>() + (step.contains("variant") ? " " + step["variant"].get<std::string>() : ""), device_of(step)}];
        row.steps++;
        row.ms += ms_of(step);
        total += ms_of(step);
    }
    std::vector<json> list;
    for (const auto& [key, row] : rows) list.push_back({{"op", key.first}, {"device", key.second}, {"steps", row.steps}, {"ms", row.ms}, {"share", total > 0 ? row.ms / total : 0}});
    std::sort(list.begin(), list.end(), [](const json& a, const json& b) { return a["ms"] > b["ms"]; });
    return list;
}

void Trace::add(const std::string& name, const json& profile) {
    process_++;
    events_.push_back({{"ph", "M"}, {"name", "process_name"}, {"pid", process_}, {"args", {{"name", name}}}});
    std::map<std::string, int> threads;
    double at = 0;
    for (const json& step : profile["steps"]) {
        const std::string device = device_of(step);
        const auto [thread, fresh] = threads.emplace(device, static_cast<int>(threads.size()) + 1);
        if (fresh) events_.push_back({{"ph", "M"}, {"name", "thread_name"}, {"pid", process_}, {"tid", thread->second}, {"args", {{"name", device}}}});
        const double us = ms_of(step) * 1000;
        json details = step;
        for (const char* key : {"time_ns", "runs"}) details.erase(key);
        events_.push_back({{"ph", "X"}, {"name", step["op"]}, {"cat", device}, {"pid", process_}, {"tid", thread->second}, {"ts", at}, {"dur", us}, {"args", details}});
        at += us;
    }
}

void Trace::write(const std::string& path) const {
    std::ofstream file(path, std::ios::binary);
    file << json{{"traceEvents", events_}, {"displayTimeUnit", "ms"}}.dump();
    if (!file.flush()) throw host::Error(ORR_IO, path + ": cannot be written");
}

}  // namespace orrery::cli
