// Each rewrite of the core plugin: where it applies, what it leaves, and where it must keep off.
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/graph/builder.hpp"
#include "engine/plan/graph_edit.hpp"
#include "orrery/plugin.hpp"

extern "C" const orr_plugin* orr_plugin_entry_core(const orr_host* host);

using namespace orrery;

namespace {

const orr_host* test_host() {
    static const orr_host host = {ORR_HEADER(orr_host),
                                  [](const orr_host*, const char*) -> const void* { return nullptr; },
                                  [](const orr_host*, size_t bytes, size_t alignment) -> void* {
                                      return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
                                  },
                                  [](const orr_host*, void* memory, size_t, size_t) { std::free(memory); },
                                  [](const orr_host*, int32_t, const char*) {},
                                  [](const orr_host*, orr_status code, const char*) { return code; }};
    return &host;
}

class Rewrites : public testing::Test {
  protected:
    Rewrites() : registry_(test_host()), memory_(std::make_shared<Memory>(nullptr, 0)), weights_(test_host(), registry_, memory_, nullptr, nullptr) {
        registry_.add_static(orr_plugin_entry_core);
        registry_.load_all();
        builder_ = std::make_unique<GraphBuilder>(test_host(), registry_, weights_, "test", "forward");
        x_ = builder_->input("x", ORR_TYPE_F32, {symbol("B"), symbol("T"), 8}, 0, false);
    }
    orr_dim symbol(const char* name) { return builder_->table()->symbol(builder_->table(), name); }
    // A made weight; every call gives another one.
    orr_value weight(int64_t rows, int64_t columns = 8) {
        const std::vector<float> data(static_cast<size_t>(rows * columns), 0.5f + static_cast<float>(made_));
        const std::string name = "w" + std::to_string(made_++);
        return builder_->constant(weights_.make(name, ORR_TYPE_F32, {rows, columns}, data.data()), name);
    }
    orr_value bias(int64_t n) {
        const std::vector<float> data(static_cast<size_t>(n), 1.0f + static_cast<float>(made_));
        const std::string name = "b" + std::to_string(made_++);
        return builder_->constant(weights_.make(name, ORR_TYPE_F32, {n}, data.data()), name);
    }
    orr_value op(const char* id, const std::vector<orr_value>& ins, const Attrs& attrs = {}) { return builder_->node(id, attrs.json(), ins, 1)[0]; }
    orr_value linear(orr_value x, orr_value w, orr_value b = 0, const Attrs& attrs = {}) { return op("orr.linear/1", {x, w, b}, attrs); }
    orr_value activation(orr_value x, const char* f) { return op("orr.activation/1", {x}, Attrs().set("function", f)); }

    // Finishes the graph with these outputs and applies one rewrite.
    uint32_t apply(const std::string& id, const std::vector<orr_value>& outputs) {
        for (size_t n = 0; n < outputs.size(); n++) builder_->output("y" + std::to_string(n), outputs[n]);
        program_ = builder_->finish();
        const std::set<orr_value> kept(outputs.begin(), outputs.end());
        for (const orr_rewrite* r : registry_.rewrites()) {
            if (r->id != id) continue;
            const Folding folding{test_host(), registry_, memory_, weights_};
            GraphEdit edit(folding, program_, kept);
            return r->apply(edit.table());
        }
        ADD_FAILURE() << "there is no rewrite " << id;
        return 0;
    }
    std::vector<std::string> ops() const {
        std::vector<std::string> out;
        for (const NodeDef& n : program_.nodes)
            if (n.op) out.push_back(n.op->id);
        return out;
    }
    // The one node of this operator.
    const NodeDef& only(const std::string& id) const {
        const NodeDef* found = nullptr;
        for (const NodeDef& n : program_.nodes)
            if (n.op && n.op->id == id) {
                EXPECT_EQ(found, nullptr) << "two nodes of " << id;
                found = &n;
            }
        if (!found) throw std::runtime_error("no node of " + id);
        return *found;
    }
    // The elements of a constant.
    std::vector<float> numbers(orr_value v) {
        const auto& c = program_.values[v].constant;
        const auto* data = static_cast<const float*>(weights_.data(c));
        return {data, data + c->bytes() / sizeof(float)};
    }
    std::string text(const NodeDef& n, const char* name) const { return n.attrs.table()->get_string(n.attrs.table(), name); }
    double number(const NodeDef& n, const char* name) const { return n.attrs.table()->get_float(n.attrs.table(), name); }

    using Ops = std::vector<std::string>;
    Registry registry_;
    std::shared_ptr<Memory> memory_;
    Weights weights_;
    std::unique_ptr<GraphBuilder> builder_;
    orr_value x_ = 0;
    int made_ = 0;
    Program program_;
};

TEST_F(Rewrites, ResidualJoinsTheProduct) {
    const orr_value w = weight(8), b = bias(8), y = op("orr.add/1", {x_, linear(x_, w, b)});
    EXPECT_EQ(apply("orr.fuse_residual/1", {y}), 1u);
    EXPECT_EQ(ops(), Ops{"orr.linear/1"});
    EXPECT_EQ(only("orr.linear/1").ins, (std::vector<orr_value>{x_, w, b, x_}));
    EXPECT_EQ(only("orr.linear/1").outs, std::vector<orr_value>{y});
}

TEST_F(Rewrites, ResidualKeepsOffASharedProduct) {
    const orr_value product = linear(x_, weight(8));
    EXPECT_EQ(apply("orr.fuse_residual/1", {op("orr.add/1", {x_, product}), product}), 0u);
    EXPECT_EQ(ops(), (Ops{"orr.linear/1", "orr.add/1"}));
}

TEST_F(Rewrites, ResidualKeepsOffBroadcasting) {
    const orr_value y = op("orr.add/1", {linear(x_, weight(8)), bias(8)});
    EXPECT_EQ(apply("orr.fuse_residual/1", {y}), 0u);
}

TEST_F(Rewrites, SecondResidualStaysASum) {
    const orr_value first = op("orr.add/1", {linear(x_, weight(8)), x_}), y = op("orr.add/1", {first, x_});
    EXPECT_EQ(apply("orr.fuse_residual/1", {y}), 1u);
    EXPECT_EQ(ops(), (Ops{"orr.linear/1", "orr.add/1"}));
}

TEST_F(Rewrites, ActivationJoinsTheProduct) {
    const orr_value y = activation(linear(x_, weight(8)), "gelu_tanh");
    EXPECT_EQ(apply("orr.fuse_activation/1", {y}), 1u);
    EXPECT_EQ(ops(), Ops{"orr.linear/1"});
    EXPECT_EQ(text(only("orr.linear/1"), "activation"), "gelu_tanh");
}

TEST_F(Rewrites, ActivationThatLinearLacksStays) {
    EXPECT_EQ(apply("orr.fuse_activation/1", {activation(linear(x_, weight(8)), "mish")}), 0u);
}

TEST_F(Rewrites, ActivationAfterAResidualStays) {
    const orr_value sum = op("orr.linear/1", {x_, weight(8), 0, x_});
    EXPECT_EQ(apply("orr.fuse_activation/1", {activation(sum, "silu")}), 0u);
}

TEST_F(Rewrites, ProductsOfOneInputMerge) {
    const orr_value q = weight(8), k = weight(4), v = weight(4), kb = bias(4);
    const std::vector<orr_value> outs = {linear(x_, q), linear(x_, k, kb), linear(x_, v)};
    EXPECT_EQ(apply("orr.merge_linear/1", outs), 1u);
    EXPECT_EQ(ops(), Ops{"orr.linear_group/1"});
    EXPECT_EQ(only("orr.linear_group/1").ins, (std::vector<orr_value>{x_, 0, q, 0, k, kb, v, 0}));
    EXPECT_EQ(only("orr.linear_group/1").outs, outs);
}

TEST_F(Rewrites, ProductsOfDifferentInputsDoNotMerge) {
    const orr_value other = activation(x_, "silu");
    EXPECT_EQ(apply("orr.merge_linear/1", {linear(x_, weight(8)), linear(other, weight(8))}), 0u);
}

TEST_F(Rewrites, ProductsThatAreScaledOrActivatedDoNotMerge) {
    const orr_value scaled = linear(x_, weight(8), 0, Attrs().set("scale", 0.5)), active = linear(x_, weight(8), 0, Attrs().set("activation", "silu"));
    EXPECT_EQ(apply("orr.merge_linear/1", {scaled, active, linear(x_, weight(8))}), 0u);
}

TEST_F(Rewrites, GatedUnitBecomesOneGroup) {
    const orr_value gate = weight(16), up = weight(16);
    const orr_value y = op("orr.mul/1", {activation(linear(x_, gate), "silu"), linear(x_, up)});
    EXPECT_EQ(apply("orr.merge_glu/1", {y}), 1u);
    EXPECT_EQ(ops(), Ops{"orr.linear_group/1"});
    EXPECT_EQ(only("orr.linear_group/1").ins, (std::vector<orr_value>{x_, 0, gate, 0, up, 0}));
    EXPECT_EQ(text(only("orr.linear_group/1"), "glu"), "silu");
}

TEST_F(Rewrites, NormJoinsTheGroupThatReadsIt) {
    const orr_value w = bias(8), gate = weight(16), up = weight(16);
    const Attrs norm = Attrs().set("eps", 0.5).set("weight_offset", 1.0);
    const orr_value y = op("orr.linear_group/1", {op("orr.rms_norm/1", {x_, w}, norm), 0, gate, 0, up, 0}, Attrs().set("glu", "silu"));
    EXPECT_EQ(apply("orr.norm_into_group/1", {y}), 1u);
    EXPECT_EQ(ops(), Ops{"orr.linear_group/1"});
    EXPECT_EQ(only("orr.linear_group/1").ins, (std::vector<orr_value>{x_, w, gate, 0, up, 0}));
    EXPECT_EQ(text(only("orr.linear_group/1"), "glu"), "silu");
    EXPECT_EQ(number(only("orr.linear_group/1"), "eps"), 0.5);
    EXPECT_EQ(number(only("orr.linear_group/1"), "weight_offset"), 1.0);
}

TEST_F(Rewrites, NormJoinsALoneProduct) {
    const orr_value head = weight(8);
    EXPECT_EQ(apply("orr.norm_into_group/1", {linear(op("orr.rms_norm/1", {x_}), head)}), 1u);
    EXPECT_EQ(only("orr.linear_group/1").ins, (std::vector<orr_value>{x_, 0, head, 0}));
}

TEST_F(Rewrites, NormThatIsReadTwiceStays) {
    const orr_value normed = op("orr.rms_norm/1", {x_});
    EXPECT_EQ(apply("orr.norm_into_group/1", {linear(normed, weight(8)), activation(normed, "silu")}), 0u);
}

TEST_F(Rewrites, GatedUnitWithTheGateOnTheRight) {
    const orr_value gate = weight(16), up = weight(16);
    const orr_value y = op("orr.mul/1", {linear(x_, up), linear(x_, gate, 0, Attrs().set("activation", "gelu"))});
    EXPECT_EQ(apply("orr.merge_glu/1", {y}), 1u);
    EXPECT_EQ(only("orr.linear_group/1").ins, (std::vector<orr_value>{x_, 0, gate, 0, up, 0}));
}

TEST_F(Rewrites, GatedUnitOfTwoInputsStays) {
    const orr_value other = activation(x_, "relu");
    EXPECT_EQ(apply("orr.merge_glu/1", {op("orr.mul/1", {activation(linear(x_, weight(16)), "silu"), linear(other, weight(16))})}), 0u);
}

TEST_F(Rewrites, PowerOfTwoJoinsTheProduct) {
    const orr_value y = op("orr.affine/1", {linear(x_, weight(8))}, Attrs().set("scale", 0.125));
    EXPECT_EQ(apply("orr.fold_scale/1", {y}), 1u);
    EXPECT_EQ(ops(), Ops{"orr.linear/1"});
    EXPECT_EQ(number(only("orr.linear/1"), "scale"), 0.125);
}

TEST_F(Rewrites, OtherFactorsWaitForInexactNumerics) {
    for (const orr_rewrite* r : registry_.rewrites()) {
        if (std::string(r->id) == "orr.fold_scale_rounded/1") {
            EXPECT_EQ(r->numerics_mask & 1u << ORR_NUMERICS_EXACT, 0u);
        }
    }
    EXPECT_EQ(apply("orr.fold_scale/1", {op("orr.affine/1", {linear(x_, weight(8))}, Attrs().set("scale", 0.3))}), 0u);
}

TEST_F(Rewrites, OtherFactorsJoinTheProductThere) {
    EXPECT_EQ(apply("orr.fold_scale_rounded/1", {op("orr.affine/1", {linear(x_, weight(8))}, Attrs().set("scale", 0.3))}), 1u);
    EXPECT_EQ(number(only("orr.linear/1"), "scale"), 0.3);
}

TEST_F(Rewrites, FactorKeepsOffBiasOffsetAndSiblings) {
    const auto half = Attrs().set("scale", 0.5);
    const orr_value with_bias = op("orr.affine/1", {linear(x_, weight(8), bias(8))}, half);
    const orr_value inner = activation(x_, "relu"), with_offset = op("orr.affine/1", {linear(inner, weight(8))}, Attrs().set("scale", 0.5).set("offset", 1.0));
    const orr_value other = activation(x_, "silu"), q = op("orr.affine/1", {linear(other, weight(8))}, half), k = linear(other, weight(8));
    EXPECT_EQ(apply("orr.fold_scale/1", {with_bias, with_offset, q, k}), 0u);
}

TEST_F(Rewrites, NormWeightsGoIntoTheProducts) {
    const orr_value w = bias(8), b = bias(8), q = weight(4), k = weight(2), kb = bias(2);
    const orr_value y = op("orr.layer_norm/1", {x_, w, b}, Attrs().set("eps", 0.25));
    const std::vector<orr_value> outs = {linear(y, q), linear(y, k, kb, Attrs().set("activation", "silu"))};
    EXPECT_EQ(apply("orr.fold_norm/1", outs), 1u);
    EXPECT_EQ(ops(), (Ops{"orr.layer_norm/1", "orr.linear/1", "orr.linear/1"}));
    const NodeDef& norm = only("orr.layer_norm/1");
    EXPECT_EQ(norm.ins, std::vector<orr_value>{x_});
    EXPECT_EQ(number(norm, "eps"), 0.25);
    const float norm_w = numbers(w)[0], norm_b = numbers(b)[0];
    for (const NodeDef& n : program_.nodes) {
        if (std::string(n.op->id) != "orr.linear/1") continue;
        const bool second = n.outs[0] == outs[1];
        const orr_value before = second ? k : q;
        const float whole = numbers(before)[0];  // every element is the same
        for (const float v : numbers(n.ins[1])) EXPECT_EQ(v, whole * norm_w);
        for (const float v : numbers(n.ins[2])) EXPECT_EQ(v, 8 * whole * norm_b + (second ? numbers(kb)[0] : 0));
        EXPECT_EQ(numbers(n.ins[1]).size(), numbers(before).size());
        EXPECT_EQ(text(n, "activation"), second ? "silu" : "none");
    }
}

TEST_F(Rewrites, NormWeightsWithAnOffset) {
    const orr_value w = bias(8), m = weight(4), y = linear(op("orr.rms_norm/1", {x_, w}, Attrs().set("weight_offset", 1.0)), m);
    EXPECT_EQ(apply("orr.fold_norm/1", {y}), 1u);
    EXPECT_EQ(only("orr.rms_norm/1").ins, std::vector<orr_value>{x_});
    EXPECT_EQ(number(only("orr.rms_norm/1"), "weight_offset"), 0);
    for (const float v : numbers(only("orr.linear/1").ins[1])) EXPECT_EQ(v, numbers(m)[0] * (numbers(w)[0] + 1));
}

TEST_F(Rewrites, NormWeightsStayWhereSomethingElseReads) {
    const orr_value y = op("orr.rms_norm/1", {x_, bias(8)});
    EXPECT_EQ(apply("orr.fold_norm/1", {linear(y, weight(4)), activation(y, "silu")}), 0u);
    EXPECT_EQ(only("orr.rms_norm/1").ins.size(), 2u);
}

TEST_F(Rewrites, NormWeightsStayWhereTheNormIsKept) {
    const orr_value y = op("orr.rms_norm/1", {x_, bias(8)});
    EXPECT_EQ(apply("orr.fold_norm/1", {linear(y, weight(4)), y}), 0u);
}

TEST_F(Rewrites, NormWeightsStayBeforeNarrowWeights) {
    const std::vector<uint16_t> data(32, 0x3f80);
    const orr_value narrow = builder_->constant(weights_.make("narrow", ORR_TYPE_BF16, {4, 8}, data.data()), "narrow");
    EXPECT_EQ(apply("orr.fold_norm/1", {linear(op("orr.rms_norm/1", {x_, bias(8)}), narrow)}), 0u);
}

}  // namespace
