#!/usr/bin/env python3
"""Writes @name@.cases beside this file: values of NumPy in f64. The format is told in the kit's README (tests/conformance)."""
import json
import pathlib

import numpy

SEED = 1


def tensor(x):
    flat = [float(f"{v:.9g}") for v in numpy.asarray(x, numpy.float32).ravel()]
    return dict(shape=list(numpy.shape(x)), data=["nan" if v != v else "inf" if v == numpy.inf else "-inf" if v == -numpy.inf else v for v in flat])


def softsign(v):
    with numpy.errstate(invalid="ignore"):
        return v / (1 + numpy.abs(v))


def case(name, x, w, scale=None, **more):
    x, w = numpy.asarray(x, numpy.float32), numpy.asarray(w, numpy.float32)
    y = w.astype(float) * softsign((1.0 if scale is None else scale) * x.astype(float))
    attrs = {} if scale is None else dict(scale=scale)
    return dict(name=name, attrs=attrs, inputs=[tensor(x), tensor(w)], outputs=[tensor(y)], tol=1e-6, **more)


def main():
    random = numpy.random.default_rng(SEED)
    # batch: slices along axis 0 run alone give the same bits. sizes: axes whose extents the kit draws itself.
    widths = dict(dims=[[0, 1], [1, 0]], values=[1, 7, 31, 32, 33, 256, 1000])
    rows = dict(dims=[[0, 0]], values=[0, 1, 3, 65])
    batch = dict(inputs=[0, -1], outputs=[0])
    normal = lambda *shape: random.standard_normal(shape) * 3
    cases = [
        case("two axes", normal(3, 37), normal(37), batch=batch, sizes=[widths, rows]),
        case("scaled", normal(2, 3, 8), normal(8), scale=-2.5, batch=batch),
        case("one axis", normal(5), normal(5)),
        case("no rows", numpy.zeros((0, 4)), normal(4)),
        case("extremes", [[0.0, -0.0, 1e-30, -3e38, numpy.nan]], [1, 1, 1, 2, 1]),
        case("infinity", [[numpy.inf, -numpy.inf]], [1, 1]),
        dict(name="w of another width", inputs=[tensor(normal(2, 4)), tensor(normal(3))], error="3 against 4"),
        dict(name="w with two axes", inputs=[tensor(normal(2, 4)), tensor(normal(1, 4))], error="w has rank 2"),
    ]
    lines = [f"# NumPy {numpy.__version__}, seed {SEED}; written by make_cases.py"] + [json.dumps(c, separators=(",", ":")) for c in cases]
    pathlib.Path(__file__).with_name("@name@.cases").write_text("\n".join(lines) + "\n")


main()
