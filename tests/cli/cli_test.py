#!/usr/bin/env python3
"""Tests of the command: each subcommand, exit statuses, JSON, bad input. Standard library only.
usage: cli_test.py ORRERY [unittest arguments]       ORRERY: the built command
Values are checked against what `eval` gives: greedy ids, perplexity and pooling are worked out again here.
With ORRERY_GEMMA set to the Gemma 3 270M GGUF, that model is asked too."""
import json, math, os, re, resource, shutil, signal, struct, subprocess, sys, tempfile, time, unittest

import tiny_models as tiny

ORRERY = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "orrery"
EXACT = ["--numerics", "exact", "--cache-type", "f32"]


def run(*arguments, text_in=None, timeout=120, env=None):
    """Runs the command from another folder and without any environment but `env`."""
    r = subprocess.run([ORRERY, *map(str, arguments)], input=(text_in or "").encode(), capture_output=True, timeout=timeout, cwd="/", env=env or {})
    r.stdout, r.stderr = r.stdout.decode(), r.stderr.decode()  # as they are: no newline is translated
    return r


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.llama = os.path.join(cls.folder.name, "llama")
        cls.bert = os.path.join(cls.folder.name, "bert")
        cls.plain = os.path.join(cls.folder.name, "plain")
        cls.gguf = os.path.join(cls.folder.name, "none.gguf")
        tiny.llama(cls.llama)
        tiny.llama(cls.plain, template=False)
        tiny.bert(cls.bert)
        tiny.gguf(cls.gguf)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def good(self, *arguments, **options):
        """The JSON of a run that succeeds."""
        r = run(*arguments, "--json", **options)
        self.assertEqual(r.returncode, 0, r.stderr)
        return json.loads(r.stdout)

    def bad(self, status, *arguments, named="", **options):
        """A run that fails: the message is on stderr and names `named`, stdout is empty."""
        r = run(*arguments, **options)
        self.assertEqual(r.returncode, status, r.stderr)
        self.assertEqual(r.stdout, "")
        self.assertIn(named, r.stderr)
        self.assertTrue(r.stderr.strip())

    def eval(self, model, ids, *more):
        inputs, outputs = self.path("in.safetensors"), self.path("out.safetensors")
        tiny.write_safetensors(inputs, tiny.ids_tensor(ids))
        self.good("eval", model, "--inputs", inputs, "--outputs", outputs, *more)
        return tiny.read_safetensors(outputs)

    def rows(self, model, ids, name="logits"):
        """The rows [T][width] of an output."""
        _, shape, values = self.eval(model, ids)[name]
        self.assertEqual(shape[:2], [1, len(ids)])
        return [values[t * shape[2] : (t + 1) * shape[2]] for t in range(shape[1])]


class Usage(Case):
    def test_wrong_usage(self):
        for arguments in ([], ["nothing"], ["run"], ["run", self.llama], ["run", self.llama, "a", "--prompt", "b"], ["run", self.llama, "a", "--wrong"],
                          ["run", self.llama, "a", "--temperature", "-1"], ["run", self.llama, "a", "--max-tokens", "x"], ["run", self.llama, "a", "--device", "tpu"],
                          ["run", self.llama, "a", "--isa", "mmx"], ["run", self.llama, "a", "--cache-type", "q1"], ["run", self.llama, "a", "--numerics", "none"],
                          ["run", self.llama, "a", "--context", "-5"], ["eval", self.llama], ["eval", self.llama, "--inputs", "x"], ["bench", self.llama, "--repeat", "0"],
                          ["bench", self.llama, "--entry", "next"], ["tokenize", self.llama], ["tokenize", self.llama, "--text", "a", "--file", "b"],
                          ["embed", self.bert], ["perplexity", self.llama], ["inspect", self.llama, "soul"], ["plugins", "soul"]):
            self.bad(2, *arguments)
        self.bad(2, "nothing", named="nothing")
        for option in ("--temperature", "--top-p", "--min-p", "--repetition-penalty", "--presence-penalty", "--frequency-penalty"):
            self.bad(2, "run", self.llama, "a", option, "nan", named="nan")
        for option in ("--repetition-penalty", "--presence-penalty", "--frequency-penalty"):
            self.bad(2, "run", self.llama, "a", option, "inf", named="inf")
        self.assertEqual(len(self.good("run", self.llama, "a", "-n", "2", "--presence-penalty", "-0.5", "--frequency-penalty", "1e-3", "--top-p", "0.9")["ids"]), 2)
        self.bad(2, "run", self.llama, "a", "--stop", "")
        self.bad(2, "run", self.llama, "a", "--stop=", "-n", "3", named="--stop")
        self.bad(2, "run", self.llama, "a", "--max-tokens=", "3", named="--max-tokens")
        self.bad(2, "run", "a", "--device=", self.llama, named="--device")
        self.bad(2, "inspect", self.llama, "--entry", named="--entry")
        self.bad(1, "tokenize", self.llama, "--file", os.path.dirname(self.llama), named=os.path.dirname(self.llama))

    def test_help_and_version(self):
        for arguments in (["--help"], ["--version"], *([name, "--help"] for name in
                          ("run", "chat", "embed", "tokenize", "perplexity", "eval", "bench", "inspect", "plugins", "doctor", "probe"))):
            r = run(*arguments)
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertTrue(r.stdout)

    def test_missing_model(self):
        missing = self.path("missing")
        for arguments in (["run", missing, "a"], ["chat", missing], ["embed", missing, "a"], ["tokenize", missing, "--text", "a"], ["bench", missing],
                          ["inspect", missing]):
            self.bad(1, *arguments, named="missing")

    def test_output_that_cannot_be_written(self):
        for arguments in (["run", self.llama, "hello", "-n", "40", "--ignore-eog"], ["run", self.llama, "a", "-n", "2", "--json"], ["inspect", self.llama, "plan"], ["plugins"], ["--version"]):
            with open(self.path("full"), "wb") as full:  # as on a full disk: no byte fits
                r = subprocess.run([ORRERY, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=120, env={}, restore_signals=False,
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
            self.assertEqual(r.returncode, 1, arguments)
            self.assertIn("could not be written", r.stderr.decode())

    def test_what_is_no_model(self):
        self.bad(1, "inspect", self.folder.name, named="formats: gguf, safetensors")
        self.bad(1, "inspect", "/dev/null", named="/dev/null: is neither a regular file nor a folder")

    def test_device_that_is_not_there(self):
        self.bad(1, "run", self.llama, "a", "--device", "vulkan:77", named="vulkan")


    def test_new_leaves_nothing_where_the_disk_is_full(self):
        def full_disk():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))  # some files fit, others do not

        for kind in ("op", "model"):
            parent = self.path("full")
            os.mkdir(parent)
            for folder in (os.path.join(parent, "deep", "er"), os.path.join(parent, "empty")):
                if folder.endswith("empty"):
                    os.mkdir(folder)
                r = subprocess.run([ORRERY, "new", kind, "thing", "--folder", folder], capture_output=True, preexec_fn=full_disk, env={})
                self.assertEqual(r.returncode, 1, r.stderr)
                self.assertIn(b"could not be written", r.stderr)
                self.assertIn(folder.encode(), r.stderr)
            self.assertEqual(list(os.walk(parent)), [(parent, ["empty"], []), (os.path.join(parent, "empty"), [], [])])
            self.good("new", kind, "thing", "--folder", os.path.join(parent, "empty"))
            shutil.rmtree(parent)


class Eval(Case):
    def test_shapes_and_types(self):
        out = self.eval(self.llama, [1, 2, 3])
        self.assertEqual(out["logits"][:2], ("F32", [1, 3, tiny.VOCABULARY]))
        self.assertTrue(all(math.isfinite(v) for v in out["logits"][2]))

    def test_entries_agree(self):
        ids = [5, 6, 7, 8]
        last = self.rows(self.llama, ids)[-1]
        _, shape, values = self.eval(self.llama, ids, "--entry", "next")["logits"]
        self.assertEqual(shape, [1, tiny.VOCABULARY])
        for a, b in zip(values, last):
            self.assertAlmostEqual(a, b, places=4)

    def test_batch(self):
        ids = list(range(12))
        path = self.path("batch.safetensors")
        tiny.write_safetensors(path, {"input_ids": ("I32", [2, 6], struct.pack("<12i", *ids))})
        self.good("eval", self.llama, "--inputs", path, "--outputs", self.path("o.safetensors"))
        both = tiny.read_safetensors(self.path("o.safetensors"))["logits"]
        self.assertEqual(both[1], [2, 6, tiny.VOCABULARY])
        alone = self.eval(self.llama, ids[6:])["logits"]
        self.assertEqual(both[2][6 * tiny.VOCABULARY :], alone[2])  # a batch gives the bits of its sequences

    def test_threads_give_the_same_bits(self):
        one = self.eval(self.llama, list(range(40)), "--threads", 1)["logits"][2]
        self.assertEqual(one, self.eval(self.llama, list(range(40)), "--threads", 2)["logits"][2])

    def test_bad_inputs(self):
        def header(text, data=b""):
            return struct.pack("<Q", len(text)) + text.encode() + data
        entry = '{"input_ids": {"dtype": "%s", "shape": %s, "data_offsets": %s}}'
        cases = {
            b"": "0 bytes", b"\1\2\3": "3 bytes", struct.pack("<Q", 1 << 60) + b"{}": "header", header("{"): "JSON", header("[]"): "object", header("[" * 100000): "JSON",
            header('{"input_ids": 3}'): "input_ids", header(entry % ("I64", "[1, 2]", "[0, 16]")): "0 to 16", header(entry % ("I64", "[1, 3]", "[0, 16]"), b"\0" * 16): "24",
            header(entry % ("I64", "[-1, 2]", "[0, 16]"), b"\0" * 16): "size", header(entry % ("I99", "[1, 2]", "[0, 16]"), b"\0" * 16): "I99",
            header(entry % ("I64", "[4294967296, 4294967296, 4294967296]", "[0, 16]"), b"\0" * 16): "larger", header(entry % ("I64", "[1, 2]", "[16, 0]"), b"\0" * 16): "16 to 0",
            header(entry % ("I64", "[1, 1, 1, 1, 1, 1, 1, 1, 2]", "[0, 16]"), b"\0" * 16): "rank 9", b"\xff" * 40: "header",
            header('{"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}}', b"\0" * 6): "overlap",
        }
        for content, named in cases.items():
            with open(self.path("bad.safetensors"), "wb") as f:
                f.write(content)
            self.bad(1, "eval", self.llama, "--inputs", self.path("bad.safetensors"), "--outputs", self.path("o.safetensors"), named=named)
        self.assertFalse(os.path.exists(self.path("none.safetensors")))
        self.bad(1, "eval", self.llama, "--inputs", self.path("none.safetensors"), "--outputs", self.path("o.safetensors"), named="none.safetensors")

    def test_wrong_tensors(self):
        path = self.path("wrong.safetensors")
        out = ["--outputs", self.path("o2.safetensors")]
        for tensors, named in (({"tokens": ("I64", [1, 1], b"\0" * 8)}, "tokens"), ({}, "input_ids"), ({"input_ids": ("F32", [1, 1], b"\0" * 4)}, "input_ids"),
                               ({"input_ids": ("I64", [1, 1, 1], b"\0" * 8)}, "input_ids"), (tiny.ids_tensor([99999]), "99999"), (tiny.ids_tensor([-1]), "-1")):
            tiny.write_safetensors(path, tensors)
            self.bad(1, "eval", self.llama, "--inputs", path, *out, named=named)
            self.assertFalse(os.path.exists(self.path("o2.safetensors")))
        tiny.write_safetensors(path, tiny.ids_tensor([1]))
        self.bad(1, "eval", self.llama, "--inputs", path, *out, "--entry", "backward", named="backward")
        self.bad(1, "eval", self.llama, "--inputs", path, "--outputs", self.path("no/such/folder.safetensors"), named="folder.safetensors")

    def test_files_are_written_whole_or_not_at_all(self):
        inputs, link = self.path("w.safetensors"), self.path("link.safetensors")
        tiny.write_safetensors(inputs, tiny.ids_tensor([1, 2]))
        os.symlink("/dev/full", link)  # not the device itself: what removes its output would remove that
        self.bad(1, "eval", self.llama, "--inputs", inputs, "--outputs", link, named="link.safetensors")
        self.assertTrue(os.path.islink(link))
        os.remove(link)
        target = self.path("target.safetensors")
        with open(target, "wb") as f:
            f.write(b"before")
        os.symlink(target, link)
        self.good("eval", self.llama, "--inputs", inputs, "--outputs", link)
        again = self.path("again.safetensors")
        os.symlink(inputs, again)
        with open(inputs, "rb") as f:
            before = f.read()
        for same in (inputs, again, os.path.join(self.folder.name, ".", "w.safetensors")):
            self.bad(2, "eval", self.llama, "--inputs", inputs, "--outputs", same, named="--outputs " + same + " is the file of --inputs")
        with open(inputs, "rb") as f:
            self.assertEqual(f.read(), before)
        self.assertTrue(os.path.islink(link))
        self.assertIn("logits", tiny.read_safetensors(target))
        self.assertFalse([name for name in os.listdir(self.folder.name) if name.endswith(".partial")])

    def test_set_of_values_that_a_control_makes(self):
        control = ("--control", "layer_plan=0*2,1")
        plain = self.eval(self.llama, [1, 2, 3], *control)["logits"]
        values = self.eval(self.llama, [1, 2, 3], *control, "--tap", "layers.0#2.output=read")
        path = self.path("values.safetensors")
        shape, data = values["layers.0#2.output"][1:]
        tiny.write_safetensors(path, {"layers.0#2.output": ("F32", shape, struct.pack(f"<{len(data)}f", *data))})
        self.assertEqual(self.eval(self.llama, [1, 2, 3], *control, "--tap", f"layers.0#2.output=set:{path}")["logits"], plain)
        other = self.eval(self.llama, [3, 2, 1], *control)["logits"]
        self.assertNotEqual(other, plain)
        self.assertNotEqual(self.eval(self.llama, [3, 2, 1], *control, "--tap", f"layers.0#2.output=set:{path}")["logits"], other)
        self.bad(1, "eval", self.llama, "--inputs", self.path("in.safetensors"), "--outputs", self.path("o.safetensors"), *control, "--tap", f"layers.9.output=set:{path}", named="layers.9.output")

    def test_a_control_is_given_once(self):
        tiny.write_safetensors(self.path("in.safetensors"), tiny.ids_tensor([1, 2, 3]))
        to = ("eval", self.llama, "--inputs", self.path("in.safetensors"), "--outputs", self.path("o.safetensors"), "--control", "layer_plan=0")
        self.good(*to, "--control", "ffn_width=0.5")
        for second in ("1", "0"):
            self.bad(2, *to, "--control", "ffn_width=0.5", "--control", f"layer_plan={second}", named=f'--control layer_plan is given twice, as "0" and as "{second}"')
        self.bad(1, *to[:-1], "layer_plan=1*0", named='"1*0" is to run 0 times, the least is 1')

    def test_width_that_fits(self):
        def chosen(limits, **more):
            r = run("bench", self.llama, "--prompt-tokens", 4, "--generate-tokens", 2, "--repeat", 1, "--control", f"ffn_width=fit:{limits}", **more)
            self.assertEqual(r.returncode, 0, r.stderr)
            lines = [line for line in r.stderr.splitlines() if line.startswith("ffn_width: ")]
            self.assertEqual(len(lines), 1, r.stderr)
            return lines[0]

        whole = chosen("memory=1GB,weights=1GiB,time=3600s")
        self.assertRegex(whole, r"^ffn_width: 1, reads [0-9.]+ MB of weights a run, takes [0-9.]+ MB, [0-9.e+-]+ ms \(\d values were tried\)$")
        self.bad(1, "bench", self.llama, "--control", "ffn_width=fit:weights=10B", named="weight_bytes is")
        least = int(re.search(r"with \"0.125\" weight_bytes is (\d+), the limit 10", run("bench", self.llama, "--control", "ffn_width=fit:weights=10B").stderr)[1])
        self.assertIn("ffn_width: 0.125, ", chosen(f"weights={least}"))
        self.assertNotIn("ffn_width: 0.125, ", chosen(f"weights={2 * least}"))
        for limits in ("", "weights", "weights=", "weights=ten", "weights=5ms", "time=5MB", "memory=-3MB", "memory=0", "speed=4", "time=1ms;memory=4"):
            self.bad(1 if limits == "" else 2, "bench", self.llama, "--control", f"ffn_width=fit:{limits}", named="weight_bytes" if limits == "" else "ffn_width")
        self.bad(1, "bench", self.llama, "--control", "layer_plan=fit:time=1s", named="ladder")

    def test_taps_and_widths_that_are_none(self):
        tiny.write_safetensors(self.path("in.safetensors"), tiny.ids_tensor([1, 2, 3]))
        to = ("eval", self.llama, "--inputs", self.path("in.safetensors"), "--outputs", self.path("o.safetensors"))
        for kind, argument in (("zero", "1"), ("read", "3"), ("read", "3:4"), ("norm", "mean")):
            self.bad(2, *to, "--tap", f"layers.0.output={kind}:{argument}", named=f'"{kind}" takes no "{argument}"')
        for factor in ("nan", "inf", "-inf"):
            self.bad(1, *to, "--tap", f"layers.0.output=scale:{factor}", named=f'tap "scale" of layers.0.output has factor {factor}')
        self.bad(1, *to, "--control", "ffn_width=1e-9", named="a share of 1e-09 of")
        self.good(*to, "--tap", "layers.0.output=read:top_k:2", "--tap", "layers.0.output=scale:-1e3")

    def test_files_without_an_end_are_refused(self):
        tiny.write_safetensors(self.path("in.safetensors"), tiny.ids_tensor([1, 2, 3]))
        to = ("--outputs", self.path("o.safetensors"))
        for kind in ("set:/dev/zero", "add:/dev/zero*2"):
            self.bad(1, "eval", self.llama, "--inputs", self.path("in.safetensors"), *to, "--tap", f"layers.0.output={kind}", named="/dev/zero: is a device", timeout=20)
        self.bad(1, "eval", self.llama, "--inputs", "/dev/zero", *to, named="/dev/zero: is a device", timeout=20)

    def test_routers_with_a_bias_are_refused(self):
        path = self.path("routers.safetensors")
        with open(os.path.join(self.llama, "config.json")) as f:
            width = json.load(f)["hidden_size"]
        router = {"model.layers.0.router.weight": ("F32", [1, width], b"\0" * 4 * width)}
        tiny.write_safetensors(path, router)
        self.eval(self.llama, [1, 2, 3], "--control", f"mindskip={path}")
        tiny.write_safetensors(path, router | {"model.layers.0.router.bias": ("F32", [1], b"\0" * 4)})
        self.bad(1, "eval", self.llama, "--inputs", self.path("in.safetensors"), "--outputs", self.path("o.safetensors"), "--control", f"mindskip={path}", named="router.bias")


class Run(Case):
    def run_json(self, *more, model=None):
        return self.good("run", model or self.llama, *more)

    def test_greedy_is_the_argmax_of_eval(self):
        result = self.run_json("--prompt", "hello", "--max-tokens", 6, "--temperature", 0, "--ignore-eog", *EXACT)
        ids = [tiny.BOS, *b"hello"]
        for got in result["ids"]:
            row = self.rows(self.llama, ids)[-1]
            self.assertEqual(got, max(range(len(row)), key=row.__getitem__))
            ids.append(got)
        self.assertEqual(len(result["ids"]), 6)
        self.assertEqual(result["finish"], "length")
        self.assertEqual(result["prompt_tokens"], 6)

    def test_stream_is_the_text_of_the_json(self):
        for seed in range(3):
            options = ["hello", "--max-tokens", 60, "--seed", seed]
            r = run("run", self.llama, *options)
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual(r.stdout, self.run_json(*options)["text"] + "\n")

    def test_seeds(self):
        options = ["hello", "--max-tokens", 40]
        first = self.run_json(*options, "--seed", 7)
        self.assertEqual(first["ids"], self.run_json(*options, "--seed", 7)["ids"])
        self.assertNotEqual(first["ids"], self.run_json(*options, "--seed", 8)["ids"])
        again = self.run_json(*options)
        self.assertEqual(again["ids"], self.run_json(*options, "--seed", again["seed"])["ids"])

    def test_threads_do_not_change_the_text(self):
        options = ["hello", "--max-tokens", 40, "--temperature", 0]
        self.assertEqual(self.run_json(*options, "--threads", 1)["ids"], self.run_json(*options, "--threads", 2)["ids"])

    def test_stop(self):
        options = ["hello", "--max-tokens", 80, "--seed", 3, "--ignore-eog"]
        text = self.run_json(*options)["text"]
        stop = text[10:12]
        result = self.run_json(*options, "--stop", stop, "--stop", "never to be seen")
        self.assertEqual(result["text"], text[: text.index(stop)])
        self.assertEqual(result["finish"], "stop")

    def test_speculation_changes_no_token(self):
        drafted = accepted = 0
        for prompt in ("hello", "abcabcabcabc", "for i in x: print(i)\nfor j in x: print("):
            for options in ([], EXACT, ["--numerics", "fast"], ["--temperature", 0.9], ["--repetition-penalty", 1.3], ["--stop", "e"]):
                options = ["--prompt", prompt, "--max-tokens", 48, "--ignore-eog", "--seed", 1, *options, *([] if "--temperature" in options else ["--temperature", 0])]
                plain = self.run_json(*options)
                self.assertNotIn("speculation", plain)
                for how in (["lookup:1"], ["lookup", "--draft", 3], ["layer_plan:0"], ["layer_plan:0-1"], ["ffn_width:0.5"]):
                    got = self.run_json(*options, "--speculate", *how)
                    self.assertEqual([got[k] for k in ("ids", "text", "finish")], [plain[k] for k in ("ids", "text", "finish")], (options, how))
                    s = got["speculation"]
                    self.assertLessEqual(s["accepted"], s["drafted"])
                    self.assertEqual(s["draft"], how[0].split(":")[0])
                    drafted, accepted = drafted + s["drafted"], accepted + s["accepted"]
                    if how == ["layer_plan:0-1"] and plain["finish"] == "length" and "--repetition-penalty" not in options:  # the model itself drafts
                        self.assertEqual(s["acceptance"], 1)
                        self.assertEqual(s["tokens_per_verify_step"], 1 + s["accepted"] / s["verify_steps"])
        self.assertGreater(accepted, 100)
        self.assertGreater(drafted, accepted)

    def test_speculation_is_told_and_streams(self):
        options = ["abcabcabc", "--max-tokens", 30, "--temperature", 0]
        plain, r = run("run", self.llama, *options), run("run", self.llama, *options, "--speculate", "layer_plan:0-1", "--stats")
        self.assertEqual(r.stdout, plain.stdout)
        self.assertRegex(r.stderr, r"(\d+) of \1 drafted tokens accepted \(100 %\), \d\.\d\d tokens a verified step")
        lines = "one two\none two three\n"
        chats = [run("chat", self.llama, "--max-tokens", 20, "--temperature", 0, *more, text_in=lines).stdout for more in ([], ["--speculate", "lookup:1"])]
        self.assertEqual(*chats)

    def test_speculation_refused(self):
        for wrong in (["--speculate", "oracle"], ["--speculate", "lookup:0"], ["--speculate", "lookup:x"], ["--speculate", "layer_plan"], ["--draft", 3], ["--speculate", "lookup", "--draft", 8],
                      ["--speculate", "layer_plan:"], ["--speculate", "draft:3"], ["--speculate", "layer_plan:0", "--speculate", "layer_plan:1"]):
            self.bad(2, "run", self.llama, "a", *wrong)
        self.bad(1, "run", self.llama, "a", "--speculate", "layer_plan:9", named="layer_plan")
        self.bad(1, "run", self.llama, "a", "--speculate", "oracle:9", named="ffn_width")
        self.bad(1, "run", self.llama, "a", "--speculate", "lookup", "--speculate", "ffn_width:0.5", named="ffn_width")
        self.bad(1, "run", self.llama, "a", "--temperature", 0, "--speculate", "layer_plan:0*2", "--json", named="layers.0#2")

    def test_prompts(self):
        self.assertEqual(self.run_json("", "--max-tokens", 1)["prompt_tokens"], 1)  # the beginning alone
        with open(self.path("prompt.txt"), "w", encoding="utf-8") as f:
            f.write("hello")
        options = ["--max-tokens", 5, "--temperature", 0]
        want = self.run_json("hello", *options)["ids"]
        self.assertEqual(self.run_json("--file", self.path("prompt.txt"), *options)["ids"], want)
        self.assertEqual(self.good("run", self.llama, "--file", "-", *options, text_in="hello")["ids"], want)
        self.assertEqual(self.run_json("--prompt=hello", *options)["ids"], want)
        self.assertEqual(self.run_json("--prompt", "-x --json", *options)["prompt_tokens"], 10)
        self.assertEqual(self.run_json("--prompt=", *options)["prompt_tokens"], 1)
        after_dashes = json.loads(run("run", self.llama, "--json", *options, "--", "--prompt=").stdout)
        self.assertEqual(after_dashes["prompt_tokens"], 1 + len("--prompt="))
        self.assertEqual(self.run_json("--prompt", "grüße 🚀", *options)["prompt_tokens"], 1 + len("grüße 🚀".encode()))

    def test_prompt_beyond_the_context(self):
        self.bad(1, "run", self.llama, "a" * 100, "--context", 50, named="101")
        self.bad(1, "run", self.llama, "a" * 100, "--context", 50, named="50")
        result = self.run_json("a" * 40, "--context", 50, "--max-tokens", 1000, "--ignore-eog")
        self.assertEqual((result["finish"], len(result["ids"])), ("length", 10))

    def test_no_tokeniser(self):
        self.bad(1, "run", self.gguf, "a", named="vocabulary")

    def test_tokeniser_that_cannot_be_read(self):
        folder = self.path("cut")
        shutil.copytree(self.llama, folder)
        with open(os.path.join(folder, "tokenizer.json"), "r+b") as f:
            f.truncate(500)
        for arguments in (["run", folder, "a"], ["tokenize", folder, "--text", "a"], ["inspect", folder, "tokenizer"]):
            self.bad(1, *arguments, named="tokenizer.json: not valid JSON at byte")

    def test_not_a_language_model(self):
        self.bad(1, "run", self.bert, "a", named="text_generation")

    def test_interrupt(self):
        for json_flag in ([], ["--json"]):
            process = subprocess.Popen([ORRERY, "run", self.llama, "hello", "--max-tokens", "8000", "--ignore-eog", *json_flag], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, cwd="/", env={})
            if json_flag:
                time.sleep(0.4)
            else:
                process.stdout.read(1)  # it streams
            start = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
            self.assertLess(time.monotonic() - start, 2)
            self.assertEqual(process.returncode, 1, err)
            self.assertIn(b"cancelled", err)
            if json_flag:
                result = json.loads(out)
                self.assertEqual(result["finish"], "cancelled")
                self.assertLess(len(result["ids"]), 8000)


class Chat(Case):
    def test_turns(self):
        options = ["--temperature", "0", "--max-tokens", "4", "--json", *EXACT]
        r = run("chat", self.llama, *options, text_in="hi\nand\n/reset\nhi\n/exit\nnever\n")
        self.assertEqual(r.returncode, 0, r.stderr)
        turns = [json.loads(line) for line in r.stdout.splitlines()]
        self.assertEqual(len(turns), 3)
        self.assertEqual(turns[0]["prompt_tokens"], 1 + 1 + 2 + 1)
        self.assertEqual(turns[0]["ids"], turns[2]["ids"])  # forgotten
        self.assertGreater(turns[1]["prompt_tokens"], turns[0]["prompt_tokens"])
        self.assertGreater(turns[1]["reused_tokens"], 0)
        row = self.rows(self.llama, [tiny.BOS, tiny.USER, *b"hi", tiny.BOT])[-1]
        self.assertEqual(turns[0]["ids"][:1] or [tiny.EOS], [max(range(len(row)), key=row.__getitem__)])

    def test_system_message(self):
        r = run("chat", self.llama, "--system", "be", "--json", "--max-tokens", "1", text_in="hi\n")
        self.assertEqual(json.loads(r.stdout)["prompt_tokens"], 1 + 3 + 3 + 1)

    def test_no_template(self):
        self.bad(1, "chat", self.plain, named="template", text_in="hi\n")

    def test_a_turn_that_does_not_fit_is_dropped(self):
        r = run("chat", self.llama, "--context", "30", "--max-tokens", "2", "--json", text_in="a" * 100 + "\nhi\n")
        self.assertEqual(r.returncode, 0)
        self.assertIn("30", r.stderr)
        self.assertEqual(len(r.stdout.splitlines()), 1)


class Perplexity(Case):
    def test_against_eval(self):
        text = "The quick brown fox jumps over the lazy dog. " * 4
        with open(self.path("text.txt"), "w", encoding="utf-8") as f:
            f.write(text)
        ids = [tiny.BOS, *text.encode()]
        nll = 0.0
        for row, want in zip(self.rows(self.llama, ids), ids[1:]):
            top = max(row)
            nll += math.log(sum(math.exp(v - top) for v in row)) + top - row[want]
        result = self.good("perplexity", self.llama, "--file", self.path("text.txt"), *EXACT)
        self.assertEqual(result["tokens"], len(ids))
        self.assertAlmostEqual(result["nll_per_token"], nll / (len(ids) - 1), places=4)
        self.assertAlmostEqual(result["perplexity"], math.exp(result["nll_per_token"]), places=6)
        self.assertEqual(self.good("perplexity", self.llama, "--file", self.path("text.txt"), "--context", 20)["tokens"], 20)
        self.assertEqual(self.good("perplexity", self.llama, "--file", "-", text_in=text)["tokens"], len(ids))

    def test_bad_input(self):
        self.bad(1, "perplexity", self.llama, "--file", self.path("nothing.txt"), named="nothing.txt")
        self.bad(1, "perplexity", self.llama, "--file", "-", text_in="", named="1 tokens")


class Tokenize(Case):
    def test_ids(self):
        self.assertEqual(self.good("tokenize", self.llama, "--text", "hé")["ids"], [tiny.BOS, *"hé".encode()])
        self.assertEqual(self.good("tokenize", self.llama, "--text", "", "--no-special")["ids"], [])
        self.assertEqual(self.good("tokenize", self.llama, "--text=", "--no-special")["ids"], [])
        self.assertEqual(self.good("tokenize", self.llama, "--no-special", "--text", "a<|user|>b")["ids"], [97, tiny.USER, 98])
        self.assertEqual(self.good("tokenize", self.llama, "--file", "-", "--no-special", text_in="a\nb")["ids"], [97, 10, 98])

    def test_a_tokenizer_json_alone(self):
        folder = self.path("alone")
        tiny.llama_tokenizer(folder)
        self.assertEqual(self.good("tokenize", folder, "--text", "ab")["ids"], [tiny.BOS, 97, 98])

    def test_stored_truncation_is_ignored(self):
        self.assertEqual(len(self.good("tokenize", self.bert, "--text", "a b c d e f g h")["ids"]), 10)

    def test_for_people(self):
        r = run("tokenize", self.llama, "--text", "a")
        self.assertEqual(r.stdout.splitlines()[1], '97\t"a"')

    def test_bad_input(self):
        self.bad(1, "tokenize", self.gguf, "--text", "a", named="tokeni")
        with open(self.path("broken.gguf"), "wb") as f:
            f.write(b"GGUF" + b"\xff" * 60)
        self.bad(1, "tokenize", self.path("broken.gguf"), "--text", "a", named="broken.gguf")


class Embed(Case):
    def pooled(self, ids):
        rows = self.rows(self.bert, ids, "last_hidden_state")
        mean = [sum(column) / len(rows) for column in zip(*rows)]
        length = math.sqrt(sum(v * v for v in mean))
        return [v / length for v in mean]

    def close(self, a, b):
        self.assertEqual(len(a), len(b))
        for x, y in zip(a, b):
            self.assertAlmostEqual(x, y, places=5)

    def test_pooling(self):
        ids = self.good("tokenize", self.bert, "--text", "Cab Fed")["ids"]
        one = self.good("embed", self.bert, "--text", "Cab Fed")["vector"]
        self.close(one, self.pooled(ids))
        self.assertEqual(self.good("embed", self.bert, "Cab Fed", "[b,c]")["vectors"][0], one)
        many = self.good("embed", self.bert, "Cab Fed", "--text", "[b,c]")["vectors"]
        self.assertEqual(many[0], one)
        self.assertEqual(len(many), 2)
        self.assertEqual(many[1], self.good("embed", self.bert, "[b,c]")["vector"])

    def test_empty_text(self):
        for empty in (["--text", ""], ["--text="]):
            self.close(self.good("embed", self.bert, *empty)["vector"], self.pooled([2, 3]))
        vectors = self.good("embed", self.bert, "--text=", "--text", "Cab Fed", "--text=")["vectors"]
        self.close(vectors[0], self.pooled([2, 3]))
        self.close(vectors[2], self.pooled([2, 3]))
        self.assertEqual(len(vectors), 3)

    def test_long_texts_are_cut(self):
        ids = self.good("tokenize", self.bert, "--text", "a b c d e f g h")["ids"]
        self.close(self.good("embed", self.bert, "a b c d e f g h")["vector"], self.pooled(ids[:7] + [3]))  # max_seq_length 8

    def test_not_an_encoder(self):
        self.bad(1, "embed", self.llama, "a", named="embedding")


class Bench(Case):
    def test_generation(self):
        for model in (self.llama, self.gguf):
            result = self.good("bench", model, "--prompt-tokens", 40, "--generate-tokens", 5, "--repeat", 2, "--threads", 1)
            for key in ("prompt_tokens_per_s", "generate_tokens_per_s", "peak_memory_bytes", "load_s"):
                self.assertGreater(result[key], 0, key)
        self.bad(2, "bench", self.llama, "--context", 10, named="10")

    def test_entry(self):
        path = self.path("bench.safetensors")
        tiny.write_safetensors(path, tiny.ids_tensor([2, 9, 3]))
        result = self.good("bench", self.bert, "--inputs", path, "--repeat", 3)
        self.assertLessEqual(result["run_ms_min"], result["run_ms"])
        self.assertGreater(result["run_ms_min"], 0)

    def test_not_a_language_model(self):
        self.bad(1, "bench", self.bert, "--prompt-tokens", 4, "--generate-tokens", 2, named="next")
        self.bad(1, "bench", self.bert, named="576")  # more than its context


class Inspect(Case):
    def test_every_topic(self):
        for model in (self.llama, self.gguf, self.bert):
            for topic in ("summary", "entries", "inputs", "outputs", "states", "controls", "values", "graph", "weights", "config", "ignored", "plan", "memory",
                          "rewrites", "profile"):
                value = self.good("inspect", model, topic)
                if topic in ("summary", "entries", "inputs", "outputs", "values", "graph", "weights", "plan", "memory"):
                    self.assertTrue(value, topic)
                r = run("inspect", model, topic)
                self.assertEqual(r.returncode, 0, r.stderr)
        self.assertTrue(self.good("inspect", self.llama, "tokenizer"))

    def test_entry(self):
        self.assertNotEqual(self.good("inspect", self.llama, "graph", "--entry", "next"), self.good("inspect", self.llama, "graph"))
        self.bad(1, "inspect", self.llama, "graph", "--entry", "backward", named="backward")


class Installation(Case):
    def test_plugins(self):
        for topic in ("plugins", "operators", "formats", "models", "types", "tokenizers", "tasks"):
            self.assertTrue(self.good("plugins", topic), topic)
        self.assertIn("orr.language", json.dumps(self.good("plugins")))
        self.assertEqual(run("plugins").returncode, 0)

    def test_doctor(self):
        result = self.good("doctor")
        self.assertTrue(result["good"])
        self.assertGreaterEqual(len(result["checks"]), 9)
        self.assertTrue(all(c["good"] for c in result["checks"]))

    def test_doctor_tells_of_devices(self):
        """What self-tests found is kept for the next process."""
        cache = {"XDG_CACHE_HOME": self.path("cache")}
        checks = lambda: {c["check"]: c["text"] for c in self.good("doctor", env=cache)["checks"]}
        before = checks().get("vulkan:0", "not used")
        if "not used" in before:
            self.skipTest("no Vulkan device")
        self.assertIn("not tested yet", before)
        self.assertEqual(len(self.good("run", self.llama, "a", "-n", "2", "--device", "vulkan", env=cache)["ids"]), 2)
        self.assertRegex(checks()["vulkan:0"], r"; [1-9]\d* pipelines passed their self-tests \(\d+ ms in all.* the last \d{4}-\d\d-\d\dT")

    def test_without_shaders(self):
        on_device = ("--device", "vulkan")
        ids = lambda *more: self.good("run", self.llama, "a", "-n", "4", "--temperature", "0", *on_device, *more)["ids"]
        left_out = lambda *more: [s for s in self.good("inspect", self.llama, "plan", *on_device, *more)["steps"] if "left out by the host (linear_ge*)" in json.dumps(s)]
        if run("run", self.llama, "a", "-n", "1", *on_device).returncode:
            self.skipTest("no Vulkan device")
        for arguments in (["--without-shaders", "linear_ge*,no_such"], ["--without-shaders", "no_such", "--without-shaders=linear_ge*"]):
            self.assertTrue(left_out(*arguments))
            self.assertEqual({(s["op"], s["device"]) for s in left_out(*arguments)}, {("orr.linear/1", "cpu")})
            self.assertEqual(ids(*arguments), ids())
            self.assertIn("left out shaders linear_ge*, since the host asked for it", json.dumps(self.good("doctor", *on_device, *arguments)))
        self.assertFalse(left_out())
        self.bad(2, "run", self.llama, "a", "--without-shaders")

    def doctor_without(self, *gone):
        """Its checks by name, in an installation that lacks these files."""
        built = os.path.join(os.path.dirname(os.path.dirname(ORRERY)), "lib")
        with tempfile.TemporaryDirectory() as lib:
            for name in os.listdir(built):
                if name.startswith("liborrery."):
                    shutil.copy(os.path.join(built, name), os.path.join(lib, name))
            shutil.copytree(os.path.join(built, "orrery"), os.path.join(lib, "orrery"))
            for name in gone:
                os.remove(os.path.join(lib, "orrery", name))
            r = subprocess.run([ORRERY, "doctor", "--json"], capture_output=True, timeout=120, cwd="/", env={"LD_LIBRARY_PATH": lib})
        self.assertEqual(r.returncode, 1)
        result = json.loads(r.stdout)
        self.assertFalse(result["good"])
        return {c["check"]: c for c in result["checks"]}

    def test_doctor_without_tokenisers(self):
        checks = self.doctor_without("text.so", "text.orrery.json")
        self.assertEqual([name for name, c in checks.items() if not c["good"]], ["tokenizers"])

    def test_doctor_without_operators_of_models(self):
        checks = self.doctor_without("attention.so", "attention.orrery.json")
        self.assertEqual([name for name, c in checks.items() if not c["good"]], ["operators of models"])
        self.assertIn("orr.rope/1", checks["operators of models"]["text"])
        self.assertIn("llama", checks["operators of models"]["text"])

    def test_doctor_with_a_plugin_that_does_not_load(self):
        checks = self.doctor_without("ssm.so")
        self.assertIn("orr.ssm", checks["operators"]["text"])
        self.assertFalse(checks["operators"]["good"])
        self.assertFalse(checks["conflicts"]["good"])
        self.assertNotIn("[", checks["conflicts"]["text"])

    def test_another_folder_of_plugins(self):
        # A manifest that is none is told, and the rest goes on.
        folder = self.path("plugins")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "broken.orrery.json"), "w", encoding="utf-8") as f:
            f.write("{")
        os.makedirs(os.path.join(folder, "folder.orrery.json"), exist_ok=True)
        with open(os.path.join(folder, "alone.so"), "w", encoding="utf-8") as f:
            f.write("no library")
        r = run("run", self.llama, "a", "--max-tokens", "1", "--plugins", folder)
        self.assertEqual(r.returncode, 0, r.stderr)
        for name in ("broken.orrery.json", "folder.orrery.json: is not a file", "alone.so: has no manifest"):
            self.assertIn(name, r.stderr)


@unittest.skipUnless(os.environ.get("ORRERY_GEMMA"), "ORRERY_GEMMA is not set")
class Gemma(Case):
    def test_speculation_changes_no_token(self):
        accepted = 0
        for prompt in ("The capital of France is", "def add(a, b):\n    return a + b\n\ndef sub(a, b):\n", "1, 2, 3, 4, 1, 2, 3,", "Repeat: the cat sat on the mat. the cat sat on", "import os\nimport",
                       "Dear Sir or Madam,\n\nI", "x" * 50, "Das Haus ist groß. Das Haus ist"):
            options = [os.environ["ORRERY_GEMMA"], "--prompt", prompt, "--max-tokens", 48, "--temperature", 0, "--ignore-eog"]
            plain = self.good("run", *options, timeout=600)["ids"]
            for how in ("lookup", "lookup:1", "layer_plan:0-7,10-17"):
                got = self.good("run", *options, "--speculate", how, timeout=600)
                self.assertEqual(got["ids"], plain, (prompt, how))
                accepted += got["speculation"]["accepted"]
        self.assertGreater(accepted, 100)

    def test_answers(self):
        result = self.good("run", os.environ["ORRERY_GEMMA"], "--prompt", "Question: What is the capital of France?\nAnswer:", "--max-tokens", 4, "--temperature", 0, timeout=600)
        self.assertIn("Paris", result["text"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
