#include "encoder/blocks.h"

namespace orrery::encoder {

Value Net::parameter(const std::string& name, const std::vector<int64_t>& shape) {
    const Value w = weight(name, shape);
    if (g.info(w).type == ORR_TYPE_F32) return w;
    return g.op("orr.cast/1", {w}, Attrs().set("type", "f32"));
}

Value Net::linear(const std::string& name, Value x, int64_t width_in, int64_t width_out, bool bias) {
    const Value w = weight(name + ".weight", {width_out, width_in});
    return g.op("orr.linear/1", {x, w, bias ? weight(name + ".bias", {width_out}) : Value{}});
}

Value Net::linear_part(const std::string& name, Value x, int64_t width_in, int64_t width_out, bool bias, int64_t columns_read, int64_t rows_read) {
    const Value w = part_of(g, part_of(g, weight(name + ".weight", {width_out, width_in}), 0, width_out, 0, rows_read), 1, width_in, 0, columns_read);
    return g.op("orr.linear/1", {x, w, bias ? part_of(g, weight(name + ".bias", {width_out}), 0, width_out, 0, rows_read) : Value{}});
}

Value Net::layer_norm(const std::string& name, Value x, int64_t width, double eps) {
    const Value scale = parameter(name + ".weight", {width}), shift = parameter(name + ".bias", {width});
    return g.op("orr.layer_norm/1", {x, scale, shift}, Attrs().set("eps", eps));
}

Value Net::activation(const std::string& function, Value x) {
    if (function == "identity") return x;
    return g.op("orr.activation/1", {x}, Attrs().set("function", function));
}

Value Net::prepend_and_place(Value patches, Value cls, Value positions, int64_t count, int64_t width) {
    const Value first = pad(reshape(cls, {1, width}), {0, 0}, {count, 0});
    const Value table = reshape(add(reshape(positions, {count + 1, width}), first), {1, count + 1, width});
    return add(pad(patches, {0, 1, 0}, {0, 0, 0}), table);
}

Value attend_to(Net& net, const std::string& path, const Attention& a, Value query, Value keys, Value values) {
    const Value context = net.g.op("orr.attention/1", {query, keys, values, a.bias, a.key_mask}, Attrs().set("causal", a.causal));
    const Value weights = net.g.op("orr.attention_probabilities/1", {query, keys, a.bias, a.key_mask}, Attrs().set("causal", a.causal));
    net.g.named(a.probabilities.empty() ? path + ".probabilities" : a.probabilities, weights);  // for taps; nothing reads it
    return net.g.named(path + ".context", net.merge_heads(context, a.width));
}

Value self_attend(Net& net, const std::string& path, const Attention& a, Value x) {
    Graph& g = net.g;
    const Value q = net.linear(a.q, x, a.width, a.width, a.q_bias);
    const Value k = net.linear(a.k, x, a.width, a.width, a.k_bias);
    const Value v = net.linear(a.v, x, a.width, a.width, a.v_bias);
    const Value query = g.named(path + ".q", net.split_heads(q, a.heads, a.width));
    const Value keys = g.named(path + ".k", net.split_heads(k, a.heads, a.width));
    const Value values = g.named(path + ".v", net.split_heads(v, a.heads, a.width));
    return attend_to(net, path, a, query, keys, values);
}

Value project(Net& net, const std::string& path, const Attention& a, Value context) {
    return net.g.named(path + ".output", net.linear(a.output, context, a.width, a.width));
}

Value attend(Net& net, const std::string& path, const Attention& a, Value x) { return project(net, path, a, self_attend(net, path, a, x)); }

Value feed_forward(Net& net, const std::string& path, const FeedForward& f, Value x) {
    Graph& g = net.g;
    const int64_t units = f.first.of(f.inner);
    const Value up = g.named(path + ".up", net.linear_part(f.up, x, f.width, f.inner, f.bias, f.width, units));
    const Value act = g.named(path + ".act", net.activation(f.activation, up));
    return g.named(path + ".output", net.linear_part(f.down, act, f.inner, f.width, f.bias, units, f.width));
}

Value pre_norm_block(Net& net, const LayerStep& step, const PreNormBlock& block, Value x) {
    const int64_t width = block.attention.width;
    if (step.mixer) x = net.add(x, attend(net, step.path + ".mixer", block.attention, net.layer_norm(block.attention_norm, x, width, block.eps)));
    FeedForward ffn = block.ffn;
    ffn.first = step.ffn_width;
    if (step.ffn) x = net.add(x, feed_forward(net, step.path + ".ffn", ffn, net.layer_norm(block.ffn_norm, x, width, block.eps)));
    return step.mixer || step.ffn ? net.g.named(step.path + ".output", x) : x;
}

}  // namespace orrery::encoder
