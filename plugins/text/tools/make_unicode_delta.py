"""Writes src/unicode_delta.inc: where the Unicode tables behind Hugging Face `tokenizers` differ from utf8proc 2.8 (Unicode 15.0) and PCRE2 10.42 (Unicode 14.0).

`tokenizers` mixes several Unicode versions (Oniguruma, the Rust standard library, unicode_categories, unicode-normalization-alignments),
so each table is measured through the public Python API, code point by code point, and only the differences are written.
Run: python make_unicode_delta.py > ../src/unicode_delta.inc      (needs: tokenizers 0.23.3, libutf8proc, libpcre2-8)
"""
import ctypes
import ctypes.util
import tokenizers
from tokenizers import Regex, normalizers as N, pre_tokenizers as P

u8p = ctypes.CDLL(ctypes.util.find_library("utf8proc"))
u8p.utf8proc_category_string.restype = ctypes.c_char_p
u8p.utf8proc_version.restype = ctypes.c_char_p
pcre = ctypes.CDLL(ctypes.util.find_library("pcre2-8"))
pcre.pcre2_compile_8.restype = ctypes.c_void_p
pcre.pcre2_match_data_create_8.restype = ctypes.c_void_p
MATCH_DATA = ctypes.c_void_p(pcre.pcre2_match_data_create_8(2, None))
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
BIG = "".join(map(chr, POINTS))
CATEGORY = {c: u8p.utf8proc_category_string(c).decode() for c in POINTS}
# The script properties of Unicode 9, those of the enumeration in pre_tokenizers/unicode_scripts/scripts.rs; Han first.
SCRIPTS = """Han Hiragana Katakana
Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian
Caucasian_Albanian Chakma Cham Cherokee Common Coptic Cuneiform Cypriot Cyrillic Deseret Devanagari Duployan Egyptian_Hieroglyphs Elbasan Ethiopic Georgian Glagolitic Gothic
Grantha Greek Gujarati Gurmukhi Hangul Hanunoo Hatran Hebrew Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Kayah_Li Kharoshthi
Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Malayalam Mandaic Manichaean Marchen Meetei_Mayek Mende_Kikakui Meroitic_Cursive
Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean New_Tai_Lue Newa Nko Ogham Ol_Chiki Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian
Old_South_Arabian Old_Turkic Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham
SignWriting Sinhala Sora_Sompeng Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Ugaritic
Vai Warang_Citi Yi""".split()
ASCII_PUNCTUATION = set(map(ord, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"))


def base(*names):
    return {c for c, k in CATEGORY.items() if k in names}


def pcre_set(name):
    error, offset = ctypes.c_int(), ctypes.c_size_t()
    pattern = (r"\p{%s}" % name).encode()
    utf, ucp = 0x00080000, 0x00020000
    code = ctypes.c_void_p(pcre.pcre2_compile_8(pattern, ctypes.c_size_t(len(pattern)), utf | ucp, ctypes.byref(error), ctypes.byref(offset), None))
    pcre.pcre2_jit_compile_8(code, 1)
    found = set()
    for c in POINTS:
        text = chr(c).encode()
        if pcre.pcre2_match_8(code, text, ctypes.c_size_t(len(text)), ctypes.c_size_t(0), 0x40000000, MATCH_DATA, None) > 0:
            found.add(c)
    return found


def script_numbers(names):
    """code point -> 1 + index of its script in names, for those that have one of them, as PCRE2 sees it."""
    error, offset = ctypes.c_int(), ctypes.c_size_t()
    pattern = "|".join(r"(\p{sc:%s})" % n for n in names).encode()
    code = ctypes.c_void_p(pcre.pcre2_compile_8(pattern, ctypes.c_size_t(len(pattern)), 0x00080000, ctypes.byref(error), ctypes.byref(offset), None))
    pcre.pcre2_jit_compile_8(code, 1)
    data = ctypes.c_void_p(pcre.pcre2_match_data_create_8(len(names) + 1, None))
    found = {}
    for c in POINTS:
        text = chr(c).encode()
        group = pcre.pcre2_match_8(code, text, ctypes.c_size_t(len(text)), ctypes.c_size_t(0), 0x40000000, data, None) - 1
        if group > 0:
            found[c] = group
    return found


def ranges(points):
    out = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def emit(name, points):
    cells = ["{0x%x, 0x%x}" % (a, b) for a, b in ranges(points)] or ["{1, 0}"]
    print("constexpr CodeRange %s[] = {" % name)
    for i in range(0, len(cells), 8):
        print("    " + ", ".join(cells[i:i + 8]) + ",")
    print("};")


def both(name, theirs, ours):
    emit(f"k{name}Add", theirs - ours)
    emit(f"k{name}Drop", ours - theirs)


def each(test):
    return {c for c in POINTS if test(chr(c))}


def bert(**wanted):
    return N.BertNormalizer(**{**dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False), **wanted})


def onig(pattern):
    return set(map(ord, N.Replace(Regex(pattern), "").normalize_str(BIG)))


def decompose(form):
    class Pointer(ctypes.Structure):
        pass
    options = {"NFD": 1 << 4, "NFKD": (1 << 4) | (1 << 2)}[form]
    buffer = (ctypes.c_int32 * 64)()
    out = {}
    for c in POINTS:
        n = u8p.utf8proc_decompose_char(c, buffer, 64, options, None)
        out[c] = [buffer[i] for i in range(n)]
    return out


print("// Generated by tools/make_unicode_delta.py with tokenizers %s, utf8proc %s, PCRE2 10.42; see there." % (tokenizers.__version__, u8p.utf8proc_version().decode()))
print("// Add: code points that `tokenizers` has in the set and the library here has not; Drop: the other way round.")
both("Numeric", each(lambda c: len(P.Digits().pre_tokenize_str("a" + c + "a")) == 3), base("Nd", "Nl", "No"))
both("Punctuation", each(lambda c: len(P.Punctuation().pre_tokenize_str("a" + c + "a")) == 3), base("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po") | ASCII_PUNCTUATION)
both("Word", each(lambda c: len(P.Whitespace().pre_tokenize_str("a" + c + "a")) == 1), base("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "Pc"))
clean = bert(clean_text=True)
both("Other", each(lambda c: clean.normalize_str(c) == "" and c not in "\0\ufffd"), base("Cc", "Cf", "Co") - {0, 9, 10, 13})
strip, nfd = bert(strip_accents=True), N.NFD()
both("NonSpacing", each(lambda c: nfd.normalize_str(c) == c and strip.normalize_str(c) == "")
     | {c for c in base("Mn") if nfd.normalize_str(chr(c)) != chr(c)}, base("Mn"))
both("Mark", each(lambda c: N.StripAccents().normalize_str(c) == ""), base("Mn", "Mc", "Me"))
lower = N.Lowercase()
pairs = [(c, list(map(ord, lower.normalize_str(chr(c))))) for c in POINTS]
pairs = [(c, to[0]) for c, to in pairs if len(to) == 1 and to[0] != u8p.utf8proc_tolower(c)]
print("constexpr CodePair kLower[] = {")
for i in range(0, len(pairs), 8):
    print("    " + ", ".join("{0x%x, 0x%x}" % p for p in pairs[i:i + 8]) + ",")
print("};")

opaque = set()
for form, normalizer in (("NFD", nfd), ("NFKD", N.NFKD())):
    mine = decompose(form)
    opaque |= {c for c in POINTS if mine[c] != [c] and normalizer.normalize_str(chr(c)) == chr(c)}
for c in base("Mn", "Mc", "Me"):
    low, high = "a" + chr(c) + "\u0334", "a\u0345" + chr(c)

    def ours(text):
        buffer = (ctypes.c_int32 * 16)()
        data = text.encode()
        n = u8p.utf8proc_decompose(data, ctypes.c_ssize_t(len(data)), buffer, ctypes.c_ssize_t(16), 1 << 4)
        assert 0 < n <= 16
        return "".join(chr(buffer[i]) for i in range(n))
    if ours(low) != nfd.normalize_str(low) or ours(high) != nfd.normalize_str(high):
        opaque.add(c)
# second halves of compositions younger than theirs
opaque |= {0x11930}
print("// Unassigned in the Unicode version of their normaliser: never decomposed, composed or reordered.")
emit("kOpaque", opaque)

print("// Oniguruma's general categories beyond PCRE2's, for \\p{..}.")
print("struct CategoryRanges { const char* name; const CodeRange* ranges; int count; };")
names = []
for name in "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split():
    extra = onig(r"\P{%s}+" % name) - pcre_set(name)
    if extra:
        emit(f"kRegex{name}", extra)
        names.append((name, len(ranges(extra))))
print("constexpr CategoryRanges kRegexCategories[] = {" + ", ".join('{"%s", kRegex%s, %d}' % (n, n, k) for n, k in names) + "};")
base_word = set().union(*(onig(r"\P{%s}+" % k) for k in ("L", "M", "Nd", "Nl", "Pc")))
word = onig(r"\W+")
assert not base_word - word
print("// Oniguruma's \\w beyond its own [L M Nd Nl Pc].")
emit("kRegexWord", word - base_word)

print("// Scripts of the UnicodeScripts pre-tokeniser; the first three count as one.")
print("constexpr const char* kScripts[] = {")
for i in range(0, len(SCRIPTS), 10):
    print("    " + ", ".join('"%s"' % n for n in SCRIPTS[i:i + 10]) + ",")
print("};")
cut = P.UnicodeScripts()


def together(*points):
    return len(cut.pre_tokenize_str("".join(map(chr, points)))) == 1


script_of = {c: max(n, 3) for c, n in script_numbers(SCRIPTS).items()}
neutral = {c for c in POINTS if together(ord("a"), c) and together(ord("\u044f"), c)}
print("// Code points without a script there (it joins any), though they have one here.")
emit("kScriptNone", neutral & set(script_of))
one_of = {}
for c in POINTS:
    if c in script_of and c not in neutral:
        one_of.setdefault(script_of[c], c)
moved = []
for c in POINTS:
    if c not in neutral and not (c in script_of and together(one_of[script_of[c]], c)):
        moved.append((c, next(k for k in one_of.values() if together(k, c))))
print("// Code points that have the script of the second one there.")
print("constexpr CodePair kScriptAs[] = {" + ", ".join("{0x%x, 0x%x}" % p for p in moved) + "};")
