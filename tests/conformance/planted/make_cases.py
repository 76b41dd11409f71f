"""Writes ops/*/*.cases of the planted operators with states: NumPy's values, in f64, of numbers that f32 holds."""
import json
import pathlib
import numpy

here = pathlib.Path(__file__).parent
random = numpy.random.default_rng(20261123)
TITLE = f"# NumPy {numpy.__version__}, seed 20261123; written by tests/conformance/planted/make_cases.py"


def tensor(a, **more):
    return {"shape": list(a.shape), "data": [float(v) for v in a.ravel()], **more}


def write(name, cases):
    (here / "ops" / name / f"{name}.cases").write_text("\n".join([TITLE] + [json.dumps(c, separators=(",", ":")) for c in cases]) + "\n", encoding="utf-8")


def draw(*shape):
    return random.integers(-32, 33, shape) / 16


def trail(rows, tokens, width, past, decay, **more):
    x, state, cache = draw(rows, tokens, width), draw(rows, width), draw(rows, past + tokens, 1, width)
    y, h = numpy.empty_like(x), state.copy()
    for t in range(tokens):
        h = decay * h + x[:, t]
        y[:, t] = h
    kept = cache.copy()
    kept[:, past:, 0] = x
    paged = {"layout": "paged", "past": past, "page_tokens": 16}
    return {"attrs": {"decay": decay}, "inputs": [tensor(x), tensor(state, layout="rows"), tensor(cache, **paged)], "outputs": [tensor(y), tensor(h), tensor(kept)],
            "tol": 1e-6, "in_place": [[1, 1]], **more}


a = draw(3, 4)
write("trail", [trail(2, 3, 4, 2, 0.5, batch={"inputs": [0, 0, 0], "outputs": [0, 0, 0]}), trail(1, 1, 5, 0, 0.25)])
write("twice", [{"inputs": [tensor(a)], "outputs": [tensor(2 * a)]}])
write("rest", [{"inputs": [tensor(a)], "outputs": [tensor(a[1:])]}])
