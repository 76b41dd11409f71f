// Choosing a control's value by what a session may take.
#include <algorithm>
#include <chrono>
#include <optional>

#include "engine/registry/json_text.hpp"
#include "engine/run/session.hpp"
#include "orrery/plugin.hpp"

namespace orrery {
namespace {

constexpr int64_t kChunkTokens = 512;  // of a prompt, as estimate_need() has it
constexpr int kRuns = 5;

using Json = nlohmann::ordered_json;

uint64_t now_ns() { return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count()); }

std::vector<std::string> input_names(const Program& program) {
    std::vector<std::string> names;
    for (const InputDef& in : program.inputs)
        if (!in.flags && !in.positions) names.push_back(in.name);
    return names;
}

struct Limit {
    const char* name;
    uint64_t limit, taken;
};

}  // namespace

uint64_t Session::memory_bytes(const std::string& entry, int64_t tokens) {
    uint64_t arena = 0, work = 0, bytes = 0;
    for (const int64_t n : {tokens, std::min(options_.context, std::max(tokens, kChunkTokens))}) {
        const Plan& plan = *within_device([&] { return &plan_for(entry, n); })->plan;
        arena = std::max(arena, plan.arena_bytes());
        work = std::max(work, plan.work_bytes());
        for (const PlanStep& step : plan.steps())
            for (const Buffer& memory : step.memory) bytes += memory.size();
    }
    bytes += arena + work + model_->weights().resident_bytes();
    if (device_) bytes += model_->device_weights(device_).bytes();
    for (const auto& [name, s] : states_)  // which take their pages with the first run
        bytes += static_cast<uint64_t>(SessionState::first_pages(s.def(), options_.context) * options_.batch) * PagePool::whole_bytes(SessionState::page_bytes_for(s.def(), s.type()));
    return bytes;
}

Session::Taken Session::measure(const orr_fit& limits) {
    Taken taken;
    const int64_t tokens = limits.tokens ? limits.tokens : 1;
    const std::string entry = model_->entry_name(limits.entry);
    const std::shared_ptr<const Program> program = model_->program(entry, variant_);
    std::vector<orr_named_tensor> tensors = required_inputs(*program, options_.batch, tokens);
    for (const Work& w : within_device([&] { return &plan_for(entry, tokens); })->work.regions) taken.weight_bytes += w.weight_bytes;
    if (limits.time_ns) {
        std::vector<const orr_named_tensor*> pointers;
        std::vector<std::vector<char>> zeros;
        for (orr_named_tensor& t : tensors) {
            const TypeInfo& type = model_->engine().registry().type(t.type);
            zeros.emplace_back(contiguous_bytes({t.shape, t.shape + t.rank}, type, t.name), '\0');
            t.data = zeros.back().data();
            t.size_bytes = zeros.back().size();
            pointers.push_back(&t);
        }
        std::vector<uint64_t> times;
        for (int i = 0; i <= kRuns; i++) {
            reset();
            const uint64_t started = now_ns();
            run({entry.c_str(), static_cast<uint32_t>(pointers.size()), pointers.data(), 0, nullptr}, nullptr, 0);
            if (i > 0) times.push_back(now_ns() - started);
        }
        std::nth_element(times.begin(), times.begin() + kRuns / 2, times.end());
        taken.time_ns = times[kRuns / 2];
    }
    if (!limits.memory_bytes) return taken;
    taken.memory_bytes = memory_bytes(entry, tokens);
    // Of entries that take the same inputs the one that needs least, as estimate_need() has it: others give rows that a task does not ask for.
    for (const char* const* e = model_->info().entries; !limits.entry && *e; e++)
        if (entry != *e && input_names(*model_->program(*e, variant_)) == input_names(*program)) taken.memory_bytes = std::min(taken.memory_bytes, memory_bytes(*e, tokens));
    return taken;
}

bool Session::try_control(const std::string& name, const std::string& value, const orr_fit& limits, Taken& taken) {
    Session trial(model_, nullptr);
    trial.options_ = options_;
    trial.options_.profile = false;
    trial.options_.progress = [](void* user, double, const char*) { return !static_cast<Session*>(user)->cancelled(); };
    trial.options_.progress_user = this;
    trial.team_ = team_;
    trial.host_states_ = host_states_;
    trial.variant_ = variant_;
    try {
        trial.set_control(name.c_str(), value.c_str());
    } catch (const Error& e) {
        if (limits.value_count || (e.code() != ORR_INVALID_ARGUMENT && e.code() != ORR_UNSUPPORTED)) throw;
        return false;
    }
    taken = trial.measure(limits);
    return true;
}

Json Session::fit_control(const std::string& name, const orr_fit& limits) {
    check_idle();
    if (!limits.memory_bytes && !limits.weight_bytes && !limits.time_ns) throw Error(ORR_INVALID_ARGUMENT, "orr_fit: no limit is given: memory_bytes, weight_bytes and time_ns are 0");
    if (limits.tokens < 0 || limits.tokens > options_.context)
        throw Error(ORR_INVALID_ARGUMENT, "orr_fit: runs of " + std::to_string(limits.tokens) + " tokens; the context holds " + std::to_string(options_.context));
    model_->with_control(variant_.controls, name, nullptr);  // that there is such a control
    std::vector<std::string> values;
    if (limits.value_count) {
        for (uint32_t i = 0; i < limits.value_count; i++) {
            if (!limits.values || !limits.values[i]) throw Error(ORR_INVALID_ARGUMENT, "orr_fit: value " + std::to_string(i) + " of " + std::to_string(limits.value_count) + " is NULL");
            values.emplace_back(limits.values[i]);
        }
    } else {
        for (const Json& control : model_->describe("controls", nullptr))
            if (control["name"] == name && control.contains("ladder"))
                for (const Json& value : control["ladder"]) values.push_back(json_text(value));
        if (values.empty()) throw Error(ORR_UNSUPPORTED, "control " + name + " has no ladder of values to choose from: give them (orr_fit.values)");
    }
    cancel_ = false;
    const auto parts = [&](const Taken& t) {
        std::vector<Limit> list;
        if (limits.memory_bytes) list.push_back({"memory_bytes", limits.memory_bytes, t.memory_bytes});
        list.push_back({"weight_bytes", limits.weight_bytes ? limits.weight_bytes : UINT64_MAX, t.weight_bytes});
        if (limits.time_ns) list.push_back({"time_ns", limits.time_ns, t.time_ns});
        return list;
    };
    const auto told = [&](const std::string& value, const Taken& t) {
        Json j = {{"value", parse_ordered_json(value)}};
        for (const Limit& part : parts(t)) j[part.name] = part.taken;
        return j;
    };
    Json tried = Json::array(), refused = Json::array();
    std::optional<std::pair<std::string, Taken>> best;
    Taken taken;
    // Those before `low` take too much; the one at `high` does not.
    for (size_t low = 0, high = values.size(); low < high;) {
        const size_t at = (low + high) / 2;
        if (!try_control(name, values[at], limits, taken)) {
            refused.push_back(parse_ordered_json(values[at]));
            values.erase(values.begin() + static_cast<std::ptrdiff_t>(at));
            high--;
            continue;
        }
        const std::vector<Limit> list = parts(taken);
        const bool fits = std::all_of(list.begin(), list.end(), [](const Limit& part) { return part.taken <= part.limit; });
        tried.push_back(told(values[at], taken));
        tried.back()["fits"] = fits;
        if (fits)
            best = {values[at], taken}, high = at;
        else
            low = at + 1;
    }
    if (!best) {
        std::string over;
        if (!tried.empty())  // the last value was tried last
            for (const Limit& part : parts(taken))
                if (part.taken > part.limit) over += (over.empty() ? ": with " + values.back() + " " : ", ") + part.name + " is " + std::to_string(part.taken) + ", the limit " + std::to_string(part.limit);
        throw Error(ORR_LIMIT, "control " + name + ": no value is within the limits" + over);
    }
    set_control(name.c_str(), best->first.c_str());
    Json report = {{"control", name}};
    report.update(told(best->first, best->second));
    report["tried"] = tried;
    report["refused"] = refused;
    return report;
}

}  // namespace orrery
