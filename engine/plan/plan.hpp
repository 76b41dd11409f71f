// A program bound to shapes: chosen kernels, a memory layout with reuse, everything ready to run without deciding or
// allocating anything.
#pragma once
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/plan/prepare_program.hpp"
#include "engine/run/team.hpp"

namespace orrery {

struct PlanOptions {
    std::string device = "cpu";
    uint32_t numerics = ORR_NUMERICS_DEFAULT;
    uint32_t isa = ORR_ISA_AUTO;
    uint32_t cache_type = ORR_TYPE_F16;
    bool reference = false;
    bool profile = false;
    // Asked between nodes and between chunks of a repacked weight, from any thread of the team: true ends planning with ORR_CANCELLED.
    const std::atomic<bool>* cancel = nullptr;
    std::function<bool(double fraction)> progress;  // between nodes, on the planning thread; false cancels
};

class Plan;

struct Refusal {
    std::string kernel, reason;
};

struct ChainStep {
    orr_elementwise_fn fn;
    const orr_attrs* attrs;
    std::vector<int> srcs;  // >= 0: slot of an earlier step; < 0: external input -(i + 1)
};

struct PlanStep {
    enum class Kind { kernel, copy, chain } kind = Kind::kernel;
    const orr_operator* op = nullptr;
    const orr_kernel* kernel = nullptr;
    std::string label, variant;  // label: path of the first named output
    std::vector<Refusal> refusals;
    std::vector<const orr_tensor*> ins, outs;
    std::vector<ChainStep> chain;
    std::vector<std::string> chain_ops;
    std::shared_ptr<NodeAttrs> attrs;
    std::vector<Buffer> memory;  // plan_memory
    uint64_t workspace_bytes = 0, flops = 0;
    uint64_t time_ns = 0, runs = 0;
    struct Run {
        orr_run base;
        Team* team;
    } run{};
};

struct PlanInput {
    std::string name;
    bool given = false;  // by the host; else positions or a fill
    bool positions = false;
    int fill = -1;       // 0 or 1
    orr_tensor* tensor = nullptr;
};

struct PlanState {
    size_t state = 0;         // index in the program's states
    int64_t append = 0;       // tokens that this run adds
    orr_tensor* tensor = nullptr;
    orr_tensor* next = nullptr;  // recurrent
};

struct PlanOutput {
    std::string name;
    const orr_tensor* tensor = nullptr;
};

class Plan {
  public:
    Plan() = default;
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;

    // Points every tensor into the arena; needed again when the arena has moved.
    void place(void* arena);
    void* placed_at() const { return arena_; }
    // Runs steps [from, steps().size()) until `proceed` says no (asked between steps). Returns the next step. Throws the
    // failure of a step.
    template <class Proceed>
    size_t run(size_t from, Proceed&& proceed) {
        size_t i = from;
        for (; i < steps_.size(); i++) {
            if (i != from && !proceed()) break;
            run_step(steps_[i]);
        }
        return i;
    }
    void run_step(PlanStep& step);

    const std::deque<PlanStep>& steps() const { return steps_; }
    uint64_t arena_bytes() const { return arena_bytes_; }
    uint64_t activation_bytes() const { return activation_bytes_; }
    uint64_t unshared_bytes() const { return unshared_bytes_; }
    int64_t advance() const { return advance_; }
    int64_t batch() const { return batch_; }
    std::vector<PlanInput>& inputs() { return inputs_; }
    std::vector<PlanState>& states() { return states_; }
    const std::vector<PlanOutput>& outputs() const { return outputs_; }
    nlohmann::ordered_json describe() const;

  private:
    friend class Planner;
    struct Placed {
        orr_tensor* tensor;
        uint64_t offset;
    };
    const orr_host* host_ = nullptr;
    std::shared_ptr<Team> team_;
    std::shared_ptr<const PreparedProgram> program_;  // keeps attributes and constants
    std::deque<orr_tensor> tensors_;
    std::deque<PlanStep> steps_;
    std::vector<Placed> placed_;
    std::vector<PlanInput> inputs_;
    std::vector<PlanState> states_;
    std::vector<PlanOutput> outputs_;
    void* arena_ = nullptr;
    uint64_t arena_bytes_ = 0, activation_bytes_ = 0, unshared_bytes_ = 0, workspace_offset_ = 0;
    int64_t advance_ = 0, batch_ = 1;
    bool profile_ = false;
};

// Throws what a chunk threw on one of the team's threads.
void check_team(Team& team, const std::string& doing);

// What a plan is made for.
struct Binding {
    Bindings symbols;                 // "B", "T" … from the inputs' shapes; "S…" from the session
    std::set<std::string> given;      // inputs that the host gives
    std::vector<std::string> wanted;  // outputs; empty: all declared
};

std::unique_ptr<Plan> make_plan(const orr_host* host, Registry& registry, const std::shared_ptr<Memory>& memory, Weights& weights,
                                std::shared_ptr<const PreparedProgram> program, const Binding& binding, const PlanOptions& options, std::shared_ptr<Team> team);

}  // namespace orrery
