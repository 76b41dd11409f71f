// One kernel bound to tensors: prepared as the engine would, then run.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "host.hpp"
#include "mirror.hpp"
#include "stand_in.hpp"
#include "values.hpp"

namespace orrery::conformance {

struct Setting {
    uint32_t isa = ORR_ISA_GENERIC;
    uint32_t threads = 1;
    uint32_t numerics = ORR_NUMERICS_EXACT;
    std::shared_ptr<Device> device = nullptr;  // of kernels that run on one
    StandIn* stand_in = nullptr;               // between it and the kernel
};

// The tensors of one run. Absent inputs are null.
struct Binding {
    std::vector<std::unique_ptr<Held>> inputs, outputs;
    std::vector<bool> weights;  // inputs whose port says so: they have no data while a plan is made
};

class Plan {
  public:
    Plan(Host& host, Pool& pool, const orr_kernel& kernel, const AttrSet& attrs, const Binding& binding, Setting setting);
    Plan(const Plan&) = delete;

    bool supports(std::string* reason);
    orr_status prepare();
    orr_status run();
    // Pasts and lengths of states are others than in the last run.
    void states_changed();
    // Guards of workspace, plan memory and packed weights.
    bool intact() const;
    const std::string& variant() const { return variant_; }
    // The node as kernels are asked about it.
    const orr_prepare& node() const { return prepare_.base; }
    // What the kernel did that the API forbids; empty when nothing.
    const std::string& misuse() const { return misuse_; }

  private:
    struct Prepare {
        orr_prepare base;
        Plan* plan;
    };
    struct Run {
        orr_run base;
        Plan* plan;
    };
    static Plan& of(orr_prepare* p) { return *reinterpret_cast<Prepare*>(p)->plan; }
    void record();
    // The tables given to prepare and run are for the thread that is in them.
    void check_thread(const char* function);
    // Calls prepare or run; the float control is to be as before.
    template <class Call>
    orr_status call(const char* function, Call&& call);
    void* plan_memory(uint64_t bytes);
    orr_status prepack(uint32_t input, const orr_pack& pack);

    Host& host_;
    Pool& pool_;
    const orr_kernel& kernel_;
    Setting setting_;
    Prepare prepare_{};
    Run run_{};
    // While planning, tensors that are not constant have no data.
    std::vector<orr_tensor> planned_in_, planned_out_, bound_in_;
    std::vector<const orr_tensor*> plan_inputs_, plan_outputs_, run_inputs_, run_outputs_;
    std::unique_ptr<Guarded> workspace_;
    std::vector<std::unique_ptr<Guarded>> memory_, packed_;
    std::vector<orr_tensor> run_out_, placed_in_;  // on the device
    std::unique_ptr<Mirror> mirror_;
    std::unique_ptr<DeviceProgram> program_;
    size_t parts_ = 0;
    uint64_t workspace_bytes_ = 0;
    bool preparing_ = false, running_ = false;
    std::thread::id caller_;
    std::mutex misuse_mutex_;
    std::string variant_, misuse_;
};

}  // namespace orrery::conformance
