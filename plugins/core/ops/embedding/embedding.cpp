// y[.., e] = scale * table[ids[..], e]
// ids [..] i32|i64    table [V, E] any float or block type    y [.., E] f32
#include "ops/embedding/embedding.hpp"

namespace orrery::core {
namespace {

void infer_embedding(const Infer& i) {
    i.rank(kEmbeddingTable, 2, "orr.embedding/1: table");
    std::vector<orr_dim> dims = Infer::dims(i.in(kEmbeddingIds));
    dims.push_back(i.in(kEmbeddingTable).dims[1]);
    i.out(0, ORR_TYPE_F32, dims);
}

}  // namespace
}  // namespace orrery::core

const orr_operator* orr_op_embedding() {
    using namespace orrery;
    static const Operator op = Operator("orr.embedding/1", "y = scale * table[ids]")
                                   .input("ids", "i32 i64", "[..], each in 0 .. V - 1", ORR_PORT_INDICES)
                                   .input("table", "*", "[V, E]; any float or block type", ORR_PORT_WEIGHT)
                                   .output("y", "[.., E]")
                                   .attr("scale", ORR_ATTR_FLOAT, "1", "factor of every element")
                                   .infer(infer_guard<core::infer_embedding>)
                                   .kernel(core::kEmbeddingVulkan)
                                   .kernel(core::kEmbeddingCpu)
                                   .kernel(core::kEmbeddingReference);
    return op.table();
}
