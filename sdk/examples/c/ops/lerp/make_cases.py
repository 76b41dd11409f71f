#!/usr/bin/env python3
"""Writes lerp.cases beside this file: values of NumPy in f64."""
import json
import pathlib

import numpy

SEED = 2


def tensor(x):
    return dict(shape=list(x.shape), data=[float(f"{v:.9g}") for v in x.astype(numpy.float32).ravel()])


def case(name, a, b, t, **more):
    a, b = a.astype(numpy.float32), b.astype(numpy.float32)
    y = a.astype(float) + t * (b.astype(float) - a)
    return dict(name=name, attrs=dict(t=t), inputs=[tensor(a), tensor(b)], outputs=[tensor(y)], tol=1e-6, **more)


def main():
    random = numpy.random.default_rng(SEED)
    normal = lambda *shape: random.standard_normal(shape)
    sizes = [dict(dims=[[0, 1], [1, 1]], values=[1, 31, 32, 33, 256, 1000]), dict(dims=[[0, 0], [1, 0]], values=[0, 1, 70])]
    cases = [
        case("between", normal(3, 37), normal(3, 37), 0.25, batch=dict(inputs=[0, 0], outputs=[0]), sizes=sizes),
        case("beyond", normal(2, 2, 5), normal(2, 2, 5), -1.5),
        case("start", normal(4), normal(4), 0.0),
        case("scalar", normal(), normal(), 0.5),
        case("nothing", normal(0, 3), normal(0, 3), 0.5),
        dict(name="another shape", attrs=dict(t=0.5), inputs=[tensor(normal(2, 3)), tensor(normal(2, 4))], error="3 against 4"),
        dict(name="another rank", attrs=dict(t=0.5), inputs=[tensor(normal(2, 3)), tensor(normal(3))], error="b has rank 1"),
    ]
    lines = [f"# NumPy {numpy.__version__}, seed {SEED}; written by make_cases.py"] + [json.dumps(c, separators=(",", ":")) for c in cases]
    pathlib.Path(__file__).with_name("lerp.cases").write_text("\n".join(lines) + "\n")


main()
