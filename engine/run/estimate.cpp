// Makes the plans that a session would make, with kernels that count what they would repack instead of doing it.
#include "engine/run/estimate.hpp"

#include <algorithm>

#include "engine/plan/plan.hpp"
#include "engine/run/state.hpp"

namespace orrery {
namespace {

constexpr int64_t kChunkTokens = 512;

class Estimator {
  public:
    Estimator(Model& model, int64_t context) : model_(model), registry_(model.engine().registry()), context_(context) {
        const auto& executor = model.engine().executor();
        team_ = std::make_shared<Team>(executor, executor->helpers() + 1);
        cache_type_ = registry_.find_type("f16").number;
    }

    Need need() {
        const std::vector<Work> kept = works();
        uint64_t arena = 0, spare = 0;
        for (const Work& w : kept) {
            arena = std::max(arena, w.chunk->arena_bytes());
            // The last chunk of a prompt is shorter and has a plan of its own.
            if (w.keeps_states) spare = std::max(spare, w.plan_bytes);
        }
        const uint64_t weights = model_.weights().resident_bytes(), used = model_.memory()->used_bytes(), states = state_bytes(kept);
        Need n;
        n.mapped_bytes = model_.weights().mapped_bytes();
        n.weight_bytes = weights + n.mapped_bytes;
        n.state_bytes = states;
        n.workspace_bytes = arena + spare + (used - std::min(used, weights));
        const uint64_t planning = model_.memory()->peak_bytes();
        if (planning > n.allocated()) n.workspace_bytes += planning - n.allocated();
        return n;
    }

  private:
    struct Work {  // an entry in use
        std::string entry;
        std::vector<std::string> inputs;
        std::unique_ptr<Plan> chunk, step;
        uint64_t plan_bytes = 0;
        bool keeps_states = false;
    };

    // Of entries that take the same inputs the one that needs least: the others give rows that a task does not ask for.
    std::vector<Work> works() {
        std::vector<Work> kept;
        for (const char* const* e = model_.info().entries; *e; e++) {
            Work w = plan(*e);
            const auto same = std::find_if(kept.begin(), kept.end(), [&](const Work& k) { return k.inputs == w.inputs; });
            if (same == kept.end()) kept.push_back(std::move(w));
            else if (w.chunk->arena_bytes() < same->chunk->arena_bytes()) *same = std::move(w);
        }
        return kept;
    }

    Work plan(const std::string& entry) {
        Work w;
        w.entry = entry;
        const Program& program = *model_.program(entry);
        for (const InputDef& in : program.inputs)
            if (!in.flags && !in.positions) w.inputs.push_back(in.name);
        for (const StateDef& s : program.states) w.keeps_states = w.keeps_states || s.kind != ORR_STATE_FROZEN;
        const uint64_t before = plan_bytes();
        w.chunk = make(program, w.inputs, chunk_tokens());
        w.plan_bytes = plan_bytes() - before;
        if (w.keeps_states) w.step = make(program, w.inputs, 1);
        return w;
    }

    uint64_t plan_bytes() const { return model_.memory()->used_bytes() - model_.weights().resident_bytes(); }
    int64_t chunk_tokens() const { return context_ ? std::min(context_, kChunkTokens) : kChunkTokens; }

    std::unique_ptr<Plan> make(const Program& program, const std::vector<std::string>& inputs, int64_t tokens) {
        Binding binding;
        binding.given.insert(inputs.begin(), inputs.end());
        for (const InputDef& in : program.inputs)
            if (binding.given.count(in.name)) bind(program, program.values[in.value].dims, tokens, binding.symbols);
        binding.symbols["S"] = context_;
        for (const StateDef& s : program.states)
            if (s.kind == ORR_STATE_FROZEN) binding.symbols[program.dims->symbol_name(program.values[s.value].dims[1])] = frozen_tokens(s.name);
        PlanOptions options;
        options.isa = model_.engine().isa();
        options.cache_type = cache_type_;
        return make_plan(model_.engine().host(), registry_, model_.memory(), model_.weights(), model_.prepared(program.entry, {}, {}, true, options.numerics), binding, options, team_);
    }

    // One sequence, one image, one of whatever else is counted; T tokens.
    static void bind(const Program& program, const std::vector<orr_dim>& dims, int64_t tokens, Bindings& symbols) {
        for (const orr_dim d : dims)
            if (const std::string symbol = program.dims->symbol_name(d); !symbol.empty()) symbols[symbol] = symbol == "T" ? tokens : 1;
    }

    // Tokens that the entry which writes a frozen state puts into it.
    int64_t frozen_tokens(const std::string& name) {
        int64_t most = 0;
        for (const char* const* e = model_.info().entries; *e; e++) {
            const Program& program = *model_.program(*e);
            Bindings symbols{{"S", context_}};
            for (const InputDef& in : program.inputs) bind(program, program.values[in.value].dims, chunk_tokens(), symbols);
            for (const StateDef& s : program.states)
                if (s.name == name) most = std::max(most, program.dims->evaluate(s.append, symbols));
        }
        return most;
    }

    uint64_t state_bytes(const std::vector<Work>& works) {
        std::map<std::string, uint64_t> bytes;
        for (const Work& w : works) {
            const auto program = model_.program(w.entry);
            for (const StateDef& s : program->states) {
                const TypeInfo& type = s.kind == ORR_STATE_RECURRENT || s.type ? registry_.type(s.type) : registry_.type(cache_type_);
                const int64_t first = SessionState::first_pages(s, context_);
                int64_t pages = first;
                if (s.kind == ORR_STATE_FROZEN)
                    while (pages * kPageTokens < frozen_tokens(s.name)) pages += PagePool::further_pages(first);
                bytes[s.name] = static_cast<uint64_t>(pages) * PagePool::whole_bytes(SessionState::page_bytes_for(s, type));
            }
        }
        uint64_t sum = 0;
        for (const auto& [name, b] : bytes) sum += b;
        return sum;
    }

    Model& model_;
    Registry& registry_;
    int64_t context_;
    std::shared_ptr<Team> team_;
    uint32_t cache_type_;
};

}  // namespace

Need estimate_need(Model& model, int64_t context) { return Estimator(model, context).need(); }

}  // namespace orrery
