#include "engine/plan/plan.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>

#include "engine/registry/error_text.hpp"

namespace orrery {
namespace {

constexpr const char* kKinds[] = {"", "copy", "elementwise chain", "upload", "download"};  // PlanStep::Kind
constexpr int64_t kChainTile = 1024;          // elements; a few tiles stay in the first-level cache
constexpr int64_t kParallelElements = 32768;  // below, one thread is faster than waking another

void copy_strided(const orr_tensor& src, const orr_tensor& dst, int64_t row_begin, int64_t row_end) {
    const int32_t rank = src.rank;
    const int64_t n = rank ? src.shape[rank - 1] : 1;
    const size_t element = src.block_bytes;
    const int64_t blocks = rank ? (n + src.block_elems - 1) / src.block_elems : 1;
    const bool dense = rank == 0 || src.block_elems > 1 || src.stride_bytes[rank - 1] == static_cast<int64_t>(element) || n == 1;
    char* out = static_cast<char*>(dst.data) + row_begin * blocks * static_cast<int64_t>(element);
    for (int64_t r = row_begin; r < row_end; r++) {
        const char* row = static_cast<const char*>(src.data);
        int64_t rest = r;
        for (int32_t a = rank - 2; a >= 0; a--) {
            row += rest % src.shape[a] * src.stride_bytes[a];
            rest /= src.shape[a];
        }
        if (dense) {
            std::memcpy(out, row, static_cast<size_t>(blocks) * element);
        } else if (element == 4) {
            const int64_t step = src.stride_bytes[rank - 1];
            for (int64_t i = 0; i < n; i++) std::memcpy(out + 4 * i, row + i * step, 4);
        } else {
            const int64_t step = src.stride_bytes[rank - 1];
            for (int64_t i = 0; i < n; i++) std::memcpy(out + static_cast<int64_t>(element) * i, row + i * step, element);
        }
        out += blocks * static_cast<int64_t>(element);
    }
}

void run_copy(PlanStep& step) {
    const orr_tensor &src = *step.ins[0], &dst = *step.outs[0];
    const int64_t n = src.rank ? src.shape[src.rank - 1] : 1;
    const int64_t rows = n ? (src.rank ? elements(src) / n : 1) : 0;
    const int64_t chunks = rows * n < kParallelElements ? 1 : std::min<int64_t>(rows, step.run.team->threads() * 4);
    if (chunks == 0) return;
    auto body = [&](int64_t c) { copy_strided(src, dst, rows * c / chunks, rows * (c + 1) / chunks); };
    step.run.parallel_for(
        chunks, [](void* arg, int64_t c, uint32_t) { (*static_cast<decltype(body)*>(arg))(c); }, &body);
}

void run_chain(PlanStep& step) {
    const orr_tensor& dst = *step.outs[0];
    const int64_t n = elements(dst);
    const int64_t tiles = (n + kChainTile - 1) / kChainTile;
    const int64_t chunks = n < kParallelElements ? 1 : std::min<int64_t>(tiles, step.run.team->threads() * 4);
    auto* workspace = static_cast<float*>(step.run.base.workspace);
    const auto slots = static_cast<int64_t>(step.chain.size());
    auto body = [&](int64_t c, uint32_t thread) {
        float* temp = workspace + thread * slots * kChainTile;
        const float* srcs[16];
        for (int64_t tile = tiles * c / chunks; tile < tiles * (c + 1) / chunks; tile++) {
            const int64_t begin = tile * kChainTile, count = std::min(kChainTile, n - begin);
            for (int64_t s = 0; s < slots; s++) {
                const ChainStep& link = step.chain[static_cast<size_t>(s)];
                for (size_t i = 0; i < link.srcs.size(); i++)
                    srcs[i] = link.srcs[i] >= 0 ? temp + link.srcs[i] * kChainTile : static_cast<const float*>(step.ins[static_cast<size_t>(-link.srcs[i] - 1)]->data) + begin;
                link.fn(link.attrs, srcs, s + 1 == slots ? static_cast<float*>(dst.data) + begin : temp + s * kChainTile, count);
            }
        }
    };
    step.run.parallel_for(
        chunks, [](void* arg, int64_t c, uint32_t t) { (*static_cast<decltype(body)*>(arg))(c, t); }, &body);
}

}  // namespace

std::string PlanStep::name() const {
    return (kind == Kind::kernel ? std::string(op->id) + ", kernel " + kernel->name : kKinds[static_cast<size_t>(kind)]) + (label.empty() ? "" : " (" + label + ")");
}

void check_team(Team& team, const std::string& doing, uint32_t lane) {
    if (const std::string what = team.take_failure(lane); !what.empty()) throw Error(ORR_INTERNAL, doing + ": the plugin threw an exception in parallel_for: " + what);
}

void PlanInput::check_rows() const {
    for (const Rows& r : rows) {
        if (tensor->type != ORR_TYPE_I32 && tensor->type != ORR_TYPE_I64) continue;
        const int64_t n = elements(*tensor);
        for (int64_t i = 0; i < n; i++) {
            const int64_t row = tensor->type == ORR_TYPE_I32 ? static_cast<const int32_t*>(tensor->data)[i] : static_cast<const int64_t*>(tensor->data)[i];
            if (row >= 0 && row < r.rows) continue;
            throw Error(ORR_INVALID_ARGUMENT, std::string(r.op->id) + ": " + input_port(*r.op, r.port).name + ": " + std::to_string(row) + " at index " + std::to_string(i) + " of input " + name + ", the " +
                                                  input_port(*r.op, r.port + 1).name + " has " + std::to_string(r.rows) + " rows");
        }
    }
}

bool Plan::takes(uint32_t region) {
    if (region == 0) return true;
    PlanRegion& r = regions_[region];
    if (r.taken == PlanRegion::Taken::unknown) {
        const auto* bytes = static_cast<const char*>(r.flag->data);
        // -0.0 is zero too.
        const auto zero = [&] {
            if (r.flag->type != ORR_TYPE_F32) return std::all_of(bytes, bytes + r.flag->size_bytes, [](char c) { return c == 0; });
            float f;
            std::memcpy(&f, bytes, sizeof f);
            return f == 0;
        };
        r.taken = takes(r.parent) && zero() == r.otherwise ? PlanRegion::Taken::yes : PlanRegion::Taken::no;
    }
    return r.taken == PlanRegion::Taken::yes;
}

void Plan::clear_outputs_left_out() {
    for (const PlanOutput& o : outputs_) {
        auto* bytes = static_cast<char*>(o.tensor->data);
        if (!took(o.region)) {
            std::memset(bytes, 0, o.tensor->size_bytes);
            continue;
        }
        for (const PlanRows& rows : o.rows) {
            const auto* ran = static_cast<const float*>(rows.tensor->data);
            const auto n = static_cast<size_t>(elements(*rows.tensor)), each = static_cast<size_t>(o.tensor->size_bytes) / n;
            for (size_t b = 0; b < n; b++)
                if ((ran[b] == 0) != rows.otherwise) std::memset(bytes + b * each, 0, each);
        }
    }
}

void Plan::run_step(PlanStep& step) {
    const auto started = profile_ ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point{};
    switch (step.kind) {
        case PlanStep::Kind::kernel: call_plugin([&] { return step.kernel->run(&step.run.base); }, [&] { return step.name(); }); break;
        case PlanStep::Kind::copy: run_copy(step); break;
        case PlanStep::Kind::chain: run_chain(step); break;
        case PlanStep::Kind::upload:
        case PlanStep::Kind::download: break;  // recorded
    }
    if (step.run.team->failed(step.run.lane)) check_team(*step.run.team, step.name(), step.run.lane);
    if (profile_) {
        step.time_ns += static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - started).count());
        step.runs++;
    }
}

// Each step by one thread, which others help. The first failure ends the run once all have ended.
size_t Plan::run_wave(size_t first) {
    struct Wave {
        Plan& plan;
        size_t first;
        std::atomic<bool> failed{false};
        std::exception_ptr failure;
    } wave{*this, first, {}, {}};
    size_t end = first + 1;
    while (end < steps_.size() && steps_[end].wave == steps_[first].wave) end++;
    team_->side_by_side(
        static_cast<int64_t>(end - first),
        [](void* arg, int64_t i, uint32_t thread) {
            Wave& w = *static_cast<Wave*>(arg);
            PlanStep& step = w.plan.steps_[w.first + static_cast<size_t>(i)];
            step.run.lane = Team::lane_of(thread);
            try {
                w.plan.run_step(step);
            } catch (...) {
                if (!w.failed.exchange(true)) w.failure = std::current_exception();
            }
        },
        &wave);
    if (wave.failure) std::rethrow_exception(wave.failure);
    return end - 1;
}

nlohmann::ordered_json Plan::describe() const {
    using Json = nlohmann::ordered_json;
    Json steps = Json::array();
    for (const PlanStep& s : steps_) {
        Json j;
        j["path"] = s.label;
        j["op"] = s.kind == PlanStep::Kind::kernel ? s.op->id : kKinds[static_cast<size_t>(s.kind)];
        if (device_) j["device"] = s.on_device ? device_->id() : "cpu";
        if (s.region) j["when"] = regions_[s.region].when;
        if (s.wave) j["at_once"] = s.wave;
        if (s.kind == PlanStep::Kind::chain) j["fused"] = s.chain_ops;
        if (s.kernel) j["kernel"] = s.kernel->name;
        if (!s.variant.empty()) j["variant"] = s.variant;
        Json ins = Json::array(), outs = Json::array(), refused = Json::array();
        for (const auto* t : s.ins) ins.push_back(t ? orrery::describe(*t) + (*t->layout ? std::string(" ") + t->layout : "") : "-");
        for (const auto* t : s.outs) outs.push_back(orrery::describe(*t));
        for (const auto& r : s.refusals) refused.push_back({{"kernel", r.kernel}, {"reason", r.reason}});
        j["inputs"] = ins;
        j["outputs"] = outs;
        if (!refused.empty()) j["refused"] = refused;
        if (s.flops) j["flops"] = s.flops;
        if (s.runs) j["time_ns"] = s.time_ns, j["runs"] = s.runs;
        steps.push_back(j);
    }
    uint64_t flops = 0, device_flops = 0;
    for (const PlanStep& s : steps_) flops += s.flops, device_flops += s.on_device ? s.flops : 0;
    nlohmann::ordered_json out = {{"steps", steps}};
    if (device_) out.update({{"device", device_->id()}, {"device_flops_share", flops ? static_cast<double>(device_flops) / static_cast<double>(flops) : 1.0}, {"submissions", units()}, {"barriers", recording_ ? recording_->program->barriers() : 0}, {"recorded", recorded_}, {"device_activation_bytes", work_bytes_}});
    out.update({
            {"activation_bytes", activation_bytes_},
            {"activation_bytes_without_reuse", unshared_bytes_},
            {"workspace_bytes", arena_bytes_ - workspace_offset_},
            {"arena_bytes", arena_bytes_}});
    return out;
}

}  // namespace orrery
