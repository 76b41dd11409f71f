#!/usr/bin/env python3
"""Writes sample.cases beside this file: what transformers' logits processors leave of random logits, and a draw from it in f64.

The filters are transformers' own classes, in the order of its generate(). Draws within 1e-5 of a boundary are left out.
"""
import json
import pathlib

import torch
import transformers
from transformers.generation import logits_process as lp

SEED = 20261122


def expected(logits, temperature, top_k, top_p, min_p, bits):
    scores = logits[None]
    if temperature == 0:
        return int(scores[0].argmax())
    scores = lp.TemperatureLogitsWarper(temperature)(None, scores.double())
    if top_k:
        scores = lp.TopKLogitsWarper(min(top_k, logits.numel()))(None, scores)
    if top_p < 1:
        scores = lp.TopPLogitsWarper(top_p)(None, scores)
    if min_p > 0:
        scores = lp.MinPLogitsWarper(min_p)(None, scores)
    u, total = bits / 2.0**64, 0.0
    for token, weight in enumerate(scores.softmax(-1)[0].tolist()):
        total += weight
        if weight and abs(total - u) < 1e-5:
            return None
        if total > u:
            return token
    return None


def numbers(x):
    return [v if v == v and abs(v) != float("inf") else "nan" if v != v else "inf" if v > 0 else "-inf" for v in (float(f"{y:.9g}") for y in x.flatten().tolist())]


def words(bits):
    return [w - (1 << 32) if w >> 31 else w for w in (bits & 0xFFFFFFFF, bits >> 32)]


def case(name, logits, rows, **more):
    """rows: (temperature, top_k, top_p, min_p), one a row of logits; random bits are drawn until no boundary is near."""
    tokens, random = [], []
    for x, row in zip(logits, rows):
        token = None
        while token is None:
            bits = int(torch.randint(1 << 32, (1,))) << 32 | int(torch.randint(1 << 32, (1,)))
            token = expected(x, *row, bits)
        tokens.append(token)
        random += words(bits)
    inputs = [dict(shape=list(logits.shape), data=numbers(logits)), dict(shape=[len(rows), 4], data=[v for row in rows for v in row]), dict(type="i32", shape=[len(rows), 2], data=random)]
    return dict(name=name, inputs=inputs, outputs=[dict(type="i32", shape=[len(rows)], data=tokens)], batch=dict(inputs=[0, 0, 0], outputs=[0]), **more)


def main():
    torch.manual_seed(SEED)
    widths = [dict(dims=[[0, 1]], values=[1, 31, 257, 2047, 2048, 2049, 6000, 40000, 262144])]
    rows = [dict(dims=[[0, 0], [1, 0], [2, 0]], values=[1, 5]), dict(dims=[[0, 1]], values=[1, 33, 2049, 5000])]
    narrow = [(1.0, 0, 1.0, 0.0), (0.5, 0, 1.0, 0.0), (2.0, 0, 0.9, 0.0), (1.0, 0, 0.3, 0.0), (1.0, 0, 0.999, 0.0), (1.0, 0, 1.0, 0.1), (1.0, 0, 0.9, 0.5), (0.0, 0, 1.0, 0.0)]
    wide = [(1.0, 1, 1.0, 0.0), (0.7, 20, 0.8, 0.0), (0.8, 40, 0.95, 0.05), (1.5, 5, 1.0, 0.0), (1.0, 1000, 0.9, 0.0), (3.0, 60, 0.5, 0.0), (30.0, 0, 0.99, 0.0), (0.0, 40, 0.95, 0.0)]
    greedy = torch.randn(3, 300)
    cases = [
        case("shares", torch.randn(8, 64) * 3, narrow, sizes=widths),
        case("shares of rows", torch.randn(4, 64) * 3, narrow[:4], sizes=rows),
        case("counts", torch.randn(8, 64) * 3, wide, sizes=widths),
        case("long rows", (torch.randn(3, 2200) * 512).round() / 256, [wide[2], narrow[4], narrow[0]]),
        dict(name="the likeliest", inputs=[dict(shape=[3, 300], data=numbers(greedy)), None, None], outputs=[dict(type="i32", shape=[3], data=greedy.argmax(-1).tolist())], sizes=widths),
        # Written down by hand: order among equals (transformers keeps all that equal the k-th), and what is no number.
        dict(name="first of equals", inputs=[dict(shape=[2, 4], data=[1, 5, 5, 2, -0.0, 0, -1, 0])], outputs=[dict(type="i32", shape=[2], data=[1, 0])]),
        dict(name="no numbers", inputs=[dict(shape=[4, 3], data=["nan", "-inf", "nan", "nan", "-inf", -3, "nan", 2, "inf", 1, "inf", "inf"])], outputs=[dict(type="i32", shape=[4], data=[-1, 2, 2, 1])]),
dict(name="top-k of equals", inputs=[dict(shape=[1, 5], data=[1, 3, 3, 3, 0]), dict(shape=[1, 4], data=[1, 1, 1, 0]), dict(type="i32", shape=[1, 2], data=[-1, -1])], outputs=[dict(type="i32", shape=[1], data=[1])]),
        dict(name="infinite", inputs=[dict(shape=[2, 3], data=[1, "inf", "inf", "nan", "-inf", "nan"]), dict(shape=[2, 4], data=[1, 2, 0.5, 0.1] * 2), dict(type="i32", shape=[2, 2], data=[-1, -1, -1, -1])],
             outputs=[dict(type="i32", shape=[2], data=[1, -1])]),
        dict(name="last of equals", inputs=[dict(shape=[1, 4], data=[0.5, 0.5, 0.5, 0.5]), dict(shape=[1, 4], data=[1, 0, 1, 0]), dict(type="i32", shape=[1, 2], data=[-1, -1])], outputs=[dict(type="i32", shape=[1], data=[3])]),
        dict(name="half of equals", inputs=[dict(shape=[1, 4], data=[0.5, 0.5, 0.5, 0.5]), dict(shape=[1, 4], data=[1, 0, 0.5, 1]), dict(type="i32", shape=[1, 2], data=[-1, -1])], outputs=[dict(type="i32", shape=[1], data=[1])]),
        dict(name="three of equals", inputs=[dict(shape=[1, 5], data=[0.5, 0.5, 0.5, 0.5, 0.25]), dict(shape=[1, 4], data=[1, 3, 0.99, 0]), dict(type="i32", shape=[1, 2], data=[-1, -1])], outputs=[dict(type="i32", shape=[1], data=[2])]),
        dict(name="one input", inputs=[dict(shape=[1, 4], data=[1, 2, 3, 4]), dict(shape=[1, 4], data=[1, 0, 1, 0])], error="parameters without random"),
        dict(name="no columns", inputs=[dict(shape=[1, 0], data=[])], error="0 columns"),
        dict(name="other rows", inputs=[dict(shape=[2, 3], data=[1, 2, 3, 4, 5, 6]), dict(shape=[1, 4], data=[1, 0, 1, 0]), dict(type="i32", shape=[1, 2], data=[0, 0])], error="rows of parameters"),
    ]
    lines = [f"# transformers {transformers.__version__}, PyTorch {torch.__version__}, seed {SEED}; written by make_cases.py"]
    lines += [json.dumps(c, separators=(",", ":")) for c in cases]
    (pathlib.Path(__file__).parent / "sample.cases").write_text("\n".join(lines) + "\n")


main()
