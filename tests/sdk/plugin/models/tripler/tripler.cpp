// y = 3 (x * w): the plugin's own operator behind one of the engine's family "core".
#include "orrery/plugin.hpp"

namespace {

const char* const kEntries[] = {"forward", nullptr};
const char* const kNone[] = {nullptr};
const char* const kArchitectures[] = {"TriplerModel", nullptr};
const char* const kOperators[] = {"orr.mul/1", "example.triple/1", nullptr};

orr_status configure(const orr_model_source*, void** config, orr_model_info* info) {
    info->entries = kEntries;
    info->tasks = kNone;
    info->info_json = "{}";
    *config = nullptr;
    return ORR_OK;
}

orr_status build(void*, const orr_model_source*, const char*, orr_builder* b) {
    const int64_t width = 4;
    const orr_dim dims[] = {b->symbol(b, "B"), width};
    const orr_value factors[] = {b->input(b, "x", ORR_TYPE_F32, 2, dims, 0), b->weight(b, "w", 1, &width)};
    orr_value product = 0, y = 0;
    b->node(b, "orr.mul/1", nullptr, 2, factors, 1, &product);
    b->node(b, "example.triple/1", nullptr, 1, &product, 1, &y);
    b->output(b, "y", y);
    return ORR_OK;
}

void destroy(void*) {}

}  // namespace

const orr_model_arch* orr_model_tripler() {
    static const orr_model_arch arch = {ORR_HEADER(orr_model_arch), "tripler", "3 (x * w)", kArchitectures, kNone, kOperators, configure, build, destroy};
    return &arch;
}
