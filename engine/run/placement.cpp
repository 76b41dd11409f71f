// What of a session lies on the device, and what leaves it where that has no room.
#include "engine/run/session.hpp"

namespace orrery {

uint64_t Session::state_bytes_to_come(const Program& program) const {
    uint64_t bytes = 0;
    for (const StateDef& def : program.states)
        if (!states_.count(def.name) && !host_states_.count(def.name)) bytes += first_bytes(def);
    return bytes;
}

// States for which the device has no room lie in the host's memory, the last layers' first; their steps run there too.
void Session::leave_states_that_do_not_fit(const Program& program, uint64_t activation_bytes) {
    uint64_t wanted = activation_bytes + state_bytes_to_come(program);
    const uint64_t room = device_->free_bytes();
    for (auto def = program.states.rbegin(); def != program.states.rend() && wanted > room; ++def)
        if (!states_.count(def->name) && host_states_.insert(def->name).second) wanted -= first_bytes(*def);
}

void Session::keep_on_host(const std::string& name) {
    if (!device_ || host_states_.count(name)) return;
    std::vector<std::pair<SessionState*, SessionState>> moved;  // all of them or none
    const auto move = [&](std::map<std::string, SessionState>& states) {
        const auto it = states.find(name);
        if (it == states.end()) return;
        moved.emplace_back(&it->second, it->second);
        moved.back().second.move_to(pool(it->second.def(), options_.batch, false));
    };
    move(states_);
    for (Snapshot& mark : marks_) move(mark.states);
    host_states_.insert(name);
    for (auto& [state, there] : moved) std::swap(*state, there);
    // Plans made so far look for it on the device.
    std::erase_if(plans_, [&](const auto& e) { return e.get() != current_; });
    last_ = nullptr;
}

// A plan has each state on one side, for all sequences.
void Session::agree_on_host_states() {
    std::set<std::string> names;
    for (const Session* m : members_) names.insert(m->host_states_.begin(), m->host_states_.end());
    for (Session* m : members_)
        for (const std::string& name : names) m->keep_on_host(name);
}

// The last eighth of the layers that may be on the device goes to the processor; their weights there go when no plan is left that uses them.
bool Session::retreat(const char* why) {
    if (device_eighths_ == 0) return false;
    device_eighths_--;
    plans_.clear();
    last_ = nullptr;
    work_.reset();
    const orr_host* const host = model_->engine().host();
    host->log(host, ORR_LOG_INFO, ("the first " + std::to_string(device_eighths_) + " eighths of the layers may be on " + device_->id() + ", the rest are on the processor: " + why).c_str());
    return true;
}

}  // namespace orrery
