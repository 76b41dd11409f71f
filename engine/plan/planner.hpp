// Makes a plan: one object for each, gone when the plan is made.
#pragma once
#include <algorithm>
#include <cstring>

#include "engine/graph/builder.hpp"
#include "engine/plan/memory_layout.hpp"
#include "engine/plan/plan.hpp"
#include "engine/plan/work_count.hpp"
#include "engine/registry/error_text.hpp"
#include "engine/weights/device_weights.hpp"
#include "orrery/ext/parts.h"

namespace orrery {

// Thrown while a device's plan is made: this state has to lie in the host's memory. make_plan() starts again.
struct NeedsHostState {
    std::string name, why;
};

class Planner {
  public:
    Planner(const orr_host* host, Registry& registry, const std::shared_ptr<Memory>& memory, Weights& weights, std::shared_ptr<const PreparedProgram> prepared,
            const Binding& binding, const PlanOptions& options, std::shared_ptr<Team> team)
        : host_(host), registry_(registry), memory_(memory), weights_(weights), prepared_(std::move(prepared)), g_(prepared_->program), binding_(binding), options_(options) {
        plan_ = std::make_unique<Plan>();
        plan_->host_ = host;
        plan_->team_ = std::move(team);
        plan_->program_ = prepared_;
        plan_->profile_ = options.profile;
        plan_->device_ = options.device;
        values_.resize(g_.values.size());
    }

    std::unique_ptr<Plan> make();
    std::vector<Work> count();  // of each region, without a plan
    static const orr_parts* parts();

  private:
    static constexpr size_t kEnd = SIZE_MAX / 2;
    struct Bound {
        bool present = false, needed = false;
        orr_tensor* tensor = nullptr;
    };
    struct Storage {  // one arena buffer
        orr_tensor* tensor;
        LayoutItem item;
        std::vector<std::pair<orr_tensor*, uint64_t>> views;
        bool on_device = false;
        size_t twin = SIZE_MAX;   // the same contents on the other side
        size_t input = SIZE_MAX;  // of plan_->inputs_
        bool read = false;        // by a step, or as a result
        uint32_t region = 0;      // whose steps write it
    };

    std::string where() const { return g_.model + "." + g_.entry; }
    bool cancelled() const { return options_.cancel && options_.cancel->load(std::memory_order_relaxed); }
    // Tells how far planning is: `part` of the node at hand is done.
    void tell(double part, const char* what = "planning") const {
        if (options_.progress && !options_.progress((static_cast<double>(node_) + part) / static_cast<double>(g_.nodes.size()), what)) throw_cancelled();
    }
    [[noreturn]] void throw_cancelled() const { throw Error(ORR_CANCELLED, where() + ": the run was cancelled while its plan was made"); }

    std::vector<PlanRows> rows_left_out(orr_value v, uint32_t region);
    void find_present();
    void find_wanted();
    void find_live();
    orr_tensor* new_tensor(uint32_t type, const std::vector<int64_t>& shape, const char* layout, const std::string& what);
    std::vector<int64_t> bound_shape(const std::vector<orr_dim>& dims) const;
    void own(orr_tensor* t, size_t first, bool on_device = false);
    bool is_on_device(const orr_tensor* t) const;
    void touch_last(const orr_tensor* t, size_t step);
    void bind_sources();
    // ---- elementwise chains: a producer with one reader joins its reader's chain
    void group_chains();
    // ---- one node
    void plan_node(size_t n);
    void open_region(uint32_t region);  // the nodes that come are of it
    uint32_t region_of(const orr_tensor* t) const;
    const orr_tensor* input_tensor(const NodeDef& node, size_t i, orr_value v);
    std::vector<const orr_tensor*> infer_outputs(const NodeDef& node, const std::vector<const orr_tensor*>& ins);
    orr_prepare base_prepare(const NodeDef& node, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs) const;
    bool try_view(const NodeDef& node, const std::vector<const orr_tensor*>& ins, std::vector<const orr_tensor*>& outs);
    orr_tensor* add_copy(const orr_tensor* src, const std::string& label);
    PlanStep& add_transfer(PlanStep::Kind kind, const orr_tensor* src, orr_tensor* dst, const std::string& label);
    void choose_kernel(const NodeDef& node, std::vector<const orr_tensor*> ins, std::vector<const orr_tensor*>& outs);
    const orr_tensor* contiguous(const orr_tensor* t, const std::string& label);
    // Whether the kernel may be used as it stands; else what is wrong is told in the refusals, and asked again it may choose another way.
    bool passes_self_test(const NodeDef& node, const orr_kernel& kernel, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs, std::vector<Refusal>& refusals);
    const orr_kernel* pick(const NodeDef& node, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs, const std::string& device, std::vector<Refusal>& refusals) const;
    const orr_kernel* pick_dense(const NodeDef& node, std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs, const std::string& device, std::vector<Refusal>& refusals,
                                 const std::string& label);
    // ---- a device's plan
    size_t device_nodes() const { return g_.nodes.size() * options_.device_eighths / 8; }
    bool read_behind(orr_value state, size_t node) const;  // by a node from there on
    bool state_on_device(const orr_tensor* t) const { return device_states_.count(t) != 0; }
    bool may_run_on_device(const NodeDef& node, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs, std::string& reason) const;
    void keep_states_on_host(const std::vector<const orr_tensor*>& tensors, const std::string& why);
    // The same value on the device or on the host; copied there when it is not.
    const orr_tensor* on_side(const orr_tensor* t, bool device, const std::string& label);
    void place_constants(PlanStep& step);
    DeviceProgress uploading(uint64_t bytes);
    void lay_out_step_block(uint64_t bytes);
    void note_rows();
    struct PrepareContext {
        orr_prepare base;
        Planner* planner;
        PlanStep* step;
        std::vector<const orr_tensor*>* ins;
    };
    static PrepareContext& context(orr_prepare* p) { return *reinterpret_cast<PrepareContext*>(p); }

    void prepare_step(const NodeDef& node, const orr_kernel& kernel, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs,
                      std::vector<Refusal> refusals, const std::string& label, bool on_device);
    static orr_status prepack_of(orr_prepare* p, uint32_t input, const orr_pack* pack);
    void prepack(PrepareContext& c, uint32_t input, const orr_pack& pack, bool whole);
    void find_part(PrepareContext& c, uint32_t input, orr_part& part);
    void plan_chain(size_t last);
    // Members of a chain one by one, by their own kernels.
    void plan_one(size_t n);
    bool can_join(size_t n) const;
    bool has_formula(const NodeDef& node) const;
    bool plan_device_chain(const std::vector<size_t>& members);
    // ---- what runs at once
    void form_waves();
    void form_waves(size_t begin, size_t end);  // of these steps
    std::pair<size_t, size_t> wave_of(size_t step) const;  // its first and last step
    void place_memory();
    void finish_runs();
    const orr_host* host_;
    Registry& registry_;
    std::shared_ptr<Memory> memory_;
    Weights& weights_;
    std::shared_ptr<const PreparedProgram> prepared_;
    const Program& g_;
    const Binding& binding_;
    const PlanOptions& options_;
    std::unique_ptr<Plan> plan_;
    DimPool dims_;  // for bound shape functions
    const char* plain_ = registry_.intern("");
    const char* paged_ = registry_.intern(ORR_LAYOUT_PAGED);
    const char* rows_ = registry_.intern(ORR_LAYOUT_ROWS);
    std::vector<Bound> values_;
    std::vector<bool> live_;
    std::vector<std::string> missing_;
    std::vector<std::pair<std::string, orr_value>> wanted_;
    std::map<orr_value, orr_tensor*> next_tensors_;
    std::map<const orr_tensor*, std::shared_ptr<Constant>> constants_;
    std::map<const orr_tensor*, size_t> storage_of_;
    std::vector<Storage> storages_;
    std::map<size_t, std::vector<size_t>> chains_;
    std::vector<size_t> chain_of_;
    uint64_t max_workspace_ = 0;
    size_t node_ = 0;  // that is being planned
    uint32_t region_ = 0;
    std::set<const orr_tensor*> device_states_;
    std::map<const orr_tensor*, std::string> state_names_;
    std::set<const orr_kernel*> distrusted_;  // for the node at hand: they failed their self-test, whichever way they chose
};

}  // namespace orrery
