#!/usr/bin/env python3
"""Writes the .cases of linear, linear_group, embedding and moe_ffn: values from PyTorch in f64, block types through PyPI gguf.

    python3 plugins/common/linear/make_linear_cases.py [plugins]
"""
import os
import sys
from importlib.metadata import version

import numpy as np
import torch
import torch.nn.functional as F
from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../tests/conformance"))
from make_cases import SEED, case, fill, free, ints, rand, tensor, write  # noqa: E402

rng = np.random.default_rng(SEED)
HALVES = {"q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0], "q2_k": [80, 82], "q3_k": [108], "q4_k": [0, 2],
          "q5_k": [0, 2], "q6_k": [208], "iq4_nl": [0], "iq4_xs": [0], "mxfp4": []}
# Size of the f16 scales that makes weights of a few tenths.
SCALES = {"q4_0": 0.05, "q4_1": 0.05, "q5_0": 0.02, "q5_1": 0.02, "q8_0": 3e-3, "q2_k": 0.01, "q3_k": 2e-3, "q4_k": 5e-4, "q5_k": 2e-4, "q6_k": 1e-4,
          "iq4_nl": 3e-3, "iq4_xs": 1e-4}
BLOCKS = list(HALVES)
ACTIVATIONS = {"none": lambda v: v, "gelu": F.gelu, "gelu_tanh": lambda v: F.gelu(v, approximate="tanh"),
               "quick_gelu": lambda v: v * torch.sigmoid(1.702 * v), "silu": F.silu, "relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


def tolerance(values, high=2, columns=1, exact=2e-4):
    """Activations of at most `high` in int8 are off by high / 127 / sqrt(12) at random: six deviations of a row's sum, with `columns` times the columns.
    exact: f32 sums of up to 1024 terms in one chain."""
    off = 6 * high / 127 / 12**0.5 * float(values.norm(dim=-1).max()) * columns**0.5
    return {"tol": exact, "tol_default": max(exact, float(f"{off:.2g}"))}



def weight(kind, *shape):
    """(tensor of a case, its values in f64)"""
    if kind in HALVES:
        elems, size = GGML_QUANT_SIZES[T[kind.upper()]]
        count = int(np.prod(shape)) // elems
        blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
        for at in HALVES[kind]:
            blocks[:, at:at + 2] = (rng.standard_normal((count, 1)) * SCALES[kind]).astype(np.float16).view(np.uint8)
        if kind == "mxfp4":
            blocks[:, 0] = rng.integers(120, 126, count)
        values = dequantize(blocks, T[kind.upper()]).reshape(shape)
        return {"type": kind, "shape": list(shape), "bytes": blocks.tobytes().hex()}, torch.from_numpy(values).double()
    values = rand(*shape).to({"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[kind])
    return tensor(values), values.double()


seeds = iter(range(1, 1000))


def activations(*shape, high=2):
    """(tensor of a case, its values): a fill, which takes no room in the file."""
    seed = next(seeds)
    return {"shape": list(shape), "fill": {"seed": seed, "low": -high, "high": high}}, fill(list(shape), seed, -high, high)


def constant(t):
    return None if t is None else tensor(t, constant=True)


def out(t):
    return t.float()


def linear_cases():
    cases = []
    for kind in ["f32", "f16", "bf16"] + BLOCKS:
        k = 256 if kind in ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_xs") else 64
        n = 3 if k == 256 else 5
        w, values = weight(kind, n, k)
        (x, xv), bias = activations(2, 1, k), rand(n)
        sizes = [{"dims": [[0, 1]], "values": [1, 2, 3, 9, 50]}, {"dims": [[1, 0], [2, 0]], "values": [1, 15, 16, 17, 33, 100]},
                 {"dims": [[0, 2], [1, 1]], "values": [32, 256, 1000], "multiple": k if kind in HALVES else 1}]
        cases.append(case([x, w, constant(bias)], [out(xv.double() @ values.T + bias)], sizes=sizes, batch={"inputs": [0, -1, -1], "outputs": [0]},
                          name=kind, **tolerance(values, columns=1024 / k)))
    for name, f in ACTIVATIONS.items():
        w, values = weight("f32", 6, 17)
        x, bias, residual = rand(3, 17), rand(6).half(), rand(3, 6)
        y = f(x.double() @ values.T * 0.25 + bias.double()) + residual.double()
        sizes = [{"dims": [[0, 0], [3, 0]], "values": [1, 7, 40]}, {"dims": [[1, 0], [2, 0], [3, 1]], "values": [1, 31, 33, 130]}]
        cases.append(case([x, w, constant(bias), residual], [out(y)], {"activation": name, "scale": 0.25}, sizes=sizes, name=f"f32 {name}", tol=2e-5))
        if name in ("gelu", "none"):
            w, values = weight("q8_0", 6, 64)
            x, xv = activations(3, 64)
            y = f(xv.double() @ values.T * 0.25 + bias.double()) + residual.double()
            cases.append(case([x, w, constant(bias), residual], [out(y)], {"activation": name, "scale": 0.25}, name=f"q8_0 {name}", **tolerance(values)))
    for kind in ("f32", "f16", "bf16"):
        w, values = weight(kind, 20, 6)
        x = rand(2, 20)
        cases.append(case([x, w], [out(x.double() @ values)], {"transposed": True}, name=f"{kind} transposed",
                          sizes=[{"dims": [[0, 1], [1, 0]], "values": [1, 33, 100]}, {"dims": [[1, 1]], "values": [1, 16, 17, 50]}], tol=2e-5))
        w, values = weight(kind, 6, 20)
        cases.append(case([x, {**w, "constant": False}], [out(x.double() @ values.T)], name=f"{kind} not constant", tol=2e-5))
    w, values = weight("q4_0", 6, 32)
    x = rand(4, 32)
    cases.append(case([x, {**w, "constant": False}], [out(x.double() @ values.T)], name="q4_0 not constant", tol=2e-5))
    cases.append(case([torch.zeros(0, 8), constant(rand(3, 8))], [torch.zeros(0, 3)], name="no rows"))
    cases.append(case([rand(2, 8), constant(rand(3, 9))], None, error="8 against 9", name="columns"))
    cases.append(case([rand(2, 8), constant(rand(3, 8)), constant(rand(4))], None, error="4 against 3", name="bias"))
    cases.append(case([rand(2, 8), constant(rand(3, 8))], None, {"activation": "swish"}, error="\"swish\"", name="activation"))
    return cases


def group_cases():
    cases = []
    for kind in ["f32", "f16", "q4_0", "q8_0", "q4_k", "q6_k"]:
        k = 256 if kind.endswith("_k") else 32
        x, xv = activations(2, k)
        parts = [weight(kind, n, k) for n in (4, 2, 1)]
        biases = [rand(4), None, None]
        ys = [out(xv.double() @ v.T + (b if b is not None else 0)) for (_, v), b in zip(parts, biases)]
        inputs = [x] + [t for (w, _), b in zip(parts, biases) for t in (w, constant(b))]
        cases.append(case(inputs, ys, name=f"{kind} three", sizes=[{"dims": [[0, 0]], "values": [1, 2, 9, 50]}, {"dims": [[3, 0]], "values": [1, 16, 33, 100]}],
                          batch={"inputs": [0] + [-1] * 6, "outputs": [0, 0, 0]}, **tolerance(torch.cat([v for _, v in parts]))))
        # Small activations, so that the errors of the two factors do not multiply.
        x, xv = activations(2, k, high=0.25)
        for glu in ("silu", "gelu", "gelu_tanh"):
            parts, bias = [weight(kind, 3, k) for _ in range(2)], rand(3).bfloat16()
            y = ACTIVATIONS[glu](xv.double() @ parts[0][1].T) * (xv.double() @ parts[1][1].T + bias.double())
            sizes = [{"dims": [[0, 0]], "values": [1, 2, 9, 50]}, {"dims": [[1, 0], [3, 0], [4, 0]], "values": [1, 16, 33, 100]}]
            cases.append(case([x, parts[0][0], None, parts[1][0], constant(bias)], [out(y)], {"glu": glu}, name=f"{kind} {glu}", sizes=sizes,
                              **tolerance(torch.cat([v for _, v in parts]), high=1.5)))
    w = constant(rand(3, 8))
    cases.append(case([rand(2, 8), w, None, constant(rand(3, 9)), None], None, error="8 against 9", n_outputs=2, name="columns"))
    cases.append(case([rand(2, 8), w, None, w, None, w, None], None, {"glu": "silu"}, error="not 3", name="gate of three"))
    cases.append(case([rand(2, 8), w, None], None, error="2 outputs", n_outputs=2, name="outputs"))
    return cases


def embedding_cases():
    cases = []
    for kind in ["f32", "f16", "bf16"] + BLOCKS:
        table, values = weight(kind, 3, 256 if GGML_QUANT_SIZES[T[kind.upper()]][0] == 256 else 32)
        ids = torch.tensor([2, 0], dtype=torch.int64 if kind == "f16" else torch.int32)
        cases.append(case([ids, table], [out(values[ids.long()])], tol=1e-7, name=kind, batch={"inputs": [0, -1], "outputs": [0]}))
    table = rand(4, 33)
    ids = ints(0, 4, 70)
    cases.append(case([ids, constant(table)], [table[ids.long()] * 5.5], {"scale": 5.5}, tol=1e-6, name="scale"))
    cases.append(case([torch.tensor(3, dtype=torch.int32), constant(table)], [table[3]], tol=1e-7, name="one id"))
    cases.append(case([ints(0, 4, 0), constant(table)], [torch.zeros(0, 33)], name="no ids"))
    for bad in (4, -1):
        cases.append(case([torch.tensor([0, bad]), constant(table)], None, error=f"id {bad} at index 1, the table has 4 rows", name=f"id {bad}"))
    return cases


def moe_cases():
    cases = []
    for kind, activation in [("f32", "silu"), ("f32", "gelu"), ("f16", "gelu_tanh"), ("q4_0", "silu"), ("q8_0", "gelu"), ("mxfp4", "silu")]:
        experts, width, features, k, tokens = (3, 32, 32, 2, 4) if kind in HALVES else (4, 9, 7, 2, 5)
        x = rand(tokens, width)
        (gate, g), (up, u), (down, d) = weight(kind, experts, features, width), weight(kind, experts, features, width), weight(kind, experts, width, features)
        ids = torch.stack([torch.randperm(experts, generator=torch.Generator().manual_seed(SEED + t))[:k] for t in range(tokens)]).int()
        weights = torch.softmax(rand(tokens, k), -1)
        y = torch.zeros(tokens, width, dtype=torch.float64)
        for t in range(tokens):
            for j in range(k):
                e = int(ids[t, j])
                h = ACTIVATIONS[activation](x[t].double() @ g[e].T) * (x[t].double() @ u[e].T)
                y[t] += float(weights[t, j]) * (h @ d[e].T)
        cases.append(case([x, ids, weights, gate, up, down], [out(y)], {"activation": activation}, name=f"{kind} {activation}", tol=5e-5, tol_rms=0.05,
                          batch={"inputs": [0, 0, 0, -1, -1, -1], "outputs": [0]}, sizes=[free((0, 0), (1, 0), (2, 0), values=[1, 15, 33, 200])]))
    w = constant(rand(2, 3, 4)), constant(rand(2, 3, 4)), constant(rand(2, 4, 3))
    one = torch.ones(1, 1)
    cases.append(case([rand(1, 4), torch.tensor([[2]], dtype=torch.int32), one, *w], None, error="expert 2 at index 0, there are 2", name="expert"))
    cases.append(case([rand(1, 5), torch.tensor([[1]], dtype=torch.int32), one, *w], None, error="4 against 5", name="columns"))
    ids = torch.zeros(20, 1, dtype=torch.int32)
    ids[5], ids[17] = -1, 2
    cases.append(case([torch.ones(20, 4), ids, torch.ones(20, 1), *w], None, error="expert -1 at index 5, there are 2", name="expert of many"))
    return cases


root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
tool = f"PyTorch {torch.__version__}, gguf {version('gguf')}"
for path, cases in (("core/ops/linear/linear", linear_cases()), ("core/ops/linear_group/linear_group", group_cases()),
                    ("core/ops/embedding/embedding", embedding_cases()), ("language/ops/moe_ffn/moe_ffn", moe_cases())):
    write(os.path.join(root, path + ".cases"), cases, tool)
