#!/usr/bin/env python3
"""Golden adapters: LoRA folders as PEFT saves them, and what PEFT's models give with them, merged and mixed.

usage: make_adapters.py GOLDEN

Also writes GOLDEN/llama_quantised_adapters/: a GGUF whose weights are of many block types (gguf's quantiser), beside adapters for transformers' model
of the same weights dequantised.

For some cases of GOLDEN/<case>/ (make_golden.py) writes adapters/<name>/ (adapter_config.json, adapter_model.safetensors), adapters.json, a list
of {"adapters": [[name, scale], …], "outputs": {name of an output: tensor}}, and adapters.safetensors with the tensors named there. One adapter alone is PEFT's
merge_and_unload; several at once are the sum of its delta weights. Needs torch, transformers, peft, safetensors, gguf; what is committed is of peft 0.21.2,
transformers 5.23.0, torch 2.15.0, seed 7.
"""
import json
import pathlib
import shutil
import sys

import gguf
import numpy as np
import peft
import torch
import transformers
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch

CASES = {
    "llama": {
        "attention": dict(r=4, lora_alpha=6, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]),
        # The first pattern that fits counts; patterns are regular expressions.
        "patterns": dict(r=3, lora_alpha=8, use_rslora=True, target_modules="all-linear",
                         rank_pattern={"layers.0.mlp.up_proj": 5, r"layers\.\d+\.mlp\.(gate|up)_proj": 2}, alpha_pattern={"^model.layers.1.self_attn.q_proj": 20, "down_proj": 2}),
        "head": dict(r=2, lora_alpha=2, target_modules=["lm_head", "down_proj"]),
    },
    "gpt2": {
        "attention": dict(r=4, lora_alpha=4, target_modules=["c_attn"], fan_in_fan_out=True),
        "all": dict(r=2, lora_alpha=5, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True),
    },
    "bert": {
        "attention": dict(r=4, lora_alpha=8, target_modules=["query", "value"]),
        "dense": dict(r=3, lora_alpha=3, target_modules=r"encoder\..*\.(key|dense)"),
    },
    "vit_classifier": {
        "attention": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "o_proj"]),
        "mlp": dict(r=2, lora_alpha=2, target_modules=["fc1", "fc2", "classifier"]),
    },
}
QUANTISED_ADAPTERS = {
    "all": dict(r=4, lora_alpha=4, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
    "attention": dict(r=2, lora_alpha=8, target_modules=["q_proj", "k_proj"]),
}
HALF = ("llama", "head")  # saved in f16


def load(folder):
    meta = json.loads((folder / "meta.json").read_text())
    model = getattr(transformers, meta["cls"]).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return model, list(meta["outputs"])


def make_adapter(folder, target, settings, seed, half):
    model, _ = load(folder)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(**settings))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in wrapped.named_parameters():
            if "lora_" in name:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
    wrapped.save_pretrained(target)
    (target / "README.md").unlink(missing_ok=True)
    if half:
        path = target / "adapter_model.safetensors"
        save_torch({k: v.half() for k, v in load_torch(path).items()}, path, metadata={"format": "pt"})


def run(folder, chosen):
    """The outputs with [(adapter's folder, scale)] merged into the weights."""
    model, outputs = load(folder)
    deltas = {}
    for path, scale in chosen:
        base, _ = load(folder)
        wrapped = peft.PeftModel.from_pretrained(base, path)
        for name, module in wrapped.base_model.model.named_modules():
            if hasattr(module, "get_delta_weight"):
                deltas[name] = deltas.get(name, 0) + scale * module.get_delta_weight("default").detach()
    if len(chosen) == 1 and chosen[0][1] == 1:
        model = peft.PeftModel.from_pretrained(model, chosen[0][0]).merge_and_unload().eval()
    else:
        with torch.no_grad():
            for name, delta in deltas.items():
                model.get_submodule(name).weight += delta
    inputs = {k: torch.from_numpy(v) for k, v in load_file(folder / "inputs.safetensors").items()}
    with torch.no_grad():
        result = model(**inputs)
    return {name: result[name].numpy() for name in outputs}


QUANTISED = {"attn_q": "Q4_0", "attn_k": "Q8_0", "attn_v": "Q5_1", "attn_output": "Q4_1", "ffn_gate": "Q5_0", "ffn_up": "Q8_0", "ffn_down": "Q4_0"}
HF_NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
            "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def make_quantised(golden):
    """model.gguf in golden/llama_quantised_adapters; the dequantised model as a folder of its own, which is returned."""
    folder = golden / "llama_quantised_adapters"
    plain = folder / "dequantised"
    folder.mkdir(exist_ok=True)
    torch.manual_seed(11)
    config = transformers.LlamaConfig(vocab_size=41, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
                                      max_position_embeddings=128)
    model = transformers.LlamaForCausalLM(config).eval()
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_context_length(128)
    writer.add_vocab_size(41)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    weights = dict(model.named_parameters())

    def permuted(w, heads):
        return w.reshape(heads, 2, w.shape[0] // heads // 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)

    with torch.no_grad():
        for name, kind in QUANTISED.items():
            w = weights[f"model.layers.0.{HF_NAMES[name]}.weight"]
            w.copy_(torch.randn(w.shape) * 0.2)
            quantised = gguf.quants.quantize(w.numpy(), gguf.GGMLQuantizationType[kind])
            w.copy_(torch.from_numpy(np.array(gguf.quants.dequantize(quantised, gguf.GGMLQuantizationType[kind]))))
            rows = permuted(quantised, {"attn_q": 2, "attn_k": 1}[name]) if name in ("attn_q", "attn_k") else quantised
            writer.add_tensor(f"blk.0.{name}.weight", np.ascontiguousarray(rows), raw_dtype=gguf.GGMLQuantizationType[kind])
        for hf, name in (("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"), ("model.layers.0.input_layernorm", "blk.0.attn_norm"),
                         ("model.layers.0.post_attention_layernorm", "blk.0.ffn_norm")):
            w = weights[hf + ".weight"]
            w.copy_(torch.randn(w.shape) * 0.2 + (1 if w.dim() == 1 else 0))
            writer.add_tensor(name + ".weight", w.numpy().copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.save_pretrained(plain)
    ids = torch.randint(5, 41, (2, 9))
    for target in (folder, plain):
        save_file({"input_ids": ids.numpy()}, target / "inputs.safetensors")
    (plain / "meta.json").write_text(json.dumps({"cls": "LlamaForCausalLM", "outputs": ["logits"]}))
    return folder, plain


def main():
    golden = pathlib.Path(sys.argv[1])
    quantised, plain = make_quantised(golden)
    for case, adapters in {**CASES, quantised.name: QUANTISED_ADAPTERS}.items():
        folder = golden / case
        base = plain if folder == quantised else folder
        steps, tensors = [], {}
        names = list(adapters)
        for i, name in enumerate(names):
            make_adapter(base, folder / "adapters" / name, adapters[name], 7 + i, (case, name) in HALF)
        chosen = [[(n, 1.0)] for n in names] + [[(names[0], -0.75)], [(names[0], 0.5), (names[1], 2.0)]]
        for pairs in chosen:
            key = "+".join(f"{n}*{s}" for n, s in pairs)
            outputs = run(base, [(folder / "adapters" / n, s) for n, s in pairs])
            for output, value in outputs.items():
                tensors[f"{key}|{output}"] = value
            steps.append({"adapters": pairs, "outputs": {o: f"{key}|{o}" for o in outputs}})
        save_file(tensors, folder / "adapters.safetensors")
        (folder / "adapters.json").write_text(json.dumps(steps, indent=1) + "\n")
        print(case, len(steps), "steps")
    shutil.rmtree(plain)


if __name__ == "__main__":
    main()
