#!/usr/bin/env python3
"""Writes mean_abs_norm.cases beside this file: values of NumPy in f64."""
import json
import pathlib

import numpy

SEED = 3


def tensor(x):
    return dict(shape=list(x.shape), data=[float(f"{v:.9g}") for v in x.astype(numpy.float32).ravel()])


def case(name, x, eps=None, **more):
    x = x.astype(numpy.float32)
    wide = x.astype(float)
    y = wide / (numpy.abs(wide).mean(-1, keepdims=True) + (1e-6 if eps is None else eps))
    return dict(name=name, attrs={} if eps is None else dict(eps=eps), inputs=[tensor(x)], outputs=[tensor(y)], tol=2e-6, **more)


def main():
    random = numpy.random.default_rng(SEED)
    normal = lambda *shape: random.standard_normal(shape) * 3
    batch = dict(inputs=[0], outputs=[0])
    sizes = [dict(dims=[[0, 1]], values=[1, 7, 8, 9, 31, 256, 257, 1000]), dict(dims=[[0, 0]], values=[0, 1, 70])]
    cases = [
        case("two axes", normal(3, 37), batch=batch, sizes=sizes),
        case("three axes", normal(2, 3, 8), eps=0.5, batch=batch),
        case("one axis", normal(300)),
        case("zeros", numpy.zeros((2, 4))),
        case("large", normal(2, 5) * 1e30),
        dict(name="no axis", inputs=[tensor(normal())], error="x has rank 0"),
    ]
    lines = [f"# NumPy {numpy.__version__}, seed {SEED}; written by make_cases.py"] + [json.dumps(c, separators=(",", ":")) for c in cases]
    pathlib.Path(__file__).with_name("mean_abs_norm.cases").write_text("\n".join(lines) + "\n")


main()
