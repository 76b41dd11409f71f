"""Tiny random-weight checkpoints for the tests of the command: a llama with a byte-level tokeniser and a chat template, a
bert with WordPiece and a pooling recipe, a GGUF without tokeniser. Standard library only; the same bytes each time."""
import json, os, random, struct

VOCABULARY = 260  # 256 bytes, <s>, </s>, <|user|>, <|bot|>
BOS, EOS, USER, BOT = 256, 257, 258, 259


def write_safetensors(path, tensors):
    """tensors: {name: (dtype, shape, bytes)}"""
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def read_safetensors(path):
    """{name: (dtype, shape, values)} of F32 tensors."""
    with open(path, "rb") as f:
        blob = f.read()
    size = struct.unpack("<Q", blob[:8])[0]
    out = {}
    for name, entry in json.loads(blob[8 : 8 + size]).items():
        begin, end = entry["data_offsets"]
        raw = blob[8 + size + begin : 8 + size + end]
        assert entry["dtype"] == "F32", entry
        out[name] = (entry["dtype"], entry["shape"], struct.unpack(f"<{len(raw) // 4}f", raw))
    return out


def ids_tensor(ids):
    return {"input_ids": ("I64", [1, len(ids)], struct.pack(f"<{len(ids)}q", *ids))}


class Weights:
    def __init__(self, seed):
        self.random, self.tensors = random.Random(seed), {}

    def add(self, name, *shape, spread=0.3, mean=0.0):
        n = 1
        for d in shape:
            n *= d
        self.tensors[name] = ("F32", list(shape), struct.pack(f"<{n}f", *(self.random.gauss(mean, spread) for _ in range(n))))


def byte_characters():
    """GPT-2's printable character for each byte."""
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


def dump(folder, name, value):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f)


def added(ids):
    return [{"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for c, i in ids]


def llama_tokenizer(folder):
    specials = [("<s>", BOS), ("</s>", EOS), ("<|user|>", USER), ("<|bot|>", BOT)]
    dump(folder, "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added(specials), "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [BOS], "tokens": ["<s>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "vocab": {**{c: b for b, c in byte_characters().items()}, **dict(specials)}, "merges": []}})


def llama(folder, template=True):
    width, ffn, layers, heads, kv_heads = 32, 64, 2, 4, 2
    head = width // heads
    dump(folder, "config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": width, "intermediate_size": ffn, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": VOCABULARY, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False, "attention_bias": False, "bos_token_id": BOS, "eos_token_id": EOS})
    llama_tokenizer(folder)
    config = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    if template:
        config["chat_template"] = ("{{ bos_token }}{% for m in messages %}{{ '<|bot|>' if m['role'] == 'assistant' else '<|user|>' }}{{ m['content'] }}"
                                   "{% endfor %}{% if add_generation_prompt %}<|bot|>{% endif %}")
    dump(folder, "tokenizer_config.json", config)
    w = Weights(1)
    w.add("model.embed_tokens.weight", VOCABULARY, width, spread=1.0)
    for i in range(layers):
        p = f"model.layers.{i}."
        for name, rows in (("q", width), ("k", head * kv_heads), ("v", head * kv_heads), ("o", width)):
            w.add(p + f"self_attn.{name}_proj.weight", rows, width)
        w.add(p + "mlp.gate_proj.weight", ffn, width)
        w.add(p + "mlp.up_proj.weight", ffn, width)
        w.add(p + "mlp.down_proj.weight", width, ffn)
        w.add(p + "input_layernorm.weight", width, spread=0.1, mean=1.0)
        w.add(p + "post_attention_layernorm.weight", width, spread=0.1, mean=1.0)
    w.add("model.norm.weight", width, spread=0.1, mean=1.0)
    w.add("lm_head.weight", VOCABULARY, width)
    write_safetensors(os.path.join(folder, "model.safetensors"), w.tensors)


def bert(folder):
    width, ffn, layers, letters = 32, 64, 2, "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(letters) + ["##" + c for c in letters]
    dump(folder, "config.json", {
        "architectures": ["BertModel"], "model_type": "bert", "hidden_size": width, "intermediate_size": ffn, "num_hidden_layers": layers, "num_attention_heads": 4,
        "vocab_size": len(words), "max_position_embeddings": 64, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu", "pad_token_id": 0,
        "position_embedding_type": "absolute"})
    dump(folder, "tokenizer.json", {
        "version": "1.0", "truncation": {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}, "padding": None,
        "added_tokens": added([(t, i) for i, t in enumerate(words[:5])]),
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                  "vocab": {t: i for i, t in enumerate(words)}}})
    dump(folder, "modules.json", [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                                  {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                                  {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])
    dump(folder, "1_Pooling/config.json", {"word_embedding_dimension": width, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True})
    dump(folder, "sentence_bert_config.json", {"max_seq_length": 8, "do_lower_case": False})
    w = Weights(2)
    w.add("embeddings.word_embeddings.weight", len(words), width)
    w.add("embeddings.position_embeddings.weight", 64, width)
    w.add("embeddings.token_type_embeddings.weight", 2, width)

    def norm(name):
        w.add(name + ".weight", width, spread=0.1, mean=1.0)
        w.add(name + ".bias", width, spread=0.1)

    def linear(name, rows, columns):
        w.add(name + ".weight", rows, columns)
        w.add(name + ".bias", rows, spread=0.1)

    norm("embeddings.LayerNorm")
    for i in range(layers):
        p = f"encoder.layer.{i}."
        for name in ("query", "key", "value"):
            linear(p + "attention.self." + name, width, width)
        linear(p + "attention.output.dense", width, width)
        norm(p + "attention.output.LayerNorm")
        linear(p + "intermediate.dense", ffn, width)
        linear(p + "output.dense", width, ffn)
        norm(p + "output.LayerNorm")
    linear("pooler.dense", width, width)
    write_safetensors(os.path.join(folder, "model.safetensors"), w.tensors)


def gguf(path):
    """A llama-shaped GGUF of f32 tensors, tokenizer model "none"."""
    width, ffn, layers, heads, kv_heads, vocabulary = 32, 64, 1, 4, 2, 50
    w = Weights(3)
    w.add("token_embd.weight", vocabulary, width, spread=1.0)
    w.add("output_norm.weight", width, spread=0.1, mean=1.0)
    w.add("output.weight", vocabulary, width)
    for i in range(layers):
        p = f"blk.{i}."
        for name, rows, columns in (("attn_q", width, width), ("attn_k", width // 2, width), ("attn_v", width // 2, width), ("attn_output", width, width),
                                    ("ffn_gate", ffn, width), ("ffn_up", ffn, width), ("ffn_down", width, ffn)):
            w.add(p + name + ".weight", rows, columns)
        w.add(p + "attn_norm.weight", width, spread=0.1, mean=1.0)
        w.add(p + "ffn_norm.weight", width, spread=0.1, mean=1.0)

    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()

    keys = [text(k) + struct.pack("<I", 8) + text(v) for k, v in (("general.architecture", "llama"), ("tokenizer.ggml.model", "none"))]
    keys += [text("llama." + k) + struct.pack("<II", 4, v) for k, v in (
        ("context_length", 512), ("embedding_length", width), ("block_count", layers), ("feed_forward_length", ffn), ("attention.head_count", heads),
        ("attention.head_count_kv", kv_heads), ("rope.dimension_count", width // heads), ("vocab_size", vocabulary))]
    keys += [text("llama." + k) + struct.pack("<If", 6, v) for k, v in (("attention.layer_norm_rms_epsilon", 1e-5), ("rope.freq_base", 10000.0))]
    infos, data = b"", b""
    for name, (_, shape, raw) in w.tensors.items():
        infos += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", d) for d in reversed(shape)) + struct.pack("<IQ", 0, len(data))
        data += raw + b"\0" * (-len(raw) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(w.tensors), len(keys)) + b"".join(keys) + infos
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32) + data)
