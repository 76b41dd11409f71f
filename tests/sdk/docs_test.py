#!/usr/bin/env python3
"""docs_test.py ROOT ORRERY OUT: generates the pages, and checks that they hold what they should: every function and struct of the headers, every
operator, every model; and that links of these and of the written guides lead somewhere."""
import pathlib
import re
import subprocess
import sys


def anchors_of(text):
    """Of the headings, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)}


def broken_links(file):
    text = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        to = (file.parent / path).resolve() if path else file
        if not to.exists():
            yield f"{file}: {target} leads nowhere"
        elif anchor and anchor not in anchors_of(to.read_text(encoding="utf-8")):
            yield f"{file}: {target}: no such heading"


def missing(root, out):
    pages = {p.stem: p.read_text(encoding="utf-8") for p in (out / "api").glob("*.md")}
    heads = {h for text in pages.values() for h in re.findall(r"^### (\w+)$", text, re.M)}
    include = root / "sdk/include/orrery"
    for name in re.findall(r"^ORR_API [^(]*?(\w+)\(", (include / "orrery.h").read_text(), re.M):
        if name not in heads:
            yield f"function {name} has no entry"
    for header in include.rglob("*.h"):
        text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.S)
        for name in re.findall(r"^(?:typedef )?struct (orr_\w+) \{", text, re.M):
            if name not in heads:
                yield f"struct {name} of {header.name} has no entry"
        page = pages.get(header.relative_to(include).with_suffix("").as_posix().replace("/", "_"))
        # Every comment arrives, and every member with it.
        for word in set(re.findall(r"\b(?:orr|ORR)_\w+\b", text)) - {"ORR_API", "ORR_EXPORT", "ORR_SANITIZER", "ORR_BUILDING"}:
            if not page or word not in page:
                yield f"{header.name}: {word} is not on its page"
    for kind, folder in (("operators", "ops"), ("models", "models")):
        for place in root.glob(f"plugins/*/{folder}/*/README.md"):
            page = out / kind / f"{place.parent.name}.md"
            if not page.is_file():
                yield f"{place.parent} has no page"
                continue
            text = page.read_text(encoding="utf-8")
            lines = [l for l in place.read_text(encoding="utf-8").splitlines()[1:] if l.strip()]
            yield from (f"{page}: lacks \"{l}\" of its folder's README" for l in lines if l not in text)
            source = place.parent / f"{place.parent.name}.cpp"
            for name, values in re.findall(r'\.attr\("(\w+)", ORR_ATTR_\w+, (?:nullptr|"(?:[^"\\]|\\.)*"), "(?:[^"\\]|\\.)*", "([^"]+)"', source.read_text(encoding="utf-8") if kind == "operators" else ""):
                if not re.search(rf"^\| {name} \| .* \| .*{re.escape(values.replace('|', chr(92) + '|'))} \| ", text, re.M):
                    yield f"{page}: attribute {name} lacks its range {values}"
            for name, doc, axis in re.findall(r'\.output\("(\w+)", "([^"]+)"[^)]*\)\s*\.token_axis\((-?\d+)\)', source.read_text(encoding="utf-8") if kind == "operators" else ""):
                if not re.search(rf"^\| output \| {name} \| .* \| {re.escape(doc)}; tokens lie along axis {axis} \|", text, re.M):
                    yield f"{page}: output {name} lacks its axis of tokens {axis}"
            if "## Descriptor" not in text or (kind == "operators" and "## Cases" not in text):
                yield f"{page}: lacks its descriptor or its cases"


def main():
    root, command, out = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    made = subprocess.run([sys.executable, root / "sdk/docs/generate.py", root, command, out], check=False)
    if made.returncode != 0:
        return 1
    failures = list(missing(root, out))
    for file in [*sorted(out.rglob("*.md")), *sorted((root / "sdk").rglob("*.md")), root / "README.md"]:
        if "templates" not in file.parts:
            failures += broken_links(file)
    print("\n".join(failures[:40]) or f"{sum(1 for _ in out.rglob('*.md'))} pages")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
