#!/usr/bin/env python3
"""Tests of `orrery probe`: what PyTorch with hooks gives on the same models (tests/models/make_probe.py), pictures, bad input. Standard library only.
usage: probe_test.py ORRERY [unittest arguments]       ORRERY: the built command"""
import json, math, os, struct, subprocess, sys, tempfile, unittest, zlib

import tiny_models as tiny

ORRERY = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "orrery"
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../models/golden")
TOLERANCE = 1e-4


def run(*arguments, env=None):
    r = subprocess.run([ORRERY, *map(str, arguments)], capture_output=True, timeout=300, cwd="/", env=env or {})
    r.stdout, r.stderr = r.stdout.decode(), r.stderr.decode()
    return r


def devices():
    """The processor, and a Vulkan device where there is one that works."""
    trial = run("probe", "similarity", os.path.join(GOLDEN, "llama"), "--ids", "5", "--device", "vulkan")
    return ["cpu"] + (["vulkan"] if trial.returncode == 0 else [])


def read_png(path):
    """(width, height, rows of (r, g, b), texts) of what write_png writes: 8 bit RGB, not interlaced."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, pixels, texts = 8, b"", {}
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0]
        at += 12 + size
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour) == (8, 2)
        elif kind == b"IDAT":
            pixels += body
        elif kind == b"tEXt":
            key, text = body.split(b"\0", 1)
            texts[key.decode()] = text.decode()
    raw, rows, before = zlib.decompress(pixels), [], [0] * (3 * width)
    for y in range(height):
        filter_type, line = raw[y * (3 * width + 1)], list(raw[y * (3 * width + 1) + 1 : (y + 1) * (3 * width + 1)])
        for x in range(3 * width):
            left, up, corner = (line[x - 3] if x >= 3 else 0), before[x], (before[x - 3] if x >= 3 else 0)
            p = left + up - corner
            paeth = min((abs(p - left), 0, left), (abs(p - up), 1, up), (abs(p - corner), 2, corner))[2]
            line[x] = (line[x] + (0, left, up, (left + up) // 2, paeth)[filter_type]) % 256
        rows.append([tuple(line[3 * x : 3 * x + 3]) for x in range(width)])
        before = line
    return width, height, rows, texts


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.llama = os.path.join(cls.folder.name, "llama")
        tiny.llama(cls.llama)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def good(self, *arguments):
        r = run("probe", *arguments, "--json")
        self.assertEqual(r.returncode, 0, r.stderr)
        return json.loads(r.stdout)

    def bad(self, status, *arguments, named):
        r = run("probe", *arguments)
        self.assertEqual((r.returncode, r.stdout), (status, ""), r.stderr)
        for word in named:
            self.assertIn(word, r.stderr)

    def golden(self, name):
        """(the model, arguments that give it the golden file's row, what is wanted) on each device."""
        folder = os.path.join(GOLDEN, name)
        with open(os.path.join(folder, "probe.json")) as file:
            want = json.load(file)
        what = ["--ids", ",".join(map(str, want["ids"]))] if "lens" in want else ["--inputs", os.path.join(folder, "inputs.safetensors")]
        for device in DEVICES:
            yield [folder, *what, "--device", device], want

    def near(self, got, want, what=""):
        if isinstance(want, (list, tuple)):
            self.assertEqual(len(got), len(want), what)
            for i, (a, b) in enumerate(zip(got, want)):
                self.near(a, b, f"{what}[{i}]")
        else:
            self.assertLessEqual(abs(got - want), TOLERANCE * max(1, abs(want)), what)


class Lens(Case):
    def test_as_upstream(self):
        for name in ("llama", "gpt2", "mamba"):
            for arguments, want in self.golden(name):
                got = self.good("lens", *arguments, "--positions", "all", "--top", "3")["lens"]
                self.assertEqual(len(got), len(want["lens"]) * len(want["ids"]))
                for row in got:
                    layer = next(r for r in want["lens"] if r["layer"] == str(row["layer"]))
                    at = row["position"]
                    self.near(row["entropy"], layer["entropy"][at], f"{name} {row}")
                    self.assertEqual(row["ids"], layer["ids"][at], f"{name} {row}")
                    self.near(row["probabilities"], layer["probabilities"][at], f"{name} {row}")

    def test_layers_are_numbers(self):
        layers = [row["layer"] for row in self.good("lens", self.llama, "--ids", "5")["lens"]]
        self.assertEqual(layers, ["embed", *range(len(layers) - 1)])
        self.assertEqual(self.good("similarity", self.llama, "--ids", "5")["layers"], layers)

    def test_last_layer_is_the_model(self):
        """Of a text, the lens behind the last layer chooses what the model generates."""
        result = self.good("lens", self.llama, "hello you", "--top", "1")
        last = result["lens"][-1]
        self.assertEqual((last["final_rank"], last["position"]), (0, len(result["tokens"]) - 1))
        r = run("run", self.llama, "hello you", "-n", "1", "--temperature", "0", "--ignore-eog", "--json", "--numerics", "exact", "--cache-type", "f32")
        self.assertEqual(json.loads(r.stdout)["ids"], last["ids"])

    def test_bad_input(self):
        self.bad(2, "lens", self.llama, "a", "--positions", "99", named=["--positions 99"])
        self.bad(2, "lens", self.llama, named=["TEXT", "--ids"])
        self.bad(2, "lens", self.llama, "a", "--ids", "5,x", named=["TEXT", "--ids"])
        self.bad(2, "lens", self.llama, "--ids", "5,x", named=["--ids", "\"x\""])
        self.bad(2, "lens", self.llama, "a", "--stack", "encoder", named=["--stack encoder", "no such stack"])
        folder = os.path.join(GOLDEN, "vit_classifier")
        self.bad(1, "lens", folder, "--inputs", os.path.join(folder, "inputs.safetensors"), named=["needs tokens"])
        self.bad(2, "lens", folder, "--inputs", os.path.join(folder, "inputs.safetensors"), "--row", "2", named=["--row 2", "pixel_values", "2 rows"])


class Attention(Case):
    def test_as_upstream(self):
        for name, stack in (("llama", ""), ("gemma2", ""), ("bert", ""), ("whisper", "encoder"), ("whisper", "decoder")):
            folder = os.path.join(GOLDEN, name)
            want = tiny.read_safetensors(os.path.join(folder, "attention.safetensors"))
            for device in DEVICES:
                for layer in (0, 1):
                    _, shape, values = want[(stack + "." if stack else "") + f"layers.{layer}.mixer.probabilities"]
                    batch, heads, queries, keys = shape
                    at = ((batch - 1) * heads + 1) * queries * keys  # head 1 of the last row
                    got = self.good("attention", folder, "--inputs", os.path.join(folder, "inputs.safetensors"), "--row", batch - 1, "--layer", layer, "--head", "1", "--device", device,
                                    *(["--stack", stack] if stack else []))["heads"]
                    self.near(got[0]["probabilities"], [values[at + t * keys : at + (t + 1) * keys] for t in range(queries)], f"{name} {stack} {layer}")

    def test_mean_and_summary(self):
        heads = [self.good("attention", self.llama, "hello you", "--head", h)["heads"][0] for h in ("0", "1", "mean")]
        rows = [h["probabilities"] for h in heads]
        all_heads = self.good("attention", self.llama, "hello you")["heads"]
        self.assertNotIn("probabilities", all_heads[0])
        count = len(all_heads)
        whole = [self.good("attention", self.llama, "hello you", "--head", h)["heads"][0]["probabilities"] for h in range(count)]
        self.near(rows[2], [[sum(whole[h][t][s] for h in range(count)) / count for s in range(len(whole[0][t]))] for t in range(len(whole[0]))])
        for row in rows[0]:
            self.near(sum(row), 1)
        self.near(heads[0]["mean_entropy"], sum(-p * math.log(p) for row in rows[0] for p in row if p > 0) / len(rows[0]))

    def test_bad_input(self):
        self.bad(2, "attention", self.llama, "a", "--head", "99", named=["--head 99"])
        self.bad(1, "attention", self.llama, "a", "--layer", "99", named=["layers.99.mixer.probabilities"])
        folder = os.path.join(GOLDEN, "mamba")
        self.bad(1, "attention", folder, "--ids", "5,6", named=["mixer.probabilities", "no attention"])


class Similarity(Case):
    def test_as_upstream(self):
        for name in ("llama", "gpt2", "mamba", "bert", "vit_classifier"):
            for arguments, want in self.golden(name):
                self.near(self.good("similarity", *arguments)["similarity"], want["similarity"], name)

    def test_bad_input(self):
        folder = os.path.join(GOLDEN, "swin_classifier")
        self.bad(1, "similarity", folder, "--inputs", os.path.join(folder, "inputs.safetensors"), named=["one shape", "layers.2.output"])


class Trajectory(Case):
    def test_as_upstream(self):
        for name in ("llama", "gpt2", "mamba", "bert", "vit_classifier"):
            for arguments, want in self.golden(name):
                got = self.good("trajectory", *arguments)
                self.assertNotIn("push", got)
                self.assertEqual([row["layer"] for row in got["steps"]], [row["layer"] for row in want["trajectory"]])
                for row, wanted in zip(got["steps"], want["trajectory"]):
                    for key, value in wanted.items():
                        self.near(row[key], value, f"{name} {row} {key}")

    def test_apart(self):
        """Tokens apart and the others are all tokens; one kind may be missing."""
        arguments = ["trajectory", os.path.join(GOLDEN, "llama"), "--ids", "5,8,6,4"]
        none, two, all_of_them = (self.good(*arguments, "--apart", n)["steps"][0] for n in (0, 2, 4))
        self.assertNotIn("turn_apart", none)
        self.assertNotIn("turn", all_of_them)
        self.near(none["turn"], all_of_them["turn_apart"])
        self.near((two["turn_apart"] + two["turn"]) / 2, none["turn"])
        self.bad(2, *arguments, "--apart", "5", named=["--apart 5", "4 tokens"])

    def test_push(self):
        """As long as was asked for where it is made; small ones grow in proportion; seeded."""
        arguments = ["trajectory", os.path.join(GOLDEN, "llama"), "--ids", "5,8,6,4", "--samples", "2"]
        small, twice, again, other = (self.good(*arguments, "--push", size, "--seed", seed)["push"]["steps"] for size, seed in ((1e-3, 1), (2e-3, 1), (1e-3, 1), (1e-3, 2)))
        self.assertEqual([row["layer"] for row in small], ["embed", 0, 1])
        self.assertEqual(small, again)
        self.assertNotEqual(small, other)
        self.assertLess(abs(small[0]["distance"] - 1e-3), 1e-6)
        for a, b in zip(small, twice):
            self.assertGreater(a["distance"], 0)
            self.assertLess(abs(b["distance"] / a["distance"] - 2), 0.05)
        late = self.good(*arguments, "--push", 0.1, "--at", 1)["push"]
        self.assertEqual((late["at"], [row["layer"] for row in late["steps"]]), (1, [1]))
        self.near(late["steps"][0]["distance"], 0.1)
        self.bad(2, *arguments, "--push", "0.1", "--at", "7", named=["--at 7", "0 to 1"])

    def test_bad_input(self):
        folder = os.path.join(GOLDEN, "swin_classifier")
        self.bad(1, "trajectory", folder, "--inputs", os.path.join(folder, "inputs.safetensors"), named=["one shape", "layers.2.output"])


class Trace(Case):
    def test_as_upstream(self):
        for name in ("llama", "gpt2", "mamba"):
            for arguments, wanted in self.golden(name):
                for want in wanted["trace"]:
                    got = self.good("trace", *arguments, "--corrupted-ids", ",".join(map(str, want["corrupted_ids"])), "--site", want["site"])
                    self.assertEqual(got["target"]["id"], want["target"])
                    for key in ("clean", "corrupted", "effect"):
                        self.near(got[key], want[key], f"{name} {want['site']} {key}")

    def test_everything_restored_is_the_clean_run(self):
        """At the last layer's last token nothing of the corruption is left; nor with noise and all layers restored there."""
        for corruption in (["--corrupted-ids", "5,9,6"], ["--noise", "0.5@1:2", "--samples", "3"]):
            got = self.good("trace", os.path.join(GOLDEN, "llama"), "--ids", "5,8,6", *corruption)
            self.near(got["corrupted"] + got["effect"][-1][-1], got["clean"], str(corruption))
            self.assertNotEqual(got["corrupted"], got["clean"])
            self.near(got["effect"][0][0], 0)  # before the corruption nothing is to be restored

    def test_noise_is_seeded(self):
        one, again, other = (self.good("trace", self.llama, "hello you", "--noise", "1@0:2", "--samples", "2", "--seed", s)["corrupted"] for s in (1, 1, 2))
        self.assertEqual(one, again)
        self.assertNotEqual(one, other)

    def test_target_and_window(self):
        arguments = [os.path.join(GOLDEN, "llama"), "--ids", "5,8,6", "--corrupted-ids", "5,9,6"]
        self.assertEqual(self.good("trace", *arguments, "--target", "#7")["target"]["id"], 7)
        wide, narrow = (self.good("trace", *arguments, "--site", "mixer", "--window", w)["effect"] for w in (3, 1))
        self.assertEqual(wide[0], wide[1])  # both layers either time
        self.assertNotEqual(wide[0], narrow[0])

    def test_bad_input(self):
        self.bad(2, "trace", self.llama, "a", named=["--corrupted", "--noise"])
        self.bad(2, "trace", self.llama, "--ids", "5,6,7", "--corrupted-ids", "5,6", named=["2 tokens", "3"])
        self.bad(2, "trace", self.llama, "--ids", "5,6,7", "--corrupted-ids", "5,6,7", named=["same tokens"])
        self.bad(2, "trace", self.llama, "--ids", "5,6,7", "--noise", "x@0:1", named=["--noise x@0:1"])
        self.bad(2, "trace", self.llama, "--ids", "5,6,7", "--noise", "1@2:9", named=["2:9", "3 tokens"])
        self.bad(2, "trace", self.llama, "--ids", "5,6,7", "--corrupted-ids", "5,9,7", "--target", "#99999", named=["99999"])
        self.bad(2, "trace", self.llama, "--ids", "5,6,7", "--corrupted-ids", "5,9,7", "--target", "hello you hello", named=["one token", "#"])


class Ablate(Case):
    def test_as_upstream(self):
        for name in ("llama", "gpt2", "mamba", "bert", "vit_classifier"):
            for arguments, want in self.golden(name):
                got, want = self.good("ablate", *arguments), want["ablate"]
                self.assertEqual(got["output"], want["output"])
                self.near(got.get("loss", 0), want.get("loss", 0), name)
                known = {(r["silenced"], r["layer"]): r for r in want["ablations"]}
                self.assertEqual({(r["silenced"], r["layer"]) for r in got["ablations"]}, set(known), name)
                for row in got["ablations"]:
                    for key, value in known[row["silenced"], row["layer"]].items():
                        if key not in ("silenced", "layer"):
                            self.near(row[key], value, f"{name} {row} {key}")

    def test_one_token_has_no_loss(self):
        """Nothing follows it: what is told is how far the prediction moved."""
        got = self.good("ablate", self.llama, "--ids", "5")
        self.assertNotIn("loss", got)
        for row in got["ablations"]:
            self.assertNotIn("loss_change", row)
            self.assertGreater(row["divergence"], 0)


class Dump(Case):
    def test_what_eval_reads(self):
        folder, out, read = os.path.join(GOLDEN, "llama"), self.path("dump.safetensors"), self.path("eval.safetensors")
        inputs = os.path.join(folder, "inputs.safetensors")
        result = self.good("dump", folder, "--inputs", inputs, "--values", "layers.*.output", "--values", "layers.0.mixer.*", "-o", out)
        got = tiny.read_safetensors(out)
        self.assertEqual(set(got), set(result["values"]))
        self.assertTrue({"layers.0.output", "layers.1.output", "layers.0.mixer.probabilities", "layers.0.mixer.output"} <= set(got))
        self.assertNotIn("layers.1.mixer.output", got)
        r = run("eval", folder, "--inputs", inputs, "--outputs", read, "--tap", "layers.*.output=read", "--json")
        self.assertEqual(r.returncode, 0, r.stderr)
        want = tiny.read_safetensors(read)
        for name in ("layers.0.output", "layers.1.output"):
            self.assertEqual(got[name][1], want[name][1])
            self.near(got[name][2], want[name][2], name)

    def test_bad_input(self):
        self.bad(1, "dump", self.llama, "a", "--values", "layers.*.soul", "-o", self.path("x"), named=["layers.*.soul"])
        self.bad(1, "dump", self.llama, "a", "--values", "layers.*.output", "-o", "/nowhere/x", named=["/nowhere/x"])


class Pictures(Case):
    def draw(self, *arguments):
        path = self.path("picture.png")
        r = run("probe", *arguments, "--png", path, "--json")
        if r.returncode == 1 and "without libpng" in r.stderr:
            self.skipTest("built without libpng")
        self.assertEqual(r.returncode, 0, r.stderr)
        return json.loads(r.stdout), read_png(path)

    def test_brightness_is_the_value(self):
        """One panel: the cell in the middle of each square is as bright as its value stands among the others."""
        result, (width, height, rows, texts) = self.draw("attention", os.path.join(GOLDEN, "llama"), "--ids", "5,17,3,9,8", "--head", "0")
        m = result["heads"][0]["probabilities"]
        self.assertEqual((width % len(m[0]), height % len(m)), (0, 0))
        cell = width // len(m[0])
        seen = sorted((m[t][s], sum(rows[t * cell + cell // 2][s * cell + cell // 2])) for t in range(len(m)) for s in range(len(m[0])))
        brightness = [b for _, b in seen]
        self.assertEqual(rows[cell // 2][cell + cell // 2], (68, 1, 84))  # a key that is not seen: the darkest
        self.assertEqual(max(brightness), sum((253, 231, 37)))  # the first query sees itself alone: the brightest
        self.assertTrue(all(b - a > -40 for a, b in zip(brightness, brightness[1:])), brightness)
        self.assertEqual((texts["Rows"], texts["Columns"]), ("queries", "keys"))

    def test_sign_is_the_colour(self):
        folder = os.path.join(GOLDEN, "llama")
        result, (width, _, rows, _) = self.draw("trace", folder, "--ids", "5,17,3,9", "--corrupted-ids", "5,17,4,9")
        cell = width // 4
        for l, line in enumerate(result["effect"]):
            for t, value in enumerate(line):
                r, _, b = rows[l * cell + cell // 2][t * cell + cell // 2]
                if abs(value) > 1e-3:
                    self.assertEqual(r > b, value > 0, (l, t, value, r, b))

    def test_each(self):
        for arguments in (["lens", self.llama, "hello"], ["attention", self.llama, "hello"], ["similarity", self.llama, "hello"], ["trajectory", self.llama, "hello"], ["ablate", self.llama, "hello"]):
            _, (width, height, _, texts) = self.draw(*arguments)
            self.assertTrue(0 < width <= 2048 and 0 < height <= 2048)
            self.assertIn(self.llama, texts["Title"])

    def test_cannot_be_written(self):
        r = run("probe", "similarity", self.llama, "hello", "--png", "/nowhere/x.png")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn("/nowhere/x.png", r.stderr)


class Words(Case):
    def test_wrong_usage(self):
        for arguments in ([], ["soul"], ["lens"], ["attention", self.llama, "a", "--wrong"], ["trace", self.llama, "a", "--site", "soul"], ["dump", self.llama, "a", "-o", "x"]):
            r = run("probe", *arguments)
            self.assertEqual((r.returncode, r.stdout), (2, ""), r.stderr)
        for arguments in (["--help"], *([name, "--help"] for name in ("lens", "attention", "similarity", "trajectory", "trace", "ablate", "dump"))):
            self.assertEqual(run("probe", *arguments).returncode, 0)

    def test_human_text(self):
        r = run("probe", "similarity", self.llama, "hello")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("similarity", r.stdout)


DEVICES = devices()

if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
