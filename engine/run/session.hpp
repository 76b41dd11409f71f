// One or more sequences in the middle of a model: their states, their plans, the run under way.
#pragma once
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "engine/plan/plan.hpp"
#include "engine/run/ledger.hpp"
#include "engine/run/model.hpp"
#include "engine/run/share.hpp"
#include "engine/run/state.hpp"
#include "engine/run/team.hpp"

namespace orrery {

constexpr int64_t kDefaultContext = 8192;  // tokens at most, where the host says nothing

struct SessionOptions {
    int64_t context = 0, batch = 1;
    uint32_t threads = 1, numerics = ORR_NUMERICS_DEFAULT, isa = ORR_ISA_AUTO, cache_type = ORR_TYPE_F16;
    orr_progress_fn progress = nullptr;
    void* progress_user = nullptr;
    bool reference = false, rewrites = true, profile = false;
};

// What one run is asked to do; pointers are the caller's.
struct RunRequest {
    const char* entry;
    uint32_t input_count;
    const orr_named_tensor* const* inputs;
    uint32_t output_count;
    const char* const* outputs;
};

// Required inputs with B sequences of T tokens, without data; entries that take something else cannot be guessed. Names are the program's.
std::vector<orr_named_tensor> required_inputs(const Program& program, int64_t batch, int64_t tokens);

class Session : public std::enable_shared_from_this<Session> {
  public:
    Session(std::shared_ptr<Model> model, const orr_session_options* options);
    Session(const Session& parent, int forked);  // fork
    Session& operator=(const Session&) = delete;
    ~Session();

    Model& model() { return *model_; }
    const SessionOptions& options() const { return options_; }
    int64_t position() const { return position_; }
    uint64_t changes() const { return changes_; }  // of what the states hold, so far

    // Plans, copies inputs in, makes room in the states. `others`: further sessions stepped together with this one.
    void begin(const RunRequest& request, Session* const* others, size_t other_count);
    // Works for about budget_ns, at least one node; 0: to the end. True when the run has ended. Throws its failure.
    bool step(uint64_t budget_ns);
    void run(const RunRequest& request, Session* const* others, size_t other_count);
    bool running() const { return running_; }

    void start(const RunRequest& request);   // in the background
    bool drive(uint64_t budget_ns) noexcept;  // the driver's slice; true when ended
    orr_status poll(bool* done);
    orr_status wait(uint64_t timeout_ns, bool* done);
    void cancel();
    void finish();  // cancels, and waits until no thread of the engine's works on this session
    void pause(bool paused);
    bool paused() const { return paused_.load(std::memory_order_relaxed); }
    bool cancelled() const { return cancel_.load(std::memory_order_relaxed); }
    void set_priority(int32_t p);
    int32_t priority() const { return priority_.load(std::memory_order_relaxed); }

    void set_taps(uint32_t count, const orr_tap* const* taps);
    void set_control(const char* name, const char* value_json);
    // Of the values that a control may take the first within the limits; see orr_session_fit_control.
    nlohmann::ordered_json fit_control(const std::string& name, const orr_fit& limits);
    void set_adapters(std::vector<std::shared_ptr<const AdapterTensors>> adapters, const std::vector<double>& scales, uint32_t flags);
    const std::string* control(const std::string& name) const;  // what it was set to; NULL: neutral
    void share(const orr_vulkan_share* share);
    void output(const char* name, orr_named_tensor* tensor);
    const char* output_name(uint32_t index);

    void mark();
    void rollback(int64_t position);
    void reset();
    void save(const std::string& path);
    void load(const std::string& path);
    void trim();
    void warm_up(const char* entry, int64_t tokens);
    nlohmann::ordered_json describe(const std::string& what, const char* entry);

  private:
    struct Signature {  // of a request, to find its plan again without allocating
        std::string entry, variant;
        struct Input {
            std::string name;
            uint32_t type;
            std::vector<int64_t> shape;
            bool imported;
        };
        std::vector<Input> inputs;
        std::vector<std::string> outputs;
        std::vector<std::string> device_outputs;
        std::vector<int64_t> lengths;  // of frozen states
        int64_t total_batch = 0;
        int64_t positions = -1;  // those that the plan's sequences have seen by its end, where a result has one element for each
    };
    struct PlanEntry {
        Signature signature;
        std::unique_ptr<Plan> plan;
        std::vector<SessionState*> states;                  // one per plan state, of this session
        std::vector<std::vector<orr_paged>> views;          // per plan state, one per sequence
        std::vector<std::vector<const orr_paged*>> view_ptrs;
        std::vector<std::vector<void*>> read_rows, write_rows;
        PlanWork work;
        uint64_t last_used = 0;
        std::vector<std::weak_ptr<const AdapterTensors>> adapters;
    };
    struct Snapshot {
        int64_t position;
        std::map<std::string, SessionState> states;
    };

    PlanEntry& find_plan(const RunRequest& request, const Share& share, int64_t total_batch);
    bool matches(const Signature& s, const RunRequest& request, const Share& share, int64_t total_batch) const;
    int64_t end_of(int64_t advance) const;  // of the longest sequence, after a run
    void bind_frozen_states(const Program& program, Binding& binding) const;
    void count_work(PlanEntry& entry, const Program& program, const Binding& binding);
    PlanEntry& make_entry(const RunRequest& request, const Share& share, int64_t total_batch);
    void begin_sharing(const RunRequest& request, const Share& share, Session* const* others, size_t other_count);
    // From finding the plan to having all that the run needs.
    void prepare_run(const RunRequest& request, const Share& share, int64_t total_batch);
    SessionState& state(const StateDef& def, int64_t batch);
    const TypeInfo& state_type(const StateDef& def) const;
    std::shared_ptr<PagePool> pool(const StateDef& def, int64_t batch, bool on_device);
    // From now on the state lies in the host's memory: a plan has a step there that needs it.
    void keep_on_host(const std::string& name);
    void agree_on_host_states();  // with the members of the run that begins
    // Does it, with fewer layers on the device wherever that has no room for what it needs, down to none.
    template <class Fn>
    auto within_device(Fn&& fn) {
        for (;;) try {
                return fn();
            } catch (const NoDeviceMemory& e) {
                if (!retreat(e.what())) throw;
            }
    }
    bool retreat(const char* why);
    uint64_t first_bytes(const StateDef& def) const;  // that a state takes at first
    uint64_t state_bytes_to_come(const Program& program) const;  // on the device
    void leave_states_that_do_not_fit(const Program& program, uint64_t activation_bytes);
    struct Taken {  // with a value of a control
        uint64_t memory_bytes = 0, weight_bytes = 0, time_ns = 0;
    };
    // In a session like this one; false where the model cannot be built so.
    bool try_control(const std::string& name, const std::string& value, const orr_fit& limits, Taken& taken);
    Taken measure(const orr_fit& limits);
    uint64_t memory_bytes(const std::string& entry, int64_t tokens);  // of a prompt, and of runs of so many tokens
    PlanEntry& plan_for(const std::string& entry, int64_t tokens);
    void choose_variant();  // of the run that begins
    void check_states() const;
    void make_room();
    void fill_inputs(const RunRequest& request);
    void bind_states();
    void commit();
    void abandon();
    void check_idle() const;
    void ensure_arena(const Plan& plan);
    void place(PlanEntry& entry, std::vector<std::shared_ptr<DeviceBlock>> imports);
    void bind_device_state(PlanState& ps, const SessionState& st, size_t first_row);
    std::string run_text() const;

    std::shared_ptr<Model> model_;
    SessionOptions options_;
    std::shared_ptr<Team> team_;
    std::shared_ptr<std::map<std::string, std::shared_ptr<PagePool>>> pools_;  // shared with forks
    std::shared_ptr<std::mutex> pools_mutex_;
    std::map<std::string, SessionState> states_;
    int64_t position_ = 0;
    uint64_t changes_ = 0;
    std::vector<Snapshot> marks_;
    std::vector<std::unique_ptr<PlanEntry>> plans_;
    uint64_t clock_ = 0;
    Buffer arena_;
    std::shared_ptr<Device> device_;                  // nullptr: the processor
    std::shared_ptr<DeviceBlock> host_block_, work_;  // the arena of plans on a device
    std::set<std::string> host_states_;
    uint32_t device_eighths_ = 8;  // see PlanOptions

    Variant variant_;
    int64_t tap_runs_ = 0;  // since the taps were set
    std::string active_;    // of the run that begins

    Share share_;                            // of the next run
    std::shared_ptr<DeviceBlock> lent_;      // holds what output() told of; the next run waits for those who read it
    std::map<std::string, orr_vulkan_buffer> exported_;  // what output() told of the last one

    // the run under way
    std::atomic<bool> running_{false};
    PlanEntry* current_ = nullptr;
    PlanEntry* last_ = nullptr;  // whose outputs can be read
    size_t next_step_ = 0;
    uint64_t run_ns_ = 0;  // that the run under way has taken
    Ledger ledger_;
    std::vector<Session*> members_;  // this and the others
    std::atomic<bool> cancel_{false}, paused_{false};
    std::atomic<int32_t> priority_{0};

    // a background run
    std::mutex async_mutex_;
    std::condition_variable async_done_;
    bool async_ = false, async_ended_ = false;
    orr_status async_status_ = ORR_OK;
    std::string async_error_;
};

}  // namespace orrery
