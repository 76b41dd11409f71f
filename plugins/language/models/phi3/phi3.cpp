// Phi-3, Phi-3.5 mini and Phi-4. Abdin et al. 2024, arXiv:2404.14219
// Upstream: huggingface/transformers src/transformers/models/phi3/modeling_phi3.py; see README.md.
#include "common/decoder.h"

namespace orrery {

namespace {

bool every_layer(const DecoderConfig&, int64_t, int64_t) { return true; }

// The type names "su" and "yarn" of early configs mean longrope here, and original_max_position_embeddings stands at the top.
RopeTable read_rope(const DecoderConfig& d, const ModelConfig& c) {
    RopeDefaults defaults;
    defaults.head_dim = d.head_dim;
    defaults.max_positions = d.context;
    defaults.original_positions = c.size_or("original_max_position_embeddings", 4096);
    defaults.theta = c.positive_or("rope_theta", 10000);
    defaults.partial = c.positive_or("partial_rotary_factor", 1);
    for (const char* key : {"rope_parameters", "rope_scaling"}) {
        const Json* found = c.find(key);
        if (!found) continue;
        Json p = *found;
        for (const char* type : {"rope_type", "type"})
            if (p.is_object() && p.contains(type) && p[type] == "yarn") p[type] = "longrope";
        return hf_rope(&p, c.label(key), defaults);
    }
    return hf_rope(nullptr, "", defaults);
}

DecoderConfig read(const orr_model_source& source) {
    const ModelConfig c(source);
    DecoderConfig d;
    if (c.gguf()) {
        // llama.cpp leaves the window of these models out, and so do their GGUF files' results here.
        d = decoder_from_gguf(c, source);
        if (!has_tensor(source, "blk.0.attn_qkv.weight")) throw Error(ORR_NOT_FOUND, "the checkpoint has no tensor \"blk.0.attn_qkv.weight\"");
    } else {
        HfOptions o;
        o.norm_eps = 1e-5;
        o.shared_rope = false;
        d = decoder_from_hf(c, source, o);
        d.ropes = {read_rope(d, c)};
        set_windows(d, c, c.count_or("sliding_window", 0), every_layer, 0);
    }
    d.fused_qkv = d.fused_gate_up = true;
    finish_decoder(d, c, source);
    return d;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_phi3() {
    static const char* const names[] = {"Phi3ForCausalLM", nullptr};
    static const char* const gguf[] = {"phi3", nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::DecoderConfig, orrery::read, orrery::build_decoder>::describe(
        "phi3", "Phi-3 and Phi-4 language models", names, gguf, orrery::decoder_operators());
    return &arch;
}
