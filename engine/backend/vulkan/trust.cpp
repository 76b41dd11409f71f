#include "engine/backend/vulkan/trust.hpp"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <ctime>
#include <filesystem>

#include "engine/platform/files.hpp"
#include "orrery/plugin.hpp"

namespace orrery::vulkan {
namespace {

constexpr const char* kMagic = "orrery-self-test 1 ";

uint64_t hash_of(const void* data, uint64_t bytes) {
    uint64_t h = 1469598103934665603u;  // FNV-1a
    for (uint64_t i = 0; i < bytes; i++) h = (h ^ static_cast<const unsigned char*>(data)[i]) * 1099511628211u;
    return h;
}

std::string hex(uint64_t v) {
    char text[20];
    std::snprintf(text, sizeof text, "%016" PRIx64, v);
    return text;
}

std::string now_text() {
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    char text[32] = "";
    if (gmtime_r(&now, &utc)) std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

}  // namespace

ShaderTrust::ShaderTrust(const Capability& capability, bool tests, const std::string& cache_dir, const std::vector<std::string>& without)
    : quirks_(capability.quirks),
      without_(without),
      signature_(capability.name + ", " + capability.driver + ", " + std::to_string(capability.table.driver_version) + ", " + hex(capability.table.features)),
      tests_(tests) {
    for (const Quirk* q : quirks_)
        if (*q->shaders) barred_.emplace_back(q->shaders, std::string("left out here: ") + q->reason + " (" + q->source + ")");
    for (const std::string& pattern : without_) barred_.emplace_back(pattern, "left out by the host (" + pattern + ")");
    if (!tests || cache_dir.empty()) return;
    file_ = cache_dir + "/" + cache_name(capability) + ".tests";
    load();
}

uint64_t ShaderTrust::constants_hash(const std::vector<uint32_t>& constants) { return hash_of(constants.data(), constants.size() * sizeof(uint32_t)); }

ShaderTrust::Shader ShaderTrust::identify(const orr_vulkan_shader& shader) {
    auto& known = shaders_[&shader];
    if (known.name.empty()) known = {shader.name, hash_of(shader.code, shader.code ? shader.code_bytes : 0)};
    return known;
}

const char* ShaderTrust::refuses(const orr_vulkan_shader& shader) {
    const std::lock_guard lock(mutex_);
    for (const auto& [pattern, text] : barred_)
        if (matches_name(pattern, shader.name)) return text.c_str();
    if (wrong_.empty()) return nullptr;
    const auto it = wrong_.find(identify(shader));
    return it != wrong_.end() && it->second.active ? it->second.why.c_str() : nullptr;
}

Trust ShaderTrust::of(const std::vector<PipelineKey>& keys) {
    const std::lock_guard lock(mutex_);
    Trust trust = Trust::right;
    for (const PipelineKey& k : keys) {
        const Pipeline p = identify(k);
        if (const auto it = wrong_.find(p.first); it != wrong_.end() && it->second.active && !it->second.suspect) return Trust::wrong;
        if (!right_.count(p)) trust = Trust::untested;
    }
    return trust;
}

bool ShaderTrust::judge(const std::vector<PipelineKey>& keys, const std::string& why, uint64_t ns) {
    const std::lock_guard lock(mutex_);
    return judge_locked(keys, why, ns);
}

std::string ShaderTrust::all_of(const std::vector<PipelineKey>& keys) {
    std::set<Pipeline> all;
    for (const PipelineKey& k : keys) all.insert(identify(k));
    std::string text;
    for (const auto& [shader, constants] : all) text += shader.name + hex(shader.hash) + hex(constants);
    return hex(hash_of(text.data(), text.size()));
}

void ShaderTrust::lose(const std::vector<PipelineKey>& keys) {
    const std::lock_guard lock(mutex_);
    if (!lost_.insert(all_of(keys)).second)
        judge_locked(keys, "the device was lost in it, twice", 0);
    else
        save();
}

bool ShaderTrust::judge_locked(const std::vector<PipelineKey>& keys, const std::string& why, uint64_t ns) {
    bool news = false;
    if (why.empty()) {
        lost_.erase(all_of(keys));
        for (const PipelineKey& k : keys) {
            const Pipeline p = identify(k);
            right_.insert(p);
            if (const auto it = wrong_.find(p.first); it != wrong_.end() && it->second.suspect) it->second.active = false;
        }
    } else {
        std::set<Shader> blamed;
        for (const PipelineKey& k : keys)
            if (!right_.count(identify(k))) blamed.insert(identify(*k.shader));
        for (const Shader& s : blamed) {
            const std::string text = "failed its self-test on this device: " + why;
            const auto [it, added] = wrong_.try_emplace(s, Wrong{text, blamed.size() > 1, true});
            news = news || added || !it->second.active;
            it->second.active = true;
            it->second.suspect = it->second.suspect && blamed.size() > 1;
        }
    }
    tested_ = now_text();
    ns_ += ns;
    made_++;
    save();
    return news;
}

bool ShaderTrust::knows(const std::string& test) {
    const std::lock_guard lock(mutex_);
    return tests_made_.count(test) != 0;
}

void ShaderTrust::remember(const std::string& test) {
    const std::lock_guard lock(mutex_);
    tests_made_.insert(test);
}

void ShaderTrust::load() {
    try {
        const platform::MappedFile mapped(file_);
        const std::string text(static_cast<const char*>(mapped.data()), mapped.size());
        const size_t head = std::string(kMagic).size() + 17;
        if (text.size() <= head || text.compare(0, head, kMagic + hex(hash_of(text.data() + head, text.size() - head)) + "\n") != 0) return;
        const auto j = nlohmann::json::parse(text.substr(head));
        if (j.at("device") != signature_) return;
        const auto number = [](const nlohmann::json& v) { return std::stoull(v.get<std::string>(), nullptr, 16); };
        std::set<Pipeline> right;
        std::map<Shader, Wrong> wrong;
        for (const auto& r : j.at("right")) right.insert({{r.at(0), number(r.at(1))}, number(r.at(2))});
        for (const auto& w : j.at("wrong")) wrong[{w.at(0), number(w.at(1))}] = {w.at(2), w.at(3), true};
        lost_ = j.at("lost").get<std::set<std::string>>();
        ns_ = j.at("ns");
        tested_ = j.at("tested");
        right_ = std::move(right);
        wrong_ = std::move(wrong);
    } catch (const std::exception&) {  // none, or damaged: tested again, and written anew
    }
}

void ShaderTrust::save() const {
    if (file_.empty()) return;
    try {
        auto right = nlohmann::json::array(), wrong = nlohmann::json::array();
        for (const auto& [shader, constants] : right_) right.push_back({shader.name, hex(shader.hash), hex(constants)});
        for (const auto& [shader, w] : wrong_)
            if (w.active) wrong.push_back({shader.name, hex(shader.hash), w.why, w.suspect});
        const std::string body = nlohmann::json{{"device", signature_}, {"right", right}, {"wrong", wrong}, {"lost", lost_}, {"ns", ns_}, {"tested", tested_}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
        const std::string text = kMagic + hex(hash_of(body.data(), body.size())) + "\n" + body;
        std::error_code ignored;
        std::filesystem::create_directories(std::filesystem::path(file_).parent_path(), ignored);
        platform::replace_file(file_, text.data(), text.size());
    } catch (const std::exception&) {  // what is not kept is tested again
    }
}

nlohmann::ordered_json ShaderTrust::describe() const {
    const std::lock_guard lock(mutex_);
    if (!tests_) return {{"enabled", false}};
    auto wrong = nlohmann::ordered_json::array();
    for (const auto& [shader, w] : wrong_)
        if (w.active) wrong.push_back({{"shader", shader.name}, {"reason", w.why}});
    return {{"enabled", true}, {"tested", tested_}, {"milliseconds", ns_ / 1'000'000}, {"pipelines", right_.size()}, {"out_of_use", wrong}, {"made_now", made_}, {"cache", file_}};
}

nlohmann::ordered_json ShaderTrust::describe_quirks() const {
    auto list = nlohmann::ordered_json::array();
    for (const Quirk* q : quirks_) {
        nlohmann::ordered_json row = {{"reason", q->reason}, {"source", q->source}};
        if (*q->shaders) row["shaders"] = q->shaders;
        if (q->features) row["features"] = feature_names(q->features);
        list.push_back(std::move(row));
    }
    for (const std::string& pattern : without_) list.push_back({{"reason", "the host asked for it"}, {"source", "orr_engine_options.without_shaders"}, {"shaders", pattern}});
    return list;
}

}  // namespace orrery::vulkan
