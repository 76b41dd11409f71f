#!/usr/bin/env python3
"""Golden values of taps and controls: PyTorch hooks on transformers' modules, and its lists of layers reordered.

usage: make_steering.py GOLDEN

For some cases of GOLDEN/<case>/ (make_golden.py) writes steering.json, a list of {"name", "taps": [{"path", "kind", "factor", "first",
"end", "operand"}], "controls", "outputs": {name of an output: tensor}}, and steering.safetensors with the tensors named there. Needs
torch, transformers, safetensors; what is committed is of transformers 5.23.0, torch 2.15.0, seed 5.
"""
import json
import pathlib
import sys

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file


def blocks(model, case):
    """The list of layers, and of each the modules whose results are layers.i.output, .mixer.output and .ffn.output."""
    if case == "llama":
        return model.model, "layers", [(b, b.self_attn, b.mlp) for b in model.model.layers]
    if case == "gpt2":
        return model.transformer, "h", [(b, b.attn, b.mlp) for b in model.transformer.h]
    if case == "mamba":
        return model.backbone, "layers", [(b, b.mixer, None) for b in model.backbone.layers]
    if case == "bert":
        return model.encoder, "layer", [(b, b.attention.output.dense, b.output.dense) for b in model.encoder.layer]
    if case == "swin_classifier":  # blocks count through all stages
        stages = model.swin.encoder.layers
        return stages, None, [(b, b.attention.output.dense if hasattr(b.attention, "output") else b.attention.o_proj, b.output.dense if hasattr(b, "output") else b.mlp) for s in stages for b in s.blocks]
    vit = model.vit
    return vit, "layers", [(b, b.attention.o_proj, b.mlp) for b in vit.layers]


class Case:
    def __init__(self, folder, case):
        meta = json.loads((folder / "meta.json").read_text())
        self.case = case
        self.model = getattr(transformers, meta["cls"]).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        self.outputs = list(meta["outputs"])
        self.inputs = {k: torch.from_numpy(v) for k, v in load_file(folder / "inputs.safetensors").items()}
        self.owner, self.attribute, self.blocks = blocks(self.model, case)
        self.random = np.random.default_rng(5)
        self.steps, self.tensors = [], {}

    def run(self, edits=None):
        """The model's outputs and all layer values; edits: path -> function of the value."""
        seen, hooks = {}, []

        def watch(path):
            def hook(module, inputs, result):
                value = result[0] if isinstance(result, tuple) else result
                if edits and path in edits:
                    value = edits[path](value.clone())
                seen[path] = value.detach().numpy().copy()
                return (value, *result[1:]) if isinstance(result, tuple) else value
            return hook

        for i, parts in enumerate(self.blocks):
            for module, name in zip(parts, ("output", "mixer.output", "ffn.output")):
                if module is not None:
                    hooks.append(module.register_forward_hook(watch(f"layers.{i}.{name}")))
        with torch.no_grad():
            result = self.model(**self.inputs)
        for hook in hooks:
            hook.remove()
        return {name: result[name].numpy() for name in self.outputs}, seen

    def add(self, name, taps, controls, outputs):
        keys = {}
        for output, value in outputs.items():
            keys[output] = f"{name}|{output}"
            self.tensors[keys[output]] = np.ascontiguousarray(value, dtype=np.float32)
        self.steps.append({"name": name, "taps": taps, "controls": controls, "outputs": keys})

    def operand(self, name, value):
        self.tensors[name] = np.ascontiguousarray(value, dtype=np.float32)
        return name

    def edit(self, name, path, kind, function, **fields):
        outputs, seen = self.run({path: function})
        taps = [{"path": path, "kind": kind, **fields}, {"path": "layers.1.output", "kind": "read"}]
        self.add(name, taps, {}, {**outputs, "layers.1.output": seen["layers.1.output"]})

    def make(self):
        outputs, seen = self.run()
        parts = ["output", "mixer.output"] + (["ffn.output"] if self.blocks[0][2] is not None else [])
        if self.attribute is None:  # Swin's attention gives windows there, of which mixer.output is the image
            parts.remove("mixer.output")
            seen = {path: value for path, value in seen.items() if not path.endswith("mixer.output")}
        self.add("read", [{"path": f"layers.*.{p}", "kind": "read"} for p in parts], {}, {**outputs, **seen})
        last = seen["layers.1.output"]
        head = next(iter(outputs.values())).astype(np.float64)
        p = np.exp(head - head.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        name = self.outputs[0]
        self.add("reductions",
                 [{"path": "layers.1.output", "kind": k} for k in ("last", "mean", "norm")] + [{"path": name, "kind": "entropy"}, {"path": name, "kind": "top_k", "count": 3}], {},
                 {"layers.1.output:last": last[:, -1:], "layers.1.output:mean": last.mean(1, keepdims=True), "layers.1.output:norm": np.linalg.norm(last, axis=-1),
                  f"{name}:entropy": -(p * np.log(p)).sum(-1), f"{name}:top_k.values": np.sort(head, axis=-1)[..., ::-1][..., :3]})
        self.edit("zero", "layers.0.mixer.output", "zero", lambda t: t * 0)
        self.edit("scale", "layers.0.output", "scale", lambda t: t * -1.5, factor=-1.5)

        def some(t):
            t[:, 2:5] *= 3
            return t
        self.edit("scale_some", f"layers.1.{parts[-1]}", "scale", some, factor=3, first=2, end=5)
        whole = self.random.standard_normal(seen["layers.0.output"].shape).astype(np.float32)
        self.edit("set", "layers.0.output", "set", lambda t: torch.from_numpy(whole), operand=self.operand("set.operand", whole))
        vector = self.random.standard_normal(last.shape[-1]).astype(np.float32)
        self.edit("add", "layers.0.mixer.output", "add", lambda t: t + 0.5 * torch.from_numpy(vector), factor=0.5, operand=self.operand("add.operand", vector))
        if self.attribute is None:
            return self.plan_stages()
        original = list(getattr(self.owner, self.attribute))
        for text, order in (("1,0", [1, 0]), ("1", [1]), ("0*2,1", [0, 0, 1])):
            setattr(self.owner, self.attribute, torch.nn.ModuleList([original[i] for i in order]))
            for config in {id(c): c for c in (self.model.config, getattr(self.owner, "config", self.model.config))}.values():
                config.num_hidden_layers = len(order)
            with torch.no_grad():
                result = self.model(**self.inputs, **({} if self.case in ("bert", "vit_classifier") else {"use_cache": False}))
            self.add("layer_plan " + text, [], {"layer_plan": text}, {n: result[n].numpy() for n in self.outputs})
        setattr(self.owner, self.attribute, torch.nn.ModuleList(original))
        for config in {id(c): c for c in (self.model.config, getattr(self.owner, "config", self.model.config))}.values():
            config.num_hidden_layers = len(original)


    def plan_stages(self):
        original = [list(stage.blocks) for stage in self.owner]
        for text, order in (("1,0,2,3", [[1, 0], [0, 1]]), ("0,3", [[0], [1]]), ("0*2,1,3,2", [[0, 0, 1], [1, 0]])):
            for stage, blocks_of_stage, which in zip(self.owner, original, order):
                stage.blocks = torch.nn.ModuleList([blocks_of_stage[i] for i in which])
            with torch.no_grad():
                result = self.model(**self.inputs)
            self.add("layer_plan " + text, [], {"layer_plan": text}, {n: result[n].numpy() for n in self.outputs})
        for stage, blocks_of_stage in zip(self.owner, original):
            stage.blocks = torch.nn.ModuleList(blocks_of_stage)


def main():
    golden = pathlib.Path(sys.argv[1])
    for name in ("llama", "gpt2", "mamba", "bert", "vit_classifier", "swin_classifier"):
        case = Case(golden / name, name)
        case.make()
        save_file(case.tensors, golden / name / "steering.safetensors")
        (golden / name / "steering.json").write_text(json.dumps(case.steps, indent=1) + "\n")
        print(name, len(case.steps), "steps")


if __name__ == "__main__":
    main()
