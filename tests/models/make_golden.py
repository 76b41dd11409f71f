#!/usr/bin/env python3
"""Golden cases of the language architectures: tiny random checkpoints, run once in fp32 by transformers (eager attention).

usage: make_golden.py OUT [--filter TEXT] [--llama-cpp CHECKOUT]

Writes OUT/<case>/: config.json, model.safetensors, inputs.safetensors, outputs.safetensors (names of forward's arguments and of the
output's fields) and meta.json (class, versions, seed). With a checkout of llama.cpp, cases marked `gguf` also give OUT/<case>_gguf/
with model.gguf from its converter (f32) instead of the checkpoint; inputs and outputs are the same. Needs torch, transformers,
safetensors. tests/models/golden holds what transformers 5.23.0 and torch 2.15.0 gave.
"""
import argparse
import json
import logging
import os
import pathlib
import shutil
import sys
import tempfile
import zlib

import torch
import transformers
from safetensors.torch import save_file

VOCABULARY = 41
POOLED = ["last_hidden_state", "pooler_output"]
CASES = {}


def add(name, model_class, config_class, config, inputs, outputs, **options):
    CASES[name] = (model_class, config_class, config, inputs, outputs, options)


def tokens(batch, length):
    return torch.randint(5, VOCABULARY, (batch, length))


DECODER = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=36, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
               max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2)


def decoder(name, family, options=None, length=13, batch=2, inputs=None, **config):
    config_class = "Gemma3TextConfig" if family == "Gemma3" else family + "Config"
    add(name, family + "ForCausalLM", config_class, {**DECODER, **config}, inputs or (lambda: dict(input_ids=tokens(batch, length))), ["logits"],
        **(options or {}))


def rope(kind, theta=10000.0, **values):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=theta, **values))


def padded_inputs():
    mask = torch.ones(2, 11, dtype=torch.long)
    mask[0, 5] = mask[1, :4] = 0
    return dict(input_ids=tokens(2, 11), attention_mask=mask)


def masked_inputs():
    mask = torch.ones(2, 11, dtype=torch.long)
    mask[1, 7:] = 0
    return dict(input_ids=tokens(2, 11), attention_mask=mask, position_ids=torch.arange(3, 14).expand(2, -1))


GGUF = dict(gguf=True)
decoder("llama", "Llama", GGUF)
decoder("llama_masked", "Llama", inputs=masked_inputs, tie_word_embeddings=True, num_attention_heads=4, num_key_value_heads=1, head_dim=10)
decoder("llama_biases", "Llama", GGUF, attention_bias=True, mlp_bias=True, num_hidden_layers=1)
decoder("llama_bf16_llama3", "Llama", dict(dtype="bfloat16", gguf=True),
        **rope("llama3", 5000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16))
decoder("llama_linear_old_names", "Llama", dict(old_names=True), num_hidden_layers=1, **rope("linear", factor=4.0))
decoder("llama_dynamic", "Llama", num_hidden_layers=1, **{**rope("dynamic", factor=2.0), "max_position_embeddings": 8})
decoder("llama_yarn", "Llama", GGUF, num_hidden_layers=1, **rope("yarn", factor=4.0, original_max_position_embeddings=16))
decoder("llama_yarn_mscale", "Llama", num_hidden_layers=1,
        **rope("yarn", factor=4.0, original_max_position_embeddings=16, mscale=1.0, mscale_all_dim=0.8, beta_fast=24.0, truncate=False))
decoder("mistral_window", "Mistral", sliding_window=5)
decoder("qwen2", "Qwen2", GGUF, **rope("default", 1000000.0))
decoder("qwen2_window", "Qwen2", use_sliding_window=True, sliding_window=4, max_window_layers=1, tie_word_embeddings=True)
decoder("qwen3", "Qwen3", GGUF, head_dim=12, tie_word_embeddings=True)
EXPERTS = dict(head_dim=8, moe_intermediate_size=16, num_experts=5, num_experts_per_tok=2)
decoder("qwen3_moe", "Qwen3Moe", GGUF, norm_topk_prob=True, **EXPERTS)
decoder("qwen3_moe_dense_layer", "Qwen3Moe", norm_topk_prob=False, mlp_only_layers=[0], **EXPERTS)
decoder("mixtral", "Mixtral", GGUF, intermediate_size=20, num_local_experts=4, num_experts_per_tok=2, sliding_window=None)
GEMMA = dict(head_dim=12, num_hidden_layers=3)
decoder("gemma2", "Gemma2", sliding_window=5, query_pre_attn_scalar=20, attn_logit_softcapping=3.0, final_logit_softcapping=0.6, **GEMMA)
decoder("gemma2_width", "Gemma2", GGUF, sliding_window=5, query_pre_attn_scalar=12, **GEMMA)
decoder("gemma3", "Gemma3", sliding_window=5, query_pre_attn_scalar=20, final_logit_softcapping=0.7, attention_bias=True,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"], **GEMMA)
decoder("gemma3_width", "Gemma3", GGUF, sliding_window=5, query_pre_attn_scalar=8, head_dim=8, hidden_size=16, num_key_value_heads=1, num_hidden_layers=7, intermediate_size=20)
GEMMA_TEXT = dict(query_pre_attn_scalar=20, sliding_window=6, layer_types=["sliding_attention", "full_attention", "sliding_attention"], **GEMMA)
for name, both_ways in (("gemma3_headless", False), ("gemma3_bidirectional", True)):
    add(name, "Gemma3TextModel", "Gemma3TextConfig", {**DECODER, **GEMMA_TEXT, "use_bidirectional_attention": both_ways}, lambda: encoder_inputs(0), POOLED[:1])
decoder("phi3", "Phi3", GGUF, sliding_window=None, partial_rotary_factor=0.67,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.67))
LONG = dict(short_factor=[1.0, 1.05, 1.3], long_factor=[1.2, 1.9, 3.4], original_max_position_embeddings=8)
decoder("phi3_longrope", "Phi3", original_max_position_embeddings=8, sliding_window=6, num_hidden_layers=1, **rope("longrope", **LONG))
decoder("phi3_longrope_short", "Phi3", length=7, original_max_position_embeddings=8, num_hidden_layers=1, **rope("longrope", **LONG))
decoder("olmo2", "Olmo2", GGUF)

GPT2 = dict(vocab_size=VOCABULARY, n_embd=24, n_layer=2, n_head=3, n_positions=32, bos_token_id=1, eos_token_id=2)
add("gpt2", "GPT2LMHeadModel", "GPT2Config", GPT2, lambda: dict(input_ids=tokens(2, 11)), ["logits"], gguf=True)
add("gpt2_inverse_layer", "GPT2LMHeadModel", "GPT2Config", {**GPT2, "scale_attn_by_inverse_layer_idx": True, "n_inner": 40, "tie_word_embeddings": False},
    lambda: dict(input_ids=tokens(2, 11)), ["logits"])
MAMBA = dict(vocab_size=48, hidden_size=24, num_hidden_layers=2, state_size=6)
add("mamba", "MambaForCausalLM", "MambaConfig", MAMBA, lambda: dict(input_ids=tokens(2, 11)), ["logits"], gguf=True)
add("mamba_biases", "MambaForCausalLM", "MambaConfig", {**MAMBA, "use_bias": True, "use_conv_bias": False, "conv_kernel": 3, "time_step_rank": 5, "expand": 1,
                                                         "tie_word_embeddings": False}, lambda: dict(input_ids=tokens(2, 11)), ["logits"], dtype="bfloat16")
add("mamba_padded", "MambaForCausalLM", "MambaConfig", {**MAMBA, "use_bias": True}, padded_inputs, ["logits"])

ENCODER = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=32)


def encoder_inputs(padding, types=0, positions=False):
    ids = tokens(2, 11)
    mask = torch.ones(2, 11, dtype=torch.long)
    mask[1, 8:] = 0
    ids[1, 8:] = padding
    inputs = dict(input_ids=ids, attention_mask=mask)
    if types:
        inputs["token_type_ids"] = torch.randint(0, types, (2, 11))
    if positions:
        inputs["position_ids"] = torch.stack([torch.randperm(30)[:11], torch.randperm(30)[:11]])
    return inputs


add("bert", "BertModel", "BertConfig", {**ENCODER, "pad_token_id": 0}, lambda: encoder_inputs(0, types=2), POOLED, gguf=True)
add("bert_masked_lm_checkpoint", "BertModel", "BertConfig", {**ENCODER, "hidden_act": "gelu_new"}, lambda: encoder_inputs(0, positions=True),
    POOLED[:1], prefix="bert.", arguments=dict(add_pooling_layer=False))
add("roberta", "RobertaModel", "RobertaConfig", {**ENCODER, "pad_token_id": 1}, lambda: encoder_inputs(1), POOLED)
add("roberta_positions", "XLMRobertaModel", "XLMRobertaConfig", {**ENCODER, "pad_token_id": 1, "num_hidden_layers": 1},
    lambda: encoder_inputs(1, types=2, positions=True), POOLED)
add("mpnet", "MPNetModel", "MPNetConfig", {**ENCODER, "pad_token_id": 1}, lambda: encoder_inputs(1), POOLED)
add("distilbert", "DistilBertModel", "DistilBertConfig",
    dict(vocab_size=VOCABULARY, dim=24, hidden_dim=40, n_layers=2, n_heads=3, max_position_embeddings=32), lambda: encoder_inputs(0), POOLED[:1])


def randomise(model):
    """Weights of a size that makes scores, gates and masks matter. Buffers stay as they are: checkpoints do not hold them."""
    for name, p in model.named_parameters():
        if p.dim() <= 1 or "A_log" in name:
            p.add_(0.1 * torch.randn_like(p))
        else:
            p.copy_(torch.randn_like(p) * 0.7 / p[0].numel() ** 0.5)
        if name.endswith(("q_proj.weight", "k_proj.weight", "query.weight", "key.weight", "q_lin.weight", "k_lin.weight", "attn.q.weight", "attn.k.weight")):
            p.mul_(2.5)
        if name.endswith("gate.weight") or "router" in name:
            p.mul_(3.0)


def old_names(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    parameters = config.pop("rope_parameters")
    config["rope_theta"] = parameters.pop("rope_theta")
    config["rope_scaling"] = dict(type=parameters.pop("rope_type"), **parameters)
    path.write_text(json.dumps(config, indent=2))


def add_prefix(folder, prefix):
    from safetensors.torch import load_file
    path = folder / "model.safetensors"
    save_file({prefix + k: v.contiguous() for k, v in load_file(path).items()}, path)


def convert(source, target, checkout):
    """llama.cpp's converter without its vocabulary step: ids are given as numbers here."""
    sys.path[:0] = [str(checkout), str(checkout / "gguf-py")]
    import gguf
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for name in ("config.json", "model.safetensors"):
            shutil.copy(source / name, folder)
        config = json.loads((folder / "config.json").read_text())
        if "n_positions" in config:
            config["n_ctx"] = config["n_positions"]  # the spelling that the converter reads
        (folder / "config.json").write_text(json.dumps(config))
        vocabulary = {f"t{i}": i for i in range(config["vocab_size"])}
        (folder / "tokenizer.json").write_text(json.dumps(dict(model=dict(vocab=vocabulary), added_tokens=[])))
        params = ModelBase.load_hparams(folder, False)
        converter = get_model_class(get_model_architecture(params, ModelType.TEXT), mmproj=False)
        converter.set_vocab = lambda self: None
        with torch.inference_mode():
            converter(folder, gguf.LlamaFileType.ALL_F32, target).write()


def run(out, name, checkout):
    model_class, config_class, config, make_inputs, outputs, options = CASES[name]
    seed = zlib.crc32(name.encode())
    torch.manual_seed(seed)
    config = getattr(transformers, config_class)(**config)
    config._attn_implementation = "eager"
    arguments = options.get("arguments", {})
    model = getattr(transformers, model_class)(config, **arguments).eval().float()
    randomise(model)
    inputs = make_inputs()
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.to(getattr(torch, options.get("dtype", "float32"))).save_pretrained(folder)
    # What the checkpoint gives when it is read again.
    model = getattr(transformers, model_class).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **arguments).eval()
    result = model(**inputs)
    result = {k: getattr(result, k).float().contiguous().clone() for k in outputs}
    assert all(torch.isfinite(v).all() for v in result.values())
    (folder / "generation_config.json").unlink(missing_ok=True)
    if "old_names" in options:
        old_names(folder)
    if "prefix" in options:
        add_prefix(folder, options["prefix"])
    source = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, seed {seed}"
    meta = dict(source=source, cls=model_class, outputs={k: list(v.shape) for k, v in result.items()})
    write(folder, inputs, result, meta)
    if options.get("gguf") and checkout:
        target = out / (name + "_gguf")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        convert(folder, target / "model.gguf", checkout)
        result.pop("pooler_output", None)  # GGUF files have no pooler
        write(target, inputs, result, dict(meta, converter="llama.cpp convert_hf_to_gguf, f32"))


def write(folder, inputs, outputs, meta):
    save_file({k: v.contiguous() for k, v in inputs.items()}, folder / "inputs.safetensors")
    save_file(outputs, folder / "outputs.safetensors")
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--filter", default="")
    parser.add_argument("--llama-cpp", type=pathlib.Path)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    for name in CASES:
        if arguments.filter in name:
            run(arguments.out, name, arguments.llama_cpp)
            print(name, flush=True)


main()
