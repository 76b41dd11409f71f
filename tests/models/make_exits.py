#!/usr/bin/env python3
"""Golden values of early exits and of router-gated attention, by PyTorch: the modules of transformers' own models, called layer by layer here.

make_exits.py GOLDEN writes exits.json and exits.safetensors (and routers, exit_heads, halting and depth.safetensors) beside the checkpoints of llama, gpt2, whisper (its decoder),
bert, and encoder_exits.json and .safetensors beside those of clip, patchtst, vit and whisper. Needs torch, transformers, safetensors; what is committed
is of transformers 5.23.0, torch 2.15.0, seed 7.

A decoder reads a prompt, then one token a run. A run looks behind layers for an exit: one token's best softmax probability by final norm and
head, or the least cosine of a layer's input and output. Layers left out take their keys and values from the state at the exit (Elbayad et al.
2020, arXiv:1910.10073, section 3). Each sequence of a batch is run by itself here: it leaves where it would alone. Router-gated attention: x + attention(norm(x)) where sigmoid(router(mean over tokens of norm(x))) is at
least the threshold, else x; keys and values are written either way, as in CASE-Lab-UMD/Router-Tuning-Mixture-of-Depths,
utils/model/model_patch.py (granularity attn_sequence).

Trained exits (Elbayad et al. 2020, and the halters of their fairseq code): a classifier of its own behind each block, its norm the model's or its own;
leave where sigmoid(w x + b) >= threshold, default 0.5; or behind the block that is the best of one class a block, by the first block's output.
"""
import json
import pathlib
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

PLAN_TEXT, PLAN = "0-1,1-0,0*2,1*2", [0, 1, 1, 0, 0, 0, 1, 1]
PROMPT, TOKENS = 5, 14
MARGIN = 1e-4  # of every compared number from its threshold: arithmetic may not decide


def attend(q, k, v, past):
    """q [B, H, T, D], k and v [B, H, S, D]; causal, the first `past` keys before the queries."""
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(past)
    return scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v


class Llama:
    def __init__(self, folder):
        self.model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).double().eval()
        self.layers, self.config = self.model.model.layers, self.model.config

    def embed(self, ids, past):
        x = self.model.model.embed_tokens(ids)
        positions = torch.arange(past, past + ids.shape[1])[None].expand(ids.shape[0], -1)
        self.rotary = self.model.model.rotary_emb(x, positions)
        return x

    def heads(self, x):
        return x.unflatten(-1, (-1, self.layers[0].self_attn.head_dim)).transpose(1, 2)

    def normed(self, layer, x):
        return self.layers[layer].input_layernorm(x)

    def keys(self, layer, h):
        a = self.layers[layer].self_attn
        k, v = self.heads(a.k_proj(h)), self.heads(a.v_proj(h))
        return apply_rotary_pos_emb(k, k, *self.rotary)[1], v

    def mixer(self, layer, h, k, v, past):
        a = self.layers[layer].self_attn
        q = self.heads(a.q_proj(h))
        q = apply_rotary_pos_emb(q, q, *self.rotary)[0]
        groups = q.shape[1] // k.shape[1]
        y = attend(q, k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1), past)
        return a.o_proj(y.transpose(1, 2).flatten(2))

    def ffn(self, layer, x):
        b = self.layers[layer]
        return b.mlp(b.post_attention_layernorm(x))

    def final(self, x, weight, bias):
        return torch.nn.functional.rms_norm(x, weight.shape, weight, self.config.rms_norm_eps)

    def head_norm(self, x):
        return self.model.model.norm(x)

    def logits(self, x):
        return self.model.lm_head(self.model.model.norm(x))


class Gpt2:
    def __init__(self, folder):
        self.model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).double().eval()
        self.layers, self.config = self.model.transformer.h, self.model.config

    def embed(self, ids, past):
        t = self.model.transformer
        return t.wte(ids) + t.wpe(torch.arange(past, past + ids.shape[1]))[None]

    def normed(self, layer, x):
        return self.layers[layer].ln_1(x)

    def parts(self, layer, h):
        return [x.unflatten(-1, (self.config.n_head, -1)).transpose(1, 2) for x in self.layers[layer].attn.c_attn(h).chunk(3, -1)]

    def keys(self, layer, h):
        return self.parts(layer, h)[1:]

    def mixer(self, layer, h, k, v, past):
        y = attend(self.parts(layer, h)[0], k, v, past)
        return self.layers[layer].attn.c_proj(y.transpose(1, 2).flatten(2))

    def ffn(self, layer, x):
        return self.layers[layer].mlp(self.layers[layer].ln_2(x))

    def final(self, x, weight, bias):
        return torch.nn.functional.layer_norm(x, weight.shape, weight, bias, self.config.layer_norm_epsilon)

    def head_norm(self, x):
        return self.model.transformer.ln_f(x)

    def logits(self, x):
        return self.model.lm_head(self.model.transformer.ln_f(x))


class Whisper:
    """The decoder; `encoded` is what the encoder gave for the sequence at hand."""

    def __init__(self, folder):
        self.model = transformers.WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).double().eval()
        self.layers, self.config = self.model.model.decoder.layers, self.model.config

    def embed(self, ids, past):
        d = self.model.model.decoder
        return d.embed_tokens(ids) + d.embed_positions.weight[past:past + ids.shape[1]][None]

    def normed(self, layer, x):
        return self.layers[layer].self_attn_layer_norm(x)

    def heads(self, x):
        return x.unflatten(-1, (self.config.decoder_attention_heads, -1)).transpose(1, 2)

    def keys(self, layer, h):
        a = self.layers[layer].self_attn
        return self.heads(a.k_proj(h)), self.heads(a.v_proj(h))

    def mixer(self, layer, h, k, v, past):
        a = self.layers[layer].self_attn
        return a.out_proj(attend(self.heads(a.q_proj(h)), k, v, past).transpose(1, 2).flatten(2))

    def ffn(self, layer, x):
        b = self.layers[layer]
        a = b.encoder_attn
        q, k, v = self.heads(a.q_proj(b.encoder_attn_layer_norm(x))), self.heads(a.k_proj(self.encoded)), self.heads(a.v_proj(self.encoded))
        cross = a.out_proj(attend(q, k, v, self.encoded.shape[1]).transpose(1, 2).flatten(2))
        return cross + b.fc2(b.activation_fn(b.fc1(b.final_layer_norm(x + cross))))

    def final(self, x, weight, bias):
        return torch.nn.functional.layer_norm(x, weight.shape, weight, bias, 1e-5)

    def head_norm(self, x):
        return self.model.model.decoder.layer_norm(x)

    def logits(self, x):
        return self.model.proj_out(self.model.model.decoder.layer_norm(x))


class Decoder:
    """One sequence under given controls."""

    def __init__(self, model, plan, controls, routers=None, heads=None):
        self.model, self.plan, self.routers = model, plan, routers
        self.heads = {name: t.double() for name, t in (heads or {}).items()}
        self.halt = controls.get("exit_halt", 0.5)
        self.confidence = controls.get("exit_confidence", 1)
        self.similarity = controls.get("exit_similarity", 1)
        self.first, self.every = controls.get("exit_from", 0), controls.get("exit_every", 1)
        self.threshold = controls.get("mindskip_threshold", 0.5)
        self.depths, self.seen, self.skips = [], {"confidence": [], "similarity": [], "router": [], "halt": [], "depth": []}, []
        self.fresh()

    def fresh(self):
        """Another sequence; what was seen stays."""
        self.cache = [None] * len(self.plan)
        self.past = 0
        return self

    def remember(self, step, h):
        k, v = self.model.keys(self.plan[step], h)
        if self.cache[step] is not None:
            k, v = torch.cat([self.cache[step][0], k], 2), torch.cat([self.cache[step][1], v], 2)
        self.cache[step] = (k, v)

    def block(self, step, x):
        m, layer = self.model, self.plan[step]
        h = m.normed(layer, x)
        self.remember(step, h)
        gate = torch.ones(x.shape[0], 1, 1, dtype=torch.bool)
        if self.routers is not None and layer in self.routers:
            score = torch.sigmoid(h.mean(1, keepdim=True) @ self.routers[layer].double().T)
            self.seen["router"] += score.flatten().tolist()
            gate = score >= self.threshold
        if gate.any():
            x = torch.where(gate, x + m.mixer(layer, h, *self.cache[step], self.past), x)
        else:
            self.skips[-1][step] = True
        return x + m.ffn(layer, x)

    def linear(self, name, x):
        return torch.nn.functional.linear(x, self.heads[name + ".weight"], self.heads.get(name + ".bias"))

    def classify(self, layer, x):
        """Logits by the layer's own classifier; by the model's where there are no others; else None."""
        if f"layers.{layer}.exit.head.weight" not in self.heads:
            return None if any(".exit.head." in name for name in self.heads) else self.model.logits(x)
        norm = self.heads.get(f"layers.{layer}.exit.norm.weight")
        h = self.model.head_norm(x) if norm is None else self.model.final(x, norm, self.heads.get(f"layers.{layer}.exit.norm.bias"))
        return self.linear(f"layers.{layer}.exit.head", h)

    def leaves(self, step, before, after):
        """Whether to leave, and the logits of the exit where the layer has its own."""
        leave, layer, logits = False, self.plan[step], None
        if after.shape[1] == 1:
            logits = self.classify(layer, after)
            if logits is not None:
                p = logits.softmax(-1).amax(-1)
                self.seen["confidence"].append(p.min().item())
                leave = self.confidence < 1 and p.min() >= self.confidence
            if f"layers.{layer}.halt.weight" in self.heads:
                p = torch.sigmoid(self.linear(f"layers.{layer}.halt", after)).item()
                self.seen["halt"].append(p)
                leave = leave or p >= self.halt
            if self.planned is not None:
                leave = leave or step >= self.planned
        cosine = torch.cosine_similarity(before, after, -1).min().item()
        self.seen["similarity"].append(cosine)
        return leave or (self.similarity < 1 and cosine >= self.similarity), logits

    @torch.no_grad()
    def run(self, ids):
        x = self.model.embed(ids, self.past)
        depth, own, self.planned = len(self.plan), None, None
        self.skips.append([False] * depth)
        for step in range(len(self.plan)):
            if step >= depth:  # left: what the layer keeps comes from the state at the exit
                self.remember(step, self.model.normed(self.plan[step], x))
                continue
            before, x = x, self.block(step, x)
            if step == 0 and ids.shape[1] == 1 and "depth.weight" in self.heads:
                scores = self.linear("depth", x).flatten()
                best = scores.topk(2).values
                self.seen["depth"].append((best[0] - best[1]).item())
                self.planned = scores.argmax().item()
                if self.planned == len(scores) - 1:  # the end
                    self.planned = len(self.plan)
            looks = step >= self.first and (step - self.first) % self.every == 0 and step + 1 < len(self.plan)
            if looks:
                leave, logits = self.leaves(step, before, x)
                if leave:
                    depth = step + 1
                    own = logits if self.heads else None
        self.past += ids.shape[1]
        self.depths.append(depth)
        return self.model.logits(x) if own is None else own

    def walk(self, ids):
        return [self.run(ids[:, :PROMPT])] + [self.run(ids[:, i:i + 1]) for i in range(PROMPT, ids.shape[1])]

    def margin(self):
        gaps = [abs(p - t) for kind, t in (("confidence", self.confidence), ("similarity", self.similarity)) if t < 1 for p in self.seen[kind]]
        gaps += [abs(p - self.halt) for p in self.seen["halt"]] + self.seen["depth"]
        return min(gaps + [abs(p - self.threshold) for p in self.seen["router"]], default=1)


def between(numbers, share):
    """A threshold in the widest gap near the given share of the sorted numbers, with few digits."""
    s = np.sort(numbers)
    at = int(share * len(s))
    near = range(max(at - 3, 0), min(at + 3, len(s) - 1))
    best = max(near, key=lambda i: s[i + 1] - s[i])
    return round(float(s[best] + s[best + 1]) / 2, 6)


def apart(seen, depths):
    """Thresholds at which the sequences leave behind different layers, two of them; another where they may do as they like."""
    found = []
    s = np.sort(seen)
    for low, high in sorted(zip(s, s[1:]), key=lambda pair: pair[0] - pair[1]):
        threshold = round(float(low + high) / 2, 6)
        if high - low > 4 * MARGIN and len(set(depths(threshold))) > 1 and len(found) < 2:
            found.append(threshold)
    assert found
    return found + [between(seen, 0.9)]


def decoder_case(folder, model, encoder_inputs=None):
    torch.manual_seed(7)
    tensors, runs = {}, []
    speech = isinstance(model, Whisper)
    count = 12 if speech else TOKENS  # whisper's here has no more positions
    prefix = "decoder." if speech else ""
    ids = torch.randint(3, model.config.vocab_size, (2, count))
    with torch.no_grad():
        encoded = model.model.model.encoder(encoder_inputs).last_hidden_state if speech else None
        whole = Decoder(model, list(range(len(model.layers))), {})
        if speech:
            model.encoded = encoded
        ours = torch.cat([y for y in whole.walk(ids)], 1)
        theirs = model.model(encoder_inputs, decoder_input_ids=ids) if speech else model.model(ids)
        assert (ours - theirs.logits).abs().max() < 1e-9, "this walk is not the model"

    def walk(d, b):
        if speech:
            model.encoded = encoded[b:b + 1]
        return d.walk(ids[b:b + 1])

    def add(name, batch, controls, routers=None, files=None, heads=None):
        alone = []
        for b in range(batch):
            d = Decoder(model, PLAN, controls, routers, heads)
            logits = walk(d, b)
            assert d.margin() > MARGIN, (name, d.margin())
            alone.append((d, torch.cat([y[:, -1:] for y in logits], 1)))
        tensors[name] = torch.cat([y for _, y in alone]).float().contiguous()  # [B, runs, V]
        depths = [[d.depths[i] for d, _ in alone] for i in range(len(alone[0][0].depths))]
        skipped = [sum(all(d.skips[i][step] for d, _ in alone) for i in range(len(depths))) for step in range(len(PLAN))]
        runs.append({"name": name, "batch": batch, "controls": {prefix + name: value for name, value in {"layer_plan": PLAN_TEXT, **controls, **(files or {})}.items()}, "depths": depths, "mixers_skipped": skipped})
        print(folder.name, name, depths, skipped)

    for batch in (1, 2):
        full = Decoder(model, PLAN, {})
        for b in range(batch):
            walk(full.fresh(), b)
        for share in (0.5, 0.85):
            add(f"confidence {share} of {batch}", batch, {"exit_confidence": between(full.seen["confidence"], share)})
            add(f"similarity {share} of {batch}", batch, {"exit_similarity": between(full.seen["similarity"], share)})
    full = Decoder(model, PLAN, {})
    walk(full, 0)
    add("looks seldom", 1, {"exit_confidence": between(full.seen["confidence"], 0.4), "exit_from": 1, "exit_every": 3})
    add("either", 1, {"exit_confidence": between(full.seen["confidence"], 0.9), "exit_similarity": between(full.seen["similarity"], 0.8)})
    add("always", 1, {"exit_confidence": 0, "exit_from": 2})
    if not speech:
        width = model.config.hidden_size
        routers = {1: torch.randn(1, width)}  # of layer 0 there is none: it always attends
        save_file({"model.layers.1.router.weight": routers[1]}, folder / "routers.safetensors")
        for batch in (1, 2):
            full = Decoder(model, PLAN, {"mindskip_threshold": 2}, routers)
            for b in range(batch):
                walk(full.fresh(), b)
            for share in (0.3, 0.6):
                add(f"mindskip {share} of {batch}", batch, {"mindskip_threshold": between(full.seen["router"], share)}, routers, {"mindskip": "routers.safetensors"})
        add("mindskip and exits", 1, {"mindskip_threshold": between(full.seen["router"], 0.5), "exit_confidence": runs[0]["controls"]["exit_confidence"]}, routers, {"mindskip": "routers.safetensors"})
    def random(*shape):
        return torch.randn(*shape) * 0.4

    width, words = model.config.hidden_size, model.config.vocab_size
    heads = {"layers.0.exit.head.weight": random(words, width), "layers.0.exit.norm.weight": 1 + random(width), "layers.1.exit.head.weight": random(words, width), "layers.1.exit.head.bias": random(words)}
    halting = {"layers.0.halt.weight": random(1, width), "layers.1.halt.weight": random(1, width), "layers.1.halt.bias": random(1), "layers.1.exit.head.weight": heads["layers.1.exit.head.weight"]}
    depth = {"depth.weight": random(2, width), "depth.bias": random(2)}
    if not isinstance(model, Llama):
        heads["layers.0.exit.norm.bias"] = random(width)
    for name, file in (("exit_heads", heads), ("halting", halting), ("depth", depth)):
        save_file(file, folder / f"{name}.safetensors")
    full = Decoder(model, PLAN, {"exit_halt": 2}, None, heads)
    halts = Decoder(model, PLAN, {"exit_halt": 2}, None, halting)
    for b in range(2):
        walk(full.fresh(), b)
        walk(halts.fresh(), b)
    for batch in (1, 2):
        add(f"own heads of {batch}", batch, {"exit_confidence": between(full.seen["confidence"], 0.7)}, None, {"exit_heads": "exit_heads.safetensors"}, heads)
        add(f"halting of {batch}", batch, {"exit_halt": between(halts.seen["halt"], 0.8)}, None, {"exit_heads": "halting.safetensors"}, halting)
        add(f"depth of {batch}", batch, {}, None, {"exit_heads": "depth.safetensors"}, depth)
    add("halting by default", 2, {"exit_from": 1}, None, {"exit_heads": "halting.safetensors"}, halting)
    add("halting and confidence", 2, {"exit_halt": between(halts.seen["halt"], 0.9), "exit_confidence": between(halts.seen["confidence"], 0.8)}, None, {"exit_heads": "halting.safetensors"}, halting)
    add("own heads and similarity", 2, {"exit_confidence": between(full.seen["confidence"], 0.9), "exit_similarity": between(full.seen["similarity"], 0.7)}, None, {"exit_heads": "exit_heads.safetensors"}, heads)
    add("depth seen late", 2, {"exit_from": 2, "exit_every": 2}, None, {"exit_heads": "depth.safetensors"}, depth)
    tensors["ids"] = ids.int()
    save_file(tensors, folder / "exits.safetensors")
    (folder / "exits.json").write_text(json.dumps({"prompt": PROMPT, "runs": runs}, indent=1) + "\n")


@torch.no_grad()
def bert_case(folder):
    model = transformers.BertModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").double().eval()
    torch.manual_seed(7)
    ids = torch.randint(3, model.config.vocab_size, (2, 6))
    x0 = model.embeddings(ids)

    def walk(b, threshold):
        # Padding has no say: what is compared are the tokens of the mask.
        x, seen = x0[b:b + 1], []
        bias = torch.where(mask[b:b + 1, None, None] > 0, 0.0, float("-inf")).double()
        for step, layer in enumerate(PLAN):
            y = model.encoder.layer[layer](x, bias)
            y = y[0] if isinstance(y, tuple) else y
            seen.append(torch.cosine_similarity(x, y, -1)[0, mask[b] > 0].min().item())
            x = y
            if step + 1 < len(PLAN) and seen[-1] >= threshold:
                return x, step + 1, seen
        return x, len(PLAN), seen

    tensors, runs = {"ids": ids.int()}, []
    for padded in (False, True):
        mask = torch.ones_like(ids)
        if padded:
            mask[1, 4:] = 0
            tensors["mask"] = mask.int()
        seen = [c for b in range(2) for c in walk(b, 2)[2][:-1]]
        for threshold in apart(seen, lambda t: [walk(b, t)[1] for b in range(2)]):
            alone = [walk(b, threshold) for b in range(2)]
            assert min(abs(c - threshold) for a in alone for c in a[2]) > MARGIN
            name = f"similarity {threshold}" + (" padded" if padded else "")
            tensors[name] = torch.cat([a[0] for a in alone]).float().contiguous()
            runs.append({"name": name, "padded": padded, "controls": {"layer_plan": PLAN_TEXT, "exit_similarity": threshold}, "depths": [a[1] for a in alone]})
            print("bert", name, threshold, [a[1] for a in alone])
    save_file(tensors, folder / "exits.safetensors")
    (folder / "exits.json").write_text(json.dumps({"runs": runs}, indent=1) + "\n")


class Walk(torch.nn.Module):
    """Stands where an encoder's layers stood: the plan, each sequence until it leaves."""

    def __init__(self, layers, threshold, mask=None):
        super().__init__()
        self.layers, self.threshold, self.mask = list(layers), threshold, mask

    def forward(self, *args, **options):
        name = None if args else next(n for n in ("hidden_states", "hidden_state") if n in options)
        x = args[0] if args else options.pop(name)
        self.depths, self.seen = [len(PLAN)] * x.shape[0], [[] for _ in x]
        for step, layer in enumerate(PLAN):
            out = self.layers[layer](x, *args[1:], **options) if args else self.layers[layer](**{name: x}, **options)
            y = out[0] if isinstance(out, tuple) else out
            cosine = torch.cosine_similarity(x, y, -1)
            left = []
            for b in range(x.shape[0]):
                left.append(self.depths[b] <= step)
                counted = cosine[b] if self.mask is None else cosine[b][self.mask[b] > 0]
                if left[b] or step + 1 == len(PLAN):
                    continue
                self.seen[b].append(counted.min().item())
                if self.seen[b][-1] >= self.threshold:
                    self.depths[b] = step + 1
            x = torch.stack([x[b] if left[b] else y[b] for b in range(x.shape[0])])
        return (x,) + out[1:] if isinstance(out, tuple) else x


@torch.no_grad()
def encoder_case(folder, model, stacks, run, entry, outputs):
    """stacks: by prefix of the controls, (module, name of its layers, mask); run(inputs): outputs by name."""
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in load_file(folder / "inputs.safetensors").items()}
    layers = {prefix: list(getattr(module, name)) for prefix, (module, name, _) in stacks.items()}

    def walk(thresholds):
        walks = {}
        for prefix, (module, name, mask) in stacks.items():
            walks[prefix] = Walk(layers[prefix], thresholds.get(prefix, 2), inputs.get(mask) if mask else None)
            setattr(module, name, torch.nn.ModuleList([walks[prefix]]))
        result = run(inputs)
        return walks, result

    seen = {prefix: [c for one in w.seen for c in one] for prefix, w in walk({})[0].items()}
    choices = [{prefix: between(seen[prefix], share) for prefix in stacks} for share in (0.3, 0.8)]
    choices.append({prefix: apart(seen[prefix], lambda t, p=prefix: walk({p: t})[0][p].depths)[0] for prefix in stacks})
    if len(stacks) > 1:
        choices.append({next(iter(stacks)): choices[0][next(iter(stacks))]})  # the other tower goes to its end
    tensors, runs = {}, []
    for i, chosen in enumerate(choices):
        walks, result = walk(chosen)
        for prefix, threshold in chosen.items():
            assert min(abs(c - threshold) for one in walks[prefix].seen for c in one) > MARGIN, (folder.name, prefix, threshold)
        for name in outputs:
            tensors[f"{i}:{name}"] = result[name].float().contiguous()
        runs.append({"controls": {**{p + "layer_plan": PLAN_TEXT for p in stacks}, **{p + "exit_similarity": t for p, t in chosen.items()}},
                     "depths": {p + "layers": walks[p].depths for p in chosen}})
        print(folder.name, chosen, runs[-1]["depths"])
    save_file(tensors, folder / "encoder_exits.safetensors")
    (folder / "encoder_exits.json").write_text(json.dumps({"entry": entry, "outputs": outputs, "runs": runs}, indent=1) + "\n")


def encoder_cases(golden):
    def model(folder, kind):
        return getattr(transformers, kind).from_pretrained(golden / folder, dtype=torch.float32, attn_implementation="eager").double().eval()

    clip = model("clip_first_eos", "CLIPModel")
    encoder_case(golden / "clip_first_eos", clip, {"text.": (clip.text_model.encoder, "layers", "attention_mask"), "vision.": (clip.vision_model.encoder, "layers", None)},
                 lambda i: clip(**i), "forward", ["text_embeds", "image_embeds"])
    series = model("patchtst_std_masked", "PatchTSTForPrediction")
    encoder_case(golden / "patchtst_std_masked", series, {"": (series.model.encoder, "layers", None)}, lambda i: series(**i), "forward", ["prediction_outputs"])
    vit = model("vit_classifier", "ViTForImageClassification")
    holder = vit.vit if hasattr(vit.vit, "layers") else vit.vit.encoder
    encoder_case(golden / "vit_classifier", vit, {"": (holder, "layers" if hasattr(holder, "layers") else "layer", None)}, lambda i: vit(**i), "forward", ["logits"])
    whisper = model("whisper", "WhisperForConditionalGeneration").model.encoder
    encoder_case(golden / "whisper", whisper, {"encoder.": (whisper, "layers", None)},
                 lambda i: {"encoder_last_hidden_state": whisper(i["input_features"]).last_hidden_state}, "encode", ["encoder_last_hidden_state"])


def main():
    golden = pathlib.Path(sys.argv[1])
    decoder_case(golden / "llama", Llama(golden / "llama"))
    decoder_case(golden / "gpt2", Gpt2(golden / "gpt2"))
    speech = load_file(golden / "whisper" / "inputs.safetensors")["input_features"].double()
    decoder_case(golden / "whisper", Whisper(golden / "whisper"), speech)
    bert_case(golden / "bert")
    encoder_cases(golden)


if __name__ == "__main__":
    main()
