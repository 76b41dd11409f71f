// Steps of a group that do not depend on one another stand together, in waves: on the processor they run at once, on a device between the same
// two barriers.
#include "engine/plan/planner.hpp"

namespace orrery {

void Planner::form_waves() {
    auto& steps = plan_->steps_;
    if (!options_.device && plan_->team_->threads() == 1) return;
    for (size_t begin = 0; begin < steps.size(); begin++) {
        if (!steps[begin].group) continue;
        size_t end = begin + 1;
        for (size_t i = end; i < steps.size(); i++)
            if (steps[i].group == steps[begin].group) end = i + 1;
        form_waves(begin, end);
        begin = end - 1;
    }
}

// A step's wave is the first in which all that it depends on has been done. Values are written once; who touches a state keeps its turn.
void Planner::form_waves(size_t begin, size_t end) {
    auto& steps = plan_->steps_;
    // What may be left out is asked for step by step, and ends a submission.
    for (size_t i = begin; i < end; i++)
        if (steps[i].region != steps[begin].region) return;
    std::map<size_t, size_t> made;         // by storage, the wave behind the one that writes it
    std::map<std::string, size_t> touched;  // states
    std::vector<size_t> wave(end - begin, 0), order(end - begin);
    size_t waves = 0;
    for (size_t i = begin; i < end; i++) {
        size_t& own = wave[i - begin];
        for (const auto* list : {&steps[i].ins, &steps[i].outs})
            for (const orr_tensor* t : *list) {
                if (!t) continue;
                if (const auto it = storage_of_.find(t); it != storage_of_.end() && made.count(it->second)) own = std::max(own, made.at(it->second));
                if (const auto it = state_names_.find(t); it != state_names_.end()) own = std::max(own, touched[it->second]);
            }
        for (const auto* list : {&steps[i].ins, &steps[i].outs})
            for (const orr_tensor* t : *list)
                if (const auto it = state_names_.find(t); it != state_names_.end()) touched[it->second] = own + 1;
        for (const orr_tensor* t : steps[i].outs)
            if (const auto it = storage_of_.find(t); it != storage_of_.end()) made[it->second] = own + 1;
        waves = std::max(waves, own + 1);
        order[i - begin] = i;
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return wave[a - begin] < wave[b - begin]; });
    uint32_t number = 0;  // of waves of the plan, so far
    for (const PlanStep& s : steps) number = std::max(number, s.wave);
    std::vector<size_t> place(end - begin), members(waves, 0);
    for (const size_t w : wave) members[w]++;
    std::vector<PlanStep> ordered;
    for (size_t k = 0; k < order.size(); k++) {
        place[order[k] - begin] = begin + k;
        PlanStep& s = ordered.emplace_back(std::move(steps[order[k]]));
        if (members[wave[order[k] - begin]] > 1) s.wave = number + static_cast<uint32_t>(wave[order[k] - begin]) + 1;
    }
    std::move(ordered.begin(), ordered.end(), steps.begin() + static_cast<std::ptrdiff_t>(begin));
    for (PlanRegion& r : plan_->regions_)
        if (r.flag && r.flag_step >= begin && r.flag_step < end) r.flag_step = place[r.flag_step - begin];
    // What is alive in a wave is alive in all of it.
    for (Storage& s : storages_) {
        if (s.item.first >= begin && s.item.first < end && made.count(static_cast<size_t>(&s - storages_.data()))) s.item.first = wave_of(place[s.item.first - begin]).first;
        if (s.item.last >= begin && s.item.last < end) s.item.last = s.item.first;
    }
    for (size_t i = begin; i < end; i++)
        for (const auto* list : {&steps[i].ins, &steps[i].outs})
            for (const orr_tensor* t : *list)
                if (const auto it = storage_of_.find(t); it != storage_of_.end()) {
                    LayoutItem& item = storages_[it->second].item;
                    item.last = std::max(item.last, wave_of(i).second);
                }
    if (options_.device) return;
    // Each step of a wave has a workspace of its own.
    for (size_t i = begin; i < end;) {
        uint64_t bytes = 0;
        for (const size_t last = wave_of(i).second; i <= last; i++) {
            steps[i].workspace_offset = bytes;
            bytes += (steps[i].workspace_bytes + 63) / 64 * 64;
        }
        max_workspace_ = std::max(max_workspace_, bytes);
    }
}

std::pair<size_t, size_t> Planner::wave_of(size_t step) const {
    const auto& steps = plan_->steps_;
    size_t first = step, last = step;
    if (const uint32_t wave = steps[step].wave) {
        while (first > 0 && steps[first - 1].wave == wave) first--;
        while (last + 1 < steps.size() && steps[last + 1].wave == wave) last++;
    }
    return {first, last};
}

}  // namespace orrery
