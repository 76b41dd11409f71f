#!/usr/bin/env python3
"""make_golden.py FOLDER [--compare]: the model in NumPy, as the outside program that its values come from.

Writes a tiny random checkpoint (config.json, model.safetensors), inputs.safetensors and, computed in f64, outputs.safetensors into FOLDER. With
--compare it reads got.safetensors there, which `orrery eval` wrote, and fails where a value is further than 1e-4 of the outputs' deviation off.
"""
import json
import math
import pathlib
import struct
import sys

import numpy

SEED = 1
CONFIG = dict(architectures=["@Name@Model"], vocab_size=19, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3,
              rms_norm_eps=1e-6, hidden_act="gelu")
TOLERANCE = 1e-4
TYPES = {"F32": numpy.float32, "I32": numpy.int32}


def write_safetensors(path, tensors):
    header, parts, offset = {}, [], 0
    for name, value in tensors.items():
        kind = next(k for k, t in TYPES.items() if value.dtype == t)
        header[name] = dict(dtype=kind, shape=list(value.shape), data_offsets=[offset, offset + value.nbytes])
        parts.append(value.tobytes())
        offset += value.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def read_safetensors(path):
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    view = lambda t: numpy.frombuffer(data[start + t["data_offsets"][0] : start + t["data_offsets"][1]], TYPES[t["dtype"]]).reshape(t["shape"])
    return {name: view(t) for name, t in header.items()}


def checkpoint(random):
    vocabulary, width, inner = CONFIG["vocab_size"], CONFIG["hidden_size"], CONFIG["intermediate_size"]
    shapes = {"embed_tokens.weight": (vocabulary, width), "norm.weight": (width,), "lm_head.weight": (vocabulary, width)}
    for layer in range(CONFIG["num_hidden_layers"]):
        name = f"layers.{layer}."
        shapes |= {f"{name}attention.{p}_proj.weight": (width, width) for p in "qkvo"}
        shapes |= {name + "attention_norm.weight": (width,), name + "mlp_norm.weight": (width,)}
        shapes |= {name + "mlp.up_proj.weight": (inner, width), name + "mlp.down_proj.weight": (width, inner)}
    return {name: (random.standard_normal(s) * 0.5 + (len(s) == 1)).astype(numpy.float32) for name, s in shapes.items()}


def norm(x, w):
    return x / numpy.sqrt((x * x).mean(-1, keepdims=True) + CONFIG["rms_norm_eps"]) * w


def gelu(x):
    return 0.5 * x * (1 + numpy.vectorize(math.erf)(x / math.sqrt(2)))


def attention(x, w, name):
    batch, tokens, width = x.shape
    split = lambda p: (x @ w[f"{name}{p}_proj.weight"].T).reshape(batch, tokens, CONFIG["num_attention_heads"], -1).transpose(0, 2, 1, 3)
    q, k, v = split("q"), split("k"), split("v")
    scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(q.shape[-1])
    scores = numpy.exp(scores - scores.max(-1, keepdims=True))
    context = scores / scores.sum(-1, keepdims=True) @ v
    return context.transpose(0, 2, 1, 3).reshape(batch, tokens, width) @ w[name + "o_proj.weight"].T


def forward(w, ids):
    w = {name: value.astype(float) for name, value in w.items()}
    x = w["embed_tokens.weight"][ids]
    for layer in range(CONFIG["num_hidden_layers"]):
        name = f"layers.{layer}."
        x = x + attention(norm(x, w[name + "attention_norm.weight"]), w, name + "attention.")
        h = gelu(norm(x, w[name + "mlp_norm.weight"]) @ w[name + "mlp.up_proj.weight"].T)
        x = x + h @ w[name + "mlp.down_proj.weight"].T
    return norm(x, w["norm.weight"]) @ w["lm_head.weight"].T


def compare(folder):
    want, got = (read_safetensors(folder / f"{name}.safetensors")["logits"] for name in ("outputs", "got"))
    if want.shape != got.shape:
        sys.exit(f"logits: shape {list(got.shape)}, wanted {list(want.shape)}")
    worst = float(numpy.abs(got - want).max() / want.std())
    print(f"logits: worst difference {worst:.2g} of the deviation")
    if not worst <= TOLERANCE:
        sys.exit(f"logits: {worst:.2g} is more than {TOLERANCE}")


def main():
    folder = pathlib.Path(sys.argv[1])
    if "--compare" in sys.argv[2:]:
        return compare(folder)
    random = numpy.random.default_rng(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    weights = checkpoint(random)
    ids = random.integers(0, CONFIG["vocab_size"], (2, 7)).astype(numpy.int32)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    write_safetensors(folder / "model.safetensors", weights)
    write_safetensors(folder / "inputs.safetensors", dict(input_ids=ids))
    write_safetensors(folder / "outputs.safetensors", dict(logits=forward(weights, ids).astype(numpy.float32)))


main()
