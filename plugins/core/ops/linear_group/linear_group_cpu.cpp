// x is quantised once; the tiles of all weights are one job. With a gate, a chunk computes gate and up for the same columns and combines them
// while they are in cache.
#include <algorithm>

#include "float/gemm.hpp"
#include "float/norm.hpp"
#include "float_abi/parallel.hpp"
#include "linear/reference.hpp"
#include "linear/work.hpp"
#include "ops/linear_group/linear_group.hpp"

namespace orrery::core {
namespace {

constexpr int64_t kGateTokens = 480;  // of a chunk: bounds the scratch for `up`

struct Part {
    linear::Weight weight;
    linear::Split split;
    uint64_t bias_at;  // in the workspace
};

struct Plan {
    flt::Activation glu;
    uint32_t parts;
    int64_t tokens;
    bool quantise, gemm;       // some part's method; all parts are f32 GEMMs
    uint64_t norm_at;           // in the workspace: x normalised, and the norm's weights before it
    uint64_t rows_at, tail_at;  // quantised x; then up, or the GEMM's own
    uint64_t up_bytes;          // a thread's scratch, or the whole of up before a GEMM's own

    Part* part(uint32_t i) { return reinterpret_cast<Part*>(this + 1) + i; }
    const Part& part(uint32_t i) const { return reinterpret_cast<const Part*>(this + 1)[i]; }
};

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& x = *p->inputs[0];
    if (*x.layout || !is_contiguous(x)) return refuse(reason, size, "x is not contiguous");
    if (x.shape[x.rank - 1] == 0) return refuse(reason, size, "x has no columns");
    const GroupNorm norm(p);
    if (norm.weight && (*norm.weight->layout || !is_contiguous(*norm.weight))) return refuse(reason, size, "norm is not contiguous");
    for (uint32_t part = 0; part < group_parts(p->n_inputs); ++part) {
        const orr_tensor* bias = group_bias(p, part);
        if (bias && (*bias->layout || !is_contiguous(*bias))) return refuse(reason, size, "a bias is not contiguous");
        if (bias && bias->type != ORR_TYPE_F32 && bias->type != ORR_TYPE_F16 && bias->type != ORR_TYPE_BF16) {
            return refuse(reason, size, "a bias is " + describe(*bias));
        }
        if (!linear::weight_fits(*p->inputs[group_weight(part)], false, reason, size)) return false;
    }
    return true;
}

// Fills the parts; returns the bytes of their converted biases.
uint64_t plan_parts(const orr_prepare* p, Plan* plan) {
    uint64_t bytes = 0;
    plan->gemm = true;
    for (uint32_t i = 0; i < plan->parts; ++i) {
        Part& part = *plan->part(i);
        part.weight = linear::describe_weight(p, *p->inputs[group_weight(i)], false);
        part.bias_at = bytes;
        const orr_tensor* bias = group_bias(p, i);
        if (bias && bias->type != ORR_TYPE_F32) bytes += linear::aligned(part.weight.rows * 4);
        plan->quantise = plan->quantise || part.weight.method == linear::Method::kInt8;
        plan->gemm = plan->gemm && part.weight.method == linear::Method::kGemm;
    }
    const bool gated = plan->glu != flt::Activation::none;
    for (uint32_t i = 0; i < plan->parts; ++i) {
        const linear::Weight& w = plan->part(i)->weight;
        plan->part(i)->split = linear::split_product(w.tiles(), plan->tokens, w.tile_bytes(), p->threads, gated ? kGateTokens : 0);
    }
    return bytes;
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        const uint32_t parts = group_parts(p->n_inputs);
        Plan* plan = static_cast<Plan*>(p->plan_memory(p, sizeof(Plan) + parts * sizeof(Part)));
        if (!plan) return ORR_OUT_OF_MEMORY;
        plan->glu = group_glu(p->attrs);
        plan->parts = parts;
        plan->tokens = linear::row_count(*p->inputs[0]);
        plan->norm_at = plan_parts(p, plan);
        const linear::Weight& first = plan->part(0)->weight;
        plan->rows_at = plan->norm_at + (GroupNorm(p).there ? linear::aligned(first.cols * 4) + linear::aligned(plan->tokens * first.cols * 4) : 0);
        plan->tail_at = plan->rows_at + (plan->quantise ? linear::aligned(quant::QuantisedRows::bytes(plan->tokens, first.cols)) : 0);
        uint64_t tail = 0;
        if (plan->gemm) {
            if (plan->glu != flt::Activation::none) plan->up_bytes = linear::aligned(plan->tokens * first.rows * 4);
            for (uint32_t i = 0; i < parts; ++i) {
                const linear::Weight& w = plan->part(i)->weight;
                tail = std::max<uint64_t>(tail, flt::gemm_workspace_bytes(plan->tokens, w.rows, w.cols, static_cast<int>(p->threads)));
            }
            tail += plan->up_bytes;
        } else if (plan->glu != flt::Activation::none) {
            const linear::Split& split = plan->part(0)->split;
            plan->up_bytes = linear::aligned(split.token_step * split.tile_step * quant::kTileRows * 4);
            tail = plan->up_bytes * p->threads;
        }
        p->workspace(p, plan->tail_at + tail);
        p->variant(p, first.variant());
        for (uint32_t i = 0; i < parts; ++i) {
            const orr_status status = linear::pack_weight(p, group_weight(i), plan->part(i)->weight, false);
            if (status != ORR_OK) return status;
        }
        return ORR_OK;
    });
}

// ---- f32: one GEMM a part ----

void run_gemms(const orr_run* run, const Plan& plan, const float* x, const float* const* biases) {
    uint8_t* tail = static_cast<uint8_t*>(run->workspace) + plan.tail_at;
    float* up = reinterpret_cast<float*>(tail);
    const bool gated = plan.glu != flt::Activation::none;
    for (uint32_t i = 0; i < plan.parts; ++i) {
        const linear::Weight& w = plan.part(i).weight;
        if (w.rows == 0) continue;
        flt::GemmArgs args{};
        args.t = plan.tokens;
        args.n = w.rows;
        args.k = w.cols;
        args.x = x;
        args.ldx = w.cols;
        args.w = static_cast<const float*>(w.at(run->inputs[group_weight(i)]->data));
        args.w_k = w.stored_cols;
        args.dst = gated && i == 1 ? up : data<float>(run->outputs[i]);
        args.dst_row = w.rows;
        args.epilogue.bias = biases[i];
        flt::gemm(w.float_isa, args, tail + plan.up_bytes, flt::parallel_of(run));
    }
    if (!gated) return;
    const int64_t rows = plan.part(0).weight.rows;
    float* gate = data<float>(run->outputs[0]);
    const flt::VectorKernels& kernels = flt::vector_kernels(plan.part(0).weight.float_isa);
    linear::for_chunks(run, plan.tokens, plan.tokens * rows < 32768, [&](int64_t t, uint32_t) {
        kernels.gated(plan.glu, gate + t * rows, up + t * rows, gate + t * rows, rows);
    });
}

// ---- everything else: one job over all parts ----

void run_gated(const orr_run* run, const Plan& plan, const linear::Rows& x, const float* const* biases) {
    const Part& gate = plan.part(0);
    const linear::Weight& w = gate.weight;
    const linear::Weight& w_up = plan.part(1).weight;
    uint8_t* scratch = static_cast<uint8_t*>(run->workspace) + plan.tail_at;
    const linear::Target target{data<float>(run->outputs[0]), w.rows, biases[0]};
    const flt::VectorKernels& kernels = flt::vector_kernels(w.float_isa);
    linear::for_chunks(run, gate.split.chunks(), plan.tokens * w.rows * w.cols < 32768, [&](int64_t index, uint32_t thread) {
        const linear::Chunk c = gate.split.chunk(index);
        linear::multiply(w, run->inputs[group_weight(0)]->data, 0, x, nullptr, c.token_begin, c.token_end, c.tile_begin, c.tile_end, target);
        // The scratch stands for rows token_begin … and columns from tile_begin on: multiply writes at token * stride + tile * 16.
        const int64_t stride = gate.split.tile_step * quant::kTileRows, column = c.tile_begin * quant::kTileRows;
        float* up = reinterpret_cast<float*>(scratch + thread * plan.up_bytes);
        const linear::Target up_target{up - c.token_begin * stride - column, stride, biases[1]};
        linear::multiply(w_up, run->inputs[group_weight(1)]->data, 0, x, nullptr, c.token_begin, c.token_end, c.tile_begin, c.tile_end, up_target);
        const int64_t columns = std::min(c.tile_end * quant::kTileRows, w.rows) - column;
        for (int64_t t = c.token_begin; t < c.token_end; ++t) {
            float* dst = target.dst + t * w.rows + column;
            kernels.gated(plan.glu, dst, up + (t - c.token_begin) * stride, dst, columns);
        }
    });
}

void run_parts(const orr_run* run, const Plan& plan, const linear::Rows& x, const float* const* biases) {
    int64_t chunks = 0, work = 0;
    for (uint32_t i = 0; i < plan.parts; ++i) {
        chunks += plan.part(i).split.chunks();
        work += plan.tokens * plan.part(i).weight.rows * plan.part(i).weight.cols;
    }
    linear::for_chunks(run, chunks, work < 65536, [&](int64_t index, uint32_t) {
        uint32_t i = 0;
        for (; index >= plan.part(i).split.chunks(); ++i) index -= plan.part(i).split.chunks();
        const linear::Weight& w = plan.part(i).weight;
        const linear::Chunk c = plan.part(i).split.chunk(index);
        linear::multiply(w, run->inputs[group_weight(i)]->data, 0, x, nullptr, c.token_begin, c.token_end, c.tile_begin, c.tile_end,
                         {data<float>(run->outputs[i]), w.rows, biases[i]});
    });
}

constexpr uint32_t kMostParts = 64;

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        if (plan.tokens == 0) return;
        uint8_t* workspace = static_cast<uint8_t*>(run->workspace);
        const float* biases[kMostParts];
        for (uint32_t i = 0; i < plan.parts; ++i) {
            biases[i] = linear::bias_f32(group_bias(run, i), reinterpret_cast<float*>(workspace + plan.part(i).bias_at));
        }
        const linear::Weight& first = plan.part(0).weight;
        const float* source = data<float>(run->inputs[0]);
        if (const GroupNorm norm(run); norm.there) {
            float* weights = reinterpret_cast<float*>(workspace + plan.norm_at);
            float* normed = reinterpret_cast<float*>(workspace + plan.norm_at + linear::aligned(first.cols * 4));
            flt::rms_norm(first.float_isa, {source, normed, plan.tokens, first.cols, first.cols, first.cols}, linear::bias_f32(norm.weight, weights), norm.offset, norm.eps, flt::parallel_of(run));
            source = normed;
        }
        if (plan.gemm) return run_gemms(run, plan, source, biases);
        linear::Rows x{source, first.cols, {}};
        if (plan.quantise) {
            x.q = quant::QuantisedRows::view(workspace + plan.rows_at, plan.tokens, first.cols);
            linear::quantise(run, x.x, x.x_stride, plan.tokens, x.q, first.isa);
        }
        if (plan.glu != flt::Activation::none) run_gated(run, plan, x, biases);
        else run_parts(run, plan, x, biases);
    });
}

bool supports_count(const orr_prepare* p, char* reason, size_t size) {
    if (group_parts(p->n_inputs) > kMostParts) {
        return refuse(reason, size, std::to_string(group_parts(p->n_inputs)) + " weights, the most is " + std::to_string(kMostParts));
    }
    return supports(p, reason, size);
}

}  // namespace

const KernelDef kLinearGroupCpu = {"cpu", "cpu", 0, supports_count, prepare, run};

}  // namespace orrery::core
