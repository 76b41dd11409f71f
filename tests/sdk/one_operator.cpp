// one_operator PLUGIN_FOLDER OPERATOR ATTRS_JSON INPUT…: a host that runs one operator of a plugin and prints the elements of its first output.
// INPUT is f32, "2,3:1,2,3,4,5,6". The model that it takes to run an operator is built here: one node, linked in as a plugin of its own.
#include <cstdio>
#include <iterator>
#include <sstream>

#include "orrery/orrery.hpp"
#include "orrery/plugin.hpp"

namespace {

struct Request {
    std::string op, attrs;
    std::vector<orrery::host::Tensor> inputs;
};
Request request;
const char* operators[2] = {};

std::vector<double> numbers(const std::string& list) {
    std::vector<double> out;
    std::istringstream stream(list);
    for (std::string word; std::getline(stream, word, ',');) out.push_back(std::stod(word));
    return out;
}

orrery::host::Tensor tensor(const std::string& name, const std::string& text) {
    const size_t colon = text.find(':');
    if (colon == std::string::npos) throw std::invalid_argument("\"" + text + "\" is no tensor: 2,2:1,2,3,4");
    std::vector<int64_t> shape;
    for (const double d : numbers(text.substr(0, colon))) shape.push_back(static_cast<int64_t>(d));
    std::vector<float> values;
    for (const double v : numbers(text.substr(colon + 1))) values.push_back(static_cast<float>(v));
    std::vector<unsigned char> bytes(values.size() * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return orrery::host::Tensor::own(name, ORR_TYPE_F32, shape, std::move(bytes));
}

orr_status configure(const orr_model_source*, void** config, orr_model_info* info) {
    static const char* const entries[] = {"forward", nullptr};
    static const char* const none[] = {nullptr};
    info->entries = entries;
    info->tasks = none;
    info->info_json = "{}";
    *config = nullptr;
    return ORR_OK;
}

orr_status build(void*, const orr_model_source*, const char*, orr_builder* b) {
    return orrery::guard(b->host, [&] {
        orrery::Graph g(b);
        std::vector<orr_value> inputs;
        for (const orrery::host::Tensor& t : request.inputs)
            inputs.push_back(g.input(t.name().c_str(), ORR_TYPE_F32, {t.shape().begin(), t.shape().end()}).id);
        orr_value output = 0;
        b->node(b, request.op.c_str(), request.attrs.c_str(), static_cast<uint32_t>(inputs.size()), inputs.data(), 1, &output);
        g.output("y", {output});
    });
}

void destroy(void*) {}

const void* extension(const char* id) {
    static const char* const architectures[] = {"OneOperator", nullptr};
    static const char* const none[] = {nullptr};
    static const orr_model_arch arch = {
        ORR_HEADER(orr_model_arch), "one_operator", "one node", architectures, none, operators, configure, build, destroy};
    static const orr_model_arch* const items[] = {&arch};
    static const orr_models models = {ORR_HEADER(orr_models), 1, items};
    return std::strcmp(id, ORR_EXT_MODELS) == 0 ? &models : nullptr;
}

const orr_plugin* entry(const orr_host*) {
    static const orr_plugin plugin = {ORR_HEADER(orr_plugin), "test.one_operator", "1.0.0", "MIT", ORR_SANITIZER, extension};
    return &plugin;
}

int run(const char* folder) {
    using namespace orrery::host;
    const char* const folders[] = {folder, nullptr};
    orr_engine_options engine_options = options<orr_engine_options>();
    engine_options.plugin_dirs = folders;
    const Engine engine(&engine_options);
    check(orr_engine_add_plugin(engine.raw(), entry));
    // A checkpoint without tensors, in memory.
    static const char config[] = R"({"architectures": ["OneOperator"]})";
    static const char weights[] = "\x08\0\0\0\0\0\0\0{}      ";
    const orr_blob blobs[] = {{ORR_HEADER(orr_blob), "config.json", config, sizeof config - 1},
                              {ORR_HEADER(orr_blob), "model.safetensors", weights, sizeof weights - 1}};
    const orr_blob* const list[] = {&blobs[0], &blobs[1]};
    orr_model_options model_options = options<orr_model_options>();
    model_options.blobs = list;
    model_options.blob_count = static_cast<uint32_t>(std::size(list));
    const Model model = engine.open(model_options);
    Session session = model.session();
    session.run(nullptr, request.inputs);
    const Tensor y = session.output("y");
    for (int64_t i = 0; i < y.elements(); i++) std::printf(i ? " %g" : "%g", static_cast<double>(static_cast<const float*>(y.data())[i]));
    std::printf("\n");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5) {
        std::fputs("usage: one_operator PLUGIN_FOLDER OPERATOR ATTRS_JSON INPUT...\n", stderr);
        return 2;
    }
    try {
        request.op = argv[2];
        request.attrs = argv[3];
        operators[0] = request.op.c_str();
        for (int n = 4; n < argc; n++) request.inputs.push_back(tensor("x" + std::to_string(n - 4), argv[n]));
        return run(argv[1]);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "one_operator: %s\n", e.what());
        return 1;
    }
}
