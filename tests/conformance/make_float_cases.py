#!/usr/bin/env python3
"""Writes the .cases files of the norms, products, convolutions, attention and state space operators with values from PyTorch.

    python3 tests/conformance/make_float_cases.py [plugins]

Values are computed in f64 and rounded once, except where PyTorch's own f32 path is the definition (rotary angles).
"""
import math
import os
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from make_cases import SEED, case, free, tensor, write  # noqa: E402

g = torch.Generator().manual_seed(SEED + 1)
rand = lambda *s, scale=1.0: torch.randn(*s, generator=g) * scale
ids = lambda *v, dtype=torch.int32: torch.tensor(v, dtype=dtype)
up = lambda t: None if t is None else t.double()
INF, NAN = math.inf, math.nan
SMALL = [1, 3, 31, 33, 100]
TOL = 2e-6


def rows(dims=3):
    return [free((0, 0), values=[1, 3, 40]), free((0, dims - 1))]


def norms():
    x = rand(2, 3, 37, scale=2.0) + 0.3
    w, b = rand(37), rand(37)
    odd = torch.stack([torch.zeros(5), torch.full((5,), 1e-20), torch.tensor([INF, 1, 2, 3, 4.0]), torch.tensor([NAN, 1, 2, 3, 4.0]), torch.full((5,), 300.0)])
    batch = {"inputs": [0, -1], "outputs": [0]}
    rms = lambda x, w, eps=1e-6, o=0.0: (up(x) * torch.rsqrt(up(x).square().mean(-1, keepdim=True) + eps) * (1.0 if w is None else up(w) + o)).float()
    weighted = [free((0, 0), values=[1, 3, 40]), free((0, 2), (1, 0))]
    layer = lambda x, w, b, eps=1e-5: F.layer_norm(up(x), (x.shape[-1],), up(w), up(b), eps).float()
    soft = lambda x, axis=-1: torch.softmax(up(x), axis).float()
    masked = torch.tensor([[-INF, 1.0, 2.0], [0.0, -INF, 0.0], [1e4, -1e4, 9.9e3]])
    # More than a device keeps in registers.
    long = lambda ports: [free((0, 1), *((n, 0) for n in range(1, ports)), values=[4096, 4099])]
    return {
        "core/rms_norm": [case([x, w], [rms(x, w)], None, TOL, sizes=weighted, batch=batch), case([x, w], [rms(x, w, 1e-5, 1.0)], {"eps": 1e-5, "weight_offset": 1.0}, TOL, sizes=weighted),
                          case([x, None], [rms(x, None)], None, TOL, sizes=rows()), case([x], [rms(x, None)], None, TOL), case([x[0], w.bfloat16()], [rms(x[0], w.bfloat16())], None, TOL),
                          case([x[0], w.half()], [rms(x[0], w.half())], None, TOL), case([odd[:2], None], [rms(odd[:2], None)], None, TOL),
                          case([x[0], w], [rms(x[0], w)], None, TOL, sizes=long(2)),
                          case([rand(2, 3), rand(4)], None, error="4 against 3")],
        "core/layer_norm": [case([x, w, b], [layer(x, w, b)], None, TOL, sizes=[free((0, 0), values=[1, 3, 40]), free((0, 2), (1, 0), (2, 0))], batch={"inputs": [0, -1, -1], "outputs": [0]}),
                            case([x, w, None], [layer(x, w, None, 1e-12)], {"eps": 1e-12}, TOL), case([x], [layer(x, None, None)], None, TOL),
                            case([x[0], w.half(), b.bfloat16()], [layer(x[0], w.half(), b.bfloat16())], None, TOL), case([odd[4:]], [layer(odd[4:], None, None)], None, TOL),
                            case([x[0], w, b], [layer(x[0], w, b)], None, TOL, sizes=long(3)),
                            case([rand(2, 3), rand(3), rand(2)], None, error="2 against 3")],
        "core/l2_norm": [case([x], [F.normalize(up(x), dim=-1, eps=1e-12).float()], {"eps": 1e-12}, TOL, sizes=rows(), batch={"inputs": [0], "outputs": [0]}),
                         case([odd[:1]], [torch.zeros(1, 5)], {"eps": 1e-6}), case([odd[:1]], [torch.full((1, 5), NAN)]), case([x[0, 0]], [F.normalize(up(x[0, 0]), dim=-1).float()], None, TOL),
                         case([x[0]], [F.normalize(up(x[0]), dim=-1).float()], None, TOL, sizes=long(1))],
        "core/softmax": [case([x], [soft(x)], None, TOL, sizes=rows(), batch={"inputs": [0], "outputs": [0]}), case([x], [soft(x, 1)], {"axis": 1}, TOL), case([x], [soft(x, 0)], {"axis": -3}, TOL),
                         case([masked], [soft(masked)], None, TOL), case([torch.full((2, 3), -INF)], [torch.zeros(2, 3)]), case([odd[3:4]], [torch.full((1, 5), NAN)]),
                         case([x[0]], [soft(x[0])], None, TOL, sizes=long(1)), case([x[0].T], [soft(x[0].T, 0)], {"axis": 0}, TOL, sizes=[free((0, 0), values=[4099])]),
                         case([x], None, {"axis": 3}, error="axis is 3")],
    }


def products():
    out = []
    mm = lambda a, b, t=False, s=1.0: (s * torch.matmul(up(a), up(b).transpose(-1, -2) if t else up(b))).float()
    a, b, bt = rand(2, 3, 5, 7), rand(2, 3, 7, 9), rand(2, 3, 9, 7)
    every = [free((0, 2), values=SMALL), free((0, 3), (1, 2), values=SMALL), free((1, 3), values=SMALL)]
    SUMS = 4e-5  # f32 sums of 100 products of up to 9, against f64
    out.append(case([a, b], [mm(a, b)], None, SUMS, sizes=every, batch={"inputs": [0, 0], "outputs": [0]}))
    out.append(case([a, bt], [mm(a, bt, True, 0.25)], {"transpose_b": True, "scale": 0.25}, SUMS, sizes=[free((0, 2), values=SMALL), free((0, 3), (1, 3), values=SMALL), free((1, 2), values=SMALL)]))
    for p, q in ((a, b[0, 0]), (a, b[:, :1]), (a[0, 0], b), (a[:1, :, :1], b), (a[0, 0], b[0, 0]), (a[:, :1], b[:1])):
        out.append(case([p, q], [mm(p, q)], None, TOL))
    p, q = rand(2, 40, 3, 33), rand(4, 1, 3, 33, 1)
    out.append(case([p[:, :3, :2], q], [mm(p[:, :3, :2], q)], None, TOL))
    out.append(case([torch.zeros(2, 0), torch.zeros(0, 3)], [torch.zeros(2, 3)]))
    out.append(case([rand(2, 3), rand(4, 5)], None, error="3 against 4"))
    out.append(case([rand(3), rand(3, 5)], None, error="rank 1"))
    out.append(case([rand(2, 4, 3), rand(3, 3, 5)], None, error="2 against 3"))
    return {"core/matmul": out}


def convolutions():
    two, one = [], []
    acts = {"none": lambda x: x, "gelu": F.gelu, "relu": F.relu, "silu": F.silu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}

    def conv2(x, w, b, act="none", tokens=False, sizes=None, **kw):
        y = acts[act](F.conv2d(up(x), up(w), up(b), **kw)).float()
        attrs = {k: v if k == "groups" else (list(v) if isinstance(v, tuple) else [v]) for k, v in kw.items()}
        attrs |= {"activation": act} if act != "none" else {}
        attrs |= {"layout_out": "tokens"} if tokens else {}
        extra = {"sizes": sizes} if sizes else {}
        two.append(case([x, w, b], [y.flatten(2).transpose(1, 2).contiguous() if tokens else y], attrs, 1.5e-4 if sizes else TOL * 2, batch={"inputs": [0, -1, -1], "outputs": [0]}, **extra))  # sums of up to 400 products of up to 12, against f64

    x = rand(2, 3, 5, 6)
    conv2(x, rand(5, 3, 3, 3), rand(5), sizes=[free((0, 1), (1, 1), values=[1, 3, 40]), free((1, 0), (2, 0), values=SMALL), free((0, 3), values=[3, 31, 33])])
    conv2(x, rand(5, 3, 3, 3), None, act="gelu", padding=1)
    conv2(x, rand(5, 3, 3, 2), rand(5), stride=(2, 3), padding=(2, 1), dilation=(2, 1))
    conv2(rand(2, 3, 8, 8), rand(18, 3, 4, 4), rand(18), tokens=True, stride=4, sizes=[free((1, 0), (2, 0), values=SMALL)])
    conv2(rand(1, 6, 5, 6), rand(8, 3, 3, 3), rand(8), groups=2, padding=1)
    conv2(rand(2, 6, 5, 6), rand(6, 1, 3, 3), rand(6), act="relu", groups=6, padding=1)
    conv2(rand(1, 4, 9, 7), rand(8, 1, 5, 3), rand(8), tokens=True, groups=4, padding=2, stride=2)
    conv2(x, rand(4, 3, 1, 1), rand(4), act="silu")
    conv2(x[:1], rand(4, 3, 2, 2).half(), rand(4).bfloat16())
    two.append(case([x, rand(5, 2, 3, 3)], None, error="3 against 2"))
    two.append(case([x, rand(2, 3, 12, 3)], None, error="spans 12"))
    two.append(case([x, rand(5, 1, 3, 3)], None, {"groups": 3}, error="5 output channels"))
    two.append(case([x, rand(5, 3, 3, 3)], None, {"activation": "swish"}, error="swish"))
    two.append(case([x, rand(5, 3, 3, 3)], None, {"layout_out": "nhwc"}, error="nhwc"))

    def conv1(x, w, b, act="none", last_in=False, last_out=False, sizes=None, **kw):
        y = acts[act](F.conv1d(up(x), up(w), up(b), **kw)).float()
        attrs = dict(kw)
        attrs |= {"activation": act} if act != "none" else {}
        attrs |= {"layout_in": "nlc"} if last_in else {}
        attrs |= {"layout_out": "nlc"} if last_out else {}
        turn = lambda t, last: t.transpose(1, 2).contiguous() if last else t
        extra = {"sizes": sizes} if sizes else {}
        one.append(case([turn(x, last_in), w, b], [turn(y, last_out)], attrs, 1.5e-4 if sizes else TOL * 2, batch={"inputs": [0, -1, -1], "outputs": [0]}, **extra))  # sums of up to 400 products of up to 12, against f64

    x = rand(2, 10, 13)
    for last_in in (False, True):
        for last_out in (False, True):
            conv1(x, rand(7, 10, 3, scale=0.3), rand(7), "gelu", last_in, last_out, padding=1, stride=2 if last_in else 1,
                  sizes=[free((0, 2 if last_in else 1), (1, 1), values=[1, 31, 40]), free((1, 0), (2, 0), values=SMALL), free((0, 1 if last_in else 2), values=[3, 32, 100])])
    conv1(x, rand(6, 10, 4, scale=0.3), None, padding=3, dilation=2)
    conv1(x, rand(10, 1, 5), rand(10), "relu", groups=10, padding=2)
    conv1(x, rand(20, 5, 3, scale=0.3), rand(20), groups=2, stride=3)
    conv1(x, rand(20, 10, 1, scale=0.3), rand(20), "gelu_tanh")
    conv1(x[:1], rand(4, 10, 3).bfloat16(), rand(4).half())
    one.append(case([x, rand(5, 9, 3)], None, error="10 against 9"))
    one.append(case([x, rand(5, 10, 3)], None, {"stride": 0}, error="stride 0"))
    one.append(case([x, rand(5, 10, 3)], None, {"layout_in": "lnc"}, error="lnc"))
    return {"core/conv2d": two, "core/conv1d": one}


def turn(x, positions, freq, interleaved, scale=1.0):
    angle = (positions.float()[..., None] * freq)[:, :, None].double()  # the product is f32 upstream
    c, s, half = scale * angle.cos(), scale * angle.sin(), freq.shape[0]
    x, y = up(x), up(x).clone()
    a, b = (x[..., 0:2 * half:2], x[..., 1:2 * half:2]) if interleaved else (x[..., :half], x[..., half:2 * half])
    first, second = a * c - b * s, b * c + a * s
    if interleaved:
        y[..., 0:2 * half:2], y[..., 1:2 * half:2] = first, second
    else:
        y[..., :half], y[..., half:2 * half] = first, second
    return y.float()


def rotary():
    x, freq, far = rand(2, 4, 3, 12), 10000.0 ** (-torch.arange(5) / 5.0), 500.0 ** (-torch.arange(5) / 5.0)
    positions = torch.tensor([[0, 1, 2, 3], [70, 71, 4000, 131071]], dtype=torch.int32)
    out = []
    for inter in (False, True):
        a = {"interleaved": True} if inter else {}
        out.append(case([x, positions, freq], [turn(x, positions, freq, inter)], a, 4e-6, batch={"inputs": [0, 0, -1], "outputs": [0]}, sizes=[free((0, 1), (1, 1), values=[1, 3, 40]), free((0, 2), values=SMALL)]))
        out.append(case([x, positions.long(), freq[:3]], [turn(x, positions, freq[:3], inter, 1.25)], a | {"scale": 1.25}, 4e-6))
        both = torch.cat([turn(x[:1], positions[:1], freq, inter, 0.5), turn(x[1:], positions[1:], far, inter, 1.5)])
        out.append(case([x, positions, freq, far], [both], a | {"scale": 0.5, "switch_length": 71, "long_scale": 1.5}, 4e-6))
    full = rand(1, 4, 2, 10)
    out.append(case([full, positions[:1], freq], [turn(full, positions[:1], freq, False)], None, 4e-6))
    out.append(case([full, positions[:1], rand(6)], None, error="12 elements, heads have 10"))
    out.append(case([full, positions[:1, :3], freq], None, error="4 against 3"))
    out.append(case([full, positions[:1], freq], None, {"switch_length": 4}, error="long_inv_freq is absent"))
    return {"attention/rope": out}


def attend(q, k, v, bias=None, mask=None, scale=None, causal=False, window=0, softcap=0.0, first=0, lengths=None):
    """torch.nn.functional.scaled_dot_product_attention where it can say it (no cap), the same sums in f64 where it cannot."""
    q, k, v = (up(t).transpose(1, 2) for t in (q, k, v))
    t, s, group = q.shape[2], k.shape[2], q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    query, key = torch.arange(s - t, s)[:, None], torch.arange(s)[None]
    seen = torch.ones(t, s, dtype=torch.bool)
    if causal:
        seen &= key <= query
    if window:
        seen &= key > query - window if causal else (key - query).abs() <= window
    seen &= key >= first
    seen = seen[None, None].expand(q.shape[0], 1, t, s).clone()
    if mask is not None:
        seen &= (mask != 0)[:, None, None]
    low = torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, torch.finfo(torch.float64).min)
    if bias is not None:
        low = low + up(bias).repeat(q.shape[0] // bias.shape[0], 1, 1, 1)
    low = low.clamp(min=torch.finfo(torch.float64).min)
    scale = scale or q.shape[-1] ** -0.5
    if softcap == 0.0:
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=low, scale=scale)
    else:
        y = torch.softmax(softcap * torch.tanh(q @ k.transpose(2, 3) * scale / softcap) + low, -1) @ v
    return y.transpose(1, 2).contiguous().float()


def attention():
    out = []
    rand = lambda *s: (torch.randn(*s, generator=g) * 32).round() / 32  # short to write
    batch3 = {"inputs": [0, 0, 0], "outputs": [0]}
    q, k, v = rand(2, 3, 4, 4), rand(2, 6, 2, 4), rand(2, 6, 2, 3)
    LONG = 1e-5  # scores of 100 products of up to 9, against f64
    every = [free((0, 1), values=SMALL), free((1, 1), (2, 1), values=[100, 130, 600]), free((0, 3), (1, 3), values=SMALL), free((2, 3), values=SMALL)]
    out.append(case([q, k, v], [attend(q, k, v)], None, LONG, batch=batch3, sizes=every))
    out.append(case([q, k, v], [attend(q, k, v, causal=True)], {"causal": True}, LONG, batch=batch3, sizes=every))
    out.append(case([q, k, v], [attend(q, k, v, causal=True, window=3)], {"causal": True, "window": 3}, LONG, batch=batch3, sizes=every))
    s = rand(1, 12, 2, 5), rand(1, 12, 2, 5), rand(1, 12, 2, 5)
    out.append(case(s, [attend(*s, window=2)], {"window": 2}, 4e-6))
    out.append(case([q * 3, k, v], [attend(q * 3, k, v, causal=True, softcap=2.5, scale=0.7)], {"causal": True, "softcap": 2.5, "scale": 0.7}, LONG, sizes=every))
    for shape in ((2, 4, 3, 6), (1, 4, 3, 6), (2, 1, 3, 6)):
        bias = rand(*shape)
        out.append(case([q, k, v, bias], [attend(q, k, v, bias)], None, 4e-6, batch={"inputs": [0, 0, 0, 0 if shape[0] == 2 else -1], "outputs": [0]}))
    w = rand(4, 5, 2, 8), rand(4, 5, 2, 8), rand(4, 5, 2, 8)
    bias = rand(2, 2, 5, 5)
    bias[:, :, 1, 3] = -INF
    out.append(case([*w, bias], [attend(*w, bias)], None, 4e-6))
    mask = torch.tensor([[1] * 6, [1, 1, 0, 1, 0, 0]])
    for m in (mask.bool(), mask.long(), mask.float()):
        out.append(case([q, k, v, None, m], [attend(q, k, v, mask=m)], None, 4e-6, batch={"inputs": [0, 0, 0, -1, 0], "outputs": [0]}))
    left = torch.tensor([[0] * 5 + [1], [0, 0, 1, 1, 1, 1]])  # the first queries of row 0 see nothing
    out.append(case([q, k, v, None, left.bool()], [attend(q, k, v, mask=left, causal=True)], {"causal": True}, 4e-6))
    f = rand(1, 1, 8, 6), rand(1, 7, 2, 6), rand(1, 7, 2, 6)
    out.append(case(f, [attend(*f, causal=True)], {"causal": True}, LONG, sizes=[free((1, 1), (2, 1), values=[1, 33, 600, 1300])]))
    for kind in (torch.float32, torch.float16, torch.bfloat16):
        for t, extra, kw in ((1, {}, {}), (4, {"window": 7}, {"window": 7}), (10, {}, {})):
            p = rand(2, t, 2, 6), rand(2, 11, 1, 6).to(kind), rand(2, 11, 1, 3).to(kind)
            paged = [tensor(x, layout="paged", page_tokens=5) for x in p[1:]]
            out.append(case([p[0], *paged], [attend(*p, causal=True, **kw)], {"causal": True, **extra}, 4e-6, batch=batch3))
    p = rand(1, 2, 2, 8), rand(1, 23, 1, 8).half(), rand(1, 23, 1, 8).half()
    paged = [tensor(x, layout="paged", page_tokens=8, first=17) for x in p[1:]]
    out.append(case([p[0], *paged], [attend(*p, causal=True, window=10, first=17)], {"causal": True, "window": 10}, 4e-6))
    out.append(case([q, k[:, :5], v], None, error="5 against 6"))
    out.append(case([q[:, :, :3], k, v], None, error="3 query heads"))
    out.append(case([q, k, v, rand(2, 3, 3, 6)], None, error="3 against 4"))
    out.append(case([q, k, v], None, {"window": -1}, error="-1"))
    return {"attention/attention": out}


def appends():
    out = []
    for kind in (torch.float32, torch.float16, torch.bfloat16):
        for past, t in ((0, 3), (7, 1), (6, 9)):
            x, total = rand(2, t, 2, 7, scale=3.0), past + t
            before = (rand(2, total, 2, 7) * 8).round().to(kind)
            after = torch.cat([before[:, :past], x.to(kind)], 1)
            out.append(case([tensor(before, layout="paged", page_tokens=5, past=past), x], [tensor(after, layout="paged")], None, batch={"inputs": [0, 0], "outputs": [0]}))
    x = torch.tensor([65504.0, 65519.9, 65520.0, 1e-8, -6e-8, 1.00048828125, 1.00146484375, -0.0, INF, NAN]).reshape(1, 1, 1, 10)
    for kind in (torch.float16, torch.bfloat16):
        out.append(case([tensor(torch.zeros(1, 1, 1, 10, dtype=kind), layout="paged", past=0), x], [tensor(x.to(kind), layout="paged")]))
    out.append(case([tensor(rand(1, 5, 3, 10), layout="paged", past=0), rand(1, 5, 2, 10)], None, error="3 against 2"))
    return {"attention/cache_append": out}


def scans():
    conv, scan = [], []
    for taps, t, act in ((4, 6, "silu"), (4, 1, "silu"), (2, 5, "none"), (1, 3, "none"), (4, 2, "silu")):
        x, w, b, state = rand(2, t, 9), rand(9, 1, taps), rand(9), rand(2, 9, taps - 1)
        line = torch.cat([state, x.transpose(1, 2)], -1)
        y = F.conv1d(up(line), up(w), up(b), groups=9)
        y = (F.silu(y) if act == "silu" else y).transpose(1, 2).contiguous().float()
        new = line[:, :, line.shape[-1] - (taps - 1):].contiguous()
        sizes = {"sizes": [free((0, 1), values=[1, 3, 40]), free((0, 2), (1, 0), (2, 0), (3, 1), values=SMALL)]} if taps == 4 else {}
        conv.append(case([x, w, b, tensor(state, layout="rows")], [y, tensor(new, layout="rows")], {"activation": act}, TOL, batch={"inputs": [0, -1, -1, 0], "outputs": [0, 0]}, in_place=[[1, 3]], **sizes))
    x, w, state = rand(1, 3, 5), rand(5, 3), rand(1, 5, 2)
    line = torch.cat([state, x.transpose(1, 2)], -1)
    conv.append(case([x, w.bfloat16(), None, tensor(state, layout="rows")], [F.conv1d(up(line), up(w.bfloat16())[:, None], groups=5).transpose(1, 2).contiguous().float(), tensor(line[:, :, 3:].contiguous(), layout="rows")], None, TOL))
    conv.append(case([x, rand(5, 1, 4), None, tensor(state, layout="rows")], None, n_outputs=2, error="3 against 4"))
    conv.append(case([x, w, None, tensor(state, layout="rows")], None, {"activation": "gelu"}, n_outputs=2, error="gelu"))

    def reference(u, delta, a, b, c, d, z, bias, h, softplus):
        u, delta, a, b, c, d, z, bias, h = map(up, (u, delta, a, b, c, d, z, bias, h))
        delta = delta if bias is None else delta + bias
        delta = F.softplus(delta) if softplus else delta
        ys = []
        for t in range(u.shape[1]):
            h = torch.exp(a[None] * delta[:, t, :, None]) * h + delta[:, t, :, None] * b[:, t, None] * u[:, t, :, None]
            ys.append((h * c[:, t, None]).sum(-1))
        y = torch.stack(ys, 1)
        y = y if d is None else y + u * d
        y = y if z is None else y * F.silu(z)
        return y.float(), h.float()

    for t, n, full, softplus in ((5, 8, True, True), (1, 16, True, True), (7, 3, False, True), (4, 4, True, False)):
        c = 9
        u, delta, a = rand(2, t, c), rand(2, t, c) if softplus else rand(2, t, c).abs() * 0.3, -rand(c, n).abs()
        b, cc, h = rand(2, t, n), rand(2, t, n), rand(2, c, n)
        d, z, bias = (rand(c), rand(2, t, c), rand(c)) if full else (None, None, None)
        y, new = reference(u, delta, a, b, cc, d, z, bias, h, softplus)
        sizes = {"sizes": [free((0, 1), (1, 1), (3, 1), (4, 1), (6, 1), values=[1, 3, 40]), free((0, 2), (1, 2), (2, 0), (5, 0), (6, 2), (7, 0), (8, 1), values=SMALL)]} if full and softplus else {}
        scan.append(case([u, delta, a, b, cc, d, z, bias, tensor(h, layout="rows")], [y, tensor(new, layout="rows")], {} if softplus else {"delta_softplus": False}, 4e-5 if sizes else 6e-6,  # f32 recurrences over 40 tokens of products of up to 30, against f64
                         batch={"inputs": [0, 0, -1, 0, 0, -1, 0, -1, 0], "outputs": [0, 0]}, in_place=[[1, 8]], **sizes))
    scan.append(case([u, delta, a, b[:, :, :3].contiguous(), cc, d, z, bias, tensor(h, layout="rows")], None, n_outputs=2, error="3 against 4"))
    return {"ssm/causal_conv1d": conv, "ssm/selective_scan": scan}


def probabilities():
    out = []
    rand = lambda *s: (torch.randn(*s, generator=g) * 32).round() / 32  # short to write

    def weights(q, k, *args, **kw):
        """scaled_dot_product_attention over values of which the s-th is the s-th unit vector."""
        v = torch.eye(k.shape[1])[None, :, None].expand(k.shape[0], -1, k.shape[2], -1)
        return attend(q, k, v, *args, **kw).transpose(1, 2).contiguous()

    batch2 = {"inputs": [0, 0], "outputs": [0]}
    q, k = rand(2, 3, 4, 4), rand(2, 6, 2, 4)
    LONG = 1e-5  # scores of 100 products of up to 9, against f64
    every = [free((0, 1), values=SMALL), free((1, 1), values=[100, 130, 600]), free((0, 3), (1, 3), values=SMALL)]
    out.append(case([q, k], [weights(q, k)], None, LONG, batch=batch2, sizes=every))
    out.append(case([q, k], [weights(q, k, causal=True)], {"causal": True}, LONG, batch=batch2, sizes=every))
    out.append(case([q, k], [weights(q, k, causal=True, window=3)], {"causal": True, "window": 3}, LONG, batch=batch2, sizes=every))
    s = rand(1, 12, 2, 5), rand(1, 12, 2, 5)
    out.append(case(s, [weights(*s, window=2)], {"window": 2}, 4e-6))
    out.append(case([q * 3, k], [weights(q * 3, k, causal=True, softcap=2.5, scale=0.7)], {"causal": True, "softcap": 2.5, "scale": 0.7}, LONG, sizes=every))
    for shape in ((2, 4, 3, 6), (1, 4, 3, 6), (2, 1, 3, 6)):
        bias = rand(*shape)
        out.append(case([q, k, bias], [weights(q, k, bias)], None, 4e-6, batch={"inputs": [0, 0, 0 if shape[0] == 2 else -1], "outputs": [0]}))
    bias[:, :, 1, 3] = -INF
    out.append(case([q, k, bias], [weights(q, k, bias)], None, 4e-6))
    mask = torch.tensor([[1] * 6, [1, 1, 0, 1, 0, 0]])
    for m in (mask.bool(), mask.long(), mask.float()):
        out.append(case([q, k, None, m], [weights(q, k, mask=m)], None, 4e-6, batch={"inputs": [0, 0, -1, 0], "outputs": [0]}))
    left = torch.tensor([[0] * 5 + [1], [0, 0, 1, 1, 1, 1]])  # the first queries of row 0 see nothing
    out.append(case([q, k, None, left.bool()], [weights(q, k, mask=left, causal=True)], {"causal": True}, 4e-6))
    for kind in (torch.float32, torch.float16, torch.bfloat16):
        for t, extra in ((1, {}), (4, {"window": 7})):
            p = rand(2, t, 2, 6), rand(2, 11, 1, 6).to(kind)
            out.append(case([p[0], tensor(p[1], layout="paged", page_tokens=5)], [weights(*p, causal=True, **extra)], {"causal": True, **extra}, 4e-6, batch=batch2))
    p = rand(1, 2, 2, 8), rand(1, 23, 1, 8).half()
    out.append(case([p[0], tensor(p[1], layout="paged", page_tokens=8, first=17)], [weights(*p, causal=True, window=10, first=17)], {"causal": True, "window": 10}, 4e-6))
    out.append(case([q, k[:1]], None, error="2 against 1"))
    out.append(case([q[:, :, :3], k], None, error="3 query heads"))
    out.append(case([q, k, rand(2, 3, 3, 6)], None, error="3 against 4"))
    out.append(case([q, k], None, {"window": -1}, error="-1"))
    return {"attention/attention_probabilities": out}


def layers():
    """turn, append and attend one after the other; torch rounds to the cache's type, q8_0 by the recipe of the GGUF type."""
    out, freq, far = [], 10000.0 ** (-torch.arange(3) / 3.0), 500.0 ** (-torch.arange(3) / 3.0)
    rand = lambda *s: (torch.randn(*s, generator=g) * 4).round() / 4  # short to write
    every = {"inputs": [0, 0, 0, 0, 0, 0, -1], "outputs": [0, 0, 0]}

    def layer(q, k, v, before, past, positions, inter=False, rope_scale=1.0, turned=None, **kw):
        """y and the states after the run. before: keys and values, with room for the new ones."""
        q, k = turned or (turn(x, positions, freq, inter, rope_scale) for x in (q, k))
        after = [torch.cat([old[:, :past], new.to(old.dtype)], 1) for old, new in zip(before, (k, v))]
        return [attend(q, *(x.float() for x in after), **{"causal": True} | kw), *(tensor(x, layout="paged") for x in after)]

    def paged(before, past, **extra):
        return [tensor(x, layout="paged", page_tokens=5, past=past, **extra) for x in before]

    at = lambda past, t: torch.stack([torch.arange(past, past + t), torch.arange(past, past + t) + 60]).int()
    # a turned key may round to either of two neighbours of the cache's type
    for kind, width, tol, runs in ((torch.float32, 8, 4e-6, ((False, 0, 2, 4, {}), (False, 1, 9, 2, {"softcap": 1.5, "scale": 0.7}))), (torch.float16, 8, 1e-3, ((True, 7, 1, 4, {}), (False, 4, 3, 4, {"window": 3}))),
                                   (torch.bfloat16, 7, 8e-3, ((False, 0, 2, 4, {}), (True, 4, 3, 2, {"window": 3})))):
        for inter, past, t, heads, attrs in runs:
            q, k, v, positions = rand(2, t, heads, width), rand(2, t, heads // 2, width), rand(2, t, heads // 2, 5), at(past, t)
            before = [rand(2, past + t, heads // 2, w).to(kind) for w in (width, 5)]
            out.append(case([q, k, v, *paged(before, past), positions, freq], layer(q, k, v, before, past, positions, inter, **attrs), attrs | ({"interleaved": True} if inter else {}), tol, batch=every))
    # more tokens than a device splits among workgroups; one key head; more keys than a chunk
    for t, past in ((11, 0), (1, 70)):
        q, k, v, positions = rand(1, t, 3, 6), rand(1, t, 1, 6), rand(1, t, 1, 4), at(past, t)[:1]
        before = [rand(1, past + t, 1, w).half() for w in (6, 4)]
        out.append(case([q, k, v, *paged(before, past), positions, freq], layer(q, k, v, before, past, positions, rope_scale=1.25), {"rope_scale": 1.25}, 1e-3))
    # blocks of a cache of q8_0: integers of which each block's largest is 127 are what they were; keys that are not turned, too
    q, positions = rand(2, 1, 2, 32), at(2, 1)
    before = [torch.randint(-127, 128, (2, 3, 1, 32), generator=g).float() for _ in range(2)]
    for x in before:
        x[..., 0] = 127
    still = [tensor(x, type="q8_0", layout="paged", page_tokens=5, past=2) for x in before]
    k, v, none = before[0][:, 2:] / 16, before[1][:, 2:] / 16, torch.zeros(16)
    whole = [torch.cat([x[:, :2], x[:, 2:] / 16], 1) for x in before]
    y = attend(q, *whole, causal=True, scale=0.001)
    out.append(case([q, k, v, *still, positions, none], [y, *(tensor(x, type="q8_0", layout="paged") for x in whole)], {"scale": 0.001}, 1e-4, batch=every))
    # biases, masks, pages that are gone, two tables
    q, k, v, positions = rand(2, 3, 4, 6), rand(2, 3, 2, 6), rand(2, 3, 2, 3), at(3, 3)
    before = [rand(2, 6, 2, w) for w in (6, 3)]
    mask = torch.tensor([[1] * 6, [1, 1, 0, 1, 0, 1]])
    for shape, hides in (((2, 4, 3, 6), None), ((1, 1, 3, 6), mask.bool())):
        bias = rand(*shape)
        out.append(case([q, k, v, *paged(before, 3), positions, freq, None, bias, hides], layer(q, k, v, before, 3, positions, bias=bias, mask=hides), None, 4e-6))
    out.append(case([q, k, v, *paged(before, 3), positions, freq, None, None, mask], layer(q, k, v, before, 3, positions, mask=mask, causal=False), {"causal": False}, 4e-6))
    left = torch.tensor([[0] * 6, [0, 0, 0, 0, 1, 1]])  # row 0 and the first query of row 1 see nothing
    out.append(case([q, k, v, *paged(before, 3), positions, freq, None, None, left], layer(q, k, v, before, 3, positions, mask=left), None, 4e-6))
    long, q, k, v = [rand(1, 23, 2, w).half() for w in (6, 3)], q[:1], k[:1], v[:1]
    out.append(case([q, k, v, *paged(long, 20, first=10), positions[:1], freq], layer(q, k, v, long, 20, positions[:1], window=10, first=10), {"window": 10}, 1e-3))
    q, k, positions = rand(2, 3, 2, 6), rand(2, 3, 1, 6), torch.tensor([[0, 1, 2], [9, 10, 11]], dtype=torch.int32)
    both = [torch.cat([turn(x[:1], positions[:1], freq, False, 0.5), turn(x[1:], positions[1:], far, False, 1.5)]) for x in (q, k)]
    empty = [torch.zeros(2, 3, 1, 6)] * 2
    attrs = {"rope_scale": 0.5, "switch_length": 11, "long_rope_scale": 1.5}
    out.append(case([q, k, k, *paged(empty, 0), positions, freq, far], layer(q, k, k, empty, 0, positions, turned=both), attrs, 4e-6))
    q, k, positions, few = q[:1], k[:1], positions[:1], paged([x[:1] for x in empty], 0)
    wrong = lambda text, attrs=None, k=k, v=k, rest=(): out.append(case([q, k, v, *few, positions, freq, *rest], None, attrs, n_outputs=3, error=text))
    wrong("long_inv_freq is absent", attrs)
    wrong("3 against 2", k=k[:, :2])
    wrong("1 against 2", v=q)
    wrong("-1", {"window": -1})
    wrong("width of v_state against v: 6 against 5", v=k[..., :5])
    wrong("2 against 3", rest=(None, rand(1, 2, 2, 3)))
    wrong("4 keys", rest=(None, None, torch.ones(1, 4)))
    return {"attention/rope_attention": out}


if __name__ == "__main__":
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../plugins")
    for make in (norms, products, convolutions, rotary, attention, appends, scans, probabilities, layers):
        for path, cases in make().items():
            family, op = path.split("/")
            write(os.path.join(root, family, "ops", op, op + ".cases"), cases, seed=SEED + 1)
