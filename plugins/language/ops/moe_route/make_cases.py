#!/usr/bin/env python3
"""Writes moe_route.cases beside this file: values of torch.softmax and torch.topk."""
import json
import pathlib

import torch

SEED = 20261122


def tensor(x):
    if x.dtype == torch.int32:
        return dict(type="i32", shape=list(x.shape), data=x.flatten().tolist())
    return dict(shape=list(x.shape), data=[float(f"{v:.9g}") for v in x.flatten().tolist()])


def case(name, x, top_k, normalise=False, order="softmax_topk", scale=1.0, **more):
    if order == "softmax_topk":
        weights, ids = torch.topk(torch.softmax(x, -1), top_k, dim=-1)
        if normalise:
            weights = weights / weights.sum(-1, keepdim=True)
    else:
        values, ids = torch.topk(x, top_k, dim=-1)
        weights = torch.softmax(values, -1)
    attrs = dict(top_k=top_k, normalise=normalise, order=order, scale=scale)
    outputs = [tensor(ids.int()), tensor(weights * scale)]
    return dict(name=name, attrs=attrs, inputs=[tensor(x)], outputs=outputs, tol=2e-6, **more)


def main():
    torch.manual_seed(SEED)
    leading = dict(batch=dict(inputs=[0], outputs=[0, 0]), sizes=[dict(dims=[[0, 0]], values=[1, 63, 65, 200]), dict(dims=[[0, 1]], values=[5, 31])])
    flat = dict(batch=dict(inputs=[0], outputs=[0, 0]), sizes=[dict(dims=[[0, 1]], values=[8, 60, 128])])
    cases = [
        case("plain", torch.randn(2, 3, 6) * 2, 2, **leading),
        case("normalised", torch.randn(5, 8) * 2, 3, normalise=True, **flat),
        case("softmax of the chosen", torch.randn(4, 8) * 2, 4, order="topk_softmax", scale=2.5, **flat),
        case("one expert", torch.randn(3, 1), 1),
        case("all experts", torch.randn(2, 5), 5, normalise=True),
        case("large logits", torch.randn(3, 7) * 300, 2),
        case("one row without leading axes", torch.randn(9), 2),
        dict(name="equal logits", attrs=dict(top_k=2), inputs=[tensor(torch.zeros(1, 4))], outputs=[tensor(torch.tensor([[0, 1]], dtype=torch.int32)), tensor(torch.full((1, 2), 0.25))]),
        dict(name="too many", attrs=dict(top_k=5), inputs=[tensor(torch.zeros(2, 4))], error="top_k is 5", n_outputs=2),
        dict(name="unknown order", attrs=dict(top_k=1, order="first"), inputs=[tensor(torch.zeros(2, 4))], error="first", n_outputs=2),
    ]
    lines = [f"# PyTorch {torch.__version__}, seed {SEED}; written by make_cases.py"] + [json.dumps(c, separators=(",", ":")) for c in cases]
    pathlib.Path(__file__).with_name("moe_route.cases").write_text("\n".join(lines) + "\n")


main()
