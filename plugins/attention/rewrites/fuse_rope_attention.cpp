// attention(rope(q), cache_append(k_state, rope(k)), cache_append(v_state, v)) -> orr.rope_attention/1: one step instead of five.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "orrery/plugin.hpp"

namespace orrery::attention {
namespace {

struct Node {
    uint32_t at;
    std::vector<orr_value> in;
    orr_value out;
};

class Edit {
  public:
    explicit Edit(orr_graph_edit* g) : g_(g) {}
    std::optional<Node> node(int64_t at, std::string_view op) const {
        const char* id = at < 0 ? nullptr : g_->op(g_, static_cast<uint32_t>(at));
        if (!id || op != id) return std::nullopt;
        const orr_value *in = nullptr, *out = nullptr;
        const auto n = static_cast<uint32_t>(at);
        const uint32_t count = g_->inputs(g_, n, &in);
        if (g_->outputs(g_, n, &out) == 0) return std::nullopt;
        return Node{n, {in, in + count}, out[0]};
    }
    std::optional<Node> producer(orr_value value, std::string_view op) const { return value ? node(g_->producer(g_, value), op) : std::nullopt; }
    bool read_once(orr_value value) const { return g_->uses(g_, value) == 1; }
    // Equal tables and attributes.
    bool alike(const Node& a, const Node& b) const {
        for (size_t i = 1; i < 4; i++)
            if ((i < a.in.size() ? a.in[i] : 0) != (i < b.in.size() ? b.in[i] : 0)) return false;
        const orr_attrs *x = g_->attrs(g_, a.at), *y = g_->attrs(g_, b.at);
        for (const char* name : {"interleaved", "switch_length"})
            if (x->get_int(x, name) != y->get_int(y, name)) return false;
        for (const char* name : {"scale", "long_scale"})
            if (x->get_float(x, name) != y->get_float(y, name)) return false;
        return true;
    }
    bool fuse(const Node& attention) {
        const auto q = producer(attention.in[0], "orr.rope/1");
        const auto k_append = producer(attention.in[1], "orr.cache_append/1"), v_append = producer(attention.in[2], "orr.cache_append/1");
        if (!q || !k_append || !v_append || k_append->at == v_append->at) return false;
        const auto k = producer(k_append->in[1], "orr.rope/1");
        if (!k || k->at == q->at || !read_once(k->out) || !read_once(q->out) || !alike(*q, *k)) return false;
        const orr_attrs *turned = g_->attrs(g_, q->at), *weighed = g_->attrs(g_, attention.at);
        Attrs attrs;
        attrs.set("interleaved", turned->get_int(turned, "interleaved") != 0).set("switch_length", turned->get_int(turned, "switch_length"));
        attrs.set("rope_scale", turned->get_float(turned, "scale")).set("long_rope_scale", turned->get_float(turned, "long_scale"));
        attrs.set("scale", weighed->get_float(weighed, "scale")).set("softcap", weighed->get_float(weighed, "softcap"));
        attrs.set("causal", weighed->get_int(weighed, "causal") != 0).set("window", weighed->get_int(weighed, "window"));
        const auto given = [](const Node& n, size_t i) { return i < n.in.size() ? n.in[i] : orr_value{0}; };
        const orr_value ins[] = {q->in[0], k->in[0], v_append->in[1], k_append->in[0], v_append->in[0], q->in[1], q->in[2], given(*q, 3), given(attention, 3), given(attention, 4)};
        const orr_value outs[] = {attention.out, k_append->out, v_append->out};
        const uint32_t nodes[] = {q->at, k->at, k_append->at, v_append->at, attention.at};
        return g_->replace(g_, 5, nodes, "orr.rope_attention/1", attrs.json().c_str(), 10, ins, 3, outs);
    }
    uint32_t apply() {
        uint32_t applied = 0;
        for (uint32_t n = 0; n < g_->node_count(g_); n++)
            if (const auto attention = node(n, "orr.attention/1")) applied += fuse(*attention);
        return applied;
    }

  private:
    orr_graph_edit* g_;
};

uint32_t apply(orr_graph_edit* g) {
    uint32_t applied = 0;
    guard(g->host, [&] { applied = Edit(g).apply(); });
    return applied;
}

}  // namespace
}  // namespace orrery::attention

const orr_rewrite* orr_rewrite_fuse_rope_attention() {
    using namespace orrery::attention;
    constexpr uint32_t kAll = 1u << ORR_NUMERICS_DEFAULT | 1u << ORR_NUMERICS_EXACT | 1u << ORR_NUMERICS_FAST;
    static const orr_rewrite rewrite = {ORR_HEADER(orr_rewrite), "orr.fuse_rope_attention/1", "a layer's rotations, appends and attention as one step", kAll, apply, "vulkan"};
    return &rewrite;
}
