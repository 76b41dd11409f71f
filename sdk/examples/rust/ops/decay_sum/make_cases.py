#!/usr/bin/env python3
"""Writes decay_sum.cases beside this file: values of NumPy in f64."""
import json
import pathlib

import numpy

SEED = 4


def tensor(x):
    return dict(shape=list(x.shape), data=[float(f"{v:.9g}") for v in x.astype(numpy.float32).ravel()])


def decay_sum(x, decay):
    # As a product with the matrix of powers: another way round than the kernels go.
    n = x.shape[-1]
    lag = numpy.arange(n)[:, None] - numpy.arange(n)[None, :]
    powers = numpy.where(lag >= 0, float(decay) ** numpy.maximum(lag, 0), 0)
    return x @ powers.T


def case(name, x, decay, **more):
    x = x.astype(numpy.float32)
    return dict(name=name, attrs=dict(decay=decay), inputs=[tensor(x)], outputs=[tensor(decay_sum(x.astype(float), decay))], tol=1e-5, **more)


def main():
    random = numpy.random.default_rng(SEED)
    normal = lambda *shape: random.standard_normal(shape)
    sizes = [dict(dims=[[0, 1]], values=[0, 1, 31, 32, 33, 256]), dict(dims=[[0, 0]], values=[0, 1, 70])]
    cases = [
        case("two axes", normal(3, 37), 0.5, batch=dict(inputs=[0], outputs=[0]), sizes=sizes),
        case("plain sum", normal(2, 2, 9), 1.0),
        case("no memory", normal(2, 5), 0.0),
        case("one axis", normal(20), 0.9),
        dict(name="no axis", attrs=dict(decay=0.5), inputs=[tensor(normal())], error="x has rank 0"),
        dict(name="decay above 1", attrs=dict(decay=1.5), inputs=[tensor(normal(2, 3))], error="decay is 1.5"),
    ]
    lines = [f"# NumPy {numpy.__version__}, seed {SEED}; written by make_cases.py"] + [json.dumps(c, separators=(",", ":")) for c in cases]
    pathlib.Path(__file__).with_name("decay_sum.cases").write_text("\n".join(lines) + "\n")


main()
