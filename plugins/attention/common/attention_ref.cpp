// The definition: every score of a query, then the softmax, then the sum, in f64.
#include "common/attention.hpp"

namespace orrery::attention {
namespace {

double element(const orr_tensor& t, int64_t b, int64_t s, int64_t h, int64_t d) {
    return is_paged(t) ? paged_number(t, page_table(t, b), s, h, d) : flt::number(t, {b, s, h, d});
}

struct Row {
    const AttentionOperands& o;
    int64_t b, t, h;
    double* scores;

    // -inf where the key is hidden
    double score(int64_t s, const AttentionAttrs& attrs) const {
        const orr_tensor &q = *o.q, &k = *o.k;
        const int64_t position = key_count(k, b) - q.shape[1] + t;
        if ((attrs.back >= 0 && s < position - attrs.back) || (attrs.ahead >= 0 && s > position + attrs.ahead)) return -INFINITY;
        if (o.key_mask && s < o.key_mask->shape[1] && flt::number(*o.key_mask, {b, s}) == 0.0) return -INFINITY;
        double dot = 0;
        for (int64_t d = 0; d < q.shape[3]; ++d) dot += flt::number(q, {b, t, h, d}) * element(k, b, s, h / (q.shape[2] / k.shape[2]), d);
        dot *= attrs.scale;
        if (attrs.softcap != 0.0) dot = attrs.softcap * std::tanh(dot / attrs.softcap);
        if (o.bias) dot += flt::number(*o.bias, {b % o.bias->shape[0], o.bias->shape[1] == 1 ? 0 : h, t, s});
        return dot;
    }

    void write(const AttentionAttrs& attrs) const {
        const orr_tensor &q = *o.q, &k = *o.k, &v = *o.v, &y = *o.y;
        const int64_t first = first_key(k, b), last = key_count(k, b), group = q.shape[2] / k.shape[2];
        double top = -INFINITY, total = 0;
        for (int64_t s = first; s < last; ++s) {
            scores[s] = score(s, attrs);
            top = scores[s] > top || scores[s] != scores[s] ? scores[s] : top;
        }
        for (int64_t s = first; s < last; ++s) {  // nothing seen: all keys alike
            scores[s] = top == -INFINITY ? 1.0 : std::exp(scores[s] - top);
            total += scores[s];
        }
        char* to = data<char>(&y) + b * y.stride_bytes[0] + t * y.stride_bytes[1] + h * y.stride_bytes[2];
        for (int64_t d = 0; d < v.shape[3]; ++d) {
            double sum = 0;
            for (int64_t s = first; s < last; ++s)
                if (scores[s] != 0.0) sum += scores[s] * element(v, b, s, h / group, d);
            const auto value = static_cast<float>(last > first ? sum / total : 0.0);
            std::memcpy(to + d * y.stride_bytes[3], &value, 4);
        }
    }
};

}  // namespace

bool takes_attention_reference(const AttentionOperands& o, char* reason, size_t size) {
    for (const auto& [t, name] : {std::pair{o.k, "k"}, std::pair{o.v, "v"}})
        if (is_paged(*t) && !takes_pages(*t, name, reason, size)) return false;
    return true;
}

void attention_reference(const orr_attrs* given, const AttentionOperands& o, double* scores) {
    const AttentionAttrs attrs(given, o.q->shape[3]);
    for (int64_t b = 0; b < o.q->shape[0]; ++b)
        for (int64_t t = 0; t < o.q->shape[1]; ++t)
            for (int64_t h = 0; h < o.q->shape[2]; ++h) Row{o, b, t, h, scores}.write(attrs);
}

}  // namespace orrery::attention
