#!/usr/bin/env python3
"""Golden values of looking inside: attention probabilities, and what `orrery probe` works out, from PyTorch with hooks.

usage: make_probe.py GOLDEN

For cases of GOLDEN/<case>/ (make_golden.py, make_golden_encoders.py) writes attention.safetensors: the probabilities that transformers' eager
attention gives (output_attentions), by the path that they have here; and probe.json with what lens, similarity, trajectory, trace and ablate should print for
one row of the inputs. Needs torch, transformers, safetensors; what is committed is of transformers 5.23.0, torch 2.15.0.
"""
import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from safetensors.numpy import load_file, save_file

ATTENTION = ["llama", "gpt2", "bert", "vit_classifier", "mistral_window", "gemma2", "mpnet", "swin_classifier", "whisper", "clip_text", "patchtst_model", "llama_masked"]
KINDS = ["layer", "mixer", "ffn"]


def load(golden, case):
    folder = golden / case
    meta = json.loads((folder / "meta.json").read_text())
    model = getattr(transformers, meta["cls"]).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return model, {k: torch.from_numpy(v) for k, v in load_file(folder / "inputs.safetensors").items()}, list(meta["outputs"])


def attention(golden, case):
    model, inputs, _ = load(golden, case)
    with torch.no_grad():
        result = model(**inputs, output_attentions=True)
    lists = {"": "attentions"}
    if case == "whisper":
        lists = {"encoder.": "encoder_attentions", "decoder.": "decoder_attentions", "decoder.cross": "cross_attentions"}
    out = {}
    for prefix, name in lists.items():
        stack, mixer = (prefix[:-5], "cross") if prefix.endswith("cross") else (prefix, "mixer")
        stack = "text." if case == "clip_text" else stack
        per_layer = result[name]
        if case == "swin_classifier":  # attentions holds one of each stage: ask the blocks
            per_layer = swin_attentions(model, inputs)
        for i, value in enumerate(per_layer):
            value = value.reshape(-1, *value.shape[-3:])  # PatchTST: channels are rows of the batch
            out[f"{stack}layers.{i}.{mixer}.probabilities"] = np.ascontiguousarray(value.numpy(), dtype=np.float32)
    save_file(out, golden / case / "attention.safetensors")
    print(case, {k: v.shape for k, v in out.items()})


def swin_attentions(model, inputs):
    seen, hooks = [], []
    for stage in model.swin.encoder.layers:
        for block in stage.blocks:
            module = block.attention.self if hasattr(block.attention, "self") else block.attention
            hooks.append(module.register_forward_hook(lambda m, a, r: seen.append(r[1])))
    with torch.no_grad():
        model(**inputs, output_attentions=True)
    for hook in hooks:
        hook.remove()
    return seen


def parts_of(model, case):
    """The embedding's module, and of each layer the modules whose results are output, mixer.output and ffn.output."""
    if case == "llama":
        return model.model.embed_tokens, [(b, b.self_attn, b.mlp) for b in model.model.layers]
    if case == "gpt2":
        return model.transformer.drop, [(b, b.attn, b.mlp) for b in model.transformer.h]
    if case == "mamba":
        return model.backbone.embeddings, [(b, b.mixer, None) for b in model.backbone.layers]
    if case == "bert":
        return model.embeddings, [(b, b.attention.output.dense, b.output.dense) for b in model.encoder.layer]
    return model.vit.embeddings, [(b, b.attention.o_proj, b.mlp) for b in model.vit.layers]


class Probed:
    def __init__(self, golden, case):
        self.case = case
        self.model, inputs, self.outputs = load(golden, case)
        self.inputs = {k: v[:1] for k, v in inputs.items()}
        self.embedding, self.layers = parts_of(self.model, case)

    def run(self, edits=None, inputs=None):
        """The first output and every value, by path; edits: path -> function of the value."""
        edits, seen, hooks = edits or {}, {}, []

        def watch(path):
            def hook(module, given, result):
                value = result[0] if isinstance(result, tuple) else result
                if path in edits:
                    value = edits[path](value.clone())
                seen[path] = value.detach().clone()
                return (value, *result[1:]) if isinstance(result, tuple) else value
            return hook

        hooks.append(self.embedding.register_forward_hook(watch("embed.output")))
        for i, parts in enumerate(self.layers):
            for module, name in zip(parts, ("output", "mixer.output", "ffn.output")):
                if module is not None:
                    hooks.append(module.register_forward_hook(watch(f"layers.{i}.{name}")))
        with torch.no_grad():
            result = self.model(**(inputs or self.inputs))
        for hook in hooks:
            hook.remove()
        return result[self.outputs[0]].double(), seen

    def streams(self, seen):
        return {"embed": seen["embed.output"], **{str(i): seen[f"layers.{i}.output"] for i in range(len(self.layers))}}

    def head(self, x):
        m = self.model
        with torch.no_grad():
            if self.case == "llama":
                return m.lm_head(m.model.norm(x))
            if self.case == "gpt2":
                return m.lm_head(m.transformer.ln_f(x))
            return m.lm_head(m.backbone.norm_f(x))

    def lens(self, seen):
        rows = []
        for name, x in self.streams(seen).items():
            p = F.softmax(self.head(x).double(), -1)[0]
            entropy = -(p * p.log()).sum(-1)
            top = p.topk(3, -1)
            rows.append({"layer": name, "entropy": entropy.tolist(), "ids": top.indices.tolist(), "probabilities": top.values.tolist()})
        return rows

    def similarity(self, seen):
        x = [v.double() for v in self.streams(seen).values()]
        return [[F.cosine_similarity(a, b, dim=-1).mean().item() for b in x] for a in x]

    def trajectory(self, seen, apart=1):
        x = [v[0].double() for v in self.streams(seen).values()]
        unit = [v / v.norm(dim=-1, keepdim=True) for v in x]
        rows = []
        for i in range(1, len(x)):
            turn = (unit[i] * unit[i - 1]).sum(-1).clamp(-1, 1).acos()
            rest = unit[i][apart:]
            update = torch.linalg.svdvals(x[i] - x[i - 1])
            rows.append({"layer": i - 1, "turn_apart": turn[:apart].mean().item(), "turn": turn[apart:].mean().item(),
                         "coherence": F.cosine_similarity(rest, rest.mean(0, keepdim=True), dim=-1).mean().item(), "update_rank": (update.square().sum() / update[0].square()).item()})
        return rows

    def ablations(self, clean):
        ids = self.inputs.get("input_ids")
        by_token = self.outputs[0] == "logits" and clean.dim() == 3
        loss = lambda y: F.cross_entropy(y[0, :-1], ids[0, 1:]).item()
        rows = []
        for kind in KINDS:
            for i, parts in enumerate(self.layers):
                wanted = [n for n, m in zip(("mixer", "ffn"), parts[1:]) if m is not None and kind in ("layer", n)]
                if not wanted:
                    continue
                y, _ = self.run({f"layers.{i}.{n}.output": lambda v: v * 0 for n in wanted})
                row = {"layer": i, "silenced": kind}
                if by_token:
                    divergence = F.kl_div(F.log_softmax(y, -1), F.log_softmax(clean, -1), log_target=True, reduction="none").sum(-1).mean().item()
                    row.update(loss=loss(y), loss_change=loss(y) - loss(clean), divergence=divergence, same_choice=(y.argmax(-1) == clean.argmax(-1)).double().mean().item())
                else:
                    row["change"] = ((y - clean).norm() / clean.norm()).item()
                rows.append(row)
        return {"output": self.outputs[0], **({"loss": loss(clean)} if by_token else {}), "ablations": rows}

    def trace(self, clean, seen, site, position, token):
        """Another token at one position; every value of the clean run put back in turn."""
        p = lambda y: F.softmax(y[0, -1], -1)
        target = p(clean).argmax().item()
        corrupted = {k: v.clone() for k, v in self.inputs.items()}
        corrupted["input_ids"][0, position] = token
        base = p(self.run(inputs=corrupted)[0])[target].item()
        effect, length = [], self.inputs["input_ids"].shape[1]
        for i in range(len(self.layers)):
            path = f"layers.{i}.output" if site == "output" else f"layers.{i}.{site}.output"
            row = []
            for t in range(length):
                def back(v, t=t, path=path):
                    v[:, t] = seen[path][:, t]
                    return v
                row.append(p(self.run({path: back}, corrupted)[0])[target].item() - base)
            effect.append(row)
        return {"corrupted_ids": corrupted["input_ids"][0].tolist(), "site": site, "target": target, "clean": p(clean)[target].item(), "corrupted": base, "effect": effect}

    def make(self):
        clean, seen = self.run()
        out = {"similarity": self.similarity(seen), "trajectory": self.trajectory(seen), "ablate": self.ablations(clean)}
        if "input_ids" in self.inputs:
            out["ids"] = self.inputs["input_ids"][0].tolist()
        if self.outputs[0] == "logits" and clean.dim() == 3:
            out["lens"] = self.lens(seen)
            out["trace"] = [self.trace(clean, seen, site, 4, 9) for site, which in (("output", 0), ("mixer", 1), ("ffn", 2)) if self.layers[0][which] is not None]
        return out


def main():
    golden = pathlib.Path(sys.argv[1])
    for case in ATTENTION:
        attention(golden, case)
    for case in ("llama", "gpt2", "mamba", "bert", "vit_classifier"):
        (golden / case / "probe.json").write_text(json.dumps(Probed(golden, case).make()) + "\n")
        print(case, "probe.json")


if __name__ == "__main__":
    main()
