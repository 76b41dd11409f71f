#!/bin/bash
# run.sh symbols|offsets|headers|size|libabigail|--update BUILD
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
what=$1 build=$2
root=$(cd "$here/../.." && pwd)
library=$build/lib/liborrery.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

exports() { nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }'; }
dump() { abidw --no-show-locs --no-corpus-path --no-comp-dir-path --suppressions "$here/abi.supp" "$build/abi/liborrery.so" > "$1"; }

case $what in
    symbols)
        bad=$(exports "$library" | grep -v '^orr_' || true)
        [ -z "$bad" ] || { echo "liborrery.so exports what is not orr_: $bad"; exit 1; }
        # Every function that the header declares, and nothing else.
        grep -o '^ORR_API [^(]*(' "$root/sdk/include/orrery/orrery.h" | grep -o 'orr_[a-z_]*($' | tr -d '(' | sort > "$work/declared"
        exports "$library" | sort > "$work/exported"
        diff "$work/declared" "$work/exported" || { echo "declared (<) and exported (>) functions differ"; exit 1; }
        for plugin in "$build"/lib/orrery/*.so; do
            got=$(exports "$plugin")
            [ "$got" = orr_plugin_entry ] || { echo "$plugin exports: $got"; exit 1; }
        done
        ;;
    offsets) diff "$here/offsets.txt" <("$build/bin/abi_offsets") || { echo "layouts differ from tests/abi/offsets.txt"; exit 1; } ;;
    headers)
        for header in base orrery plugin ext/adapters ext/tasks ext/taps ext/vulkan ext/expression ext/parts; do
            echo "#include \"orrery/$header.h\"" > "$work/one.c"
            cp "$work/one.c" "$work/one.cpp"
            "${CC:-cc}" -std=c99 -pedantic -Wall -Wextra -Werror -I"$root/sdk/include" -fsyntax-only "$work/one.c"
            "${CXX:-c++}" -std=c++11 -pedantic -Wall -Wextra -Werror -I"$root/sdk/include" -fsyntax-only "$work/one.cpp"
        done
        ;;
    size)
        strip -o "$work/stripped" "$library"
        size=$(stat -c %s "$work/stripped")
        echo "liborrery.so stripped: $size bytes"
        [ "$size" -le $((4 * 1024 * 1024)) ]
        ;;
    libabigail)
        command -v abidw > /dev/null || { echo "abidw is not installed"; exit 77; }
        dump "$work/now.xml"
        abidiff --no-show-locs "$here/liborrery.abi.xml" "$work/now.xml"
        ;;
    --update)
        "$build/bin/abi_offsets" > "$here/offsets.txt"
        dump "$here/liborrery.abi.xml"
        ;;
esac
