// The definition: every score of a query, then the softmax, in f64.
#include "ops/attention_probabilities/attention_probabilities.hpp"

namespace orrery::attention {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& k = *p->inputs[kWeighedKey];
    return !is_paged(k) || takes_pages(k, "k", reason, size);
}

struct Row {
    const orr_run* run;
    int64_t b, t, h;
    double* scores;

    bool hidden(int64_t s, const AttentionAttrs& attrs) const {
        const int64_t position = key_count(*run->inputs[kWeighedKey], b) - run->inputs[kWeighedQuery]->shape[1] + t;
        if ((attrs.back >= 0 && s < position - attrs.back) || (attrs.ahead >= 0 && s > position + attrs.ahead)) return true;
        const orr_tensor* mask = flt::input(run, kWeighedMask);
        return mask && s < mask->shape[1] && flt::number(*mask, {b, s}) == 0.0;
    }

    double score(int64_t s, const AttentionAttrs& attrs) const {
        const orr_tensor &q = *run->inputs[kWeighedQuery], &k = *run->inputs[kWeighedKey];
        const int64_t kv_head = h / (q.shape[2] / k.shape[2]);
        double dot = 0;
        for (int64_t d = 0; d < q.shape[3]; ++d)
            dot += flt::number(q, {b, t, h, d}) * (is_paged(k) ? paged_number(k, page_table(k, b), s, kv_head, d) : flt::number(k, {b, s, kv_head, d}));
        dot *= attrs.scale;
        if (attrs.softcap != 0.0) dot = attrs.softcap * std::tanh(dot / attrs.softcap);
        if (const orr_tensor* bias = flt::input(run, kWeighedBias)) dot += flt::number(*bias, {b % bias->shape[0], bias->shape[1] == 1 ? 0 : h, t, s});
        return dot;
    }

    void write(const AttentionAttrs& attrs) const {
        const orr_tensor &k = *run->inputs[kWeighedKey], &y = *run->outputs[0];
        const int64_t first = first_key(k, b), last = key_count(k, b);
        double top = -INFINITY, total = 0;
        for (int64_t s = first; s < last; ++s) {
            scores[s] = hidden(s, attrs) ? -INFINITY : score(s, attrs);
            top = scores[s] > top || scores[s] != scores[s] ? scores[s] : top;
        }
        const bool blind = top == -INFINITY;
        for (int64_t s = first; s < last; ++s) {  // nothing seen: all keys alike
            scores[s] = blind ? 1.0 : std::exp(scores[s] - top);
            total += hidden(s, attrs) && !blind ? 0.0 : scores[s];
        }
        char* to = data<char>(&y) + b * y.stride_bytes[0] + h * y.stride_bytes[1] + t * y.stride_bytes[2];
        for (int64_t s = 0; s < y.shape[3]; ++s) {
            const auto value = static_cast<float>(s >= first && s < last && (blind || !hidden(s, attrs)) ? scores[s] / total : 0.0);
            std::memcpy(to + s * y.stride_bytes[3], &value, 4);
        }
    }
};

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&] { p->workspace(p, static_cast<uint64_t>(p->inputs[kWeighedKey]->shape[1]) * sizeof(double)); });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor& q = *run->inputs[kWeighedQuery];
        check_keys(q, *run->inputs[kWeighedKey]);
        const AttentionAttrs attrs(run->attrs, q.shape[3]);
        for (int64_t b = 0; b < q.shape[0]; ++b)
            for (int64_t t = 0; t < q.shape[1]; ++t)
                for (int64_t h = 0; h < q.shape[2]; ++h) Row{run, b, t, h, static_cast<double*>(run->workspace)}.write(attrs);
    });
}

}  // namespace

const KernelDef kProbabilitiesReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, prepare, run};

}  // namespace orrery::attention
