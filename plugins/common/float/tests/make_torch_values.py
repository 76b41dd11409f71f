#!/usr/bin/env python3
"""Writes torch_values.hpp: results of PyTorch's own f32 operators for inputs that support.hpp's fill() makes.

    python3 plugins/common/float/tests/make_torch_values.py
"""
import os
import sys

import torch
import torch.nn.functional as F

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "../../../../tests/conformance"))
from make_cases import fill  # noqa: E402

x = lambda seed, *shape, low=-1.0, high=1.0: fill(list(shape), seed, low, high)

q, k, v, bias = x(1, 2, 5, 4, 24, low=-2, high=2), x(2, 2, 9, 2, 24, low=-2, high=2), x(3, 2, 9, 2, 12), x(4, 4, 5, 9)
heads = lambda t, group=1: t.transpose(1, 2).repeat_interleave(group, 1)
sdpa = lambda mask: F.scaled_dot_product_attention(heads(q), heads(k, 2), heads(v, 2), attn_mask=mask).transpose(1, 2)
causal = torch.full((5, 9), -torch.inf).triu(5)
values = {
    "kLinearGelu": F.gelu(F.linear(x(5, 7, 100), x(6, 19, 100), x(7, 19))),
    "kLinearGeluTanh": F.gelu(F.linear(x(5, 7, 100), x(6, 19, 100), x(7, 19)), approximate="tanh"),
    "kLinearSilu": F.silu(F.linear(x(5, 7, 100), x(6, 19, 100), x(7, 19))),
    "kAttentionBias": sdpa(bias[None].expand(2, -1, -1, -1)),
    "kAttentionCausal": sdpa(causal),
    "kConv": F.conv2d(x(8, 1, 6, 9, 8), x(9, 5, 6, 3, 3), x(10, 5), stride=2, padding=1),
    "kLayerNorm": F.layer_norm(x(11, 3, 33, low=-3, high=5), (33,), x(12, 33), x(13, 33)),
    "kRmsNorm": F.rms_norm(x(11, 3, 33, low=-3, high=5), (33,), x(12, 33), 1e-6),
    "kLogSoftmax": F.log_softmax(x(11, 3, 33, low=-3, high=5), -1),
    "kSoftplus": F.softplus(x(14, 40, low=-30, high=30)),
    "kErf": torch.erf(x(15, 40, low=-5, high=5)),
}
with open(os.path.join(here, "torch_values.hpp"), "w", encoding="utf-8") as out:
    out.write(f"// Written by make_torch_values.py: PyTorch {torch.__version__}, f32 on the CPU; inputs are fill() with the seeds named there.\n#pragma once\n\nnamespace orrery::flt {{\n\n")
    for name, tensor in values.items():
        flat = tensor.contiguous().reshape(-1).tolist()
        out.write(f"inline constexpr float {name}[] = {{\n")
        for i in range(0, len(flat), 10):
            out.write("    " + ", ".join(f"{f:.9e}f" for f in flat[i:i + 10]) + ",\n")
        out.write("};\n")
    out.write("\n}  // namespace orrery::flt\n")
