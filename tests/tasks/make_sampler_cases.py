#!/usr/bin/env python3
"""Writes sampler.cases: what transformers' logits processors, and a draw by SplitMix64, make of random logits.

usage: make_sampler_cases.py > sampler.cases      (transformers, torch)
Each line is one JSON object: logits, options, prompt and answer ids seen, seed, and the id that is drawn.
The filters are transformers' own classes, in the order of its generate(); the generator and the draw are written out
here a second time, after the definitions in sampler.hpp. Draws within 1e-6 of a boundary are left out.
"""
import json, math
import torch, transformers
from transformers.generation import logits_process as lp

MASK = (1 << 64) - 1


def splitmix64(state):
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def expected(logits, o, prompt, answer, seed):
    scores = torch.tensor([logits], dtype=torch.float32)
    for token, bias in o.get("logit_bias", {}).items():
        scores[0, int(token)] += bias
    if o["repetition_penalty"] != 1:
        scores = lp.RepetitionPenaltyLogitsProcessor(o["repetition_penalty"])(torch.tensor([prompt + answer]), scores)
    for token in set(answer):  # OpenAI's formula: mu[j] - c[j] * frequency - (c[j] > 0) * presence
        scores[0, token] -= answer.count(token) * o["frequency_penalty"] + o["presence_penalty"]
    if o["temperature"] == 0:
        return int(scores[0].argmax())
    scores = scores.double()
    scores = lp.TemperatureLogitsWarper(o["temperature"])(None, scores)
    if o["top_k"]:
        scores = lp.TopKLogitsWarper(min(o["top_k"], len(logits)))(None, scores)
    if o["top_p"] < 1:
        scores = lp.TopPLogitsWarper(o["top_p"])(None, scores)
    if o["min_p"] > 0:
        scores = lp.MinPLogitsWarper(o["min_p"])(None, scores)
    p = scores.softmax(-1)[0].tolist()
    u = (splitmix64(seed)[1] >> 11) * 2.0**-53
    total = 0.0
    for token, weight in enumerate(p):
        total += weight
        if weight and abs(total - u) < 1e-6:
            return None
        if total > u:
            return token
    return None


def main():
    torch.manual_seed(7)
    print(f"# transformers {transformers.__version__}, torch {torch.__version__}, seed 7")
    base = dict(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0)
    variants = [{}, {"temperature": 0.0}, {"temperature": 0.5}, {"temperature": 2.0}, {"top_k": 1}, {"top_k": 5}, {"top_k": 1000},
                {"top_p": 0.9}, {"top_p": 0.3}, {"top_p": 0.999}, {"min_p": 0.1}, {"min_p": 0.5},
                {"top_k": 20, "top_p": 0.8, "temperature": 0.7}, {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8},
                {"repetition_penalty": 1.3}, {"repetition_penalty": 0.8, "top_k": 8}, {"presence_penalty": 0.7}, {"frequency_penalty": 0.4},
                {"repetition_penalty": 1.2, "presence_penalty": 0.3, "frequency_penalty": 0.2, "top_p": 0.9},
                {"temperature": 0.0, "repetition_penalty": 1.5, "frequency_penalty": 0.5},
                {"logit_bias": {"3": 4.0, "7": -100.0}}, {"logit_bias": {"5": 2.5}, "repetition_penalty": 1.4, "temperature": 0.9}]
    for v in variants:
        for width in (11, 64):
            logits = [round(x, 3) for x in (torch.randn(width) * 3).tolist()]
            prompt = torch.randint(width, (6,)).tolist()
            answer = torch.randint(width, (9,)).tolist() + [2, 2]
            o = {**base, **v}
            for seed in (0, 12345, MASK):
                token = expected(logits, o, prompt, answer, seed)
                if token is not None:
                    print(json.dumps({"logits": logits, "options": o, "prompt": prompt, "answer": answer, "seed": seed, "id": token}))
                logits = logits[1:] + logits[:1]


main()
