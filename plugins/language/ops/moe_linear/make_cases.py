#!/usr/bin/env python3
"""Writes moe_linear.cases beside this file: values from PyTorch in f64, block types through PyPI gguf."""
import json
import pathlib
from importlib.metadata import version

import gguf
import torch

SEED = 20261123


def tensor(x):
    if x.dtype == torch.int32:
        return dict(type="i32", shape=list(x.shape), data=x.flatten().tolist())
    if x.dtype != torch.float32:
        return dict(tensor(x.float()), type={torch.float16: "f16", torch.bfloat16: "bf16"}[x.dtype])
    return dict(shape=list(x.shape), data=[float(f"{v:.9g}") for v in x.flatten().tolist()])


def case(name, x, ids, w, **more):
    rows = x.unsqueeze(-2).expand(*ids.shape, x.shape[-1]) if x.dim() == ids.dim() else x
    y = torch.einsum("...nk,...k->...n", w.double()[ids.long()], rows.double()).float()
    return dict(name=name, inputs=[tensor(x), tensor(ids), tensor(w)], outputs=[tensor(y)], tol=1e-4, **more)


def blocks(kind, *shape):
    """A tensor of a block type, and its values."""
    number = gguf.GGMLQuantizationType[kind.upper()]
    raw = gguf.quants.quantize(torch.randn(*shape).numpy(), number)
    return dict(type=kind, shape=list(shape), bytes=raw.tobytes().hex()), torch.from_numpy(gguf.quants.dequantize(raw, number))


def block_case(kind, leading, own):
    """own: each expert has an x of its own."""
    count, n, k = 3, 32, 64
    w, values = blocks(kind, count, n, k)
    chosen = ids(*leading, 2, experts=count)
    x = torch.randn(*leading, *([2] if own else []), k)
    made = case(kind, x, chosen, values, tol_rms=0.05, batch=dict(inputs=[0, 0, -1], outputs=[0]), sizes=[dict(dims=[[0, 0], [1, 0]], values=[1, 15, 33, 200])])
    made["inputs"][2] = w
    return made


def ids(*shape, experts):
    return torch.randint(0, experts, shape, dtype=torch.int32)


def main():
    torch.manual_seed(SEED)
    rows = dict(batch=dict(inputs=[0, 0, -1], outputs=[0]), sizes=[dict(dims=[[0, 0], [1, 0]], values=[1, 31, 33, 200]), dict(dims=[[2, 1]], values=[1, 31, 32, 33, 256]),
                                                                     dict(dims=[[0, 1], [2, 2]], values=[1, 31, 32, 33, 256])])
    cases = [
        case("x of a token", torch.randn(5, 9), ids(5, 2, experts=4), torch.randn(4, 7, 9), **rows),
        case("x of an expert", torch.randn(2, 3, 2, 9), ids(2, 3, 2, experts=4), torch.randn(4, 7, 9), batch=dict(inputs=[0, 0, -1], outputs=[0])),
        case("f16", torch.randn(4, 18), ids(4, 3, experts=3), torch.randn(3, 17, 18).half()),
        case("bf16", torch.randn(4, 18), ids(4, 3, experts=3), torch.randn(3, 17, 18).bfloat16()),
        case("one expert for all", torch.randn(40, 8), torch.full((40, 1), 2, dtype=torch.int32), torch.randn(3, 5, 8)),
        case("no leading axes", torch.randn(8), ids(2, experts=3), torch.randn(3, 5, 8)),
        block_case("q4_0", (4,), False),
        block_case("q8_0", (4,), True),
        block_case("mxfp4", (4,), False),
        dict(name="an expert outside", inputs=[tensor(torch.zeros(1, 4)), tensor(torch.tensor([[3]], dtype=torch.int32)), tensor(torch.zeros(3, 2, 4))], error="expert 3", n_outputs=1),
        dict(name="columns differ", inputs=[tensor(torch.zeros(1, 4)), tensor(torch.zeros(1, 1, dtype=torch.int32)), tensor(torch.zeros(3, 2, 5))], error="5 against 4", n_outputs=1),
    ]
    lines = [f"# PyTorch {torch.__version__}, gguf {version('gguf')}, seed {SEED}; written by make_cases.py"] + [json.dumps(c, separators=(",", ":")) for c in cases]
    pathlib.Path(__file__).with_name("moe_linear.cases").write_text("\n".join(lines) + "\n")


main()
