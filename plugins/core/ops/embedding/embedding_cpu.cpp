// Rows straight from the table as the file keeps it: a few rows a run do not warrant a packed copy.
#include "linear/work.hpp"
#include "ops/embedding/embedding.hpp"

namespace orrery::core {
namespace {

constexpr int64_t kChunkRows = 16;

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& table = *p->inputs[kEmbeddingTable];
    if (!linear::readable(table, reason, size)) return false;
    if (!is_contiguous(table)) return refuse(reason, size, "table is not contiguous");
    return true;
}

orr_status prepare(orr_prepare* p) {
    p->variant(p, "generic");
    return ORR_OK;
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const float scale = static_cast<float>(run->attrs->get_float(run->attrs, "scale"));
        const orr_tensor& ids = *run->inputs[kEmbeddingIds];
        const orr_tensor& table = *run->inputs[kEmbeddingTable];
        const orr_tensor& y = *run->outputs[0];
        const int64_t count = linear::row_count(y), width = table.shape[1];
        for (int64_t i = 0; i < count; ++i) embedding_id(ids, i, table.shape[0]);  // throws here, on the calling thread
        linear::for_chunks(run, (count + kChunkRows - 1) / kChunkRows, count * width < 65536, [&](int64_t chunk, uint32_t) {
            for (int64_t i = chunk * kChunkRows; i < std::min(count, (chunk + 1) * kChunkRows); ++i) {
                float* dst = data<float>(&y) + i * width;
                linear::read_row(table, embedding_id(ids, i, table.shape[0]), dst);
                if (scale == 1.0f) continue;
                for (int64_t e = 0; e < width; ++e) dst[e] *= scale;
            }
        });
    });
}

}  // namespace

const KernelDef kEmbeddingCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::core
