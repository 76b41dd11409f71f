// Pieces of graphs over one checkpoint: weights by name, and the transformer block that ViT, CLIP, Whisper and Swin share.
#ifndef ORRERY_ENCODER_BLOCKS_H
#define ORRERY_ENCODER_BLOCKS_H

#include <string>
#include <vector>

#include "model/config.h"
#include "model/layer_plan.h"

namespace orrery::encoder {

class Net {
  public:
    // prefix: put before every weight name ("vit.").
    Net(Graph& graph, const orr_model_source& source, std::string prefix = "") : g(graph), source_(source), prefix_(std::move(prefix)) {}

    Graph& g;
    bool has(const std::string& name) const { return has_tensor(source_, prefix_ + name); }
    Value weight(const std::string& name, const std::vector<int64_t>& shape) { return g.weight(prefix_ + name, shape); }
    // As f32, for what is no matrix (positions, scales): folded at load.
    Value parameter(const std::string& name, const std::vector<int64_t>& shape);
    // name.weight [width_out, width_in], name.bias [width_out].
    Value linear(const std::string& name, Value x, int64_t width_in, int64_t width_out, bool bias = true);
    // The same of the first rows_read outputs, from the first columns_read inputs, which x has.
    Value linear_part(const std::string& name, Value x, int64_t width_in, int64_t width_out, bool bias, int64_t columns_read, int64_t rows_read);
    Value layer_norm(const std::string& name, Value x, int64_t width, double eps);
    Value activation(const std::string& function, Value x);
    Value add(Value a, Value b) { return g.op("orr.add/1", {a, b}); }
    Value mul(Value a, Value b) { return g.op("orr.mul/1", {a, b}); }
    Value sub(Value a, Value b) { return g.op("orr.sub/1", {a, b}); }
    // 0 keeps an axis, -1 is inferred.
    Value reshape(Value x, std::vector<int64_t> shape) { return g.op("orr.reshape/1", {x}, Attrs().set("shape", shape)); }
    Value transpose(Value x, std::vector<int64_t> perm) { return g.op("orr.transpose/1", {x}, Attrs().set("perm", perm)); }
    Value slice(Value x, int64_t axis, int64_t start, int64_t end) {
        return g.op("orr.slice/1", {x}, Attrs().set("axis", axis).set("start", start).set("end", end));
    }
    // Zeros put round the axes.
    Value pad(Value x, std::vector<int64_t> before, std::vector<int64_t> after) {
        return g.op("orr.pad/1", {x}, Attrs().set("before", before).set("after", after));
    }
    Value gather(Value x, Value indices, int64_t axis) { return g.op("orr.gather/1", {x, indices}, Attrs().set("axis", axis)); }
    Value reduce(const char* function, Value x, std::vector<int64_t> axes, bool keep) {
        return g.op("orr.reduce/1", {x}, Attrs().set("function", function).set("axes", axes).set("keepdims", keep));
    }
    // [B, T, E] -> [B, T, H, E / H] and back.
    Value split_heads(Value x, int64_t heads, int64_t width) { return reshape(x, {0, 0, heads, width / heads}); }
    Value merge_heads(Value x, int64_t width) { return reshape(x, {0, 0, width}); }
    // The learned token before all others, and learned positions: [B, N, E] -> [B, 1 + N, E]. The token is added to a row of
    // zeros, so that the sum is the same numbers as a concatenation. cls [E], positions [1 + N, E].
    Value prepend_and_place(Value patches, Value cls, Value positions, int64_t count, int64_t width);

  private:
    const orr_model_source& source_;
    std::string prefix_;
};

// softmax(q k^T / sqrt(D)) v over [B, T, E] with separate weights for q, k, v and the output.
struct Attention {
    int64_t width = 0, heads = 1;
    std::string q, k, v, output;  // weight names without .weight
    bool q_bias = true, k_bias = true, v_bias = true;
    bool causal = false;
    Value key_mask, bias;
    std::string probabilities;  // their path, where it is not path.probabilities
};
// `path` names the values: path.q, path.context …
// Heads side by side, [B, T, E], before the output weights:
Value self_attend(Net& net, const std::string& path, const Attention& a, Value x);
// the same over keys and values that are there already, [B, S, H, D] each;
Value attend_to(Net& net, const std::string& path, const Attention& a, Value query, Value keys, Value values);
// the output weights; and all of it.
Value project(Net& net, const std::string& path, const Attention& a, Value context);
Value attend(Net& net, const std::string& path, const Attention& a, Value x);

// y = act(x W1^T + b1) W2^T + b2
struct FeedForward {
    int64_t width = 0, inner = 0;
    std::string up, down, activation;
    bool bias = true;
    FfnWidth first = {};  // of the inner units
};
Value feed_forward(Net& net, const std::string& path, const FeedForward& f, Value x);

// x + attend(norm(x)), then x + feed_forward(norm(x)).
struct PreNormBlock {
    Attention attention;
    FeedForward ffn;
    std::string attention_norm, ffn_norm;
    double eps = 1e-5;
};
Value pre_norm_block(Net& net, const LayerStep& step, const PreNormBlock& block, Value x);

}  // namespace orrery::encoder
#endif
