#!/usr/bin/env python3
"""Golden adapters: LoRA folders as PEFT saves them, and what PEFT's models give with them, merged and mixed.

usage: make_adapters.py GOLDEN

Also writes GOLDEN/llama_quantised_adapters/: a GGUF whose weights are of many block types (gguf's quantiser), beside adapters for transformers' model
of the same weights dequantised.

For some cases of GOLDEN/<case>/ (make_golden.py) writes adapters/<name>/ (adapter_config.json, adapter_model.safetensors), adapters.json, a list
of {"adapters": [[name, scale], …], "outputs": {name of an output: tensor}}, and adapters.safetensors with the tensors named there. One adapter alone is PEFT's
merge_and_unload; several at once are the sum of its delta weights. Adapters of EXTRA are run unmerged, as PEFT runs them: of tied embeddings and heads merging one changes the
other too, which unmerged adapters do not; scales and several adapters are PEFT's set_scale and several active adapters. Needs torch, transformers, peft, safetensors, gguf; what is committed is of peft 0.21.2,
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
# Cases of their own beside those above, folders golden/<case>_<name>_adapters.
EXTRA = {
    "gemma3_tables": ("gemma3", {
        "table": dict(r=3, lora_alpha=6, target_modules=["embed_tokens"]),
        "head": dict(r=2, lora_alpha=4, target_modules=["lm_head", "q_proj"]),
        "both": dict(r=3, lora_alpha=3, target_modules=["embed_tokens", "lm_head"], ensure_weight_tying=True),
    }),
    "gpt2_tables": ("gpt2", {
        "tables": dict(r=3, lora_alpha=6, target_modules=["wte", "wpe"]),
        "head": dict(r=2, lora_alpha=4, target_modules=["lm_head", "wte"]),
    }),
    "whisper_convolutions": ("whisper", {
        "convolutions": dict(r=3, lora_alpha=6, target_modules=["conv1", "conv2"]),
        "head": dict(r=2, lora_alpha=2, target_modules=["conv2", "embed_tokens", "proj_out", "fc1"]),
    }),
    "vit_convolutions": ("vit_classifier", {
        "patches": dict(r=3, lora_alpha=6, target_modules=["projection", "q_proj"]),
        "saved": dict(r=2, lora_alpha=2, target_modules=["v_proj"], modules_to_save=["classifier"], bias="all"),
    }),
    "swin_blocks": ("swin_classifier", {"blocks": dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "o_proj", "fc1", "fc2"])}),
    # The end of a name is enough: both norms of each layer, and the last one.
    "llama_norms": ("llama", {"norms": dict(r=2, lora_alpha=2, target_modules=["q_proj"], modules_to_save=["norm"])}),
    "clip_convolutions": ("clip_vision_projected", {"patches": dict(r=3, lora_alpha=3, target_modules=["patch_embedding", "v_proj"])}),
    "mixtral_experts": ("mixtral", {
        "parameters": dict(r=3, lora_alpha=6, target_modules=["q_proj"], target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj", "mlp.gate.weight"]),
        "down": dict(r=2, lora_alpha=1, target_modules=[], target_parameters=["mlp.experts.down_proj"]),
    }),
    "qwen3_moe_experts": ("qwen3_moe", {
        "parameters": dict(r=3, lora_alpha=6, target_modules=["k_proj"], target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]),
    }),
    "llama_dora": ("llama", {
        "dora": dict(r=3, lora_alpha=6, target_modules=["q_proj", "k_proj", "down_proj"], use_dora=True),
        "saved": dict(r=2, lora_alpha=2, target_modules=["v_proj"], use_dora=True, modules_to_save=["lm_head", "embed_tokens"]),
    }),
    "gpt2_dora": ("gpt2", {"dora": dict(r=3, lora_alpha=6, target_modules=["c_attn", "c_fc"], use_dora=True)}),
    "bert_dora": ("bert", {"dora": dict(r=3, lora_alpha=6, target_modules=r"encoder\..*\.(query|dense)", use_dora=True)}),
}
# Of older transformers, a module each expert; those of one expert are left out.
OLD_EXPERTS = {"mixtral_experts": ("modules", "model.layers.{}.block_sparse_moe.experts.{}.{}", ("w1", "w3", "w2"), "model.layers.{}.block_sparse_moe.gate"),
               "qwen3_moe_experts": ("modules", "model.layers.{}.mlp.experts.{}.{}", ("gate_proj", "up_proj", "down_proj"), None)}
QUANTISED_ADAPTERS = {
    "all": dict(r=4, lora_alpha=4, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
    "attention": dict(r=2, lora_alpha=8, target_modules=["q_proj", "k_proj"]),
    "dora": dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "up_proj", "down_proj"], use_dora=True),
}
HALF = ("llama", "head")  # saved in f16


def load(folder):
    meta = json.loads((folder / "meta.json").read_text())
    model = getattr(transformers, meta["cls"]).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return model, list(meta["outputs"])


def make_adapter(folder, target, settings, seed, half):
    model, _ = load(folder)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(**settings))
    fill(wrapped, seed)
    wrapped.save_pretrained(target)
    (target / "README.md").unlink(missing_ok=True)
    if half:
        path = target / "adapter_model.safetensors"
        save_torch({k: v.half() for k, v in load_torch(path).items()}, path, metadata={"format": "pt"})


def fill(wrapped, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in wrapped.named_parameters():
            if "lora_magnitude" in name:
                p.mul_(1 + 0.3 * torch.randn(p.shape, generator=generator))
            elif "lora_" in name:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
            elif "modules_to_save" in name or (p.requires_grad and name.endswith("bias")):
                p.add_(torch.randn(p.shape, generator=generator) * 0.2)


def make_extra(base, target, settings, seed):
    model, _ = load(base)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(**settings))
    fill(wrapped, seed)
    wrapped.save_pretrained(target)
    (target / "README.md").unlink(missing_ok=True)


def make_old_experts(base, target, how, seed):
    """An adapter of modules w1, w2, w3 of each expert, as PEFT saved it with transformers before 5."""
    _, pattern, names, router = how
    config = json.loads((base / "config.json").read_text())
    weights = load_file(base / "model.safetensors")
    generator = torch.Generator().manual_seed(seed)
    r, tensors = 3, {}
    modules = [pattern.format(layer, x, name) for layer in range(config["num_hidden_layers"]) for x in range(config["num_local_experts"]) for name in names]
    for module in modules + ([router.format(layer) for layer in range(config["num_hidden_layers"])] if router else []):
        n, k = weights[module + ".weight"].shape
        tensors[f"base_model.model.{module}.lora_A.weight"] = torch.randn(r, k, generator=generator) * 0.3
        tensors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(n, r, generator=generator) * 0.3
    target.mkdir(parents=True, exist_ok=True)
    save_torch(tensors, target / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = peft.LoraConfig(r=r, lora_alpha=6, target_modules=list(names) + (["gate"] if router else []), inference_mode=True)
    settings.save_pretrained(target)


def run_unmerged(base, chosen):
    """The outputs with [(adapter's folder, scale)] active in PEFT's own forward."""
    model, outputs = load(base)
    wrapped = peft.PeftModel.from_pretrained(model, chosen[0][0], adapter_name="a0")
    for i, (path, _) in enumerate(chosen[1:], 1):
        wrapped.load_adapter(path, f"a{i}")
    wrapped.base_model.set_adapter([f"a{i}" for i in range(len(chosen))], inference_mode=True)
    for module in wrapped.modules():
        if isinstance(getattr(module, "base_layer", None), torch.nn.Conv1d):
            module.stride = module.base_layer.stride  # Whisper asks its convolutions for it
        for i, (_, scale) in enumerate(chosen):
            if isinstance(getattr(module, "scaling", None), dict) and f"a{i}" in module.scaling:
                module.scaling[f"a{i}"] *= scale
    inputs = {k: torch.from_numpy(v) for k, v in load_file(base / "inputs.safetensors").items()}
    with torch.no_grad():
        result = wrapped.eval()(**inputs)
    return {name: result[name].numpy() for name in outputs}


def make_extras(golden):
    for case, (plain, adapters) in EXTRA.items():
        base, folder = golden / plain, golden / f"{case}_adapters"
        folder.mkdir(exist_ok=True)
        shutil.copyfile(base / "inputs.safetensors", folder / "inputs.safetensors")
        names = list(adapters)
        for i, name in enumerate(names):
            make_extra(base, folder / "adapters" / name, adapters[name], 20 + i)
        chosen = [[(n, 1.0)] for n in names] + [[(names[0], -0.75)]]
        if case in OLD_EXPERTS:
            old = OLD_EXPERTS[case][0]
            make_old_experts(base, folder / "adapters" / old, OLD_EXPERTS[case], 30)
            chosen.append([(old, 1.0)])
        elif len(names) > 1 and not any("modules_to_save" in adapters[n] or "target_parameters" in adapters[n] for n in names):
            chosen.append([(names[0], 0.5), (names[1], 2.0)])
        steps, tensors = [], {}
        for pairs in chosen:
            key = "+".join(f"{n}*{s}" for n, s in pairs)
            for output, value in run_unmerged(base, [(folder / "adapters" / n, s) for n, s in pairs]).items():
                tensors[f"{key}|{output}"] = np.ascontiguousarray(value)
            steps.append({"adapters": pairs, "outputs": {k.split("|")[1]: k for k in tensors if k.startswith(key + "|")}})
        save_file(tensors, folder / "adapters.safetensors")
        (folder / "adapters.json").write_text(json.dumps(steps, indent=1) + "\n")
        print(case, len(steps), "steps")


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
    make_extras(golden)
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
