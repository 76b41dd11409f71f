// The tensors of a checkpoint of @name@.
#pragma once

#include <string>
#include <vector>

#include "models/@name@/config.hpp"

namespace orrery::@name@_model {

enum class Slot { embedding, mixer_norm, q, k, v, o, ffn_norm, up, down, final_norm, head, count };

// Extents that the configuration tells.
enum class Axis { none, vocabulary, width, inner };

struct Source {
    Slot slot;
    const char* name;  // * stands for the layer's number
    Axis axes[2];
};

inline constexpr Source kWeights[] = {
    {Slot::embedding, "embed_tokens.weight", {Axis::vocabulary, Axis::width}},
    {Slot::mixer_norm, "layers.*.attention_norm.weight", {Axis::width}},
    {Slot::q, "layers.*.attention.q_proj.weight", {Axis::width, Axis::width}},
    {Slot::k, "layers.*.attention.k_proj.weight", {Axis::width, Axis::width}},
    {Slot::v, "layers.*.attention.v_proj.weight", {Axis::width, Axis::width}},
    {Slot::o, "layers.*.attention.o_proj.weight", {Axis::width, Axis::width}},
    {Slot::ffn_norm, "layers.*.mlp_norm.weight", {Axis::width}},
    {Slot::up, "layers.*.mlp.up_proj.weight", {Axis::inner, Axis::width}},
    {Slot::down, "layers.*.mlp.down_proj.weight", {Axis::width, Axis::inner}},
    {Slot::final_norm, "norm.weight", {Axis::width}},
    {Slot::head, "lm_head.weight", {Axis::vocabulary, Axis::width}},
};
static_assert(sizeof kWeights / sizeof *kWeights == static_cast<size_t>(Slot::count));

// The weight of a slot; layer: -1 where the name has none. A tensor that is missing or has another shape fails the build by name.
inline Value weight(Graph& g, const Config& c, Slot slot, int64_t layer = -1) {
    const Source& source = kWeights[static_cast<size_t>(slot)];
    std::string name = source.name;
    if (const size_t star = name.find('*'); star != std::string::npos) name.replace(star, 1, std::to_string(layer));
    std::vector<int64_t> shape;
    for (const Axis axis : source.axes)
        if (axis != Axis::none) shape.push_back(axis == Axis::vocabulary ? c.vocabulary : axis == Axis::width ? c.width : c.inner);
    return g.weight(name, shape);
}

}  // namespace orrery::@name@_model
