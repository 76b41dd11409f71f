#!/usr/bin/env python3
"""Writes the .cases files of the small core operators with values from PyTorch.

    python3 tests/conformance/make_cases.py [plugins/core/ops]

Other generators import `fill`, `tensor`, `case` and `write` from here.
"""
import json
import math
import os
import sys

import numpy as np
import torch

SEED = 20261122
MASK = (1 << 64) - 1


def fill(shape, seed, low, high):
    """The values of a `fill` tensor (see README.md), f32."""
    count = int(np.prod(shape)) if shape else 1
    u = (np.uint64((seed * 0x9E3779B97F4A7C15) & MASK) + np.arange(1, count + 1, dtype=np.uint64))
    with np.errstate(over="ignore"):
        z = u * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    unit = (z >> np.uint64(40)).astype(np.float64) / 2.0**24
    return torch.from_numpy((low + (high - low) * unit).astype(np.float32)).reshape(shape)


NAMES = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16", torch.float64: "f64", torch.int8: "i8", torch.uint8: "u8",
         torch.int16: "i16", torch.int32: "i32", torch.int64: "i64", torch.bool: "bool"}


def number(v):
    if isinstance(v, (bool, int)):
        return v
    if math.isnan(v):
        return "nan"
    if math.isinf(v):
        return "inf" if v > 0 else "-inf"
    return float(np.float32(v)) if float(np.float32(v)) == v else v


def shorten(v):
    # Nine digits give an f32 back exactly.
    return v if isinstance(v, (bool, int, str)) else float(f"{v:.9g}")


def tensor(t, **extra):
    """A tensor of a case; None for an absent one."""
    if t is None:
        return None
    out = {} if t.dtype == torch.float32 else {"type": NAMES[t.dtype]}
    out["shape"] = list(t.shape)
    out["data"] = [shorten(number(v)) for v in t.detach().reshape(-1).tolist()]
    out.update(extra)
    return out


def case(inputs, outputs, attrs=None, tol=0, **extra):
    """One case; inputs and outputs are torch tensors, None, or dicts that stand as they are."""
    out = {}
    if attrs:
        out["attrs"] = attrs
    out["inputs"] = [t if isinstance(t, dict) else tensor(t) for t in inputs]
    if outputs is not None:
        out["outputs"] = [t if isinstance(t, dict) else tensor(t) for t in outputs]
    if tol:
        out["tol"] = tol
    out.update(extra)
    return out


def write(path, cases, tool=None, seed=SEED):
    tool = tool or f"PyTorch {torch.__version__}"
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"# {tool}, seed {seed}; written by a generator, see tests/conformance/README.md\n")
        for c in cases:
            f.write(json.dumps(c, separators=(",", ":")) + "\n")
    size = os.path.getsize(path)
    assert size < 100_000, f"{path} has {size} bytes"


g = torch.Generator().manual_seed(SEED)
rand = lambda *s, scale=1.0: torch.randn(*s, generator=g) * scale
ints = lambda lo, hi, *s, dtype=torch.int32: torch.randint(lo, hi, s, generator=g).to(dtype)
f32 = lambda *v: torch.tensor(v, dtype=torch.float32)
LAST = {"values": [1, 31, 32, 33, 256, 1000]}
INF, NAN = math.inf, math.nan


def free(*dims, values=None, **extra):
    """One `sizes` entry: the [input, axis] pairs that share a size."""
    return {"dims": [list(d) for d in dims], **({"values": values} if values else {}), **extra}


def binary(name, fn, integers):
    a, b = rand(2, 3, 7), rand(2, 3, 7)
    if name == "div":
        b = b.abs() + 0.5
    whole = [free((0, 1), (1, 1), values=[1, 3, 40]), free((0, 2), (1, 2))]
    out = [case([a, b], [fn(a, b)], sizes=whole, batch={"inputs": [0, 0], "outputs": [0]}),
           case([a, b[0, 0]], [fn(a, b[0, 0])], sizes=[free((0, 1), values=[1, 33, 70]), free((0, 2), (1, 0))]),
           case([a, b[:, :, :1]], [fn(a, b[:, :, :1])], sizes=[free((0, 1), (1, 1), values=[2, 33, 70]), free((0, 2))]),
           case([a[:, :1, :1], b], [fn(a[:, :1, :1], b)], sizes=[free((1, 1), values=[1, 40]), free((1, 2))]),
           case([a[:, :, :1], b[:1, :1]], [fn(a[:, :, :1], b[:1, :1])], sizes=[free((0, 1), values=[1, 40]), free((1, 2))]),
           case([f32(2.5).reshape(()), b], [fn(f32(2.5).reshape(()), b)]),
           case([torch.zeros(0, 4), torch.ones(4)], [torch.zeros(0, 4)])]
    s = f32(0.0, -0.0, INF, -INF, NAN, 1.0, INF)
    t = f32(-0.0, 0.0, INF, INF, 1.0, NAN, -INF)
    out.append(case([s, t], [fn(s, t)]))
    if integers:
        for dtype in (torch.int32, torch.int64):
            a, b = ints(-50, 50, 2, 5, dtype=dtype), ints(-50, 50, 5, dtype=dtype)
            out.append(case([a, b], [fn(a, b)], sizes=[free((0, 1), (1, 0), values=[1, 33])]))
    else:
        out.append(case([ints(0, 5, 3), ints(1, 5, 3)], None, error="i32"))
    # Fours along the inner axis, and axes that never merge.
    for left, right in (((3, 1, 8), (5, 8)), ((2, 5, 8), (2, 5, 1)), ((1, 8), (6, 1)), ((2, 1, 2, 1, 2, 1, 3, 1), (1, 2, 1, 2, 1, 2, 1, 4))):
        a, b = fill(left, 21, -3, 3), fill(right, 22, 0.5, 3)
        out.append(case([a, b], [fn(a, b)]))
    big = torch.tensor([2**33 + 5, -(2**40), -1, 2**31, 2**62, -7], dtype=torch.int64)
    if integers:
        out.append(case([big.reshape(6, 1), big], [fn(big.reshape(6, 1), big)]))
    out.append(case([rand(2, 3), rand(2, 4)], None, error="3 against 4"))
    out.append(case([rand(3), ints(0, 5, 3)], None, error="i32"))
    return out


def activation():
    F = torch.nn.functional
    functions = {"gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
                 "silu": F.silu, "relu": F.relu, "relu2": lambda x: F.relu(x).square(), "tanh": torch.tanh, "sigmoid": torch.sigmoid,
                 "softplus": F.softplus, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "abs": torch.abs,
                 "neg": torch.neg, "square": torch.square, "sin": torch.sin, "cos": torch.cos, "erf": torch.erf, "floor": torch.floor,
                 "round": torch.round, "hard_swish": F.hardswish, "elu": F.elu, "mish": F.mish, "identity": lambda x: x}
    exact = {"relu", "relu2", "abs", "neg", "square", "floor", "round", "identity"}
    out = []
    for name, fn in functions.items():
        x = torch.cat([rand(30, scale=3.0), f32(0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 6.0, -6.0, 21.0)])
        if name in ("log", "sqrt", "rsqrt"):
            x = x.abs() + 0.01
        # Values are those of f64, rounded once.
        want = fn(x.double()).float()
        tol = 0 if name in exact else 6e-7
        out.append(case([x.reshape(3, 13)], [want.reshape(3, 13)], {"function": name}, tol, batch={"inputs": [0], "outputs": [0]},
                        sizes=[free((0, 0), values=[1, 3, 40]), free((0, 1))]))
        if name not in ("gelu", "gelu_tanh", "quick_gelu", "silu", "mish", "hard_swish"):  # torch gives NaN at -inf where a product is written
            s = f32(INF, -INF, NAN)
            out.append(case([s], [fn(s)], {"function": name}, tol))
    big = f32(1e4, -1e4, 88.0, -88.0, 1e-30, -1e-30, 3e38)
    for name in ("gelu", "gelu_tanh", "silu", "tanh", "sigmoid", "erf", "softplus", "quick_gelu", "mish", "elu"):
        out.append(case([big], [functions[name](big.double()).float()], {"function": name}, 6e-7))
    out.append(case([rand(2)], None, {"function": "gelu_erf"}, error="gelu_erf"))
    return out


def views():
    x = rand(2, 3, 4, 5)
    i = ints(-9, 9, 2, 6, dtype=torch.int64)
    sized = {"sizes": [free((0, 1), values=[1, 7, 40]), free((0, 3))]}
    out = {"transpose": [case([x], [x.permute(*p)], {"perm": p}, **sized) for p in ([0, 2, 1, 3], [0, 1, 3, 2], [3, 2, 1, 0], [0, -1, 1, 2], [0, 1, 2, 3])],
           "slice": [case([x], [x[:, 1:3]], {"axis": 1, "start": 1, "end": 3}), case([x], [x[..., -2:]], {"axis": -1, "start": -2}, **sized),
                     case([x], [x[..., :-1]], {"axis": 3, "end": -1}), case([x], [x[:, :, ::2]], {"axis": 2, "step": 2}, sizes=[free((0, 2))]),
                     case([x], [x[..., 1::3]], {"axis": 3, "start": 1, "step": 3}, sizes=[free((0, 3), values=[2, 33, 256])]),
                     case([x], [x[:, -1:]], {"axis": 1, "start": -1}), case([x], [x[:, 1:100]], {"axis": 1, "start": 1, "end": 100}),
                     case([x], [x[:, 2:1]], {"axis": 1, "start": 2, "end": 1}), case([x], [x[:, -100:-1]], {"axis": 1, "start": -100, "end": -1}),
                     case([i], [i[:, 1:4]], {"axis": 1, "start": 1, "end": 4}), case([x], None, {"axis": 4}, error="4"),
                     case([x], None, {"axis": 0, "step": 0}, error="step is 0")],
           "reshape": [case([x], [x.reshape(2, 3, 20)], {"shape": [0, 0, 20]}), case([x], [x.reshape(2, 12, 5)], {"shape": [0, -1, 5]}),
                       case([x], [x.reshape(-1)], {"shape": [-1]}, **sized), case([x], [x.reshape(1, 2, 3, 1, 4, 5)], {"shape": [1, 2, 3, 1, 4, 5]}),
                       case([x], [x.reshape(6, 2, 2, 5)], {"shape": [-1, 2, 2, 5]}, sizes=[free((0, 1), values=[1, 40])]),
                       case([torch.ones(1, 1)], [torch.ones(())], {"shape": []}), case([torch.zeros(0, 3)], [torch.zeros(0, 3, 1)], {"shape": [0, 3, 1]}),
                       case([i], [i.reshape(3, 4)], {"shape": [3, -1]}), case([x], None, {"shape": [7, -1]}, error="[7, -1]"),
                       case([x], None, {"shape": [2, 3, 21]}, error="[2, 3, 21]"), case([x], None, {"shape": [-1, -1]}, error="two axes")],
           "expand": [case([x[:, :1]], [x[:, :1].expand(2, 6, 4, 5)], {"shape": [-1, 6, -1, -1]}, sizes=[free((0, 3))]),
                      case([x[0, 0]], [x[0, 0].expand(3, 4, 5)], {"shape": [3, 4, 5]}), case([x[..., :1]], [x[..., :1].expand(2, 3, 4, 9)], {"shape": [2, 3, 4, 9]}),
                      case([x[:1], rand(4, 2)], [x[:1].expand(4, 3, 4, 5)], {"shape": [0, -1, -1, -1]}),
                      case([x[:1, 0], rand(7, 4, 5)], [x[:1, 0].expand(7, 4, 5)]),
                      case([x], None, {"shape": [2, 4, 4, 5]}, error="3 against 4"), case([x], None, {"shape": [4, 5]}, error="2 axes")],
           "unfold": [case([x], [x.unfold(3, 3, 2)], {"axis": 3, "size": 3, "step": 2}, sizes=[free((0, 3), values=[3, 33, 256])]),
                      case([x], [x.unfold(1, 2, 1)], {"axis": 1, "size": 2, "step": 1}, sizes=[free((0, 3))]),
                      case([rand(10)], None, {"axis": 0, "size": 11, "step": 1}, error="11")]}
    return out


def movement():
    F = torch.nn.functional
    x, y = rand(2, 3, 5), rand(2, 4, 5)
    h = rand(2, 3).half()
    i = ints(0, 9, 2, 3, dtype=torch.int64)
    out = {"concat": [case([x, y], [torch.cat([x, y], 1)], {"axis": 1}, sizes=[free((0, 1), values=[1, 40]), free((1, 1), values=[1, 9]), free((0, 2), (1, 2))]),
                      case([x, x, x], [torch.cat([x, x, x], -1)], {"axis": -1}), case([x], [x], {"axis": 0}),
                      case([None, x, None, x], [torch.cat([x, x])], {"axis": 0}), case([i, i], [torch.cat([i, i], 1)], {"axis": 1}),
                      case([h, h], [torch.cat([h, h], 1)], {"axis": 1}), case([x, y], None, {"axis": 0}, error="3 against 4"),
                      case([x, h], None, {"axis": 0}, error="f16")],
           "stack": [case([x, x + 1], [torch.stack([x, x + 1], 1)], {"axis": 1}, sizes=[free((0, 1), (1, 1), values=[1, 40]), free((0, 2), (1, 2))]),
                     case([x, x + 1, x], [torch.stack([x, x + 1, x], -1)], {"axis": -1}), case([i], [i[None]], {"axis": 0}),
                     case([x, y], None, {"axis": 0}, error="3 against 4")],
           "roll": [case([x], [torch.roll(x, [1], [1])], {"shifts": [1], "axes": [1]}, sizes=[free((0, 1), values=[1, 40]), free((0, 2))]),
                    case([x], [torch.roll(x, [-2, 3], [-1, 0])], {"shifts": [-2, 3], "axes": [-1, 0]}, sizes=[free((0, 2))]),
                    case([x], [torch.roll(x, [7, -1], [1, 1])], {"shifts": [7, -1], "axes": [1, 1]}), case([i], [i.roll(1, 1)], {"shifts": [1], "axes": [1]}),
                    case([x], None, {"shifts": [1], "axes": [0, 1]}, error="has 1 numbers, axes has 2")],
           "gather": [case([x, torch.tensor([2, 0, 2])], [x.index_select(1, torch.tensor([2, 0, 2]))], {"axis": 1}, sizes=[free((1, 0), values=[1, 40]), free((0, 2))]),
                      case([y, torch.tensor([[1, 0], [3, 3]], dtype=torch.int32)], [y[:, torch.tensor([[1, 0], [3, 3]])]], {"axis": -2}),
                      case([x[0, 0], torch.tensor(3)], [x[0, 0][3]], {}), case([h, torch.tensor([1])], [h[1:]], {}),
                      case([x, torch.tensor([3])], None, {"axis": 1}, error="index 3 of an axis of 3"), case([x, torch.tensor([-1])], None, {"axis": 1}, error="-1")],
           "gather_rows": [case([x, torch.tensor([2, 0])], [x[torch.arange(2), torch.tensor([2, 0])]], sizes=[free((0, 2))]),
                           case([i, torch.tensor([1, 2], dtype=torch.int32)], [i[torch.arange(2), torch.tensor([1, 2])]]),
                           case([x, torch.tensor([2, 3])], None, error="index 3 of a sequence of 3"), case([x, torch.tensor([1])], None, error="2 against 1")]}
    p = rand(1, 2, 4, 5)
    cut = {"before": [0, 0, 2, 1], "after": [0, 0, 1, 3]}
    out["pad"] = [case([p], [F.pad(p, (1, 3, 2, 1), mode=m)], {**cut, "mode": m}, sizes=[free((0, 2), values=[4, 40]), free((0, 3), values=[4, 33, 256, 1000])])
                  for m in ("constant", "reflect", "replicate")]
    out["pad"] += [case([p], [F.pad(p, (1, 3, 2, 1), value=-2.5)], {**cut, "value": -2.5}), case([i], [F.pad(i, (0, 2), value=7)], {"before": [0, 0], "after": [0, 2], "value": 7}),
                   case([h], [F.pad(h, (1, 0), value=0.5)], {"before": [0, 1], "after": [0, 0], "value": 0.5}),
                   case([i > 4], [F.pad(i > 4, (1, 1), value=True)], {"before": [0, 1], "after": [0, 1], "value": 1}),
                   case([p], None, {"before": [0, 0, 4, 0], "after": [0, 0, 0, 0], "mode": "reflect"}, error="4 elements"),
                   case([p], None, {"before": [0], "after": [0]}, error="before has 1 axes, x has 4")]
    return out


def reductions():
    x = rand(2, 3, 4, 5)
    many = {"sizes": [free((0, 1), values=[1, 3, 40]), free((0, 2), values=[2, 33]), free((0, 3), values=[2, 31, 32, 33, 256, 1000])]}
    torch_fn = {"mean": lambda t, d, k: t.mean(d, k), "sum": lambda t, d, k: t.sum(d, k), "max": lambda t, d, k: t.amax(d, k), "min": lambda t, d, k: t.amin(d, k),
                "var": lambda t, d, k: t.var(d, correction=0, keepdim=k), "std": lambda t, d, k: t.std(d, correction=0, keepdim=k),
                "prod": lambda t, d, k: (t.flatten(d[0], d[-1]) if len(d) > 1 else t).prod(d[0], k), "l2": lambda t, d, k: torch.linalg.vector_norm(t, dim=d, keepdim=k)}
    out = []
    for name, fn in torch_fn.items():
        tol = 0 if name in ("max", "min") else 4e-7
        for dims, keep in (([3], False), ([1], True), ([1, 2], False), ([2, 3], False)):
            want = fn(x.double(), dims, keep).float()
            scaled = many if name != "prod" else {}
            attrs = {"function": name, "axes": [d - 4 if dims == [3] else d for d in dims], **({"keepdims": True} if keep else {})}
            out.append(case([x], [want], attrs, tol, batch={"inputs": [0], "outputs": [0]}, **scaled))
    out.append(case([x], [x.double().mean((0, 2)).float()], {"function": "mean", "axes": [0, 2]}, 4e-7))
    out.append(case([x], [x.double().sum().float()], {"function": "sum"}, 4e-7))
    out.append(case([x], [x.double().std((1,), correction=1).float()], {"function": "std", "axes": [1], "unbiased": True}, 4e-7))
    n = x.clone()
    n[0, 1, 2, 3] = NAN
    out += [case([n], [n.amax(3)], {"function": "max", "axes": [3]}), case([n], [n.amin(1)], {"function": "min", "axes": [1]})]
    for dtype in (torch.int32, torch.int64):
        i = ints(-7, 9, 3, 4, dtype=dtype)
        out += [case([i], [i.sum(1, dtype=dtype)], {"function": "sum", "axes": [1]}), case([i], [i.amax(0)], {"function": "max", "axes": [0]}),
                case([i], [i.amin()], {"function": "min"}), case([i], [i.prod(1, dtype=dtype)], {"function": "prod", "axes": [1]})]
    out += [case([torch.zeros(2, 0)], [torch.zeros(2)], {"function": "sum", "axes": [1]}), case([ints(0, 3, 2)], None, {"function": "mean"}, error="i32"),
            case([x], None, {"function": "median"}, error="median"), case([x], None, {"function": "sum", "axes": [4]}, error="axis 4")]
    return out


def casts():
    out = []
    types = {"f32": torch.float32, "i32": torch.int32, "i64": torch.int64, "bool": torch.bool, "f16": torch.float16, "bf16": torch.bfloat16}
    x = torch.cat([rand(20, scale=50.0), f32(0.0, 0.5, -0.5, 1.5, 65504.0, 1e-7, 6e-8, -3e-5, 2048.5)])
    sources = [x, x.half(), x.bfloat16(), x.double(), ints(-100, 100, 5, 3), ints(-(2**40), 2**40, 7, dtype=torch.int64), ints(-128, 127, 9, dtype=torch.int8),
               ints(0, 255, 9, dtype=torch.uint8), ints(-30000, 30000, 9, dtype=torch.int16), ints(0, 2, 9, dtype=torch.bool)]
    for s in sources:
        for name, dtype in types.items():
            if s.dtype == torch.int64 and name in ("f16", "bf16"):
                continue  # through f32 here, one rounding in torch
            out.append(case([s], [s.to(dtype)], {"type": name}, sizes=[free((0, 0), values=[1, 33, 1000])]))
    # Every rounding boundary of f16 and bf16 in a few binades, infinities and NaN.
    edge = torch.tensor([65519.996, 65520.0, 65535.0, 1e6, INF, -INF, 5.9604645e-8, 2.9802322e-8, 2.9802326e-8, 8.940697e-8, 6.097555e-5, 6.1035156e-5, 1.00048828125,
                         1.0014648, 1.00390625, 1.01171875, 3.3961775e38, -65520.0, -1e-8])
    out += [case([edge], [edge.half()], {"type": "f16"}), case([edge], [edge.bfloat16()], {"type": "bf16"}),
            case([f32(NAN)], [f32(NAN).half()], {"type": "f16"}), case([f32(NAN)], [f32(NAN).bfloat16()], {"type": "bf16"}),
            case([f32(INF, -INF, NAN).half()], [f32(INF, -INF, NAN)], {"type": "f32"}), case([f32(3e9, -3e9, NAN)], [torch.tensor([2147483647, -2147483648, 0], dtype=torch.int32)], {"type": "i32"}),
            case([x], None, {"type": "f64"}, error="f64")]
    return out


def selections():
    x = rand(3, 11)
    tie = f32(1, 3, 3, 2, 3, 1).reshape(1, 6)
    nan = f32(1, NAN, 3, NAN).reshape(1, 4)
    v, i = x.topk(4)
    out = {"top_k": [case([x], [v, i.int()], {"k": 4}, sizes=[free((0, 0), values=[1, 40]), free((0, 1), values=[4, 31, 32, 33, 256, 1000])], batch={"inputs": [0], "outputs": [0, 0]}),
                     case([x], [x.topk(1)[0], x.topk(1)[1].int()], {"k": 1}), case([x], [x.topk(11)[0], x.topk(11)[1].int()], {"k": 11}),
                     case([tie], [f32(3, 3, 3, 2).reshape(1, 4), torch.tensor([[1, 2, 4, 3]], dtype=torch.int32)], {"k": 4}),
                     case([nan], [f32(NAN, NAN, 3).reshape(1, 3), torch.tensor([[1, 3, 2]], dtype=torch.int32)], {"k": 3}),
                     case([x], None, {"k": 12}, error="k is 12, rows have 11", n_outputs=2)]}
    z = rand(2, 5, 3)
    out["argmax"] = [case([x], [x.argmax(-1).int()], {}, sizes=[free((0, 0), values=[1, 40]), free((0, 1))], batch={"inputs": [0], "outputs": [0]}),
                     case([z], [z.argmax(1).int()], {"axis": 1}, sizes=[free((0, 1)), free((0, 2))]), case([z], [z.argmax(2, keepdim=True).int()], {"axis": 2, "keepdims": True}),
                     case([tie], [torch.tensor([1], dtype=torch.int32)]), case([nan], [torch.tensor([1], dtype=torch.int32)]),
                     case([torch.tensor([[3, 9, 9, 1]])], [torch.tensor([1], dtype=torch.int32)]),
                     case([torch.zeros(2, 0)], None, error="0 elements")]
    i = ints(-9, 9, 2, 6, dtype=torch.int64)
    out["cumsum"] = [case([z], [z.double().cumsum(1).float()], {"axis": 1}, 2e-7, sizes=[free((0, 1)), free((0, 2))], batch={"inputs": [0], "outputs": [0]}),
                     case([z], [z.double().cumsum(-1).float()], {"axis": -1}, 2e-7, sizes=[free((0, 2))]), case([i], [i.cumsum(1)], {"axis": 1}),
                     case([i.int()], [i.int().cumsum(0, dtype=torch.int32)], {"axis": 0}), case([i], None, {"axis": 2}, error="axis 2")]
    a, b = ints(-2, 3, 3, 4), ints(-2, 3, 4)
    out["compare"] = []
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        fn = getattr(torch, name)
        out["compare"] += [case([a, b], [fn(a, b)], {"function": name}, sizes=[free((0, 0), values=[1, 40]), free((0, 1), (1, 0))]),
                           case([a.float(), b.float()], [fn(a, b)], {"function": name}), case([a.long()[:, :1], b.long()], [fn(a[:, :1], b)], {"function": name}),
                           case([f32(NAN, 1), f32(NAN)], [fn(f32(NAN, 1), f32(NAN))], {"function": name})]
    out["compare"] += [case([a > 0, b > 0], [(a > 0) == (b > 0)], {"function": "eq"}), case([a, b], None, {"function": "is"}, error="is"), case([a, b.long()], None, {"function": "eq"}, error="i64")]
    c, p, q = ints(0, 2, 3, 4).bool(), rand(3, 4), rand(4)
    out["where"] = [case([c, p, q], [torch.where(c, p, q)], sizes=[free((0, 0), (1, 0), values=[1, 40]), free((0, 1), (1, 1), (2, 0))]),
                    case([c[:, :1], p[:1], f32(-INF)], [torch.where(c[:, :1], p[:1], f32(-INF))], sizes=[free((0, 0), values=[1, 40]), free((1, 1))]),
                    case([c.int(), i[:, :4][:1], b.long()], [torch.where(c, i[:, :4][:1], b.long())]), case([c.float(), p.half(), q.half()], [torch.where(c, p.half(), q.half())]),
                    case([c, p, b], None, error="i32"), case([c, p, rand(3)], None, error="4 against 3")]
    return out


def copies():
    x = fill((2, 3, 4, 5), 11, -2, 2)
    deep = fill((2, 1, 3, 2, 1, 2, 2, 3), 12, -2, 2)
    sized = {"sizes": [free((0, 1), values=[1, 7, 40]), free((0, 3))]}
    whole = lambda dtype: fill((3, 7), 13, -60, 60).abs().floor().to(dtype)
    out = [case([x], [x], **sized), case([x.half()], [x.half()], **sized), case([deep], [deep]), case([x[0, 0, 0, 0]], [x[0, 0, 0, 0]]), case([x[:, :0]], [x[:, :0]]),
           case([f32(INF, -INF, NAN, -0.0)], [f32(INF, -INF, NAN, -0.0)])]
    kinds = (torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)
    return out + [case([whole(t)], [whole(t)], sizes=[free((0, 0), values=[1, 33]), free((0, 1))]) for t in kinds]


def all_cases():
    t = torch
    cases = {"add": binary("add", t.add, True), "sub": binary("sub", t.sub, True), "mul": binary("mul", t.mul, True), "div": binary("div", t.div, False),
             "maximum": binary("maximum", t.maximum, True), "minimum": binary("minimum", t.minimum, True), "activation": activation()}
    x = rand(3, 9, scale=4.0)
    rows = {"sizes": [free((0, 0), values=[1, 40]), free((0, 1))], "batch": {"inputs": [0], "outputs": [0]}}
    cases["affine"] = [case([x], [x * 0.3 + 1.7], {"scale": 0.3, "offset": 1.7}, 3e-7, **rows), case([x], [x * 0.125], {"scale": 0.125}, **rows), case([x], [x], {})]
    cases["softcap"] = [case([x * 20], [(t.tanh((x * 20).double() / 30) * 30).float()], {"cap": 30}, 6e-7, **rows), case([f32(INF, -INF, NAN)], [f32(50, -50, NAN)], {"cap": 50}, 1e-6),
                        case([x], None, {"cap": 0}, error="above 0")]
    cases["clamp"] = [case([x], [x.clamp(-1, 2.5)], {"min": -1, "max": 2.5}, **rows), case([x], [x.clamp(min=0)], {"min": 0}), case([f32(INF, -INF, NAN)], [f32(INF, -INF, NAN)], {}),
                      case([x], None, {"min": 2, "max": 1}, error="max is 1")]
    cases.update(views())
    cases.update(movement())
    cases["reduce"] = reductions()
    cases["cast"] = casts()
    cases.update(selections())
    cases["copy"] = copies()
    return cases


if __name__ == "__main__":
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../plugins/core/ops")
    for op, cases in all_cases().items():
        write(os.path.join(root, op, op + ".cases"), cases)
