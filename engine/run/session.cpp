#include "engine/run/session.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "engine/platform/cpu.hpp"
#include "engine/registry/error_text.hpp"
#include "engine/run/convert.hpp"
#include "engine/run/driver.hpp"
#include "engine/run/options.hpp"
#include "orrery/ext/vulkan.h"

namespace orrery {
namespace {

constexpr size_t kMostPlans = 24;

// Whether some node gives a plain tensor whose extents follow how many positions a sequence has seen (what attention weighs them by), not only
// states and what is read of them. Such plans are made for one length.
bool counts_positions(const Program& p) {
    for (const NodeDef& n : p.nodes)
        for (const orr_value v : n.outs)
            if (p.values[v].kind == ValueKind::node && !*p.values[v].layout)
                for (const orr_dim d : p.values[v].dims)
                    if (p.dims->depends(d, "S")) return true;
    return false;
}

// What a plan's activations may take, before there is a plan: what the widest node reads and writes, and as much again for what lives beside
// it. Where that was too little, the plan is made again (Session::retreat).
uint64_t guess_activation_bytes(const Program& p, const Bindings& symbols, Registry& registry) {
    const auto bytes = [&](orr_value v) -> uint64_t {
        if (!v || *p.values[v].layout || (p.values[v].kind != ValueKind::node && p.values[v].kind != ValueKind::input)) return 0;
        int64_t elems = 1;
        for (const orr_dim d : p.values[v].dims) elems *= p.dims->evaluate(d, symbols);
        const TypeInfo& type = registry.type(p.values[v].type);
        return static_cast<uint64_t>(elems) / type.block_elems * type.block_bytes;
    };
    uint64_t most = 0;
    for (const NodeDef& n : p.nodes) try {
            uint64_t sum = 0;
            for (const auto* list : {&n.ins, &n.outs})
                for (const orr_value v : *list) sum += bytes(v);
            most = std::max(most, sum);
        } catch (const Error&) {  // of an input that was not given: nothing needs the node
        }
    return 2 * most;
}

uint64_t now_ns() { return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count()); }

}  // namespace

Session::Session(std::shared_ptr<Model> model, const orr_session_options* o)
    : model_(std::move(model)), pools_(std::make_shared<std::map<std::string, std::shared_ptr<PagePool>>>()), pools_mutex_(std::make_shared<std::mutex>()) {
    Engine& engine = model_->engine();
    const int64_t most = model_->info().context_length;
    const orr_session_options d = copy_options(o, "orr_session_options");
    if (d.context < 0 || d.batch < 0) throw Error(ORR_INVALID_ARGUMENT, "session options: context " + std::to_string(d.context) + ", batch " + std::to_string(d.batch) + ": neither may be negative");
    if (most > 0 && d.context > most)
        throw Error(ORR_LIMIT, "a context of " + std::to_string(d.context) + " tokens was asked for; the model's is " + std::to_string(most));
    options_.context = d.context ? d.context : most > 0 ? std::min(most, kDefaultContext) : kDefaultContext;
    options_.batch = d.batch ? d.batch : 1;
    const uint32_t available = engine.executor()->helpers() + 1;
    options_.threads = d.threads ? d.threads : available;
    if (d.numerics > ORR_NUMERICS_FAST) throw Error(ORR_INVALID_ARGUMENT, "session options: numerics " + std::to_string(d.numerics) + " is unknown");
    options_.numerics = d.numerics;
    if (!platform::has_isa(d.isa))
        throw Error(ORR_UNSUPPORTED, std::string("instruction set ") + platform::isa_name(d.isa) + " was asked for; the best that this processor has is " + platform::isa_name(platform::best_isa()));
    options_.isa = d.isa == ORR_ISA_AUTO ? engine.isa() : d.isa;
    options_.cache_type = engine.registry().find_type(d.cache_type ? d.cache_type : "f16").number;
    options_.progress = d.progress;
    options_.progress_user = d.progress_user;
    options_.reference = d.reference_kernels;
    options_.rewrites = !d.no_rewrites && !d.reference_kernels;
    options_.profile = d.profile;
    priority_ = d.priority;
    team_ = std::make_shared<Team>(engine.executor(), options_.threads);
    device_ = model_->device();
}

Session::Session(const Session& parent, int)
    : model_(parent.model_), options_(parent.options_), pools_(parent.pools_), pools_mutex_(parent.pools_mutex_), states_(parent.states_), position_(parent.position_), marks_(parent.marks_),
      device_(parent.device_), host_states_(parent.host_states_), device_eighths_(parent.device_eighths_), variant_(parent.variant_), tap_runs_(parent.tap_runs_) {
    priority_ = parent.priority();
    team_ = std::make_shared<Team>(model_->engine().executor(), options_.threads);
    // Copied vectors have no spare capacity: the pages to come would allocate.
    for (auto& [name, s] : states_)
        for (auto& row : s.rows())
            if (s.def().kind != ORR_STATE_RECURRENT) {
                row.pages.reserve(static_cast<size_t>(options_.context / kPageTokens + 2));
                row.addresses.reserve(static_cast<size_t>(options_.context / kPageTokens + 2));
            } else {
                row.spare = PageRef();
            }
}

Session::~Session() = default;

void Session::check_idle() const {
    if (running_) throw Error(ORR_BUSY, "a run of this session is under way");
}

std::string Session::run_text() const { return current_ ? current_->signature.entry : ""; }

SessionState& Session::state(const StateDef& def, int64_t batch) {
    if (const auto it = states_.find(def.name); it != states_.end()) {
        if (same_state(it->second.def(), def)) return it->second;
        // A file that came with it said so: files tell what states of other controls are, and no plan had asked for it yet.
        if (it->second.length() > 0 || it->second.seen() > 0)
            throw Error(ORR_INVALID_ARGUMENT, "state " + def.name + " is held as " + state_text(it->second.def()) + ", the run wants " + state_text(def) + ": reset the session");
        plans_.clear();  // they may hold its address
        last_ = nullptr;
        states_.erase(it);
        for (Snapshot& mark : marks_) mark.states.erase(def.name);
    }
    const std::shared_ptr<PagePool> from = pool(def, batch, device_ && !host_states_.count(def.name));
    return states_.try_emplace(def.name, def, state_type(def), batch, options_.context, from).first->second;
}

const TypeInfo& Session::state_type(const StateDef& def) const {
    Registry& registry = model_->engine().registry();
    return registry.type(def.kind == ORR_STATE_RECURRENT || def.type ? def.type : options_.cache_type);
}

std::shared_ptr<PagePool> Session::pool(const StateDef& def, int64_t batch, bool on_device) {
    const std::lock_guard lock(*pools_mutex_);
    auto& slot = (*pools_)[on_device ? device_->id() + "/" + def.name : def.name];
    const size_t bytes = SessionState::page_bytes_for(def, state_type(def));
    if (!slot || slot->page_bytes() != PagePool::whole_bytes(bytes)) {
        const int64_t pages = SessionState::first_pages(def, options_.context);
        slot = std::make_shared<PagePool>(model_->engine().memory(), on_device ? device_ : nullptr, bytes, static_cast<size_t>(pages * batch));
    }
    return slot;
}

uint64_t Session::first_bytes(const StateDef& def) const {
    return static_cast<uint64_t>(SessionState::first_pages(def, options_.context)) * SessionState::page_bytes_for(def, state_type(def)) * static_cast<uint64_t>(options_.batch);
}

bool Session::matches(const Signature& s, const RunRequest& r, const Share& share, int64_t total_batch) const {
    if (s.device_outputs.size() != share.outputs.size() ||
        !std::equal(share.outputs.begin(), share.outputs.end(), s.device_outputs.begin(), [](const Share::Output& a, const std::string& b) { return a.name == b; }))
        return false;
    if (s.entry != r.entry || s.variant != variant_.key || s.inputs.size() != r.input_count || s.outputs.size() != r.output_count || s.total_batch != total_batch) return false;
    for (uint32_t i = 0; i < r.input_count; i++) {
        const auto& a = s.inputs[i];
        const orr_named_tensor& b = *r.inputs[i];
        if (a.name != b.name || a.type != b.type || a.shape.size() != static_cast<size_t>(b.rank) || !std::equal(a.shape.begin(), a.shape.end(), b.shape) ||
            a.imported != (named_buffer(b) != nullptr))
            return false;
    }
    for (uint32_t i = 0; i < r.output_count; i++)
        if (s.outputs[i] != r.outputs[i]) return false;
    size_t k = 0;
    for (const auto& [name, state] : states_) {
        if (state.def().kind != ORR_STATE_FROZEN) continue;
        if (k >= s.lengths.size() || s.lengths[k++] != state.length()) return false;
    }
    return k == s.lengths.size();
}

Session::PlanEntry& Session::find_plan(const RunRequest& r, const Share& share, int64_t total_batch) {
    for (auto& e : plans_)
        if (matches(e->signature, r, share, total_batch) && (e->signature.positions < 0 || e->signature.positions == end_of(e->plan->advance()))) {
            e->last_used = ++clock_;
            return *e;
        }
    return make_entry(r, share, total_batch);
}

int64_t Session::end_of(int64_t advance) const {
    int64_t end = 0;
    for (const Session* m : members_) end = std::max(end, m->position_ + advance);
    return std::min(end, options_.context);
}

Session::PlanEntry& Session::make_entry(const RunRequest& r, const Share& share, int64_t total_batch) {
    const std::shared_ptr<const Program> held = model_->program(r.entry, variant_);
    const Program& program = *held;
    Binding binding;
    for (uint32_t i = 0; i < r.input_count; i++) {
        const orr_named_tensor& t = *r.inputs[i];
        const auto in = std::find_if(program.inputs.begin(), program.inputs.end(), [&](const InputDef& d) { return d.name == t.name && d.tap.part == TapInput::Part::none; });
        if (in == program.inputs.end()) {
            std::string known;
            for (const auto& d : program.inputs)
                if (d.tap.part == TapInput::Part::none) known += (known.empty() ? "" : ", ") + d.name;
            throw Error(ORR_INVALID_ARGUMENT, program.model + "." + program.entry + " has no input \"" + t.name + "\"; it has " + known);
        }
        const ValueDef& v = program.values[in->value];
        if (static_cast<size_t>(t.rank) != v.dims.size())
            throw Error(ORR_INVALID_ARGUMENT, "input " + in->name + " has rank " + std::to_string(t.rank) + ", wanted " + program.shape_text(in->value));
        for (int32_t k = 0; k < t.rank; k++) {
            const std::string symbol = program.dims->symbol_name(v.dims[static_cast<size_t>(k)]);
            if (symbol.empty()) continue;
            if (t.shape[k] == 0) throw Error(ORR_INVALID_ARGUMENT, "input " + in->name + " is empty: its axis " + std::to_string(k) + " (" + symbol + ") is 0");
            const auto [it, fresh] = binding.symbols.emplace(symbol, t.shape[k]);
            if (!fresh && it->second != t.shape[k])
                throw Error(ORR_INVALID_ARGUMENT, "input " + in->name + ": dimension " + symbol + " is " + std::to_string(t.shape[k]) + ", another input makes it " + std::to_string(it->second));
        }
        if (!binding.given.insert(in->name).second) throw Error(ORR_INVALID_ARGUMENT, "input " + in->name + " is given twice");
        if (named_buffer(t)) binding.imported.insert(in->name);
    }
    for (uint32_t i = 0; i < r.input_count; i++) {
        const orr_named_tensor& t = *r.inputs[i];
        const orr_value v = std::find_if(program.inputs.begin(), program.inputs.end(), [&](const InputDef& d) { return d.name == t.name; })->value;
        for (int32_t k = 0; k < t.rank; k++) {
            const int64_t want = program.dims->evaluate(program.values[v].dims[static_cast<size_t>(k)], binding.symbols);
            if (want != t.shape[k])
                throw Error(ORR_INVALID_ARGUMENT, std::string("input ") + t.name + ": axis " + std::to_string(k) + " is " + std::to_string(t.shape[k]) + ", wanted " + std::to_string(want));
        }
    }
    for (uint32_t i = 0; i < r.output_count; i++) binding.wanted.emplace_back(r.outputs[i]);
    for (const Share::Output& o : share.outputs) binding.device_outputs.insert(o.name);

    auto entry = std::make_unique<PlanEntry>();
    Signature& s = entry->signature;
    s.entry = r.entry;
    s.variant = variant_.key;
    if (variant_.adapters) entry->adapters.assign(variant_.adapters->adapters().begin(), variant_.adapters->adapters().end());
    s.total_batch = total_batch;
    for (uint32_t i = 0; i < r.input_count; i++) s.inputs.push_back({r.inputs[i]->name, r.inputs[i]->type, {r.inputs[i]->shape, r.inputs[i]->shape + r.inputs[i]->rank}, named_buffer(*r.inputs[i]) != nullptr});
    s.outputs = binding.wanted;
    for (const Share::Output& o : share.outputs) s.device_outputs.push_back(o.name);

    binding.symbols["S"] = options_.context;
    bind_frozen_states(program, binding);
    for (const StateDef& def : program.states) {
        if (def.kind != ORR_STATE_FROZEN || program.dims->evaluate(def.append, binding.symbols) > 0) continue;
        if (const auto known = states_.find(def.name); known == states_.end() || known->second.length() == 0)
            throw Error(ORR_INVALID_ARGUMENT, program.model + "." + program.entry + " reads state " + def.name + ", which no run has written yet");
    }
    const std::shared_ptr<const PreparedProgram> prepared = model_->prepared(r.entry, variant_, binding.wanted, options_.rewrites, options_.numerics);
    if (counts_positions(prepared->program)) binding.symbols["S"] = s.positions = end_of(program.dims->evaluate(program.advance, binding.symbols));
    PlanOptions po;
    po.device = device_;
    if (device_) {
        const uint64_t activations = guess_activation_bytes(prepared->program, binding.symbols, model_->engine().registry());
        leave_states_that_do_not_fit(program, activations);
        po.device_weights = &model_->device_weights(device_);
        po.host_states = host_states_;
        po.device_reserve_bytes = activations + state_bytes_to_come(program);
        po.device_eighths = device_eighths_;
    }
    po.numerics = options_.numerics;
    po.isa = options_.isa;
    po.cache_type = options_.cache_type;
    po.reference = options_.reference;
    po.profile = options_.profile;
    po.cancel = &cancel_;
    if (options_.progress) po.progress = [this](double fraction, const char* what) { return options_.progress(options_.progress_user, fraction, what); };
    entry->plan = make_plan(model_->engine().host(), model_->engine().registry(), model_->engine().memory(), model_->weights(), prepared, binding, po, team_);
    for (const Share::Output& o : share.outputs)
        if (std::none_of(entry->plan->outputs().begin(), entry->plan->outputs().end(), [&](const PlanOutput& p) { return p.name == o.name; }))
            throw Error(ORR_NOT_FOUND, "orr_vulkan_share: output " + o.name + " is none of this run");
    if (!entry->plan->states().empty() && entry->plan->batch() != total_batch)
        throw Error(ORR_INVALID_ARGUMENT, "the inputs hold " + std::to_string(entry->plan->batch()) + " sequences, the session" + (members_.size() > 1 ? "s hold " : " holds ") + std::to_string(total_batch));
    const auto batch = static_cast<size_t>(total_batch);
    for (const PlanState& ps : entry->plan->states())
        if (!ps.on_device)
            for (Session* member : members_) member->keep_on_host(program.states[ps.state].name);
    for (const PlanState& ps : entry->plan->states()) {
        entry->states.push_back(&state(program.states[ps.state], options_.batch));
        entry->views.emplace_back(batch, orr_paged{ORR_HEADER(orr_paged), nullptr, 0, 0, 0, kPageTokens});
        entry->view_ptrs.emplace_back();
        for (const auto& v : entry->views.back()) entry->view_ptrs.back().push_back(&v);
        entry->read_rows.emplace_back(batch, nullptr);
        entry->write_rows.emplace_back(batch, nullptr);
    }
    for (const auto& [name, st] : states_)
        if (st.def().kind == ORR_STATE_FROZEN) s.lengths.push_back(st.length());
    // The least recently used plan makes room.
    if (plans_.size() >= kMostPlans) {
        const auto oldest = std::min_element(plans_.begin(), plans_.end(), [](const auto& a, const auto& b) { return a->last_used < b->last_used; });
        if (oldest->get() == last_) last_ = nullptr;
        plans_.erase(oldest);
    }
    count_work(*entry, program, binding);
    entry->last_used = ++clock_;
    plans_.push_back(std::move(entry));
    return *plans_.back();
}

// How many tokens frozen states hold, or will when the run has written them. Of one that controls left out, as many as another.
void Session::bind_frozen_states(const Program& program, Binding& binding) const {
    int64_t longest = 0;
    for (const auto& [name, st] : states_)
        if (st.def().kind == ORR_STATE_FROZEN) longest = std::max(longest, st.length());
    for (const StateDef& def : program.states) {
        if (def.kind != ORR_STATE_FROZEN) continue;
        const int64_t append = program.dims->evaluate(def.append, binding.symbols);
        const auto known = states_.find(def.name);
        binding.symbols[program.dims->symbol_name(program.values[def.value].dims[1])] = append > 0 ? append : known == states_.end() ? longest : known->second.length();
    }
}

// What the ledger is told of each run of a plan, and what the model would take with all controls neutral.
void Session::count_work(PlanEntry& e, const Program& program, const Binding& binding) {
    Engine& engine = model_->engine();
    const auto count = [&](const Variant& variant, const Program& of, const std::vector<std::string>& wanted) {
        Binding bound = binding;
        bound.wanted = wanted;
        bind_frozen_states(of, bound);
        return orrery::count_work(engine.host(), engine.registry(), engine.memory(), model_->weights(), model_->prepared(e.signature.entry, variant, wanted, options_.rewrites, options_.numerics), bound, team_);
    };
    ledger_.add_parts(program, e.work);
    ledger_.add_stacks(*e.plan, e.work);
    e.work.regions = count(variant_, program, binding.wanted);
    if (!variant_.controls) {
        e.work.plain = e.work.regions[0];
        return ledger_.add_plain_parts(program, e.work);
    }
    Variant plain;
    plain.make_key();
    std::vector<std::string> wanted;  // what the plain model has too
    const std::shared_ptr<const Program> whole = model_->program(e.signature.entry, plain);
    for (const std::string& name : binding.wanted)
        if (whole->find(name)) wanted.push_back(name);
    ledger_.add_plain_parts(*whole, e.work);
    e.work.plain = count(plain, *whole, wanted)[0];
}

void Session::ensure_arena(const Plan& plan) {
    if (!plan.on_device()) {
        if (arena_.size() >= plan.arena_bytes()) return;
        arena_ = Buffer();
        last_ = nullptr;  // what it held is gone
        arena_ = Buffer(model_->engine().memory(), plan.arena_bytes(), 64, "workspace of a run");
        return;
    }
    const auto grow = [&](std::shared_ptr<DeviceBlock>& block, uint64_t bytes, DeviceUse use) {
        if (block && block->bytes() >= bytes) return;
        block.reset();
        last_ = nullptr;
        block = device_->allocate(bytes, use, "workspace of a run");
    };
    grow(host_block_, std::max<uint64_t>(plan.arena_bytes(), 64), DeviceUse::result);
    if (plan.work_bytes() > 0) grow(work_, plan.work_bytes(), DeviceUse::work);
}

void Session::place(PlanEntry& e, std::vector<std::shared_ptr<DeviceBlock>> imports) {
    ensure_arena(*e.plan);
    void* const arena = e.plan->on_device() ? host_block_->mapped() : arena_.data();
    if (!e.plan->placed_at(arena, work_.get())) e.plan->place(arena, host_block_, work_);
    e.plan->ready(std::move(imports));
}

void Session::begin(const RunRequest& request, Session* const* others, size_t other_count) {
    check_idle();
    Share share;
    std::swap(share, share_);  // of this run, whatever becomes of it
    try {
        begin_sharing(request, share, others, other_count);
    } catch (...) {
        if (share.given) device_->settle({share.waits, share.signals, {}, {}});
        throw;
    }
}

void Session::begin_sharing(const RunRequest& request, const Share& share, Session* const* others, size_t other_count) {
    if (share.given) device_->check_signals({share.waits, share.signals, {}, {}});
    RunRequest r = request;
    std::string entry;
    if (!r.entry) {
        r.entry = model_->info().entries ? model_->info().entries[0] : nullptr;
        if (!r.entry) throw Error(ORR_INVALID_ARGUMENT, "this model has no entry");
    } else {
        entry = model_->entry_name(r.entry);
    }
    for (uint32_t i = 0; i < r.input_count; i++) {
        check_named_tensor(r.inputs[i], i);
        if (named_buffer(*r.inputs[i]) && !(device_ && device_->shared_with_host()))
            throw Error(ORR_UNSUPPORTED, std::string("input ") + r.inputs[i]->name + " is in a buffer of a device; the model is on " + model_->device_name() + ", which is no device of the host's");
    }
    cancel_ = false;  // from here on, planning included
    members_.clear();
    members_.push_back(this);
    int64_t total_batch = options_.batch;
    for (size_t i = 0; i < other_count; i++) {
        Session* o = others[i];
        o->check_idle();
        if (std::find(members_.begin(), members_.end(), o) != members_.end()) throw Error(ORR_INVALID_ARGUMENT, "a session stands twice in one batch");
        if (o->model_ != model_ || o->options_.cache_type != options_.cache_type || o->options_.numerics != options_.numerics)
            throw Error(ORR_INVALID_ARGUMENT, "sessions stepped together must share model, cache type and numerics; session " + std::to_string(i + 1) + " differs");
        o->choose_variant();
        if (i == 0) choose_variant();
        if (o->variant_.key != variant_.key || (variant_.adapters && !(*o->variant_.adapters == *variant_.adapters)) || (variant_.taps && o->variant_.taps != variant_.taps && !(*o->variant_.taps == *variant_.taps)))
            throw Error(ORR_INVALID_ARGUMENT, "sessions stepped together must have the same controls and taps, and the same adapters; session " + std::to_string(i + 1) + " differs");
        members_.push_back(o);
        total_batch += o->options_.batch;
    }
    if (other_count == 0) choose_variant();
    agree_on_host_states();
    within_device([&] { prepare_run(r, share, total_batch); });
    next_step_ = 0;
    for (Session* s : members_) s->running_ = true;
}

void Session::prepare_run(const RunRequest& r, const Share& share, int64_t total_batch) {
    PlanEntry& e = find_plan(r, share, total_batch);
    for (size_t m = 1; m < members_.size(); m++) members_[m]->ledger_.make_room(e.work);
    current_ = &e;
    try {
        make_room();
        std::vector<std::shared_ptr<DeviceBlock>> imports;
        if (device_) imports = import_inputs(*device_, *e.plan, r.input_count, r.inputs);
        place(e, imports);
        DeviceExchange exchange;
        if (device_) exchange = make_exchange(*device_, *e.plan, share, imports, host_block_);
        last_ = nullptr;  // its bytes are written over from here on
        exported_.clear();
        fill_inputs(r);
        bind_states();
        e.plan->set_exchange(std::move(exchange));
    } catch (...) {
        PlanEntry* const readable = last_;
        std::shared_ptr<DeviceBlock> lent = std::move(lent_);
        abandon();
        last_ = readable;
        lent_ = std::move(lent);
        throw;
    }
}

void Session::choose_variant() {
    if (!variant_.taps) return;
    variant_.taps->active(tap_runs_, active_);
    if (active_ == variant_.active) return;
    variant_.active = active_;
    variant_.make_key();
}

// That no state lacks tokens which a run without it consumed.
void Session::check_states() const {
    const PlanEntry& e = *current_;
    for (size_t k = 0; k < e.states.size(); k++) {
        const StateDef& def = e.states[k]->def();
        const PlanState& ps = e.plan->states()[k];
        if (def.kind == ORR_STATE_FROZEN || (ps.append == 0 && !ps.next)) continue;
        for (const Session* m : members_) {
            const auto at = m->states_.find(def.name);
            const int64_t seen = at == m->states_.end() ? 0 : at->second.seen();
            if (seen != m->position_)
                throw Error(ORR_INVALID_ARGUMENT, "state " + def.name + " has seen " + std::to_string(seen) + " tokens, the session stands at " + std::to_string(m->position_) +
                                                      ": a control left its layer out in between; roll back to there, or reset");
        }
    }
}

// Room in the states of every member for what the run adds.
void Session::make_room() {
    check_states();
    PlanEntry& e = *current_;
    for (Session* member : members_) {
        Session& s = *member;
        const int64_t end = s.position_ + e.plan->advance();
        if (!e.plan->states().empty() && end > s.options_.context)
            throw Error(ORR_LIMIT, "the run would end at token " + std::to_string(end) + "; the context holds " + std::to_string(s.options_.context) + " (" + std::to_string(s.position_) + " are used)");
    }
    for (Session* member : members_)
        for (size_t k = 0; k < e.states.size(); k++) {
            SessionState& st = member == this ? *e.states[k] : member->state(e.states[k]->def(), member->options_.batch);
            const PlanState& ps = e.plan->states()[k];
            if (ps.append > 0 && st.def().kind == ORR_STATE_FROZEN) st.set_aside();
            if (ps.append > 0 || st.def().kind == ORR_STATE_RECURRENT) st.reserve(ps.append);
        }
}

void Session::fill_inputs(const RunRequest& r) {
    for (PlanInput& in : current_->plan->inputs()) {
        if (in.imported) continue;
        orr_tensor& t = *in.tensor;
        const int64_t n = elements(t);
        if (in.given) {
            const orr_named_tensor* from = nullptr;
            for (uint32_t i = 0; i < r.input_count; i++)
                if (in.name == r.inputs[i]->name) from = r.inputs[i];
            convert_plain(*from, t);
        } else if (in.tap.part == TapInput::Part::adapter) {
            *static_cast<float*>(t.data) = variant_.adapters->scale(in.tap.tap);
        } else if (in.tap.part != TapInput::Part::none) {
            std::vector<int64_t> first;
            if (current_->plan->advance() > 0)
                for (const Session* s : members_) first.insert(first.end(), static_cast<size_t>(s->options_.batch), s->position_);
            variant_.taps->fill(in.tap, t, first, current_->plan->advance());
        } else if (in.positions) {
            auto* dst = static_cast<int32_t*>(t.data);
            const int64_t tokens = t.shape[1];
            int64_t row = 0;
            for (const Session* s : members_)
                for (int64_t b = 0; b < s->options_.batch && row < t.shape[0]; b++, row++)
                    for (int64_t i = 0; i < tokens; i++) dst[row * tokens + i] = static_cast<int32_t>(s->position_ + i);
            for (; row < t.shape[0]; row++)  // models without states take any batch
                for (int64_t i = 0; i < tokens; i++) dst[row * tokens + i] = static_cast<int32_t>(position_ + i);
        } else {
            fill_plain(t, n, in.fill);
        }
        in.check_rows();
        if (in.device_offset != UINT64_MAX) current_->plan->write_step(in.device_offset, t.data, t.size_bytes);
    }
}

// What kernels on a device see of a state's rows.
void Session::bind_device_state(PlanState& ps, const SessionState& st, size_t row) {
    Plan& plan = *current_->plan;
    for (const SequenceState& seq : st.rows()) {
        if (st.def().kind == ORR_STATE_RECURRENT) {
            const auto read = reinterpret_cast<uint64_t>(seq.current.data()), write = reinterpret_cast<uint64_t>(seq.spare.data());
            plan.write_step(ps.view_offset + row * 8, &read, 8);
            if (ps.next) plan.write_step(ps.next_offset + row * 8, &write, 8);
        } else {
            const uint64_t pages = ps.pages_offset + row * static_cast<uint64_t>(ps.most_pages) * 8;
            const orr_vulkan_paged view{plan.step_address() + pages, static_cast<int32_t>(seq.length), static_cast<int32_t>(seq.length + ps.append), static_cast<int32_t>(seq.first), kPageTokens};
            plan.write_step(ps.view_offset + row * sizeof view, &view, sizeof view);
            plan.write_step(pages, seq.addresses.data(), seq.addresses.size() * sizeof(void*));
        }
        row++;
    }
}

void Session::bind_states() {
    PlanEntry& e = *current_;
    for (size_t k = 0; k < e.states.size(); k++) {
        PlanState& ps = e.plan->states()[k];
        size_t row = 0;
        for (size_t m = 0; m < members_.size(); m++) {
            SessionState& st = m == 0 ? *e.states[k] : members_[m]->state(e.states[k]->def(), members_[m]->options_.batch);
            if (ps.on_device) {
                bind_device_state(ps, st, row);
                row += st.rows().size();
                continue;
            }
            for (SequenceState& seq : st.rows()) {
                orr_paged& view = e.views[k][row];
                view.pages = seq.addresses.data();
                view.past = seq.length;
                view.length = seq.length + ps.append;
                view.first = seq.first;
                e.read_rows[k][row] = seq.current.data();
                e.write_rows[k][row] = seq.spare.data();
                row++;
            }
        }
        if (ps.on_device) continue;
        if (e.states[k]->def().kind == ORR_STATE_RECURRENT) {
            ps.tensor->data = e.read_rows[k].data();
            if (ps.next) ps.next->data = e.write_rows[k].data();
        } else {
            ps.tensor->data = e.view_ptrs[k].data();
        }
    }
}

bool Session::step(uint64_t budget_ns) {
    if (!running_ || !current_) throw Error(ORR_INVALID_ARGUMENT, "no run of this session is under way");
    Plan& plan = *current_->plan;
    const uint64_t deadline = budget_ns ? now_ns() + budget_ns : UINT64_MAX;
    const size_t total = plan.units();
    const uint64_t started = now_ns();
    if (next_step_ == 0) run_ns_ = 0;
    try {
        if (cancel_.load(std::memory_order_relaxed)) throw Error(ORR_CANCELLED, "the run was cancelled");
        if (!plan.on_device()) team_->begin();
        next_step_ = plan.run(next_step_, [&](size_t done) {
            if (cancel_.load(std::memory_order_relaxed)) return false;
            if (paused_.load(std::memory_order_relaxed) && budget_ns) return false;
            if (options_.progress && !options_.progress(options_.progress_user, static_cast<double>(done) / static_cast<double>(total), "running")) {
                cancel_ = true;
                return false;
            }
            return deadline == UINT64_MAX || now_ns() < deadline;
        });
        team_->end();
        if (next_step_ == total) {
            plan.finish_exchange();
            plan.clear_outputs_left_out();
        }
        if (next_step_ < total && cancel_.load(std::memory_order_relaxed)) throw Error(ORR_CANCELLED, "the run was cancelled");
    } catch (...) {
        team_->end();
        abandon();
        throw;
    }
    run_ns_ += now_ns() - started;
    if (next_step_ < total) return false;
    ledger_.record(current_->work, plan, position_ + plan.advance(), members_.size() > 1 ? options_.batch : -1, run_ns_);
    auto row = static_cast<size_t>(options_.batch);
    for (size_t m = 1; m < members_.size(); m++) {
        members_[m]->ledger_.record_depths(current_->work, ledger_, row, members_[m]->options_.batch);
        row += static_cast<size_t>(members_[m]->options_.batch);
    }
    commit();
    return true;
}

void Session::commit() {
    PlanEntry& e = *current_;
    for (size_t m = 0; m < members_.size(); m++)
        for (size_t k = 0; k < e.states.size(); k++) {
            SessionState& st = m == 0 ? *e.states[k] : members_[m]->state(e.states[k]->def(), members_[m]->options_.batch);
            const PlanState& ps = e.plan->states()[k];
            if (ps.append == 0 && !ps.next) continue;
            st.commit(ps.append);
            st.set_seen(members_[m]->position_ + e.plan->advance());
        }
    for (Session* s : members_) {
        s->position_ += e.plan->advance();
        s->tap_runs_++;
        s->changes_++;
    }
    last_ = current_;
    current_ = nullptr;
    lent_.reset();
    for (Session* s : members_) s->running_ = false;
}

void Session::abandon() {
    if (current_) current_->plan->settle_exchange();
    for (Session* s : members_)
        for (auto& [name, st] : s->states_) st.restore();
    current_ = nullptr;
    last_ = nullptr;
    lent_.reset();
    for (Session* s : members_) s->running_ = false;
}

void Session::run(const RunRequest& request, Session* const* others, size_t other_count) {
    begin(request, others, other_count);
    step(0);
}

void Session::start(const RunRequest& request) {
    {
        const std::lock_guard lock(async_mutex_);
        if (async_ && !async_ended_) throw Error(ORR_BUSY, "a run of this session is under way");
    }
    begin(request, nullptr, 0);
    {
        const std::lock_guard lock(async_mutex_);
        async_ = true;
        async_ended_ = false;
    }
    model_->engine().driver().add(shared_from_this());
}

bool Session::drive(uint64_t budget_ns) noexcept {
    bool done = false;
    const orr_status status = boundary([&] { done = step(budget_ns); });
    if (status == ORR_OK && !done) return false;
    const std::lock_guard lock(async_mutex_);
    async_ended_ = true;
    async_status_ = status;
    try {
        async_error_ = status == ORR_OK ? "" : error_text();
    } catch (...) {
        async_error_.clear();
    }
    async_done_.notify_all();
    return true;
}

orr_status Session::poll(bool* done) { return wait(0, done); }

orr_status Session::wait(uint64_t timeout_ns, bool* done) {
    std::unique_lock lock(async_mutex_);
    if (!async_) throw Error(ORR_INVALID_ARGUMENT, "no run of this session was started");
    const auto ended = [&] { return async_ended_; };
    if (timeout_ns == UINT64_MAX)
        async_done_.wait(lock, ended);
    else if (timeout_ns > 0)
        async_done_.wait_for(lock, std::chrono::nanoseconds(std::min<uint64_t>(timeout_ns, INT64_MAX / 4)), ended);
    *done = async_ended_;
    if (!async_ended_ || async_status_ == ORR_OK) return ORR_OK;
    throw Error(async_status_, async_error_);
}

void Session::cancel() {
    cancel_ = true;
    bool background;
    {
        const std::lock_guard lock(async_mutex_);
        background = async_ && !async_ended_;
    }
    if (background) model_->engine().driver().changed();
}

void Session::finish() {
    cancel_ = true;
    bool background;
    {
        const std::lock_guard lock(async_mutex_);
        background = async_;
    }
    if (background) model_->engine().driver().finish(*this);
}

void Session::pause(bool paused) {
    paused_ = paused;
    model_->engine().driver().changed();
}

void Session::set_priority(int32_t p) {
    priority_ = p;
    model_->engine().driver().changed();
}

void Session::set_taps(uint32_t count, const orr_tap* const* taps) {
    check_idle();
    Variant changed = variant_.without_taps();
    if (count > 0) {
        changed.taps = std::make_shared<const TapSet>(model_->engine().registry(), count, taps);
        model_->check_taps(changed);
    }
    changed.make_key();
    variant_ = std::move(changed);
    tap_runs_ = 0;
}

void Session::set_adapters(std::vector<std::shared_ptr<const AdapterTensors>> adapters, const std::vector<double>& scales, uint32_t flags) {
    check_idle();
    if (flags & ~static_cast<uint32_t>(ORR_ADAPTERS_KEEP_STATES)) throw Error(ORR_INVALID_ARGUMENT, "orr_session_set_adapters: flags " + std::to_string(flags) + " are unknown");
    auto set = std::make_shared<const AdapterSet>(std::move(adapters), scales);
    if (set->empty()) set = nullptr;
    const bool same = set && variant_.adapters ? *set == *variant_.adapters : !set && !variant_.adapters;
    if (same) return;
    const bool holds = position_ > 0 || std::any_of(states_.begin(), states_.end(), [](const auto& s) { return s.second.length() > 0 || s.second.seen() > 0; });
    if (holds && !(flags & ORR_ADAPTERS_KEEP_STATES))
        throw Error(ORR_INVALID_ARGUMENT, "the session stands at token " + std::to_string(position_) +
                                              ", and what its states hold was computed with the adapters that are set: reset it first, or say ORR_ADAPTERS_KEEP_STATES to go on from there with others");
    Variant changed = variant_;
    changed.adapters = std::move(set);
    changed.make_key();
    if (changed.taps) model_->check_taps(changed);
    variant_ = std::move(changed);
    // Of adapters that were released, plans go too.
    const size_t before = plans_.size();
    std::erase_if(plans_, [&](const auto& e) { return std::any_of(e->adapters.begin(), e->adapters.end(), [](const auto& a) { return a.expired(); }); });
    if (plans_.size() != before) last_ = nullptr;
}

void Session::set_control(const char* name, const char* value_json) {
    check_idle();
    Variant changed = variant_;
    changed.controls = model_->with_control(variant_.controls, name, value_json);
    changed.make_key();
    if (changed.taps) model_->check_taps(changed);
    variant_ = std::move(changed);
}

const std::string* Session::control(const std::string& name) const {
    if (!variant_.controls) return nullptr;
    const auto at = variant_.controls->find(name);
    return at == variant_.controls->end() ? nullptr : &at->second;
}

void Session::share(const orr_vulkan_share* given) {
    check_idle();
    Share share;
    if (given) {
        if (!device_ || !device_->shared_with_host())
            throw Error(ORR_UNSUPPORTED, "orr_session_share: the model is on " + model_->device_name() + ", which is no device of the host's (orr_engine_options.vulkan)");
        share = read_share(*given);
    }
    share_ = std::move(share);
}

void Session::output(const char* name, orr_named_tensor* out) {
    check_idle();
    if (!last_) throw Error(ORR_NOT_FOUND, "there is no result to read: no run has ended since the session was made, trimmed or reset");
    for (const PlanOutput& o : last_->plan->outputs()) {
        if (o.name != name) continue;
        const orr_tensor& t = *o.tensor;
        orr_named_tensor r{};
        // A host that gives no size was built for the struct's first form.
        const size_t size = out->header.struct_size ? whole_members<orr_named_tensor>(out->header.struct_size, "orr_named_tensor") : offsetof(orr_named_tensor, buffer);
        r.header = ORR_HEADER(orr_named_tensor);
        r.header.struct_size = static_cast<uint32_t>(size);
        r.name = o.name.c_str();
        r.type = t.type;
        r.rank = t.rank;
        std::copy_n(t.shape, t.rank, r.shape);
        r.data = t.data;
        r.size_bytes = t.size_bytes;
        if (o.on_device) {
            const auto& block = *static_cast<const orr_vulkan_buffer*>(t.buffer);
            orr_vulkan_buffer& told = exported_[o.name];
            told = {ORR_HEADER(orr_vulkan_buffer), block.handle, block.offset + t.offset, block.address + t.offset, t.size_bytes, block.usage};
            lent_ = last_->plan->block_of(t);
            r.data = nullptr;
            r.buffer = &told;
        }
        std::memcpy(out, &r, size);
        return;
    }
    std::string known;
    for (const PlanOutput& o : last_->plan->outputs()) known += (known.empty() ? "" : ", ") + o.name;
    throw Error(ORR_NOT_FOUND, std::string("the last run gave no output \"") + name + "\"; it gave " + known);
}

const char* Session::output_name(uint32_t index) { return last_ && !running_ && index < last_->plan->outputs().size() ? last_->plan->outputs()[index].name.c_str() : nullptr; }

void Session::mark() {
    check_idle();
    while (!marks_.empty() && marks_.back().position >= position_) marks_.pop_back();
    marks_.push_back({position_, states_});
    for (auto& [name, s] : marks_.back().states)
        for (auto& row : s.rows()) row.spare = PageRef();
}

void Session::rollback(int64_t position) {
    check_idle();
    if (position < 0 || position > position_)
        throw Error(ORR_INVALID_ARGUMENT, "rollback to token " + std::to_string(position) + "; the session stands at " + std::to_string(position_));
    if (position == position_) return;
    const auto at = std::find_if(marks_.begin(), marks_.end(), [&](const Snapshot& m) { return m.position == position; });
    if (at != marks_.end()) {
        // Plans hold addresses of the states: contents change, objects stay.
        for (auto& [name, s] : states_) {
            const auto known = at->states.find(name);
            if (known == at->states.end()) {
                s.clear();
                continue;
            }
            s.set_seen(known->second.seen());
            for (size_t r = 0; r < s.rows().size(); r++) {
                SequenceState& to = s.rows()[r];
                const SequenceState& from = known->second.rows()[r];
                to.pages.assign(from.pages.begin(), from.pages.end());
                to.addresses.assign(from.addresses.begin(), from.addresses.end());
                to.length = from.length;
                to.first = from.first;
                to.current = from.current;
            }
        }
    } else if (position == 0) {
        for (auto& [name, s] : states_)
            if (s.def().kind != ORR_STATE_FROZEN) s.clear();
    } else {
        for (const auto& [name, s] : states_) {
            if (s.def().kind == ORR_STATE_FROZEN || s.can_truncate(position)) continue;
            if (s.def().kind == ORR_STATE_RECURRENT)
                throw Error(ORR_LIMIT, "state " + name + " is recurrent and there is no mark at token " + std::to_string(position));
            throw Error(ORR_LIMIT, "state " + name + " keeps a window of " + std::to_string(s.def().window) + " tokens; those that token " + std::to_string(position) + " needs are gone (earliest kept: " +
                                       std::to_string(s.rows()[0].first) + ")");
        }
        for (auto& [name, s] : states_)
            if (s.def().kind != ORR_STATE_FROZEN) s.truncate(position);
    }
    position_ = position;
    changes_++;
    while (!marks_.empty() && marks_.back().position > position_) marks_.pop_back();
}

void Session::reset() {
    check_idle();
    for (auto& [name, s] : states_) s.clear();
    marks_.clear();
    position_ = 0;
    changes_++;
    last_ = nullptr;
    ledger_.clear();
}

void Session::trim() {
    check_idle();
    plans_.clear();
    last_ = nullptr;
    arena_ = Buffer();
    host_block_.reset();
    work_.reset();
    lent_.reset();
}

std::vector<orr_named_tensor> required_inputs(const Program& program, int64_t batch, int64_t tokens) {
    std::vector<orr_named_tensor> tensors;
    for (const InputDef& in : program.inputs) {
        if (in.flags || in.positions) continue;
        orr_named_tensor t{};
        t.header = ORR_HEADER(orr_named_tensor);
        t.name = in.name.c_str();
        t.type = program.values[in.value].type;
        t.rank = static_cast<int32_t>(program.values[in.value].dims.size());
        for (int32_t k = 0; k < t.rank; k++)
            t.shape[k] = program.dims->evaluate(program.values[in.value].dims[static_cast<size_t>(k)], {{"B", batch}, {"T", tokens}});
        tensors.push_back(t);
    }
    return tensors;
}

Session::PlanEntry& Session::plan_for(const std::string& entry, int64_t tokens) {
    members_.assign(1, this);
    choose_variant();
    const std::shared_ptr<const Program> program = model_->program(entry, variant_);
    const std::vector<orr_named_tensor> tensors = required_inputs(*program, options_.batch, tokens);
    std::vector<const orr_named_tensor*> pointers;
    for (const auto& t : tensors) pointers.push_back(&t);
    cancel_ = false;
    return find_plan({entry.c_str(), static_cast<uint32_t>(pointers.size()), pointers.data(), 0, nullptr}, {}, options_.batch);
}

void Session::warm_up(const char* entry_or_null, int64_t tokens) {
    check_idle();
    if (tokens <= 0) throw Error(ORR_INVALID_ARGUMENT, "warm-up for " + std::to_string(tokens) + " tokens");
    if (tokens > options_.context) throw Error(ORR_LIMIT, "warm-up for " + std::to_string(tokens) + " tokens; the context holds " + std::to_string(options_.context));
    within_device([&] {
        PlanEntry& e = plan_for(model_->entry_name(entry_or_null), tokens);
        place(e, std::vector<std::shared_ptr<DeviceBlock>>(e.plan->inputs().size()));
    });
    if (!device_) std::memset(arena_.data(), 0, arena_.size());
}

nlohmann::ordered_json Session::describe(const std::string& what, const char* entry_or_null) {
    using Json = nlohmann::ordered_json;
    check_idle();
    const std::string entry = model_->entry_name(entry_or_null);
    const PlanEntry* latest = nullptr;
    for (const auto& e : plans_)
        if (e->signature.entry == entry && (!latest || e->last_used > latest->last_used)) latest = e.get();
    if (what == "plan" || what == "profile") {
        if (!latest) throw Error(ORR_NOT_FOUND, "no plan for entry " + entry + " yet: run it or warm it up");
        return latest->plan->describe();
    }
    if (what == "work") return ledger_.describe();
    if (what == "rewrites") {
        const auto prepared = model_->prepared(entry, variant_, latest ? latest->signature.outputs : std::vector<std::string>{}, options_.rewrites, options_.numerics);
        Json list = Json::array();
        for (const auto& r : prepared->rewrites) list.push_back({{"id", r.id}, {"applied", r.applied}});
        return {{"rewrites", list}, {"folded", prepared->folded}, {"expanded", prepared->expanded}};
    }
    if (what == "states" || what == "memory") {
        Json list = Json::array();
        uint64_t states = 0, pools = 0;
        for (const auto& [name, s] : states_) {
            list.push_back({{"name", name}, {"type", s.type().id}, {"length", s.length()}, {"bytes", s.bytes()}});
            states += s.bytes();
        }
        if (what == "states") return {{"position", position_}, {"states", list}, {"bytes", states}, {"marks", marks_.size()}};
        for (const auto& [name, pool] : *pools_) pools += pool->bytes();
        uint64_t plan_peak = 0, plan_plain = 0;
        for (const auto& e : plans_) {
            plan_peak = std::max(plan_peak, e->plan->activation_bytes());
            plan_plain = std::max(plan_plain, e->plan->unshared_bytes());
        }
        return {{"device", model_->device_name()},
                {"device_weight_bytes", device_ ? model_->device_weights(device_).bytes() : 0},
                {"device_work_bytes", work_ ? work_->bytes() : 0},
                {"device_eighths", device_ ? device_eighths_ : 0},  // of the layers: those that may be there
                {"state_bytes", states},
                {"state_reserved_bytes", pools},
                {"arena_bytes", arena_.size()},
                {"activation_peak_bytes", plan_peak},
                {"activation_bytes_without_reuse", plan_plain},
                {"checkpoint_bytes", model_->weights().checkpoint_bytes()},
                {"packed_weight_bytes", model_->weights().resident_bytes()},
                {"engine_used_bytes", model_->engine().memory()->used_bytes()},
                {"engine_peak_bytes", model_->engine().memory()->peak_bytes()}};
    }
    throw Error(ORR_INVALID_ARGUMENT, "orr_session_describe: \"" + what + "\" is not known; known: plan, memory, rewrites, profile, states, work");
}

}  // namespace orrery
