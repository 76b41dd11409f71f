#!/usr/bin/env python3
"""Golden cases of vit, swin, clip, whisper and patchtst: tiny random checkpoints, run once in fp32 by transformers (eager attention).

usage: make_golden_encoders.py OUT [name-filter]

Writes OUT/<case>/: config.json, model.safetensors, inputs.safetensors, outputs.safetensors (names of forward's arguments and of the
output's fields) and meta.json (class, versions, seed). Needs torch, transformers and safetensors. tests/models/golden holds what
transformers 5.23.0 and torch 2.15.0 gave.
"""
import json
import os
import shutil
import sys
import zlib

import torch
import transformers
from safetensors.torch import save_file

BOTH = ["last_hidden_state", "pooler_output"]
CASES = {}


def add(name, model_class, config_class, config, make_inputs, outputs, **arguments):
    CASES[name] = (model_class, config_class, config, make_inputs, outputs, arguments)



def vit(name, model_class, outputs, **config):
    size, patch = config["image_size"], dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40)
    height, width = size if isinstance(size, list) else (size, size)
    add(name, model_class, "ViTConfig", {**patch, **config}, lambda: dict(pixel_values=torch.randn(2, 3, height, width)), outputs)


vit("vit_rectangle", "ViTModel", BOTH, image_size=[13, 20], patch_size=[4, 5], pooler_output_size=24)
vit("vit_classifier", "ViTForImageClassification", ["logits"], image_size=12, patch_size=4, num_labels=5, qkv_bias=False, hidden_act="relu")


def swin(name, outputs, model_class="SwinModel", **config):
    base = dict(patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[1, 2], window_size=3, mlp_ratio=2.0)
    height, width = config["image_size"]
    add(name, model_class, "SwinConfig", {**base, **config}, lambda: dict(pixel_values=torch.randn(2, 3, height, width)), outputs)


swin("swin_padded", BOTH, image_size=[23, 28])  # 12 x 14 patches: padded to 12 x 15, halved to 6 x 7
swin("swin_absolute", BOTH, image_size=[24, 12], use_absolute_embeddings=True, qkv_bias=False)  # stage 2 is one window wide
swin("swin_classifier", ["logits"], "SwinForImageClassification", image_size=[12, 12], num_labels=4)


def clip_ids(end):
    ids = torch.randint(5, 40, (3, 9))
    ids[0, 4] = ids[0, 6] = ids[1, 8] = ids[2, 2] = end
    return ids


def clip_mask():
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[0, 6:] = 0
    return mask


def tower(**changes):
    return {**dict(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, projection_dim=10), **changes}


def clip(name, end):
    text = tower(vocab_size=41, max_position_embeddings=12, eos_token_id=end)
    vision = tower(hidden_size=20, num_attention_heads=4, image_size=12, patch_size=4, hidden_act="gelu")
    add(name, "CLIPModel", "CLIPConfig", dict(projection_dim=10, text_config=text, vision_config=vision),
        lambda: dict(input_ids=clip_ids(end), pixel_values=torch.randn(2, 3, 12, 12), attention_mask=clip_mask()),
        ["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"])


clip("clip_first_eos", 40)
clip("clip_largest_id", 2)
add("clip_text", "CLIPTextModel", "CLIPTextConfig", tower(vocab_size=41, max_position_embeddings=12, eos_token_id=40),
    lambda: dict(input_ids=clip_ids(40), position_ids=torch.arange(2, 11)[None].repeat(3, 1)), BOTH)
add("clip_vision_projected", "CLIPVisionModelWithProjection", "CLIPVisionConfig", tower(image_size=12, patch_size=4),
    lambda: dict(pixel_values=torch.randn(2, 3, 12, 12)), ["image_embeds", "last_hidden_state"])

WHISPER = dict(vocab_size=41, d_model=24, encoder_layers=2, decoder_layers=2, encoder_attention_heads=3, decoder_attention_heads=2,
               encoder_ffn_dim=40, decoder_ffn_dim=32, num_mel_bins=6, max_source_positions=11, max_target_positions=12, pad_token_id=0,
               bos_token_id=1, eos_token_id=2, decoder_start_token_id=3)


def speech(masked):
    mask = torch.ones(2, 8, dtype=torch.long)
    mask[1, 6:] = 0
    inputs = dict(input_features=torch.randn(2, 6, 22), decoder_input_ids=torch.randint(4, 41, (2, 8)))
    return {**inputs, "decoder_attention_mask": mask} if masked else inputs


add("whisper", "WhisperForConditionalGeneration", "WhisperConfig", WHISPER, lambda: speech(False), ["logits", "encoder_last_hidden_state"])
add("whisper_untied_masked", "WhisperForConditionalGeneration", "WhisperConfig", {**WHISPER, "tie_word_embeddings": False},
    lambda: speech(True), ["logits", "encoder_last_hidden_state"])
add("whisper_model", "WhisperModel", "WhisperConfig", WHISPER, lambda: speech(False), ["last_hidden_state", "encoder_last_hidden_state"])


def series(name, model_class="PatchTSTForPrediction", outputs=("prediction_outputs", "loc", "scale"), masked=False, **config):
    base = dict(num_input_channels=3, context_length=26, patch_length=6, patch_stride=4, d_model=16, num_hidden_layers=2,
                num_attention_heads=2, ffn_dim=24, prediction_length=7, loss="mse")

    def make_inputs():
        values, seen = torch.randn(2, 26, 3).cumsum(1), torch.rand(2, 26, 3) > 0.3
        seen[1, :, 2] = False
        return dict(past_values=values, past_observed_mask=seen) if masked else dict(past_values=values)

    add(name, model_class, "PatchTSTConfig", {**base, **config}, make_inputs, list(outputs))


series("patchtst_std_masked", masked=True)
series("patchtst_mean_masked", masked=True, scaling="mean", pooling_type=None, share_embedding=False)
series("patchtst_channels", channel_attention=True, pre_norm=False, use_cls_token=True, norm_type="layernorm")
series("patchtst_model", "PatchTSTModel", ["last_hidden_state"], scaling=None, bias=False, activation_function="relu")


def randomise(model):
    """Weights of a size at which every part matters; running statistics away from 0 and 1."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not tensor.is_floating_point():
            continue
        if "running_var" in name:
            tensor.copy_(torch.rand_like(tensor) + 0.5)
        elif tensor.dim() <= 1:
            tensor.add_(0.1 * torch.randn_like(tensor))
        else:
            tensor.copy_(torch.randn_like(tensor) / tensor[0].numel() ** 0.5)


def make(folder, name):
    model_class, config_class, config, make_inputs, outputs, arguments = CASES[name]
    seed = zlib.crc32(name.encode())
    torch.manual_seed(seed)
    settings = getattr(transformers, config_class)(**config)
    settings._attn_implementation = "eager"
    model = getattr(transformers, model_class)(settings, **arguments).eval()
    randomise(model)
    inputs = make_inputs()
    got = model(**inputs)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    for extra in set(os.listdir(folder)) - {"config.json", "model.safetensors"}:
        os.remove(f"{folder}/{extra}")
    again = getattr(transformers, model_class).from_pretrained(folder, attn_implementation="eager").eval()(**inputs)
    for o in outputs:
        assert torch.isfinite(got[o]).all() and (again[o] - got[o]).abs().max() <= 1e-6 * got[o].std(), f"{name}: reload differs in {o}"
    save_file({k: v.contiguous() for k, v in inputs.items()}, f"{folder}/inputs.safetensors")
    save_file({o: got[o].float().contiguous().clone() for o in outputs}, f"{folder}/outputs.safetensors")
    versions = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, seed {seed}"
    with open(f"{folder}/meta.json", "w") as f:
        json.dump(dict(source=versions, cls=model_class, outputs={o: list(got[o].shape) for o in outputs}), f, indent=1)
        f.write("\n")
    for file in os.listdir(folder):
        os.chmod(f"{folder}/{file}", 0o644)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for case in CASES:
        if len(sys.argv) < 3 or sys.argv[2] in case:
            make(f"{sys.argv[1]}/{case}", case)
            print(case, flush=True)
