// Counts the work of a program without planning it.
#pragma once
#include <vector>

#include "engine/plan/plan.hpp"

namespace orrery {

struct Work {
    double flops = 0, flops_per_token = 0;  // the latter for each token that the append states hold, this run's included
    uint64_t weight_bytes = 0;              // as stored: matrices of operators that tell their FLOPs

    double flops_at(int64_t tokens) const { return flops + flops_per_token * static_cast<double>(tokens); }
};

// For each region of the program.
std::vector<Work> count_work(const orr_host* host, Registry& registry, const std::shared_ptr<Memory>& memory, Weights& weights, std::shared_ptr<const PreparedProgram> program, const Binding& binding,
                             std::shared_ptr<Team> team);

}  // namespace orrery
