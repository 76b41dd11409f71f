// token[b] = one id out of logits[b], the likeliest or drawn: temperature, top-k, top-p, min-p, in this order (README.md).
// logits [B, V] f32    parameters [B, 4] f32: temperature, top_k, top_p, min_p    random [B, 2] i32: 64 bits, the low word first
// Fan et al. 2018, arXiv:1805.04833 · Holtzman et al. 2019, arXiv:1904.09751 · Nguyen et al. 2024, arXiv:2407.01082
#include "ops/sample/sample.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "sampling/sampling.h"

using namespace orrery;
using sampling::Candidate;
using sampling::Parameters;

namespace {

void infer(const Infer& i) {
    const orr_value_info& x = i.in(0);
    i.rank(0, 2, "logits");
    if (x.dims[1] == 0 || x.dims[1] > INT32_MAX) throw Error(ORR_INVALID_ARGUMENT, "orr.sample/1: logits have " + Infer::text(x.dims[1]) + " columns, wanted 1 to 2147483647");
    if (i.has(1) != i.has(2)) throw Error(ORR_INVALID_ARGUMENT, std::string("orr.sample/1: ") + (i.has(1) ? "parameters without random" : "random without parameters") + ", wanted both or neither");
    const auto check = [&](uint32_t n, const char* name, orr_dim columns) {
        i.rank(n, 2, name);
        i.same(i.in(n).dims[0], x.dims[0], std::string("orr.sample/1: rows of ") + name + " and of logits");
        i.same(i.in(n).dims[1], columns, std::string("orr.sample/1: columns of ") + name);
    };
    if (i.has(1)) check(1, "parameters", 4), check(2, "random", 2);
    i.out(0, ORR_TYPE_I32, {x.dims[0]});
}

template <class T>
T at(const orr_tensor& t, int64_t row, int64_t column) {
    return *reinterpret_cast<const T*>(static_cast<const char*>(t.data) + row * t.stride_bytes[0] + column * t.stride_bytes[1]);
}

struct Row {
    Parameters parameters{};  // greedy
    uint64_t random = 0;
    Row(const orr_run* r, int64_t row) {
        if (r->n_inputs < 3 || !r->inputs[1]) return;
        const orr_tensor &p = *r->inputs[1], &bits = *r->inputs[2];
        parameters = {at<float>(p, row, 0), at<float>(p, row, 1), at<float>(p, row, 2), at<float>(p, row, 3)};
        random = at<uint32_t>(bits, row, 0) | static_cast<uint64_t>(at<uint32_t>(bits, row, 1)) << 32;
    }
};

// The definition: all candidates sorted, then cut three times.
int32_t choose_plainly(const std::vector<float>& logits, const Row& r) {
    std::vector<Candidate> all;
    for (size_t id = 0; id < logits.size(); id++)
        if (const uint32_t key = sampling::key_of(logits[id])) all.push_back({key, static_cast<int32_t>(id), 0});
    std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) { return a.key > b.key; });
    if (all.empty()) return -1;
    const float top = logits[static_cast<size_t>(all[0].id)];
    if (!sampling::draws(r.parameters.temperature) || std::isinf(top)) return all[0].id;
    const float rate = sampling::rate_of(r.parameters.temperature);
    for (Candidate& c : all) c.weight = sampling::weight_of(top, logits[static_cast<size_t>(c.id)], rate);
    const auto sum = [&] {
        uint64_t s = 0;
        for (const Candidate& c : all) s += c.weight;
        return s;
    };
    if (const int64_t k = sampling::count_of(r.parameters.top_k, static_cast<int64_t>(logits.size())); k && k < static_cast<int64_t>(all.size())) all.resize(static_cast<size_t>(k));
    if (const uint64_t share = sampling::share_of(r.parameters.top_p); share < uint64_t{1} << 32) {
        const uint64_t wanted = sampling::wanted_of(share, sum());
        size_t n = 1;
        for (uint64_t s = all[0].weight; n < all.size() && s < wanted; n++) s += all[n].weight;
        all.resize(n);
    }
    std::erase_if(all, [least = sampling::floor_of(r.parameters.min_p)](const Candidate& c) { return c.weight < least; });
    std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
    const uint64_t target = sampling::target_of(r.random, sum());
    size_t n = 0;
    for (uint64_t s = all[0].weight; s <= target; s += all[n].weight) n++;
    return all[n].id;
}

orr_status run_reference(const orr_run* r) {
    return guard(r->host, [&] {
        const orr_tensor& x = *r->inputs[0];
        std::vector<float> logits(static_cast<size_t>(x.shape[1]));
        for (int64_t row = 0; row < x.shape[0]; row++) {
            for (int64_t id = 0; id < x.shape[1]; id++) logits[static_cast<size_t>(id)] = at<float>(x, row, id);
            data<int32_t>(r->outputs[0])[row] = choose_plainly(logits, Row(r, row));
        }
    });
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& x = *p->inputs[0];
    return x.shape[1] == 1 || x.stride_bytes[1] == static_cast<int64_t>(sizeof(float)) || refuse(reason, size, "the columns of logits must be contiguous, they are " + describe(x));
}

orr_status prepare(orr_prepare* p) {
    if (p->n_inputs > 1 && p->inputs[1]) p->workspace(p, static_cast<uint64_t>(p->threads) * static_cast<uint64_t>(p->inputs[0]->shape[1]) * sizeof(Candidate));
    return ORR_OK;
}

orr_status run_cpu(const orr_run* r) {
    const orr_tensor& x = *r->inputs[0];
    const int64_t n = x.shape[1];
    const auto choose = [&](int64_t row, uint32_t thread) {
        const Row of(r, row);
        Candidate* room = static_cast<Candidate*>(r->workspace) + thread * n;
        const auto* logits = reinterpret_cast<const float*>(static_cast<const char*>(x.data) + row * x.stride_bytes[0]);
        data<int32_t>(r->outputs[0])[row] = sampling::choose(logits, n, of.parameters, of.random, room);
    };
    if (x.shape[0] == 1) return choose(0, 0), ORR_OK;
    parallel_for(r, x.shape[0], [&](int64_t row, uint32_t thread) { choose(row, thread); });
    return ORR_OK;
}

}  // namespace

const orr_operator* orr_op_sample() {
    static const Operator op = Operator("orr.sample/1", "one token id out of a row of logits: the likeliest, or drawn after temperature, top-k, top-p and min-p")
                                   .input("logits", "f32", "[B, V]; NaN counts as -inf")
                                   .input("parameters", "f32", "[B, 4]: temperature (0: the likeliest), top_k (0: all), top_p (1: all), min_p (0: all); absent: the likeliest", ORR_PORT_OPTIONAL)
                                   .input("random", "i32", "[B, 2]: 64 random bits, the low word first; there with parameters", ORR_PORT_OPTIONAL)
                                   .output("token", "[B]; -1 where no logit is above -inf", "i32")
                                   .infer(infer_guard<infer>)
                                   .kernel(core::kSampleVulkan)
                                   .kernel({"cpu", "cpu", 0, supports, prepare, run_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
