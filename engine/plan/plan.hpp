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

#include "engine/backend/device.hpp"
#include "engine/plan/prepare_program.hpp"
#include "engine/run/team.hpp"

namespace orrery {

class DeviceWeights;

struct PlanOptions {
    std::shared_ptr<Device> device;           // nullptr: the processor
    DeviceWeights* device_weights = nullptr;  // of the device
    std::set<std::string> host_states;        // of a device's plan: states that lie in the host's memory all the same
    uint64_t device_reserve_bytes = 0;        // room that weights must leave for states and activations
    uint32_t device_eighths = 8;              // of the nodes, the first ones: those that may run on the device
    uint32_t numerics = ORR_NUMERICS_DEFAULT;
    uint32_t isa = ORR_ISA_AUTO;
    uint32_t cache_type = ORR_TYPE_F16;
    bool reference = false;
    bool profile = false;
    // Asked between nodes and between chunks of a repacked weight, from any thread of the team: true ends planning with ORR_CANCELLED.
    const std::atomic<bool>* cancel = nullptr;
    // Between nodes and before self-tests, on the planning thread; false cancels.
    std::function<bool(double fraction, const char* what)> progress;
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

struct Expression;

struct PlanStep {
    enum class Kind { kernel, copy, chain, upload, download } kind = Kind::kernel;
    bool on_device = false;  // recorded; else run by the host
    uint32_t region = 0;     // of the plan's
    uint32_t group = 0;      // of its node
    uint32_t wave = 0;       // above 0: steps of this number, which stand together, run at once
    const orr_operator* op = nullptr;
    const orr_kernel* kernel = nullptr;
    std::string label, variant;  // label: path of the first named output
    std::vector<Refusal> refusals;
    std::vector<const orr_tensor*> ins, outs;
    std::vector<ChainStep> chain;
    std::vector<std::string> chain_ops;
    std::shared_ptr<const Expression> expression;  // of a chain on a device
    std::shared_ptr<NodeAttrs> attrs;
    std::vector<Buffer> memory;  // plan_memory
    uint64_t workspace_bytes = 0, flops = 0;
    uint64_t workspace_offset = 0;   // in the device's memory, or in the plan's workspace
    std::vector<std::shared_ptr<DeviceBlock>> blocks;  // constants on the device
    uint64_t time_ns = 0, runs = 0;
    struct Run {
        orr_run base;
        Team* team;
        uint32_t lane = 0;  // of the team
        void parallel_for(int64_t chunks, orr_chunk_fn fn, void* arg) const { team->parallel_for(chunks, fn, arg, lane); }
    } run{};
    std::string name() const;  // for people
};

struct PlanInput {
    std::string name;
    bool given = false;  // by the host; else positions or a fill
    bool imported = false;      // in a buffer of the host's on the device
    bool read_by_host = false;  // by steps there, or as a result
    bool positions = false;
    int fill = -1;       // 0 or 1
    TapInput tap;
    orr_tensor* tensor = nullptr;
    uint64_t device_offset = UINT64_MAX;  // in the step block: where kernels read it too
    // What a device's steps read at its numbers: rows of another input.
    struct Rows {
        const orr_operator* op;
        size_t port;
        int64_t rows;
    };
    std::vector<Rows> rows;
    // Throws where a number of the tensor, which is filled, is of no such row.
    void check_rows() const;
};

struct PlanState {
    size_t state = 0;         // index in the program's states
    int64_t append = 0;       // tokens that this run adds
    orr_tensor* tensor = nullptr;
    orr_tensor* next = nullptr;  // recurrent
    bool on_device = false;
    // In the step block: what kernels see of the state, and the room for page addresses of each batch row.
    uint64_t view_offset = 0, next_offset = 0, pages_offset = 0;
    int64_t most_pages = 0;
};

// f32 in the host's memory, one number for each row: it was run for where that is not zero (otherwise: is zero).
struct PlanRows {
    const orr_tensor* tensor = nullptr;
    bool otherwise = false;
};

struct PlanOutput {
    std::string name;
    const orr_tensor* tensor = nullptr;
    bool on_device = false;  // and stays there
    uint32_t region = 0;     // that makes it; where it did not run, the output is zeros
    std::vector<PlanRows> rows;  // of the region and those around it; where one was not run for a row, that is zeros
};

// Steps that a run may leave out. [0]: those that it always does.
struct PlanRegion {
    enum class Taken { unknown, yes, no };
    std::string when;  // for people
    const orr_tensor* flag = nullptr;  // in the host's memory
    size_t flag_step = 0;              // that writes it there
    bool otherwise = false;
    uint32_t parent = 0;
    Taken taken = Taken::unknown;  // in the run under way, or the last one
};

class Plan {
  public:
    Plan() = default;
    ~Plan();  // a run under way that shares something is settled
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;

    // Points every tensor into the arena; needed again when the arena has moved. With a device: `host` is its block behind
    // `arena`, `work` the one for activations.
    void place(void* arena, std::shared_ptr<DeviceBlock> host = nullptr, std::shared_ptr<DeviceBlock> work = nullptr);
    // With a device, before each run: records the steps, unless they were for these addresses. imports: for each input that is imported, its
    // block; nullptr for others.
    void ready(std::vector<std::shared_ptr<DeviceBlock>> imports);
    // What the run that comes has to do with the host's own work. Each is done once: with the first and the last submission, or by
    // finish_exchange().
    void set_exchange(DeviceExchange exchange) { exchange_ = std::move(exchange); }
    void finish_exchange();
    // After a run that failed.
    void settle_exchange() noexcept;
    // That a tensor on the device lies in.
    std::shared_ptr<DeviceBlock> block_of(const orr_tensor& t) const;
    // Offset of a tensor of the host's in the block that was placed for it.
    uint64_t host_offset(const orr_tensor& t) const { return static_cast<uint64_t>(static_cast<const char*>(t.data) - static_cast<const char*>(arena_)); }
    bool placed_at(const void* arena, const DeviceBlock* work) const { return arena_ == arena && work_.get() == work; }
    // Runs units [from, units()) until `proceed` says no (asked between them, told how many are done): steps, or submissions of many steps on a
    // device. Returns the next one. Throws the failure of a step.
    template <class Proceed>
    size_t run(size_t from, Proceed&& proceed) {
        size_t i = from;
        if (from == 0)
            for (PlanRegion& r : regions_) r.taken = PlanRegion::Taken::unknown;
        for (; i < units(); i++) {
            if (i != from && !proceed(i)) break;
            i = run_unit(i);
        }
        return i;
    }
    // At the end of a run: outputs of what it left out become zeros.
    void clear_outputs_left_out();
    const std::vector<PlanRegion>& regions() const { return regions_; }
    bool took(uint32_t region) const { return region == 0 || regions_[region].taken == PlanRegion::Taken::yes; }
    size_t units() const { return !device_ ? steps_.size() : recording_ ? recording_->units.size() : 0; }
    // Writes what kernels read of this run: inputs and states.
    void write_step(uint64_t offset, const void* data, uint64_t bytes);
    uint64_t step_address() const { return step_block_->address(); }
    bool on_device() const { return device_ != nullptr; }

    const std::deque<PlanStep>& steps() const { return steps_; }
    uint64_t arena_bytes() const { return arena_bytes_; }
    uint64_t activation_bytes() const { return activation_bytes_; }
    uint64_t unshared_bytes() const { return unshared_bytes_; }
    uint64_t work_bytes() const { return work_bytes_; }  // on the device
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
    struct Unit {
        bool part;     // a submission, else a step of the host's
        size_t index;
        uint32_t region = 0;
        bool by_region = false;  // begins here because the region does: the part before it is short enough to go with it
    };
    struct ImportedPlaced {
        orr_tensor* tensor;
        uint64_t offset;
        size_t input;
    };
    struct Recording {
        std::vector<uint64_t> addresses;  // of imports
        std::unique_ptr<DeviceProgram> program;
        std::vector<Unit> units;
        uint64_t last_used = 0;
        std::vector<size_t> flag_units;  // of each region, the unit that its flag comes from
    };
    void run_part(size_t unit);
    void check_fault();  // throws what a step on the device told
    size_t run_unit(size_t unit);  // and those that go with it; the last of them
    bool goes_with(size_t first, size_t unit, size_t& next);
    void run_step(PlanStep& step);
    size_t run_wave(size_t first);  // the last of its steps
    bool takes(uint32_t region);  // asks the flag the first time
    void record(Recording& recording);
    void record_step(PlanStep& step);
    std::vector<DeviceRange> ranges(const std::vector<const orr_tensor*>& tensors, bool written) const;
    const orr_host* host_ = nullptr;
    std::shared_ptr<Team> team_;
    std::shared_ptr<const PreparedProgram> program_;  // keeps attributes and constants
    std::deque<orr_tensor> tensors_;
    std::deque<PlanStep> steps_;
    std::vector<Placed> placed_;
    std::vector<PlanInput> inputs_;
    std::vector<PlanState> states_;
    std::vector<PlanOutput> outputs_;
    std::vector<PlanRegion> regions_{1};
    void* arena_ = nullptr;
    uint64_t arena_bytes_ = 0, activation_bytes_ = 0, unshared_bytes_ = 0, workspace_offset_ = 0;
    std::shared_ptr<Device> device_;
    std::deque<Recording> recordings_;
    Recording* recording_ = nullptr;  // that ready() chose
    DeviceProgram* device_program_ = nullptr;  // that is being recorded
    uint64_t clock_ = 0, recorded_ = 0;
    DeviceExchange exchange_;
    std::shared_ptr<DeviceBlock> host_block_, work_, step_block_;
    std::vector<char> step_shadow_;  // what the step block holds
    std::vector<Placed> work_placed_, step_placed_;
    std::vector<ImportedPlaced> imported_placed_;
    std::vector<std::shared_ptr<DeviceBlock>> imports_;
    uint64_t work_bytes_ = 0;
    int64_t advance_ = 0, batch_ = 1;
    bool profile_ = false;
};

// Throws what a chunk threw on one of the team's threads.
void check_team(Team& team, const std::string& doing, uint32_t lane = 0);

// What a plan is made for.
struct Binding {
    Bindings symbols;                 // "B", "T" … from the inputs' shapes; "S…" from the session
    std::set<std::string> given;      // inputs that the host gives
    std::vector<std::string> wanted;  // outputs; empty: all declared
    std::set<std::string> imported;   // of given: those in buffers of the host's on the device
    std::set<std::string> device_outputs;  // those that stay on the device
};

std::unique_ptr<Plan> make_plan(const orr_host* host, Registry& registry, const std::shared_ptr<Memory>& memory, Weights& weights,
                                std::shared_ptr<const PreparedProgram> program, const Binding& binding, const PlanOptions& options, std::shared_ptr<Team> team);

}  // namespace orrery
