#!/usr/bin/env python3
"""Golden values of the control ffn_width: PyTorch models whose feed-forwards were cut to their first hidden units.

usage: make_ffn_width.py GOLDEN

For some cases of GOLDEN/<case>/ (make_golden.py, and make_adapters.py's quantised one) writes ffn_width.json, a list of {"control", "value", "adapter" (of make_adapters.py, or
null), "outputs": {name of an output: tensor}}, and ffn_width.safetensors with the tensors named there. Needs torch, transformers, peft, safetensors, gguf; what is
committed is of transformers 5.23.0, peft 0.21.2, torch 2.15.0.
"""
import json
import pathlib
import shutil
import sys

import peft
import torch
from make_adapters import load, make_quantised
from safetensors.numpy import load_file, save_file


def keep(layer, axis, index):
    layer.weight = torch.nn.Parameter(layer.weight.detach().index_select(axis, index))
    if axis == (1 if type(layer).__name__ == "Conv1D" else 0) and layer.bias is not None:
        layer.bias = torch.nn.Parameter(layer.bias.detach().index_select(0, index))
    if type(layer).__name__ == "Conv1D":
        layer.nf = layer.weight.shape[1]


def pairs(model, prefix):
    """The two products of each feed-forward, in order, of modules with these usual names."""
    named = [(n, m) for n, m in model.named_modules() if not prefix or f"{prefix}layers." in n]
    return list(zip([m for n, m in named if n.endswith((".mlp.fc1", ".fc1", ".ff.0"))], [m for n, m in named if n.endswith((".mlp.fc2", ".fc2", ".ff.3"))]))


def cut(model, case, layer, share_or_units, prefix):
    """Keeps the first hidden units of one layer's feed-forward."""
    def units(whole):
        return int(share_or_units * whole) if isinstance(share_or_units, float) else share_or_units

    if case.startswith("llama") or case == "phi3":
        mlp = model.model.layers[layer].mlp
        whole = mlp.down_proj.weight.shape[1]
        first = torch.arange(units(whole))
        if case == "phi3":
            keep(mlp.gate_up_proj, 0, torch.cat([first, whole + first]))
        else:
            keep(mlp.gate_proj, 0, first)
            keep(mlp.up_proj, 0, first)
        keep(mlp.down_proj, 1, first)
    elif case == "gpt2":
        mlp = model.transformer.h[layer].mlp
        first = torch.arange(units(mlp.c_fc.weight.shape[1]))
        keep(mlp.c_fc, 1, first)
        keep(mlp.c_proj, 0, first)
    else:
        bert = case == "bert" and model.encoder.layer[layer]
        up, down = (bert.intermediate.dense, bert.output.dense) if bert else pairs(model, prefix)[layer]
        first = torch.arange(units(up.weight.shape[0]))
        keep(up, 0, first)
        keep(down, 1, first)


CASES = {
    "llama": [("0.5", [0.5, 0.5], None), ("1,0.25", [1.0, 0.25], None), ("0:10", [10, 1.0], None), ("0.5", [0.5, 0.5], "patterns")],
    "phi3": [("0.5", [0.5, 0.5], None)],
    "gpt2": [("0.5", [0.5, 0.5], None), ("7", [7, 7], None), ("0.25,1", [0.25, 1.0], "all")],
    "bert": [("0.5", [0.5, 0.5], None), ("1:0.25", [1.0, 0.25], "dense")],
    "vit_classifier": [("0.5", [0.5, 0.5], None), ("0-1:3", [3, 3], "mlp")],
    "swin_classifier": [("0.5", [0.5] * 4, None)],
    "patchtst_model": [("0:5,1:0.5", [5, 0.5], None)],
    "clip_text": [("0.5", [0.5, 0.5], None)],
    "whisper": [("0.5", [0.5, 0.5], None)],
    "llama_quantised_adapters": [("0.5", [0.5], None), ("32", [32], "all")],
}


CONTROLS = {"clip_text": "text.ffn_width", "whisper": "decoder.ffn_width"}


def main():
    golden = pathlib.Path(sys.argv[1])
    _, plain = make_quantised(golden)
    for case, steps in CASES.items():
        folder = golden / case
        base = plain if case == "llama_quantised_adapters" else folder
        inputs = {k: torch.from_numpy(v) for k, v in load_file(folder / "inputs.safetensors").items()}
        told, tensors = [], {}
        control = CONTROLS.get(case, "ffn_width")
        prefix = "decoder." if case == "whisper" else ""
        for value, widths, adapter in steps:
            model, outputs = load(base)
            if adapter:
                model = peft.PeftModel.from_pretrained(model, folder / "adapters" / adapter).merge_and_unload().eval()
            for layer, width in enumerate(widths):
                cut(model, case, layer, width, prefix)
            with torch.no_grad():
                result = model(**inputs)
            key = f"{value}|{adapter}"
            for name in outputs:
                tensors[f"{key}|{name}"] = result[name].numpy()
            told.append({"control": control, "value": value, "adapter": adapter, "outputs": {name: f"{key}|{name}" for name in outputs}})
        save_file(tensors, folder / "ffn_width.safetensors")
        (folder / "ffn_width.json").write_text(json.dumps(told, indent=1) + "\n")
        print(case, len(told), "steps")
    shutil.rmtree(plain)


if __name__ == "__main__":
    main()
