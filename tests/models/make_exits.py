#!/usr/bin/env python3
"""Golden values of early exits and of router-gated attention, by PyTorch: the modules of transformers' own models, called layer by layer here.

make_exits.py GOLDEN writes exits.json and exits.safetensors (and routers.safetensors) beside the checkpoints of llama, gpt2 and bert. Needs torch,
transformers, safetensors; what is committed is of transformers 5.23.0, torch 2.15.0, seed 7.

A decoder reads a prompt, then one token a run. A run looks behind layers for an exit: one token's best softmax probability by final norm and
head, or the least cosine of a layer's input and output. Layers left out take their keys and values from the state at the exit (Elbayad et al.
2020, arXiv:1910.10073, section 3). Router-gated attention: x + attention(norm(x)) where sigmoid(router(mean over tokens of norm(x))) is at
least the threshold, else x; keys and values are written either way, as in CASE-Lab-UMD/Router-Tuning-Mixture-of-Depths,
utils/model/model_patch.py (granularity attn_sequence).
"""
import json
import pathlib
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
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

    def logits(self, x):
        return self.model.lm_head(self.model.transformer.ln_f(x))


class Decoder:
    """One batch of sequences under given controls."""

    def __init__(self, model, plan, controls, routers=None):
        self.model, self.plan, self.routers = model, plan, routers
        self.confidence = controls.get("exit_confidence", 1)
        self.similarity = controls.get("exit_similarity", 1)
        self.first, self.every = controls.get("exit_from", 0), controls.get("exit_every", 1)
        self.threshold = controls.get("mindskip_threshold", 0.5)
        self.cache = [None] * len(plan)
        self.past = 0
        self.depths, self.seen, self.skipped = [], {"confidence": [], "similarity": [], "router": []}, [0] * len(plan)

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
            self.skipped[step] += 1
        return x + m.ffn(layer, x)

    def leaves(self, before, after):
        leave = False
        if after.shape[1] == 1:
            p = self.model.logits(after).softmax(-1).amax(-1)
            self.seen["confidence"].append(p.min().item())
            leave = self.confidence < 1 and p.min() >= self.confidence
        cosine = torch.cosine_similarity(before, after, -1).min().item()
        self.seen["similarity"].append(cosine)
        return leave or (self.similarity < 1 and cosine >= self.similarity)

    @torch.no_grad()
    def run(self, ids):
        x = self.model.embed(ids, self.past)
        depth = len(self.plan)
        for step in range(len(self.plan)):
            if step >= depth:  # left: what the layer keeps comes from the state at the exit
                self.remember(step, self.model.normed(self.plan[step], x))
                continue
            before, x = x, self.block(step, x)
            looks = step >= self.first and (step - self.first) % self.every == 0 and step + 1 < len(self.plan)
            if looks and self.leaves(before, x):
                depth = step + 1
        self.past += ids.shape[1]
        self.depths.append(depth)
        return self.model.logits(x)

    def walk(self, ids):
        return [self.run(ids[:, :PROMPT])] + [self.run(ids[:, i:i + 1]) for i in range(PROMPT, TOKENS)]

    def margin(self):
        gaps = [abs(p - t) for kind, t in (("confidence", self.confidence), ("similarity", self.similarity)) if t < 1 for p in self.seen[kind]]
        return min(gaps + [abs(p - self.threshold) for p in self.seen["router"]], default=1)


def between(numbers, share):
    """A threshold in the widest gap near the given share of the sorted numbers, with few digits."""
    s = np.sort(numbers)
    at = int(share * len(s))
    near = range(max(at - 3, 0), min(at + 3, len(s) - 1))
    best = max(near, key=lambda i: s[i + 1] - s[i])
    return round(float(s[best] + s[best + 1]) / 2, 6)


def decoder_case(folder, model):
    torch.manual_seed(7)
    tensors, runs = {}, []
    ids = torch.randint(3, model.config.vocab_size, (2, TOKENS))
    whole = Decoder(model, list(range(len(model.layers))), {})
    ours = torch.cat([y for y in whole.walk(ids)], 1)
    with torch.no_grad():
        assert (ours - model.model(ids).logits).abs().max() < 1e-9, "this walk is not the model"

    def add(name, batch, controls, routers=None, files=None):
        d = Decoder(model, PLAN, controls, routers)
        logits = d.walk(ids[:batch])
        assert d.margin() > MARGIN, (name, d.margin())
        tensors[name] = torch.cat([y[:, -1:] for y in logits], 1).float().contiguous()  # [B, runs, V]
        runs.append({"name": name, "batch": batch, "controls": {"layer_plan": PLAN_TEXT, **controls, **(files or {})}, "depths": d.depths, "mixers_skipped": d.skipped})
        print(folder.name, name, d.depths, d.skipped, f"margin {d.margin():.2g}")

    for batch in (1, 2):
        full = Decoder(model, PLAN, {})
        full.walk(ids[:batch])
        for share in (0.5, 0.85):
            add(f"confidence {share} of {batch}", batch, {"exit_confidence": between(full.seen["confidence"], share)})
            add(f"similarity {share} of {batch}", batch, {"exit_similarity": between(full.seen["similarity"], share)})
    full = Decoder(model, PLAN, {})
    full.walk(ids[:1])
    add("looks seldom", 1, {"exit_confidence": between(full.seen["confidence"], 0.4), "exit_from": 1, "exit_every": 3})
    add("either", 1, {"exit_confidence": between(full.seen["confidence"], 0.9), "exit_similarity": between(full.seen["similarity"], 0.8)})
    add("always", 1, {"exit_confidence": 0, "exit_from": 2})
    if isinstance(model, Llama):
        width = model.config.hidden_size
        routers = {1: torch.randn(1, width)}  # of layer 0 there is none: it always attends
        save_file({"model.layers.1.router.weight": routers[1]}, folder / "routers.safetensors")
        for batch in (1, 2):
            full = Decoder(model, PLAN, {"mindskip_threshold": 2}, routers)
            full.walk(ids[:batch])
            for share in (0.3, 0.6):
                add(f"mindskip {share} of {batch}", batch, {"mindskip_threshold": between(full.seen["router"], share)}, routers, {"mindskip": "routers.safetensors"})
        add("mindskip and exits", 1, {"mindskip_threshold": between(full.seen["router"], 0.5), "exit_confidence": runs[0]["controls"]["exit_confidence"]}, routers, {"mindskip": "routers.safetensors"})
    tensors["ids"] = ids.int()
    save_file(tensors, folder / "exits.safetensors")
    (folder / "exits.json").write_text(json.dumps({"prompt": PROMPT, "runs": runs}, indent=1) + "\n")


@torch.no_grad()
def bert_case(folder):
    model = transformers.BertModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").double().eval()
    torch.manual_seed(7)
    ids = torch.randint(3, model.config.vocab_size, (2, 6))
    x0 = model.embeddings(ids)

    def walk(threshold):
        x, seen = x0, []
        for step, layer in enumerate(PLAN):
            y = model.encoder.layer[layer](x)
            y = y[0] if isinstance(y, tuple) else y
            seen.append(torch.cosine_similarity(x, y, -1).min().item())
            x = y
            if step + 1 < len(PLAN) and seen[-1] >= threshold:
                return x, step + 1, seen
        return x, len(PLAN), seen

    seen = walk(2)[2][:-1]
    tensors, runs = {"ids": ids.int()}, []
    for share in (0.2, 0.9):
        threshold = between(seen, share)
        x, depth, compared = walk(threshold)
        assert min(abs(c - threshold) for c in compared) > MARGIN
        name = f"similarity {share}"
        tensors[name] = x.float().contiguous()
        runs.append({"name": name, "controls": {"layer_plan": PLAN_TEXT, "exit_similarity": threshold}, "depth": depth})
        print("bert", name, threshold, depth)
    save_file(tensors, folder / "exits.safetensors")
    (folder / "exits.json").write_text(json.dumps({"runs": runs}, indent=1) + "\n")


def main():
    golden = pathlib.Path(sys.argv[1])
    decoder_case(golden / "llama", Llama(golden / "llama"))
    decoder_case(golden / "gpt2", Gpt2(golden / "gpt2"))
    bert_case(golden / "bert")


if __name__ == "__main__":
    main()
