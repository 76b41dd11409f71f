// JSON to stdout, as it is or laid out for people.
#include <algorithm>
#include <cstdio>
#include <set>

#include "common.hpp"

namespace orrery::cli {
namespace {

std::string dump(const json& value, int indent = -1) { return value.dump(indent, ' ', false, json::error_handler_t::replace); }

std::string scalar(const json& value) {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number_float()) {
        char buffer[32];
        std::snprintf(buffer, sizeof buffer, "%.6g", value.get<double>());
        return buffer;
    }
    return dump(value);
}

bool is_flat(const json& value) {
    if (!value.is_structured()) return true;
    return value.is_array() && std::all_of(value.begin(), value.end(), [](const json& v) { return !v.is_structured(); });
}

std::string cell(const json& value) {
    if (!value.is_array()) return scalar(value);
    std::string out;
    for (const json& v : value) out += (out.empty() ? "" : ", ") + scalar(v);
    return out;
}

// Objects that hold flat values only: one row each, one column a key.
bool is_table(const json& value) {
    return value.is_array() && value.size() > 1 &&
           std::all_of(value.begin(), value.end(), [](const json& row) { return row.is_object() && std::all_of(row.begin(), row.end(), is_flat); });
}

void print_table(const json& rows, const std::string& margin) {
    std::vector<std::string> columns;
    std::set<std::string> seen;
    for (const json& row : rows)
        for (const auto& item : row.items())
            if (seen.insert(item.key()).second) columns.push_back(item.key());
    std::vector<std::vector<std::string>> lines{columns};
    for (const json& row : rows) {
        lines.emplace_back();
        for (const std::string& c : columns) lines.back().push_back(row.contains(c) ? cell(row[c]) : "");
    }
    std::vector<size_t> widths(columns.size(), 0);
    for (const auto& line : lines)
        for (size_t i = 0; i < line.size(); i++) widths[i] = std::max(widths[i], line[i].size());
    for (const auto& line : lines) {
        std::string text = margin;
        for (size_t i = 0; i < line.size(); i++) text += line[i] + (i + 1 < line.size() ? std::string(widths[i] - line[i].size() + 2, ' ') : "");
        std::printf("%s\n", text.c_str());
    }
}

void print_value(const json& value, const std::string& margin) {
    if (is_table(value)) return print_table(value, margin);
    if (value.is_object()) {
        for (const auto& [key, item] : value.items()) {
            const bool lines = item.is_string() && item.get_ref<const std::string&>().find('\n') != std::string::npos;
            if (is_flat(item) && !lines) {
                std::printf("%s%s: %s\n", margin.c_str(), key.c_str(), cell(item).c_str());
            } else if (lines) {
                std::printf("%s%s:\n%s\n", margin.c_str(), key.c_str(), scalar(item).c_str());
            } else {
                std::printf("%s%s:\n", margin.c_str(), key.c_str());
                print_value(item, margin + "  ");
            }
        }
    } else if (value.is_array()) {
        for (const json& item : value) {
            if (is_flat(item)) {
                std::printf("%s%s\n", margin.c_str(), cell(item).c_str());
            } else {
                print_value(item, margin);
                std::printf("\n");
            }
        }
    } else {
        std::printf("%s%s\n", margin.c_str(), scalar(value).c_str());
    }
}

}  // namespace

void print_json(const json& value) {
    const std::string text = dump(value) + "\n";
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

void print_human(const json& value) {
    print_value(value, "");
    std::fflush(stdout);
}

}  // namespace orrery::cli
