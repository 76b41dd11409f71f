#!/usr/bin/env python3
"""code_blocks.py ROOT PREFIX WORK CC CXX: builds every block of the documentation that says it compiles, against the Orrery installed in PREFIX.

```c compile and ```cpp compile are whole files, which are linked (as a program where they have a main, else as a shared library that lacks nothing);
```cpp compile body is what stands inside a function of a host.
"""
import concurrent.futures
import pathlib
import re
import subprocess
import sys

FENCE = re.compile(r"^```(\S*)[ \t]*([^\n]*)\n(.*?)^```[ \t]*$", re.S | re.M)
BODY = '#include <iostream>\n\n#include "orrery/orrery.hpp"\n\nvoid documented() {\n%s}\n\nint main() { return 0; }\n'
# {ORR_HEADER(type)} leaves the members behind it zero, and a callback need not use all that it is given.
ALLOWED = ["-Wno-missing-field-initializers", "-Wno-unused-parameter"]
STANDARD = {"c": ["-std=c99", "-pedantic"], "cpp": ["-std=c++20"]}


def blocks_of(file):
    """(name, language, code) of each block that says it compiles; a word that means nothing is a mistake."""
    text = file.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        language, words, code = found.group(1), found.group(2).split(), found.group(3)
        if not words:
            continue
        line = text.count("\n", 0, found.start()) + 1
        if language not in STANDARD or words not in (["compile"], ["compile", "body"]) or (language == "c" and len(words) > 1):
            sys.exit(f"{file}:{line}: what is \"{language} {' '.join(words)}\"?")
        yield f"{file.name}:{line}", language, BODY % code if len(words) > 1 else code


def build(name, language, code, prefix, work, compilers):
    """What the compiler says, "" when all is well."""
    source = work / f"{re.sub(r'[^A-Za-z0-9]', '_', name)}.{language}"
    source.write_text(code, encoding="utf-8")
    command = [compilers[language], *STANDARD[language], "-O1", "-Wall", "-Wextra", *ALLOWED, "-Werror", f"-I{prefix}/include", str(source), "-o", str(source.with_suffix(".out"))]
    if re.search(r"^int main\(", code, re.M):
        command += [f"-L{prefix}/lib", "-lorrery", f"-Wl,-rpath,{prefix}/lib"]
    else:
        command += ["-fPIC", "-shared", "-Wl,-z,defs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr or f"status {done.returncode}"


def main():
    root, prefix, work = (pathlib.Path(a) for a in sys.argv[1:4])
    compilers = dict(zip(("c", "cpp"), sys.argv[4:6]))
    work.mkdir(parents=True, exist_ok=True)
    files = [root / "README.md", *sorted((root / "sdk").rglob("*.md")), root / "tests/conformance/README.md", *sorted((root / "plugins").rglob("README.md"))]
    blocks = [block for file in files for block in blocks_of(file)]
    with_blocks = {name.split(":")[0] for name, _, _ in blocks}
    failures = [f"{guide}: no block says that it compiles" for guide in ("README.md", "add_operator.md", "add_model.md", "add_format.md", "add_task.md", "taps_and_controls.md", "versioning.md")
                if guide not in with_blocks]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for (name, _, _), said in zip(blocks, pool.map(lambda b: build(*b, prefix, work, compilers), blocks)):
            if said:
                failures.append(f"{name} does not build:\n{said}")
    # What must not build does not.
    for language, code in (("c", '#include "orrery/orrery.h"\nint main(void) { return orr_no_such_function(); }\n'),
                           ("cpp", '#include "orrery/orrery.h"\nint lacking() { return orr_version() != nullptr; }\n'), ("cpp", BODY % "    int unused;\n")):
        if not build("wrong", language, code, prefix, work, compilers):
            failures.append(f"this should not have built:\n{code}")
    # The one that runs.
    runs = next((work / f"{re.sub(r'[^A-Za-z0-9]', '_', n)}.out" for n, _, _ in blocks if n.startswith("versioning.md")), None)
    if runs and not failures and subprocess.run([runs], check=False).returncode != 0:
        failures.append(f"{runs}: does not do what versioning.md says")
    print("\n".join(failures) or f"{len(blocks)} blocks build")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
