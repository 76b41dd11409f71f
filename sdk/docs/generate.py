#!/usr/bin/env python3
"""generate.py ROOT ORRERY OUT: writes the pages that come from the source itself, as Markdown.

OUT/api/<header>.md          the two ABIs: each declaration of sdk/include/orrery/*.h with its comment
OUT/operators/<id>.md        an operator: its descriptor as the command ORRERY tells it, its folder's README, its cases
OUT/models/<id>.md           an architecture: likewise
OUT/README.md                the index; the guides that people wrote are copied beside it
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys


# ---------------------------------------------------------------- C headers

class Piece:
    """A comment or a declaration of a header, with the lines it covers."""

    def __init__(self, kind, text, first, last):
        self.kind, self.text, self.first, self.last = kind, text, first, last


def pieces(text):
    """Comments, directives and declarations at the outermost level, in order."""
    at, line = 0, 1
    text = re.sub(r'#ifdef __cplusplus\n(?:extern "C" \{|\})\n#endif\n', lambda m: "\n" * m.group().count("\n"), text)
    while at < len(text):
        start = at
        if text[at].isspace():
            line += text[at] == "\n"
            at += 1
            continue
        if text.startswith("/*", at):
            at = text.index("*/", at) + 2
            kind = "comment"
        elif text[at] == "#":
            at = re.compile(r"(?:[^\n\\]|\\\n|\\.)*").match(text, at).end()
            kind = "directive"
        else:
            at = end_of_declaration(text, at)
            kind = "declaration"
        body = text[start:at]
        yield Piece(kind, body, line, line + body.count("\n"))
        line += body.count("\n")


def end_of_declaration(text, at):
    """Past the semicolon, or past the body of an inline function, and past a comment on the same line."""
    depth, function = 0, False
    while True:
        if text.startswith("/*", at):
            at = text.index("*/", at) + 2
            continue
        c = text[at]
        if c == "{":
            function = function or (depth == 0 and text[:at].rstrip().endswith(")"))
            depth += 1
        elif c == "}":
            depth -= 1
        at += 1
        if depth == 0 and (c == ";" or (c == "}" and function)):
            break
    trailing = re.compile(r"[ \t]*/\*.*?\*/[ \t]*(?=\n)", re.S).match(text, at)
    return trailing.end() if trailing else at


def comment_text(comment):
    """The words of a comment as Markdown paragraphs."""
    lines = [re.sub(r"^\s*\* ?", "", l) for l in comment[2:-2].strip().splitlines()]
    paragraphs = "\n".join(l.rstrip() for l in lines).split("\n\n")
    return "\n\n".join(escape(re.sub(r"\s*\n\s*", " ", p)).strip() for p in paragraphs)


def escape(text):
    return re.sub(r"([*<|])", r"\\\1", text)


def declared_name(text):
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.S).strip()
    for pattern in (r"^#define (\w+)", r"\}\s*(\w+)\s*;$", r"^(?:typedef )?(?:struct|union) (\w+)\s*\{", r"^typedef .*\(\*\s*(\w+)\)\s*\(", r"^typedef .*?(\w+);$",
                    r"^struct (\w+);$", r"(\w+)\s*\("):
        found = re.search(pattern, code, re.S)
        if found:
            return found.group(1)
    if re.match(r"^(?:typedef )?enum\b", code):
        return ", ".join(re.findall(r"\b(ORR_\w+)\s*=", code)[:1]) + " …"
    return None


SECTION = re.compile(r"^/\* -{8,} ([^\n]*?)\s*(?:\*/|\n)")
HIDDEN = re.compile(r"^#(?:ifndef ORRERY_|define ORRERY_|endif|include|if|elif|else|define ORR_API|define ORR_SANITIZER|define ORR_EXPORT)")


def header_page(name, text):
    """Markdown of one header, and what it declares: [(name, first sentence)]."""
    found = list(pieces(text))
    forward = {declared_name(p.text) for p in found if p.kind == "declaration" and "{" not in p.text and re.match(r"(?:typedef )?struct \w+(?: \w+)?;", p.text)}
    defined = {declared_name(p.text) for p in found if p.kind == "declaration" and "{" in p.text}
    out, names, pending = [f"# orrery/{name}.h", ""], [], None
    seen = set()
    for n, piece in enumerate(found):
        if piece.kind == "comment":
            section = SECTION.match(piece.text)
            following = found[n + 1] if n + 1 < len(found) else None
            if section:
                out += [f"## {section.group(1)}", ""]
                rest = comment_text("/* " + piece.text[section.end():]) if not piece.text[: section.end()].endswith("*/") else ""
                out += [rest, ""] if rest else []
            elif n == 0 or following is None or following.first > piece.last + 1 or (following.kind == "directive" and HIDDEN.match(following.text)):
                out += [comment_text(piece.text), ""]
            else:
                pending = piece
            continue
        if piece.kind == "directive" and HIDDEN.match(piece.text):
            continue
        title = declared_name(piece.text)
        if title is None or title in seen or (title in forward and title in defined and "{" not in piece.text):
            continue  # a struct that is only announced here
        seen.add(title)
        words = comment_text(pending.text) if pending else ""
        out += [f"### {title}", ""] + ([words, ""] if words else []) + ["```c", piece.text, "```", ""]
        names.append((title, re.split(r"(?<=[.:])\s", words)[0] if words else ""))
        pending = None
    return "\n".join(out).rstrip() + "\n", names


# ---------------------------------------------------------------- operators and models

def listing(command, what):
    done = subprocess.run([command, "plugins", what, "--json"], capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{command} plugins {what}: {done.stderr.decode(errors='replace').strip()}")
    return json.loads(done.stdout)


def table(head, rows):
    if not rows:
        return []
    cell = lambda v: str(v).replace("|", "\\|").replace("\n", " ")
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(map(cell, row)) + " |" for row in rows] + [""]


def readme_of(folder):
    """A folder's README without its title."""
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[1:] if lines and lines[0].startswith("# ") else lines).strip("\n")


def cases_of(file):
    origin, cases = [], []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            origin += [line.lstrip("# ")] if not cases else []
        elif line.strip():
            cases.append(json.loads(line))
    shapes = lambda c: ", ".join("none" if t is None else f"{t.get('type', 'f32')} {t['shape']}" for t in c["inputs"])
    rows = []
    for case in cases:
        attrs = " ".join(f"{k}={json.dumps(v)}" for k, v in case.get("attrs", {}).items())
        rows.append((case.get("name", ""), shapes(case), attrs, f"fails: {case['error']}" if "error" in case else case.get("tol", 0)))
    return [f"Values: {escape(o)}" for o in origin[:1]] + [""] + table(("case", "inputs", "attributes", "tolerance"), rows)


def operator_page(op, folder, root):
    out = [f"# {op['id']}", "", escape(op["summary"]), "", f"Plugin `{op['plugin']}`, folder `{folder.relative_to(root)}`.", ""]
    out += ["## Definition", "", readme_of(folder), "", "## Descriptor", ""]
    ports = [("input", p["name"] + (" (optional)" if p.get("optional") else ""), p.get("types", ""), p["doc"]) for p in op["inputs"]]
    tokens = lambda p: f"; tokens lie along axis {p['token_axis']}" if "token_axis" in p else ""
    ports += [("output", p["name"], p.get("types", ""), p["doc"] + tokens(p)) for p in op["outputs"]]
    out += table(("port", "name", "types", "shape and meaning"), ports)
    out += table(("attribute", "default", "range", "meaning"), [(a["name"], a["default"] or "required", a["range"], a["doc"]) for a in op["attributes"]])
    out += table(("kernel, best first", "device"), [(k["name"], k["device"]) for k in op["kernels"]])
    for cases in sorted(folder.glob("*.cases")):
        out += ["## Cases", ""] + cases_of(cases)
    return "\n".join(out).rstrip() + "\n"


def model_page(model, folder, root):
    out = [f"# {model['id']}", "", escape(model["summary"]), "", f"Plugin `{model['plugin']}`, folder `{folder.relative_to(root)}`.", "", readme_of(folder), "", "## Descriptor", ""]
    out += table(("answers to", "names"), [("config.json `architectures`", ", ".join(model["architectures"])), ("GGUF `general.architecture`", ", ".join(model["gguf_architectures"]) or "none")])
    names = [(o.split(".", 1)[1].split("/")[0], o) for o in model["operators"]]
    out += ["Operators: " + ", ".join(f"[{o}](../operators/{n}.md)" for n, o in names) + ".", ""]
    return "\n".join(out).rstrip() + "\n"


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def write_folder_pages(root, out, items, kind, page):
    """One page for each item that has a folder in this tree; [(name, page, summary)]."""
    rows = []
    for item in items:
        name = item["id"].split(".", 1)[-1].split("/")[0]
        family = item["plugin"].split(".", 1)[-1]
        folder = root / "plugins" / family / kind / name
        if not (folder / "README.md").is_file():
            continue  # of a plugin from elsewhere
        place = out / ("operators" if kind == "ops" else "models") / f"{name}.md"
        write(place, page(item, folder, root))
        rows.append((f"[{item['id']}]({place.relative_to(out).as_posix()})", family, item["summary"]))
    return sorted(rows)


def main():
    root, command, out = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], pathlib.Path(sys.argv[3])
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    index = ["# Orrery's SDK", "", "Generated from the source: headers, descriptors, folders.", "", "## Guides", ""]
    for guide in sorted((root / "sdk/docs").glob("*.md")):
        if guide.name != "README.md":
            shutil.copyfile(guide, out / guide.name)
            title = guide.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            index.append(f"- [{title}]({guide.name})")
    index += ["", "## The two ABIs", ""]
    declared, include = [], root / "sdk/include/orrery"
    first = ["orrery", "plugin", "base"]
    headers = [p.relative_to(include).with_suffix("").as_posix() for p in include.rglob("*.h")]
    for name in sorted(headers, key=lambda h: (first.index(h) if h in first else len(first), h)):
        text, names = header_page(name, (include / f"{name}.h").read_text(encoding="utf-8"))
        page = f"api/{name.replace('/', '_')}.md"
        write(out / page, text)
        index.append(f"- [orrery/{name}.h]({page})")
        declared += [(f"[{n}]({page}#{n.lower()})" if " " not in n else n, f"{name}.h", words) for n, words in names]
    index += ["", "## Operators", ""] + table(("operator", "family", "what"), write_folder_pages(root, out, listing(command, "operators"), "ops", operator_page))
    index += ["## Models", ""] + table(("architecture", "family", "what"), write_folder_pages(root, out, listing(command, "models"), "models", model_page))
    index += ["## Every name", ""] + table(("name", "header", ""), sorted(declared, key=lambda row: row[0].lower()))
    write(out / "README.md", "\n".join(index).rstrip() + "\n")


if __name__ == "__main__":
    main()
