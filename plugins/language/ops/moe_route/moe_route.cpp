// p = softmax(logits); ids = the k largest of p, largest first, the lower id first among equals; weights = p[ids] * scale
// order softmax_topk: softmax over all experts, with normalise the k weights are divided by their sum; topk_softmax: softmax over the k chosen.
// logits [.., X] f32    ids [.., k] i32    weights [.., k] f32
// Shazeer et al. 2017, arXiv:1701.06538 · Jiang et al. 2024, arXiv:2401.04088, section 2.1
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ops/moe_route/moe_route.hpp"

using namespace orrery;

namespace {

constexpr int64_t kRowsPerChunk = 64;

void infer(const Infer& i) {
    const orr_value_info& x = i.in(0);
    const int64_t k = i.attr_int("top_k");
    const std::string order = i.attr_string("order");
    if (order != "softmax_topk" && order != "topk_softmax")
        throw Error(ORR_INVALID_ARGUMENT, "orr.moe_route/1: order \"" + order + "\", wanted softmax_topk or topk_softmax");
    if (x.rank < 1) throw Error(ORR_INVALID_ARGUMENT, "orr.moe_route/1: logits have rank 0, wanted 1 or more");
    const orr_dim experts = x.dims[x.rank - 1];
    if (k < 1 || (experts >= 0 && k > experts))
        throw Error(ORR_INVALID_ARGUMENT, "orr.moe_route/1: top_k is " + std::to_string(k) + ", wanted 1 to " + Infer::text(experts) + " experts");
    std::vector<orr_dim> dims = Infer::dims(x);
    dims.back() = k;
    i.out(0, ORR_TYPE_I32, dims);
    i.out(1, ORR_TYPE_F32, dims);
}

struct Routing {
    int64_t experts, top_k;
    bool softmax_first, normalise;
    float scale;
};

Routing routing(const orr_run* r) {
    const orr_attrs* a = r->attrs;
    const orr_tensor& x = *r->inputs[0];
    return {x.shape[x.rank - 1], a->get_int(a, "top_k"), std::string_view(a->get_string(a, "order")) == "softmax_topk",
            a->get_int(a, "normalise") != 0, static_cast<float>(a->get_float(a, "scale"))};
}

// Whether logit a of expert i goes before logit b of expert j. NaN goes last.
bool before(float a, int32_t i, float b, int32_t j) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) == std::isnan(b) ? i < j : !std::isnan(a);
    return a != b ? a > b : i < j;
}

// One row. Sums run in the order of the experts, or of the chosen ones. order: room for X numbers.
void route(const Routing& m, const float* logits, int32_t* ids, float* weights, int32_t* order) {
    for (int64_t e = 0; e < m.experts; e++) order[e] = static_cast<int32_t>(e);
    std::partial_sort(order, order + m.top_k, order + m.experts, [&](int32_t i, int32_t j) { return before(logits[i], i, logits[j], j); });
    const float top = logits[order[0]];
    float sum = 0;
    if (m.softmax_first) {
        for (int64_t e = 0; e < m.experts; e++) sum += std::exp(logits[e] - top);
    } else {
        for (int64_t k = 0; k < m.top_k; k++) sum += std::exp(logits[order[k]] - top);
    }
    float chosen = 0;
    for (int64_t k = 0; k < m.top_k; k++) {
        ids[k] = order[k];
        weights[k] = std::exp(logits[order[k]] - top) / sum;
        chosen += weights[k];
    }
    for (int64_t k = 0; k < m.top_k; k++) weights[k] = (m.softmax_first && m.normalise ? weights[k] / chosen : weights[k]) * m.scale;
}

bool contiguous_only(const orr_prepare* p, char* reason, size_t size) {
    return is_contiguous(*p->inputs[0]) || refuse(reason, size, "logits must be contiguous, they are " + describe(*p->inputs[0]));
}

orr_status prepare(orr_prepare* p) {
    const orr_tensor& x = *p->inputs[0];
    p->workspace(p, static_cast<uint64_t>(p->threads) * static_cast<uint64_t>(x.shape[x.rank - 1]) * sizeof(int32_t));
    return ORR_OK;
}

orr_status run_cpu(const orr_run* r) {
    const Routing m = routing(r);
    const int64_t rows = m.experts ? elements(*r->inputs[0]) / m.experts : 0;
    const float* logits = data<const float>(r->inputs[0]);
    int32_t* ids = data<int32_t>(r->outputs[0]);
    float* weights = data<float>(r->outputs[1]);
    const auto part = [&](int64_t from, int64_t to, uint32_t thread) {
        int32_t* order = static_cast<int32_t*>(r->workspace) + thread * m.experts;
        for (int64_t row = from; row < to; row++) route(m, logits + row * m.experts, ids + row * m.top_k, weights + row * m.top_k, order);
    };
    if (rows <= kRowsPerChunk) return part(0, rows, 0), ORR_OK;
    parallel_for(r, (rows + kRowsPerChunk - 1) / kRowsPerChunk,
                 [&](int64_t chunk, uint32_t thread) { part(chunk * kRowsPerChunk, std::min(rows, (chunk + 1) * kRowsPerChunk), thread); });
    return ORR_OK;
}

// The definition: picks the best expert k times. Any strides.
orr_status run_reference(const orr_run* r) {
    return guard(r->host, [&] {
        const Routing m = routing(r);
        const orr_tensor& x = *r->inputs[0];
        const int64_t rows = m.experts ? elements(x) / m.experts : 0;
        std::vector<float> logits(static_cast<size_t>(m.experts));
        for (int64_t row = 0; row < rows; row++) {
            int64_t offset = 0, rest = row;
            for (int32_t axis = x.rank - 2; axis >= 0; axis--) {
                offset += rest % x.shape[axis] * x.stride_bytes[axis];
                rest /= x.shape[axis];
            }
            for (int64_t e = 0; e < m.experts; e++)
                logits[static_cast<size_t>(e)] =
                    *reinterpret_cast<const float*>(static_cast<const char*>(x.data) + offset + e * x.stride_bytes[x.rank - 1]);
            std::vector<bool> taken(logits.size());
            int32_t* ids = data<int32_t>(r->outputs[0]) + row * m.top_k;
            float* weights = data<float>(r->outputs[1]) + row * m.top_k;
            for (int64_t k = 0; k < m.top_k; k++) {
                int32_t best = -1;
                for (int32_t e = 0; e < static_cast<int32_t>(m.experts); e++)
                    if (!taken[e] && (best < 0 || before(logits[e], e, logits[best], best))) best = e;
                taken[best] = true;
                ids[k] = best;
            }
            float sum = 0, chosen = 0;
            for (int64_t e = 0; e < m.experts; e++)
                if (m.softmax_first || taken[e]) sum += std::exp(logits[e] - logits[ids[0]]);
            for (int64_t k = 0; k < m.top_k; k++) chosen += weights[k] = std::exp(logits[ids[k]] - logits[ids[0]]) / sum;
            for (int64_t k = 0; k < m.top_k; k++) weights[k] = (m.softmax_first && m.normalise ? weights[k] / chosen : weights[k]) * m.scale;
        }
    });
}

}  // namespace

const orr_operator* orr_op_moe_route() {
    static const Operator op =
        Operator("orr.moe_route/1", "the k best experts of each row and their weights out of router logits")
            .input("logits", "f32", "[.., X]")
            .output("ids", "[.., k], largest weight first", "i32")
            .output("weights", "[.., k]")
            .attr("top_k", ORR_ATTR_INT, nullptr, "experts that a row takes, 1 to X", "[1, inf)")
            .attr("normalise", ORR_ATTR_BOOL, "false", "softmax_topk: divide the chosen weights by their sum")
            .attr("order", ORR_ATTR_STRING, "\"softmax_topk\"", "softmax over all experts, then the best; or over the best alone", "softmax_topk|topk_softmax")
            .attr("scale", ORR_ATTR_FLOAT, "1", "of the weights")
            .infer(infer_guard<infer>)
            .kernel(language::kMoeRouteVulkan)
            .kernel({"cpu", "cpu", 0, contiguous_only, prepare, run_cpu})
            .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
