"""Writes type_cases.txt: random blocks of every type, dequantised by PyPI gguf, and random rows quantised by it.

usage: python make_type_cases.py > type_cases.txt     (needs gguf and numpy)
"""
import sys
from importlib.metadata import version

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

SEED = 20261122
rng = np.random.default_rng(SEED)
print(f"# PyPI gguf {version('gguf')}, numpy {np.__version__}, seed {SEED}, made by make_type_cases.py. Bytes and little-endian binary32 in hex.")
print("# dequantise TYPE BLOCK_ELEMS BLOCK_BYTES: source bytes, then f32.  quantise TYPE: source f32, then bytes.")
# Offsets of f16 fields in a block: kept finite (a NaN's payload is not specified), subnormals included.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2],
          "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [], "F16": [0], "BF16": [], "F32": []}
for name, fields in HALVES.items():
    elems, size = GGML_QUANT_SIZES[T[name]]
    count = {1: 64, 32: 6, 256: 2}[elems]
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for field in fields:
        half = rng.integers(0, 0x7C00, count, dtype=np.uint16) | (rng.integers(0, 2, count, dtype=np.uint16) << 15)
        half[0] &= 0x83FF  # subnormal
        blocks[:, field:field + 2] = half.view(np.uint8).reshape(count, 2)
    if name == "MXFP4":
        blocks[:3, 0] = [0, 1, 254]
    if name == "F32":
        blocks = rng.standard_normal(count, dtype=np.float32).view(np.uint8).reshape(count, 4)
    if name == "BF16":
        blocks[:, 1] &= 0xBF  # finite
    values = dequantize(blocks.reshape(1, -1), T[name]).astype(np.float32)
    print("dequantise", name.lower(), elems, size, blocks.tobytes().hex(), values.tobytes().hex())
for name in ["F16", "BF16", "Q4_0", "Q8_0"]:
    rows = (rng.standard_normal((6, 32), dtype=np.float32) * np.float32(10.0) ** rng.integers(-6, 4, (6, 1)).astype(np.float32)).astype(np.float32)
    rows[1] = 0
    with np.errstate(over="ignore"):
        print("quantise", name.lower(), rows.tobytes().hex(), quantize(rows, T[name]).tobytes().hex())
