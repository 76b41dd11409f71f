#!/usr/bin/env python3
"""What a newcomer may rely on when looking for a line: layout_test.py ROOT fails with one line for each breach.

An operator is plugins/FAMILY/ops/OP (and shaders/FAMILY/OP), its id orr.OP/N; a model is plugins/FAMILY/models/ARCH, its id ARCH. Nothing outside
names them, no operator reaches into another's folder, no file has over 1,000 lines.
"""
import pathlib, re, subprocess, sys

MOST_LINES = 1000
TOP = {"engine", "plugins", "shaders", "sdk", "bindings", "tests", "samples", "CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", ".ci",
       ".clang-format", ".gitignore", ".gitattributes"}
CODE = {".c", ".cpp", ".h", ".hpp", ".cmake", ".py", ".sh", ".comp", ".glsl"}


def files_of(root):
    """Paths below root that are, or may come to be, part of the repository."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, check=False)
    if listed.returncode == 0:
        return [pathlib.PurePosixPath(name) for name in listed.stdout.decode().split("\0") if name and (root / name).is_file()]
    return [pathlib.PurePosixPath(p.relative_to(root).as_posix()) for p in root.rglob("*") if p.is_file() and "build" not in p.parts]


def breaches(root):
    files = files_of(root)
    text = {p: (root / p).read_text(encoding="utf-8", errors="replace") for p in files if p.suffix in CODE or p.name == "CMakeLists.txt"}
    folder = lambda kind: {p.parts[:4] for p in files if len(p.parts) > 4 and p.parts[0] == "plugins" and p.parts[2] == kind}
    operators, models = folder("ops"), folder("models")

    for p in files:
        if p.parts[0] not in TOP:
            yield f"{p}: the top of the tree holds nothing else than {', '.join(sorted(TOP))}"
    for p, content in text.items():
        lines = content.count("\n")
        if lines > MOST_LINES:
            yield f"{p}: {lines} lines, at most {MOST_LINES} are wanted"
    for parts in sorted(operators):
        _, family, _, op = parts
        # An id and its summary.
        found = {m for p, content in text.items() if p.parts[:4] == parts for m in re.findall(r'"(orr\.[^"/]+/\d+)",\s*"', content)}
        for wrong in sorted(i for i in found if not re.fullmatch(rf"orr\.{op}/\d+", i)):
            yield f"{'/'.join(parts)}: declares {wrong}, which is not its folder's name"
        if not found:
            yield f"{'/'.join(parts)}: declares no operator"
        for wanted in ("README.md", f"{op}.cases"):
            if pathlib.PurePosixPath(*parts, wanted) not in files:
                yield f"{'/'.join(parts)}: has no {wanted}"
        for p, content in text.items():
            if p.parts[:4] != parts:
                continue
            for include in re.findall(r'#include "(?:\.\./)*(?:\w+/)?ops/(\w+)/', content):
                if include != op:
                    yield f"{p}: includes a file of the operator {include}"
    for parts in sorted(models):
        if pathlib.PurePosixPath(*parts, "README.md") not in files:
            yield f"{'/'.join(parts)}: has no README.md"
    for p in files:
        if p.parts[0] == "shaders" and len(p.parts) > 3 and p.parts[1] != "common" and ("plugins", p.parts[1], "ops", p.parts[2]) not in operators:
            yield f"{p}: plugins/{p.parts[1]}/ops/{p.parts[2]} is missing"

    # The engine, the bindings and the build name no operator and no model.
    names = "|".join(sorted({re.escape(parts[3]) for parts in models}))
    for p, content in text.items():
        if p.parts[0] in ("engine", "bindings") or p.name == "CMakeLists.txt" and p.parts[0] != "tests":
            for line, row in enumerate(content.splitlines(), 1):
                code = row.split("//")[0].split("#")[0] if p.suffix != ".py" else row
                for found in re.findall(rf'\borr\.(?:{"|".join(sorted({parts[3] for parts in operators}))})/\d+|"(?:{names})"', code):
                    yield f"{p}:{line}: names {found}"


def main():
    found = sorted(set(breaches(pathlib.Path(sys.argv[1]).resolve())))
    print("\n".join(found) if found else "the layout holds")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
