// @name@: a small pre-norm encoder. Its paper and its upstream implementation belong here.
#include <memory>

#include "models/@name@/config.hpp"
#include "models/@name@/weights.hpp"

namespace orrery::@name@_model {
namespace {

const char* const kEntries[] = {"forward", nullptr};
const char* const kNone[] = {nullptr};
const char* const kArchitectures[] = {"@Name@Model", nullptr};
// Everything that a graph below names: it decides which plugins are loaded.
const char* const kOperators[] = {"orr.embedding/1", "orr.rms_norm/1", "orr.linear/1", "orr.reshape/1", "orr.attention/1",
                                  "orr.attention_probabilities/1", "orr.activation/1", "orr.add/1", nullptr};

Value linear(Graph& g, Value x, Value w) { return g.op("orr.linear/1", {x, w}); }
Value norm(Graph& g, const Config& c, Value x, Value w) { return g.op("orr.rms_norm/1", {x, w}, Attrs().set("eps", c.eps)); }
Value add(Graph& g, Value a, Value b) { return g.op("orr.add/1", {a, b}); }
// 0 keeps an extent, -1 takes what is left.
Value reshape(Graph& g, Value x, const std::vector<int64_t>& shape) { return g.op("orr.reshape/1", {x}, Attrs().set("shape", shape)); }

// [B, T, E] -> [B, T, E]: every token attends to every other one of its sequence.
Value mixer(Graph& g, const Config& c, int64_t layer, const std::string& path, Value x) {
    const auto heads = [&](Slot slot, const char* name) {
        return g.named(path + name, reshape(g, linear(g, x, weight(g, c, slot, layer)), {0, 0, c.heads, c.head_width()}));
    };
    const Value q = heads(Slot::q, ".q"), k = heads(Slot::k, ".k"), v = heads(Slot::v, ".v");
    g.named(path + ".probabilities", g.op("orr.attention_probabilities/1", {q, k}));  // for taps; nothing reads it
    const Value context = g.named(path + ".context", reshape(g, g.op("orr.attention/1", {q, k, v}), {0, 0, c.width}));
    return g.named(path + ".output", linear(g, context, weight(g, c, Slot::o, layer)));
}

// [B, T, E] -> [B, T, E], each token alone.
Value feed_forward(Graph& g, const Config& c, int64_t layer, const std::string& path, Value x) {
    const Value up = g.named(path + ".up", linear(g, x, weight(g, c, Slot::up, layer)));
    const Value act = g.named(path + ".act", g.op("orr.activation/1", {up}, Attrs().set("function", c.activation)));
    return g.named(path + ".output", linear(g, act, weight(g, c, Slot::down, layer)));
}

// The values named layers.{i}.output, .mixer.output and .ffn.output mean the same in every architecture: the residual stream after the block, and
// what its two halves hand to the sum.
Value block(Graph& g, const Config& c, int64_t layer, Value x) {
    const std::string path = "layers." + std::to_string(layer);
    x = add(g, x, mixer(g, c, layer, path + ".mixer", norm(g, c, x, weight(g, c, Slot::mixer_norm, layer))));
    x = add(g, x, feed_forward(g, c, layer, path + ".ffn", norm(g, c, x, weight(g, c, Slot::ffn_norm, layer))));
    return g.named(path + ".output", x);
}

void build_forward(Graph& g, const Config& c) {
    const orr_dim batch = g.symbol("B"), tokens = g.symbol("T");
    const Value ids = g.input("input_ids", ORR_TYPE_I32, {batch, tokens});
    Value x = g.named("embed.output", g.op("orr.embedding/1", {ids, weight(g, c, Slot::embedding)}));
    for (int64_t layer = 0; layer < c.layers; layer++) x = block(g, c, layer, x);
    x = g.named("norm.output", norm(g, c, x, weight(g, c, Slot::final_norm)));
    g.output("logits", linear(g, x, weight(g, c, Slot::head)));
}

orr_status configure(const orr_model_source* source, void** config, orr_model_info* info) {
    return guard(source->host, [&] {
        auto c = std::make_unique<Config>(read_config(*source));
        info->entries = kEntries;
        info->tasks = kNone;
        info->vocabulary = c->vocabulary;
        info->info_json = c->info_json.c_str();
        *config = c.release();
    });
}

orr_status build(void* config, const orr_model_source*, const char*, orr_builder* b) {
    return guard(b->host, [&] {
        Graph g(b);
        build_forward(g, *static_cast<const Config*>(config));
    });
}

void destroy(void* config) { delete static_cast<Config*>(config); }

}  // namespace
}  // namespace orrery::@name@_model

const orr_model_arch* orr_model_@name@() {
    using namespace orrery::@name@_model;
    static const orr_model_arch arch = {ORR_HEADER(orr_model_arch), "@name@", "a small pre-norm encoder", kArchitectures, kNone, kOperators, configure, build, destroy};
    return &arch;
}
