// Packed weights. Block types: activations quantised to int8 in blocks of 32 (exact numerics: f32). f32: the float library's GEMM.
#include "float/gemm.hpp"
#include "float_abi/parallel.hpp"
#include "linear/reference.hpp"
#include "linear/work.hpp"
#include "ops/linear/linear.hpp"

namespace orrery::core {
namespace {

struct Plan {
    linear::Weight weight;
    linear::Split split;
    flt::Activation activation;
    float scale;
    int64_t tokens;
    uint64_t bias_bytes, rows_bytes;  // parts of the workspace, in this order, the GEMM's last
};

bool supports(const orr_prepare* p, char* reason, size_t size) {
    for (const uint32_t input : {kLinearX, kLinearResidual}) {
        const orr_tensor* t = linear_input(p, input);
        if (t && (*t->layout || !is_contiguous(*t))) return refuse(reason, size, std::string(input == kLinearX ? "x" : "residual") + " is not contiguous");
    }
    const orr_tensor* bias = linear_input(p, kLinearBias);
    if (bias && (*bias->layout || !is_contiguous(*bias))) return refuse(reason, size, "bias is not contiguous");
    if (p->inputs[kLinearX]->shape[p->inputs[kLinearX]->rank - 1] == 0) return refuse(reason, size, "x has no columns");
    return linear::weight_fits(*p->inputs[kLinearWeight], p->attrs->get_int(p->attrs, "transposed") != 0, reason, size);
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        const LinearAttrs attrs(p->attrs);
        Plan* plan = static_cast<Plan*>(p->plan_memory(p, sizeof(Plan)));
        if (!plan) return ORR_OUT_OF_MEMORY;
        plan->weight = linear::describe_weight(p, *p->inputs[kLinearWeight], attrs.transposed);
        const linear::Weight& w = plan->weight;
        plan->activation = attrs.activation;
        plan->scale = static_cast<float>(attrs.scale);
        plan->tokens = linear::row_count(*p->outputs[0]);
        plan->split = linear::split_product(w.tiles(), plan->tokens, w.tile_bytes(), p->threads);
        const orr_tensor* bias = linear_input(p, kLinearBias);
        plan->bias_bytes = bias && bias->type != ORR_TYPE_F32 ? linear::aligned(w.rows * 4) : 0;
        plan->rows_bytes = w.method == linear::Method::kInt8 ? linear::aligned(quant::QuantisedRows::bytes(plan->tokens, w.cols)) : 0;
        const uint64_t gemm_bytes =
            w.method == linear::Method::kGemm ? flt::gemm_workspace_bytes(plan->tokens, w.rows, w.cols, static_cast<int>(p->threads)) : 0;
        p->workspace(p, plan->bias_bytes + plan->rows_bytes + gemm_bytes);
        p->variant(p, w.variant());
        return linear::pack_weight(p, kLinearWeight, plan->weight, attrs.transposed);
    });
}

void run_gemm(const orr_run* run, const Plan& plan, const flt::Epilogue& epilogue, void* workspace) {
    flt::GemmArgs args{};
    args.t = plan.tokens;
    args.n = plan.weight.rows;
    args.k = plan.weight.cols;
    args.x = data<float>(run->inputs[kLinearX]);
    args.ldx = args.k;
    args.w = static_cast<const float*>(plan.weight.at(run->inputs[kLinearWeight]->data));
    args.w_k = plan.weight.stored_cols;
    args.dst = data<float>(run->outputs[0]);
    args.dst_row = args.n;
    args.epilogue = epilogue;
    flt::gemm(plan.weight.float_isa, args, workspace, flt::parallel_of(run));
}

// Applies the epilogue where a chunk's product lies.
void finish(const Plan& plan, const flt::Epilogue& epilogue, const linear::Chunk& chunk, float* dst) {
    const int64_t rows = plan.weight.rows;
    const int64_t column = chunk.tile_begin * quant::kTileRows;
    flt::EpilogueTile tile{};
    tile.dst = dst + chunk.token_begin * rows + column;
    tile.c = tile.dst;
    tile.ldc = tile.dst_row = rows;
    tile.dst_col = 1;
    tile.bias = epilogue.bias ? epilogue.bias + column : nullptr;
    tile.residual = epilogue.residual ? epilogue.residual + chunk.token_begin * rows + column : nullptr;
    tile.rows = chunk.token_end - chunk.token_begin;
    tile.columns = std::min(chunk.tile_end * quant::kTileRows, rows) - column;
    flt::vector_kernels(plan.weight.float_isa).epilogue(epilogue, tile);
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const linear::Weight& w = plan.weight;
        if (plan.tokens == 0 || w.rows == 0) return;
        uint8_t* workspace = static_cast<uint8_t*>(run->workspace);
        flt::Epilogue epilogue;
        epilogue.bias = linear::bias_f32(linear_input(run, kLinearBias), reinterpret_cast<float*>(workspace));
        epilogue.residual = data<float>(linear_input(run, kLinearResidual));
        epilogue.residual_stride = w.rows;
        epilogue.scale = plan.scale;
        epilogue.activation = plan.activation;
        workspace += plan.bias_bytes;
        if (w.method == linear::Method::kGemm) return run_gemm(run, plan, epilogue, workspace + plan.rows_bytes);

        linear::Rows x{data<float>(run->inputs[kLinearX]), w.cols, {}};
        if (w.method == linear::Method::kInt8) {
            x.q = quant::QuantisedRows::view(workspace, plan.tokens, w.cols);
            linear::quantise(run, x.x, x.x_stride, plan.tokens, x.q, w.isa);
        }
        const bool plain = plan.activation == flt::Activation::none && plan.scale == 1.0f && !epilogue.residual;
        const linear::Target target{data<float>(run->outputs[0]), w.rows, plain ? epilogue.bias : nullptr};
        const void* packed = run->inputs[kLinearWeight]->data;
        linear::for_chunks(run, plan.split.chunks(), plan.tokens * w.rows * w.cols < 65536, [&](int64_t index, uint32_t) {
            const linear::Chunk c = plan.split.chunk(index);
            linear::multiply(w, packed, 0, x, nullptr, c.token_begin, c.token_end, c.tile_begin, c.tile_end, target);
            if (!plain) finish(plan, epilogue, c, target.dst);
        });
    });
}

}  // namespace

const KernelDef kLinearCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::core
