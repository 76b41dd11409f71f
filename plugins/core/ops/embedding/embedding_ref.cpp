// The definition.
#include "ops/embedding/embedding.hpp"

namespace orrery::core {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) { return linear::readable(*p->inputs[kEmbeddingTable], reason, size); }

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const double scale = run->attrs->get_float(run->attrs, "scale");
        const orr_tensor& table = *run->inputs[kEmbeddingTable];
        const orr_tensor& y = *run->outputs[0];
        for (int64_t i = 0; i < linear::row_count(y); ++i) {
            float* dst = reinterpret_cast<float*>(const_cast<uint8_t*>(linear::row_at(y, i)));
            linear::read_row(table, embedding_id(*run->inputs[kEmbeddingIds], i, table.shape[0]), dst);
            for (int64_t e = 0; e < table.shape[1]; ++e) dst[e] = static_cast<float>(static_cast<double>(dst[e]) * scale);
        }
    });
}

}  // namespace

const KernelDef kEmbeddingReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, nullptr, run};

}  // namespace orrery::core
