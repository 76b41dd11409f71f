"""Reference ids from Hugging Face `tokenizers`.

  python make_cases.py                      writes cases/*.json (small tokenisers; those there already stay, since training breaks ties by
                                            chance) and cases/cases.jsonl beside this file
  python make_cases.py --full TOOL [FILE…]  trains larger ones, encodes 1 MB of mixed text with both sides and compares; FILE: further tokenizer.json files.
                                            TOOL: the program text_tokenize built from tokenize_tool.cpp

Versions: tokenizers 0.23.3, sentencepiece 0.2.3 (for a SentencePiece charsmap). Seed 20261122.
"""
import base64
import json
import os
import random
import subprocess
import sys
import tempfile

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders as D, models as M, normalizers as N, pre_tokenizers as P, processors as S, trainers as T

SEED = 20261122
HERE = os.path.dirname(os.path.abspath(__file__))
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
         r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

SENTENCES = [
    "The orrery turned slowly, and every little planet kept its time.", "I'll say it's what they'd've wanted; we're not sure you can't, DON'T WE'LL I'M",
    "Die Größe des Flusses überraschte Jörg; Straße, Maßstab, ÄÖÜ.", "L'été dernier, où es-tu allé ? C'était déjà Noël à l'hôtel…", "¿Qué pasó mañana? ¡El niño comió piñas!",
    "Вчера вечером мы долго гуляли по набережной, ёлки и йод.", "Η γρήγορη αλεπού πηδάει πάνω από το σκυλί. ΣΊΣΥΦΟΣ", "السلام عليكم ورحمة الله، كيف حالُكَ اليومَ؟ ١٢٣٤٥", "שָׁלוֹם עולם, מה שלומך?",
    "नमस्ते दुनिया, आज मौसम अच्छा है। १२३ क्षत्रिय", "আমি বাংলায় গান গাই ৪৫৬", "தமிழ் மொழி இனிமையானது கொ", "สวัสดีชาวโลก วันนี้อากาศดีมาก ๑๒๓", "ភាសាខ្មែរ ស្អាត", "မြန်မာဘာသာ",
    "快速的棕色狐狸跳过了懒狗。二〇二六年十一月", "吾輩は猫である。名前はまだ無い。カタカナ ﾊﾝｶｸ ガギグ が", "빠른 갈색 여우가 게으른 개를 뛰어넘는다 ᄒᆞᆫ", "ქართული ენა ძალიან ლამაზია", "Հայոց լեզու", "Tiếng Việt rất hay, ngữ điệu phong phú",
    "İstanbul'da ılık bir gün, IĞDIR şehri", "ᎠᏂᏴᏫᏯ ᏣᎳᎩ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛 ﬁ ﬂ ½ ⅓ ² ³ № ℡ ㎏ Ⅷ ⓐ ①", "𐍈𐌰𐌹 𓀀𓂀 𒀭 𠀀𠮷",
]
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇯🇵", "❤️", "☃", "🧑🏿‍🚀", "1️⃣", "©", "™", "🫠", "✈️"]
CODE = ["def f(x: int) -> str:\n    return f\"{x:>10}\"  # note\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i] * b[i];\r\n}\n", "SELECT * FROM t WHERE a <> 'b''c' AND d >= 1e-5;", "<div class=\"x\">&nbsp;</div>",
        "#include <vector>\n\n\n\nint main(){return 0;}", "if x==1:\n        y=2\n\n\n    else:\n\tpass", "{\"k\": [1, 2.5, null], \"ü\": \"\\u00e9\"}", "https://example.org/a?b=c&d=%20#e", "0x1F 1_000_000 3.14159 10,000.00 12345678901234567890"]
SPACE = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n", "\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", "\u180e", "\u0085", "\u2028", "\u202f", "\x0b", "\x0c", "\r", "        ", "\n \n", "\u1680"]
CONTROL = ["\x00", "\x01", "\x07", "\x1b[0m", "\x7f", "\u0080", "\u009f", "\ufffd", "\ufff0", "\u200d", "\u200c", "\u202e", "\ufe0f", "\U000e0041", "\ue000", "\u0378", "\U0010ffff", "\u2029"]
MARKS = ["e\u0301", "a\u0323\u0302", "\u0301", "n\u0303\u0303", "\u1100\u1161\u11a8", "q\u0307\u0323", "Å\u212b\u00c5", "\u1e9b\u0323", "\u0344", "ｶﾞ", "\u0915\u093c", "\u05e9\u05bc\u05c1", "\u09c7\u09be", "z\u0351\u036b\u0343\u036a"]
INVALID = [b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80\x80", b"\xe2\x28\xa1", b"\xf8\x88\x80\x80\x80", b"\xe0\x80\xaf"]
BLOCKS = [(0x20, 0x7e), (0xa0, 0x17f), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x4ff), (0x590, 0x5ff), (0x600, 0x6ff), (0x900, 0xdff), (0xe00, 0xeff), (0x1000, 0x10ff), (0x1100, 0x11ff), (0x1e00, 0x1fff), (0x2000, 0x2bff),
          (0x2e80, 0x2fdf), (0x3000, 0x33ff), (0x4e00, 0x4fff), (0xa000, 0xabff), (0xac00, 0xadff), (0xf900, 0xffff), (0x10000, 0x10fff), (0x11000, 0x11fff), (0x13000, 0x1345f), (0x16000, 0x16fff), (0x1d400, 0x1d7ff), (0x1e000, 0x1efff),
          (0x1f000, 0x1faff), (0x20000, 0x20100), (0x31340, 0x31370), (0xe0000, 0xe01ef)]
SPECIAL = ["<s>", "</s>", "<|endoftext|>", "<|im_start|>", " <|im_end|>\n", "[CLS]", "[SEP]", "[MASK]", "<mask>", "<bos>", "<0x41>", "<unk>", "[UNK]", "<pad>", "▁", "Ġ", "##ing", "</w>"]


def word(r):
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    return "".join(r.choices(letters, weights=range(26, 0, -1), k=r.randint(1, 11)))


def mixed(r, size, invalid=True):
    """About `size` bytes of everything."""
    out = bytearray()
    while len(out) < size:
        kind = r.random()
        if kind < 0.30:
            piece = " ".join(word(r).capitalize() if r.random() < 0.1 else word(r) for _ in range(r.randint(3, 30))) + r.choice([". ", ", ", "! ", "\n", "; "])
        elif kind < 0.55:
            piece = r.choice(SENTENCES) + r.choice([" ", "\n", ""])
        elif kind < 0.65:
            piece = r.choice(CODE)
        elif kind < 0.70:
            piece = "".join(r.choices(EMOJI, k=r.randint(1, 4)))
        elif kind < 0.78:
            piece = "".join(r.choices(SPACE, k=r.randint(1, 5)))
        elif kind < 0.80:
            piece = r.choice(CONTROL)
        elif kind < 0.86:
            piece = "".join(r.choices(MARKS, k=r.randint(1, 3)))
        elif kind < 0.93:
            low, high = r.choice(BLOCKS)
            piece = "".join(chr(c) for c in (r.randint(low, high) for _ in range(r.randint(1, 8))) if not 0xd800 <= c < 0xe000)
        elif kind < 0.96:
            piece = str(r.randint(0, 10 ** r.randint(1, 12)))
        elif kind < 0.98:
            piece = r.choice(SPECIAL)
        else:
            if invalid:
                out += r.choice(INVALID)
            piece = ""
        out += piece.encode()
    return bytes(out)


def special(*names, **how):
    return [AddedToken(n, special=True, normalized=False, **how) for n in names]


def charsmap(full):
    """A SentencePiece rewrite table: nmt_nfkc, or a small one."""
    import sentencepiece as spm
    from sentencepiece import sentencepiece_model_pb2 as pb
    with tempfile.TemporaryDirectory() as d:
        open(d + "/t.txt", "w").write("\n".join(["a b c d e f g"] * 50))
        rules = {}
        if full:
            rules["normalization_rule_name"] = "nmt_nfkc_cf"
        else:
            table = {"\u00a0": " ", "\u3000": " ", "\ufb01": "fi", "\u00bd": "1\u20442", "\u212b": "\u00c5", "A": "a", "e\u0301": "\u00e9", "\t": " ", "\u200b": "", "\uff76\uff9e": "\u30ac", "\u2460": "1", "\r\n": "\n", "ab": "X"}
            lines = ["%s\t%s" % (" ".join("%X" % ord(c) for c in k), " ".join("%X" % ord(c) for c in v)) for k, v in table.items()]
            open(d + "/r.tsv", "w").write("\n".join(lines) + "\n")
            rules["normalization_rule_tsv"] = d + "/r.tsv"
        spm.SentencePieceTrainer.train(input=d + "/t.txt", model_prefix=d + "/m", vocab_size=13, hard_vocab_limit=False, minloglevel=3, **rules)
        m = pb.ModelProto()
        m.ParseFromString(open(d + "/m.model", "rb").read())
        return m.normalizer_spec.precompiled_charsmap


def byte_level(vocab, tok, names, lines):
    tok.decoder = D.ByteLevel()
    tok.train_from_iterator(lines, T.BpeTrainer(vocab_size=vocab, initial_alphabet=P.ByteLevel.alphabet(), special_tokens=special(*names), show_progress=False))
    return tok


def rewrite(tok, change):
    j = json.loads(tok.to_str())
    change(j)
    return Tokenizer.from_str(json.dumps(j))


def build(vocab, lines, full):
    """name -> Tokenizer, one of each style."""
    out = {}
    t = Tokenizer(M.BPE())
    t.pre_tokenizer, t.post_processor = P.ByteLevel(add_prefix_space=False), S.ByteLevel(trim_offsets=False)
    out["gpt2"] = byte_level(vocab, t, ["<|endoftext|>"], lines)

    t = Tokenizer(M.BPE(ignore_merges=True))
    t.pre_tokenizer = P.Sequence([P.Split(Regex(LLAMA3), "isolated"), P.ByteLevel(add_prefix_space=False, use_regex=False)])
    t = byte_level(vocab, t, ["<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>"], lines)
    t.post_processor = S.Sequence([S.ByteLevel(), S.TemplateProcessing(single="<|begin_of_text|> $A", pair="$A $B", special_tokens=[("<|begin_of_text|>", 0)])])
    out["llama3"] = t

    t = Tokenizer(M.BPE())
    t.normalizer = N.NFC()
    t.pre_tokenizer = P.Sequence([P.Split(Regex(QWEN2), "isolated"), P.ByteLevel(add_prefix_space=False, use_regex=False)])
    out["qwen2"] = byte_level(vocab, t, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], lines)

    t = Tokenizer(M.BPE())
    t.pre_tokenizer = P.Sequence([P.Split(Regex(GPT4O), "removed", invert=True), P.ByteLevel(add_prefix_space=False, use_regex=False)])
    out["gpt4o"] = byte_level(vocab, t, ["<|endoftext|>"], lines)

    t = Tokenizer(M.BPE())
    t.pre_tokenizer = P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False)])
    out["smollm"] = byte_level(vocab, t, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], lines)

    t = Tokenizer(M.BPE())
    t.pre_tokenizer = P.ByteLevel(add_prefix_space=True)
    t = byte_level(vocab, t, ["<s>", "<pad>", "</s>", "<unk>"], lines)
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    t.post_processor = S.RobertaProcessing(("</s>", 2), ("<s>", 0))
    out["roberta"] = t

    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"] + ["<0x%02X>" % b for b in range(256)]

    def sentencepiece_bpe(normalizer, pre, **model):
        t = Tokenizer(M.BPE(**model))
        t.normalizer, t.pre_tokenizer = normalizer, pre
        t.train_from_iterator(lines, T.BpeTrainer(vocab_size=vocab, special_tokens=special(*pieces), limit_alphabet=vocab // 2, show_progress=False))

        def change(j):
            j["model"].update(byte_fallback=True, fuse_unk=True, unk_token="<unk>")
            j["added_tokens"] = [a for a in j["added_tokens"] if not a["content"].startswith("<0x")]
        return rewrite(t, change)
    # Training needs pieces; encoding gets the pre-tokenisers that the models ship.
    t = sentencepiece_bpe(N.Replace(" ", "▁"), P.Split("▁", "merged_with_next"))
    t.pre_tokenizer = P.Split(" ", "merged_with_previous")
    t.decoder = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()])
    t.post_processor = S.TemplateProcessing(single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 2)])
    t.add_tokens([AddedToken(x, normalized=False) for x in ("\n\n", "\n\n\n", "▁▁", "▁▁▁", "<table>")])
    out["gemma"] = t

    t = sentencepiece_bpe(N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), P.Split("▁", "merged_with_next"))
    t.pre_tokenizer = None
    t.decoder = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    t.post_processor = S.TemplateProcessing(single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 2)])
    t.add_tokens([AddedToken("<tool>", normalized=True, single_word=True), AddedToken("Day", normalized=True, rstrip=True)])
    out["llama2"] = t

    t = sentencepiece_bpe(N.Sequence([]), P.Metaspace(prepend_scheme="first", split=True))
    t.pre_tokenizer = P.Metaspace(prepend_scheme="first", split=False)
    t.decoder = D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    out["mistral"] = t

    t = Tokenizer(M.WordPiece(unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer, t.decoder = N.BertNormalizer(), P.BertPreTokenizer(), D.WordPiece()
    t.train_from_iterator(lines, T.WordPieceTrainer(vocab_size=vocab, limit_alphabet=vocab // 3, special_tokens=special("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), show_progress=False))
    t.post_processor = S.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    out["bert"] = t

    t = Tokenizer(M.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    t.normalizer, t.pre_tokenizer, t.decoder = N.BertNormalizer(lowercase=False, strip_accents=False), P.BertPreTokenizer(), D.WordPiece(cleanup=False)
    t.train_from_iterator(lines, T.WordPieceTrainer(vocab_size=vocab, limit_alphabet=vocab // 3, special_tokens=special("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), show_progress=False))
    t.post_processor = S.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    out["bert_cased"] = t

    def unigram(normalizer, pre, names, **more):
        t = Tokenizer(M.Unigram())
        t.normalizer, t.pre_tokenizer = normalizer, pre
        own = lines if full else ["".join(c for c in line if ord(c) < 0x370) for line in lines]  # every character must fit the vocabulary
        t.train_from_iterator(own, T.UnigramTrainer(vocab_size=vocab, special_tokens=special(*names), unk_token="<unk>", show_progress=False))
        t.decoder = D.Metaspace()
        return t
    blob = charsmap(full)
    t = unigram(N.Sequence([N.Precompiled(blob), N.Strip(left=False, right=True), N.Replace(Regex(" {2,}"), "▁")]), P.Metaspace(prepend_scheme="always"), ["<pad>", "</s>", "<unk>"])
    t.post_processor = S.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    out["t5"] = t
    t = unigram(N.Precompiled(blob), P.Sequence([P.WhitespaceSplit(), P.Metaspace()]), ["<s>", "<pad>", "</s>", "<unk>"])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=True)])
    out["xlmr"] = t
    out["albert"] = unigram(N.Sequence([N.Replace("``", '"'), N.Replace("''", '"'), N.NFKD(), N.StripAccents(), N.Lowercase(), N.Precompiled(blob)]), P.Metaspace(prepend_scheme="first"), ["<pad>", "<unk>", "[CLS]", "[SEP]"])
    t = unigram(N.Sequence([N.Nmt(), N.NFKC(), N.Strip()]), P.Metaspace(prepend_scheme="never"), ["<unk>"] + pieces[5:])
    out["unigram_bytes"] = rewrite(t, lambda j: (j["model"].update(byte_fallback=True), j.update(added_tokens=j["added_tokens"][:1], decoder=None)))

    t = Tokenizer(M.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    t.normalizer = N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()])
    t.pre_tokenizer = P.Sequence([P.Split(Regex(CLIP), "removed", invert=True), P.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.train_from_iterator(lines, T.BpeTrainer(vocab_size=vocab, end_of_word_suffix="</w>", initial_alphabet=P.ByteLevel.alphabet(), special_tokens=special("<|startoftext|>", "<|endoftext|>"), show_progress=False))
    t.post_processor, t.decoder = S.RobertaProcessing(("<|endoftext|>", 1), ("<|startoftext|>", 0), trim_offsets=False), D.BPEDecoder()
    out["clip"] = t

    t = Tokenizer(M.BPE(unk_token="[UNK]", continuing_subword_prefix="##", fuse_unk=False))
    t.normalizer, t.pre_tokenizer = N.NFD(), P.Sequence([P.Whitespace(), P.Punctuation(behavior="merged_with_previous"), P.Digits()])
    t.train_from_iterator(lines, T.BpeTrainer(vocab_size=vocab, continuing_subword_prefix="##", limit_alphabet=vocab // 4, special_tokens=special("[UNK]", "[PAD]"), show_progress=False))
    out["bpe_prefix"] = t

    t = Tokenizer(M.WordLevel(unk_token="[UNK]"))
    t.pre_tokenizer = P.Whitespace()
    t.train_from_iterator(lines, T.WordLevelTrainer(vocab_size=vocab, special_tokens=special("[UNK]"), show_progress=False))
    out["word_level"] = t

    t = Tokenizer(M.BPE())
    t.normalizer, t.pre_tokenizer = N.Sequence([N.Strip(left=True, right=False), N.ByteLevel()]), P.Split(Regex("Ġ+|Ċ|[0-9]"), "contiguous")
    out["byte_normal"] = byte_level(vocab, t, ["<|endoftext|>"], lines)
    for behavior in ("merged_with_next", "merged_with_previous", "removed", "contiguous"):
        t = Tokenizer(M.WordLevel(unk_token="[UNK]"))
        t.pre_tokenizer = P.Sequence([P.CharDelimiterSplit("\n"), P.Split(Regex(r"[\s&&[^\t]]|[aeiou]"), behavior, invert=behavior == "contiguous"), P.Split("t", behavior)])
        t.train_from_iterator(lines, T.WordLevelTrainer(vocab_size=vocab, special_tokens=special("[UNK]"), show_progress=False))
        out["split_" + behavior] = t

    t = Tokenizer(M.BPE(unk_token="[UNK]", fuse_unk=False))
    t.pre_tokenizer = P.Sequence([P.Digits(), P.UnicodeScripts()])
    t.train_from_iterator(lines, T.BpeTrainer(vocab_size=vocab, limit_alphabet=vocab // 2, special_tokens=special("[UNK]"), show_progress=False))
    out["scripts"] = t
    return out


def lines_of(data):
    text = data.decode("utf-8", "replace")
    return [text[i:i + 400] for i in range(0, len(text), 400)]


def small_texts(r):
    texts = [b"", b" ", b"\n", b"  \n\n  ", b"a", "é".encode(), b"Hello world", b" Hello  world ", b"\xff\xfe", b"abc\x00def"]
    texts += [s.encode() for s in SENTENCES] + [c.encode() for c in CODE] + [" ".join(EMOJI).encode(), "".join(SPACE).encode(), "x".join(CONTROL).encode(), " ".join(MARKS).encode(), b"|".join(INVALID)]
    texts += [("go " + "".join(SPECIAL) + " on").encode(), ("a".join(SPECIAL)).encode(), b"<tool>x <tool> Day  night <mask>  <mask>", ("ab" * 90).encode(), ("x" * 120 + " y").encode()]
    return texts + [mixed(r, 220) for _ in range(12)]


def write_cases():
    r = random.Random(SEED)
    folder = os.path.join(HERE, "cases")
    os.makedirs(folder, exist_ok=True)
    made = build(640, lines_of(mixed(r, 120000, invalid=False)), full=False)
    texts = small_texts(r)
    with open(os.path.join(folder, "cases.jsonl"), "w") as f:
        f.write(json.dumps({"tool": "tokenizers " + tokenizers.__version__, "seed": SEED, "texts": [base64.b64encode(t).decode() for t in texts]}) + "\n")
        for name, tok in made.items():
            path = os.path.join(folder, name + ".json")
            if not os.path.exists(path):
                with open(path, "w") as g:
                    json.dump(json.loads(tok.to_str()), g, ensure_ascii=False, separators=(",", ":"))
            j = json.load(open(path))
            tok = Tokenizer.from_str(json.dumps(j))
            for i, data in enumerate(texts):
                text = data.decode("utf-8", "replace")
                ids = tok.encode(text).ids
                row = {"t": name, "x": i, "ids": ids}
                plain = tok.encode(text, add_special_tokens=False).ids
                if plain != ids:
                    row["plain"] = plain
                if ids and i % 5 == 0:
                    row["decoded"] = tok.decode(ids, skip_special_tokens=False)
                    row["skipped"] = tok.decode(ids)
                f.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def compare(tool, path, tok, file, text):
    want = tok.encode(text).ids
    run = subprocess.run([tool, "json", path, "--repeat", "3", file], capture_output=True, text=True)
    got = list(map(int, run.stdout.split()))
    speed = " ".join(run.stderr.split("\n"))
    same = got == want
    print(f"{'equal' if same else 'DIFFERENT'} {os.path.basename(path):24} {len(want):8} ids  {speed}", flush=True)
    if not same:
        k = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
        print("  first at", k, got[k:k + 6], want[k:k + 6], [tok.id_to_token(i) for i in got[k:k + 6]], [tok.id_to_token(i) for i in want[k:k + 6]], run.stderr[-300:])
    return same


def full(tool, files):
    r = random.Random(SEED + 1)
    with tempfile.TemporaryDirectory() as d:
        data = mixed(r, 1 << 20)
        text = data.decode("utf-8", "replace")
        file = d + "/mixed.txt"
        open(file, "wb").write(data)
        good = True
        kept = os.environ.get("KEEP", d)  # a folder that keeps the trained tokenisers for the next run
        if not os.path.exists(kept + "/gpt2.json"):
            for name, tok in build(6000, lines_of(mixed(r, 1500000, invalid=False)), full=True).items():
                tok.save(f"{kept}/{name}.json")
        for path in sorted(f"{kept}/{n}" for n in os.listdir(kept) if n.endswith(".json")):
            good &= compare(tool, path, Tokenizer.from_file(path), file, text)
        for path in files:
            tok = Tokenizer.from_file(path)
            tok.no_truncation()
            tok.no_padding()
            good &= compare(tool, path, tok, file, text)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] == "--full":
        full(sys.argv[2], sys.argv[3:])
    write_cases()
