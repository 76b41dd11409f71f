#include "plan.hpp"

#include <cstring>
#include <stdexcept>
#include <string_view>

#include "engine/registry/error_text.hpp"

namespace orrery::conformance {

Plan::Plan(Host& host, Pool& pool, const orr_kernel& kernel, const AttrSet& attrs, const Binding& binding, Setting setting)
    : host_(host), pool_(pool), kernel_(kernel), setting_(setting) {
    for (const auto& held : binding.inputs) {
        bound_in_.push_back(held ? *held->tensor() : orr_tensor{});
        const size_t n = planned_in_.size();
        planned_in_.push_back(bound_in_.back());
        if (!(planned_in_.back().flags & ORR_TENSOR_CONSTANT) || (n < binding.weights.size() && binding.weights[n])) planned_in_.back().data = nullptr;
    }
    for (const auto& held : binding.outputs) {
        planned_out_.push_back(*held->tensor());
        planned_out_.back().data = nullptr;
        run_outputs_.push_back(held->tensor());
    }
    for (size_t n = 0; n < bound_in_.size(); n++) {
        plan_inputs_.push_back(binding.inputs[n] ? &planned_in_[n] : nullptr);
        run_inputs_.push_back(binding.inputs[n] ? &bound_in_[n] : nullptr);
    }
    for (const orr_tensor& t : planned_out_) plan_outputs_.push_back(&t);
    if (setting.device) {
        mirror_ = std::make_unique<Mirror>(setting.device, binding);
        run_out_.resize(planned_out_.size());
        for (size_t n = 0; n < run_out_.size(); n++) {
            run_out_[n] = planned_out_[n];
            mirror_->place(*binding.outputs[n], run_out_[n]);
            run_outputs_[n] = &run_out_[n];
        }
        placed_in_.resize(bound_in_.size());
        for (size_t n = 0; n < bound_in_.size(); n++)
            if (binding.inputs[n]) {
                placed_in_[n] = bound_in_[n];
                mirror_->place(*binding.inputs[n], placed_in_[n]);
                run_inputs_[n] = &placed_in_[n];
            }
    }

    prepare_.plan = this;
    orr_prepare& p = prepare_.base;
    p.header = ORR_HEADER(orr_prepare);
    p.host = &host.table;
    p.attrs = attrs.table();
    p.n_inputs = static_cast<uint32_t>(plan_inputs_.size());
    p.n_outputs = static_cast<uint32_t>(plan_outputs_.size());
    p.inputs = plan_inputs_.data();
    p.outputs = plan_outputs_.data();
    p.isa = setting.isa;
    p.threads = setting.threads;
    p.numerics = setting.numerics;
    p.device = setting.device ? setting.device->kernel_table() : nullptr;
    if (setting.stand_in) p.device = setting.stand_in->device(p.device);
    p.workspace = [](orr_prepare* q, uint64_t bytes) {
        Plan& plan = of(q);
        plan.check_thread("workspace");
        if (plan.mirror_)
            plan.workspace_bytes_ = std::max(plan.workspace_bytes_, bytes);
        else
            plan.workspace_ = std::make_unique<Guarded>(bytes);
    };
    p.plan_memory = [](orr_prepare* q, uint64_t bytes) { return of(q).plan_memory(bytes); };
    p.prepack = [](orr_prepare* q, uint32_t input, const orr_pack* pack) { return of(q).prepack(input, *pack); };
    p.variant = [](orr_prepare* q, const char* name) {
        of(q).check_thread("variant");
        of(q).variant_ = name;
    };

    run_.plan = this;
    orr_run& r = run_.base;
    r.header = ORR_HEADER(orr_run);
    r.host = &host.table;
    r.attrs = attrs.table();
    r.n_inputs = p.n_inputs;
    r.n_outputs = p.n_outputs;
    r.inputs = run_inputs_.data();
    r.outputs = run_outputs_.data();
    r.threads = setting.threads;
    if (!mirror_) r.parallel_for = [](const orr_run* q, int64_t chunks, orr_chunk_fn fn, void* arg) {
        Plan& plan = *reinterpret_cast<const Run*>(q)->plan;
        plan.check_thread("parallel_for");
        plan.pool_.run(plan.setting_.threads, chunks, fn, arg);
    };
}

void Plan::check_thread(const char* function) {
    const bool wanted = std::string_view(function) == "parallel_for" ? running_ : preparing_;
    if (wanted && caller_ == std::this_thread::get_id()) return;
    const std::lock_guard lock(misuse_mutex_);
    misuse_ = std::string(function) + (wanted ? " called on another thread than the one that the kernel was called on" : " called outside the call that it is valid in");
}

void* Plan::plan_memory(uint64_t bytes) {
    check_thread("plan_memory");
    if (host_.refuses()) return nullptr;
    memory_.push_back(std::make_unique<Guarded>(bytes, uint8_t{0}));
    return memory_.back()->data();
}

orr_status Plan::prepack(uint32_t input, const orr_pack& pack) {
    check_thread("prepack");
    if (input >= bound_in_.size() || !plan_inputs_[input]) {
        misuse_ = "prepack of input " + std::to_string(input) + ", which is absent";
        return host_.table.fail(&host_.table, ORR_INVALID_ARGUMENT, misuse_.c_str());
    }
    if (!(bound_in_[input].flags & ORR_TENSOR_CONSTANT)) {
        misuse_ = "prepack of input " + std::to_string(input) + ", which is not constant";
        return host_.table.fail(&host_.table, ORR_INVALID_ARGUMENT, misuse_.c_str());
    }
    if (pack.alignment == 0 || (pack.alignment & (pack.alignment - 1)) != 0) misuse_ = "prepack: alignment " + std::to_string(pack.alignment);
    if (host_.refuses()) return host_.table.fail(&host_.table, ORR_OUT_OF_MEMORY, "prepack: memory refused");
    struct Job {
        const orr_pack& pack;
        orr_tensor source;
        void* dst;
    };
    // In parallel, and again in reverse order on one thread: the parts must not depend on each other.
    orr_tensor source = bound_in_[input];
    auto packed = std::make_unique<Guarded>(pack.bytes), again = std::make_unique<Guarded>(pack.bytes);
    Job job{pack, source, packed->data()};
    pool_.run(
        2, pack.chunks,
        [](void* arg, int64_t chunk, uint32_t) {
            const Job& j = *static_cast<Job*>(arg);
            contained("pack", [&] { j.pack.pack(&j.source, j.dst, chunk); });
        },
        &job);
    for (int64_t chunk = pack.chunks - 1; chunk >= 0; chunk--) contained("pack", [&] { pack.pack(&source, again->data(), chunk); });
    if (std::memcmp(packed->data(), again->data(), pack.bytes) != 0) misuse_ = "prepack: the parts depend on their order";
    orr_tensor& bound = mirror_ ? placed_in_[input] : bound_in_[input];
    if (mirror_)
        mirror_->place_packed(bound, *packed);
    else
        bound.data = packed->data();
    bound.size_bytes = pack.bytes;
    bound.layout = intern(pack.layout);
    packed_.push_back(std::move(packed));
    return ORR_OK;
}

bool Plan::supports(std::string* reason) {
    if (!kernel_.supports) return true;
    char text[512] = "";
    if (contained("supports", [&] { return kernel_.supports(&prepare_.base, text, sizeof text); })) return true;
    if (std::string_view(text).find_first_not_of(" \t\n") == std::string_view::npos) misuse_ = "supports refuses without a reason";
    *reason = text;
    return false;
}

template <class Call>
orr_status Plan::call(const char* function, Call&& call) {
    const uint64_t control = float_control();
    const int64_t changes = pool_.float_changes();
    const orr_status status = contained(function, call);
    const bool changed = float_control() != control;
    if (!changed && pool_.float_changes() == changes) return status;
    set_float_control(control);
    const std::lock_guard lock(misuse_mutex_);
    misuse_ = std::string(function) + " leaves the processor's float control (rounding, denormals, traps) changed" + (changed ? "" : ", in a chunk of parallel_for");
    return status;
}

orr_status Plan::prepare() {
    if (!kernel_.prepare) return ORR_OK;
    preparing_ = true;
    caller_ = std::this_thread::get_id();
    const orr_status status = call("prepare", [&] { return kernel_.prepare(&prepare_.base); });
    preparing_ = false;
    return status;
}

void Plan::record() {
    program_ = mirror_->device().new_program(false);
    const uint64_t workspace = workspace_bytes_ ? mirror_->add_workspace(workspace_bytes_) : 0;
    for (const bool collect : {true, false}) {
        program_->begin(collect);
        program_->step({}, {}, workspace, 0);
        run_.base.device = setting_.stand_in ? setting_.stand_in->recorder(program_->recorder()) : program_->recorder();
        const orr_status status = contained("run", [&] { return kernel_.run(&run_.base); });
        if (status == ORR_OK && setting_.stand_in) setting_.stand_in->flush();
        if (status != ORR_OK) throw std::runtime_error("recording fails with status " + std::to_string(status) + ": " + error_text() + host_.take_error());
        parts_ = program_->cut();
        program_->end();
    }
}

orr_status Plan::run() {
    if (mirror_) {
        run_.base.data = memory_.empty() ? nullptr : memory_[0]->data();
        if (!program_) record();
        mirror_->upload();
        for (size_t part = 0; part < parts_; part++) program_->run(part);
        mirror_->download();
        const auto fault = program_->take_fault();
        return fault ? host_.table.fail(&host_.table, ORR_INVALID_ARGUMENT, fault->text.c_str()) : ORR_OK;
    }
    run_.base.data = memory_.empty() ? nullptr : memory_[0]->data();
    if (workspace_) std::memset(workspace_->data(), 0xff, workspace_->size());
    run_.base.workspace = workspace_ ? workspace_->data() : nullptr;
    running_ = true;
    caller_ = std::this_thread::get_id();
    const orr_status status = call("run", [&] { return kernel_.run(&run_.base); });
    running_ = false;
    return status;
}

void Plan::states_changed() {
    if (mirror_) mirror_->refresh();
}

bool Plan::intact() const {
    bool good = (!workspace_ || workspace_->intact()) && (!mirror_ || mirror_->intact());
    for (const auto& m : memory_) good = good && m->intact();
    for (const auto& m : packed_) good = good && m->intact();
    return good;
}

}  // namespace orrery::conformance
