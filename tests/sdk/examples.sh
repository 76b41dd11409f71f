#!/bin/bash
# examples.sh c|cpp|rust PREFIX WORK CMAKE HOST: the worked example that is installed builds from a copy, is validated, and runs in a host.
set -euo pipefail
language=$1 prefix=$2 work=$3 cmake=$4 host=$5
here=$(cd "$(dirname "$0")" && pwd)
source "$here/lib.sh"
rm -rf "$work"
mkdir -p "$work"
cp -r "$prefix/share/orrery/examples/$language" "$work/project"
cd "$work/project"
validate() { "$prefix/bin/orrery-validate" "$@" > "$work/validate.log" 2>&1 || { cat "$work/validate.log"; exit 1; }; }

case $language in
    c)
        build_project "$work/project" "$prefix" "$cmake"
        same "$("$host" build/orrery example.lerp/1 '{"t": 0.25}' 2,2:0,1,2,3 2,2:4,1,0,-1)" "1 1 1.5 2"
        # As its README says, without CMake.
        cc -std=c99 -O3 -ffp-contract=off -fPIC -fvisibility=hidden -shared -I"$prefix/include" -o lerp.so ops/lerp/lerp.c
        "$prefix/bin/orrery-manifest" lerp.so
        validate lerp.so
        ;;
    cpp)
        build_project "$work/project" "$prefix" "$cmake"
        same "$("$host" build/orrery example.mean_abs_norm/1 '{"eps": 0}' 2,2:1,3,-5,5)" "0.5 1.5 -1 1"
        ;;
    rust)
        command -v cargo > /dev/null || lacking "cargo is not installed"
        export CARGO_TARGET_DIR=$work/target
        cargo build --release --offline > "$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
        if grep -q '^warning' "$work/build.log"; then cat "$work/build.log"; exit 1; fi
        # With what the copy brings along.
        cargo test --offline > "$work/test.log" 2>&1 || { cat "$work/test.log"; exit 1; }
        # A member that has moved is noticed.
        sed 's/^  n_inputs 28$/  n_inputs 32/' tests/offsets.txt > "$work/moved.txt"
        if cmp -s tests/offsets.txt "$work/moved.txt"; then echo "offsets.txt holds no \"n_inputs 28\" to move"; exit 1; fi
        if ORRERY_ABI_OFFSETS=$work/moved.txt cargo test --offline --test offsets > "$work/test.log" 2>&1; then echo "a moved member was not noticed"; exit 1; fi
        mkdir orrery
        cp "$CARGO_TARGET_DIR/release/libdecay_sum.so" orrery/decay_sum.so
        same "$(nm -D --defined-only orrery/decay_sum.so | awk '{ print $3 }')" orr_plugin_entry
        "$prefix/bin/orrery-manifest" orrery/decay_sum.so
        validate orrery/decay_sum.so
        same "$("$host" orrery example.decay_sum/1 '{"decay": 0.5}' 2,3:1,1,1,8,0,0)" "1 1.5 1.75 8 4 2"
        # A failure comes out as a text.
        must_fail 1 "decay is 2" "$host" orrery example.decay_sum/1 '{"decay": 2}' 1,1:1
        ;;
esac
