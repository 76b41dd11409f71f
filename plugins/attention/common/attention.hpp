// Attention over given operands: what orr.attention/1 and the operators that end in it check, count and run.
#pragma once

#include "common/scores.hpp"

namespace orrery::attention {

// Where an operator has them among its inputs; its output 0 is y.
struct AttentionPorts {
    uint32_t q, k, v, bias, key_mask;
};

struct AttentionOperands {
    const orr_tensor *q, *k, *v, *bias, *key_mask, *y;  // absent: nullptr
};
// p: orr_prepare or orr_run.
template <class P>
AttentionOperands attention_operands(const P* p, const AttentionPorts& at) {
    return {p->inputs[at.q], p->inputs[at.k], p->inputs[at.v], flt::input(p, at.bias), flt::input(p, at.key_mask), p->outputs[0]};
}

// bias and key_mask; the attributes behind AttentionAttrs, causal with this default.
Operator& declare_mask_ports(Operator& op);
Operator& declare_score_attrs(Operator& op, const char* causal = "false");

// For infer(): tells y. op: who asks; k, v: what it calls these ports.
void infer_attention(const Infer& i, const std::string& op, const AttentionPorts& at, const std::string& k = "k", const std::string& v = "v");
uint64_t attention_flops(const orr_prepare* p, const AttentionPorts& at);
// Throws when a sequence is longer than the plan was made for, or keys and values disagree.
void check_lengths(const char* op, const AttentionOperands& o);
// The self-test of a device's kernel: one sequence of fewer tokens and keys, and one or two key heads; widths, types and attributes are the node's.
void shrink_attention(const orr_prepare* node, const AttentionPorts& at, orr_self_test* test);

// The definition; scores [S].
bool takes_attention_reference(const AttentionOperands& o, char* reason, size_t size);
inline uint64_t attention_reference_bytes(const AttentionOperands& o) { return static_cast<uint64_t>(o.k->shape[1]) * sizeof(double); }
void attention_reference(const orr_attrs* attrs, const AttentionOperands& o, double* scores);

// The processor's kernel.
bool takes_attention_cpu(const AttentionOperands& o, char* reason, size_t size);
uint64_t attention_cpu_bytes(const orr_prepare* p, const AttentionOperands& o);
void attention_cpu(const orr_run* run, flt::Isa isa, const AttentionOperands& o, void* workspace);

}  // namespace orrery::attention
