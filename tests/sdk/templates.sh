#!/bin/bash
# templates.sh op|model PREFIX WORK CMAKE HOST: what `orrery new` writes builds outside the tree, is validated, and runs.
set -euo pipefail
kind=$1 prefix=$2 work=$3 cmake=$4 host=$5
source "$(dirname "$0")/lib.sh"
rm -rf "$work"
mkdir -p "$work"
cd "$work"
orrery=$prefix/bin/orrery
new() { "$orrery" new "$kind" "$@"; }

# Wrong names, and places that are taken.
for name in Sign 2sign "" sign-x si/gn .. "$(printf 'x%.0s' {1..65})"; do must_fail 2 "NAME is \"$name\"" new "$name"; done
for name in common orrery; do must_fail 2 "NAME is \"$name\", which the build uses" new $name; done
must_fail 2 "exists already" new sign --folder "$prefix"
must_fail 2 "come together" new sign --tree "$work"
must_fail 2 "is no tree" new sign --tree "$work" --family x
must_fail 2 "--prefix is" new sign --prefix A
same "$(ls)" stderr

new smooth_sign --json > written.json
python3 - "$kind" << 'PYTHON'
import json, os, sys
written = json.load(open("written.json"))
assert written["name"] == "smooth_sign" and written["folder"] == "smooth_sign", written
assert written["id"] == ("example.smooth_sign/1" if sys.argv[1] == "op" else "smooth_sign"), written
found = sorted(os.path.join(d, f) for d, _, files in os.walk("smooth_sign") for f in files)
assert found == sorted(written["files"]), (found, written["files"])
for name in found:
    text = name + open(name).read()
    for word in ("@name@", "@Name@", "@prefix@", "@plugin@"):
        assert word not in text, f"{name} still holds {word}"
PYTHON
must_fail 2 "exists already" new smooth_sign
build_project "$work/smooth_sign" "$prefix" "$cmake"
plugins=$work/smooth_sign/build/orrery

if [ "$kind" = op ]; then
    "$orrery" plugins operators --plugins "$plugins" --json | grep -q '"example.smooth_sign/1"'
    # w * v / (1 + |v|), v = 2 x
    same "$("$host" "$plugins" example.smooth_sign/1 '{"scale": 2}' 2,2:0.5,-1.5,0,1 2:1,4)" "0.5 -3 0 2.66667"
    # A name may be a word of C++.
    new double
    build_project "$work/double" "$prefix" "$cmake"
    # Without glslang the shader is left out, and the rest works.
    cp -r smooth_sign no_glslang
    rm -r no_glslang/build
    "$cmake" -S no_glslang -B no_glslang/build -DCMAKE_PREFIX_PATH="$prefix" -DORRERY_GLSLANG_SYSTEM= > no_glslang.log
    grep -q "shaders left out" no_glslang.log || { cat no_glslang.log; exit 1; }
    "$cmake" --build no_glslang/build > no_glslang.log 2>&1 || { cat no_glslang.log; exit 1; }
    (cd no_glslang/build && ctest --output-on-failure > ../../no_glslang.log) || { cat no_glslang.log; exit 1; }
    # A fault is found: without the absolute value in the fast kernel.
    sed -i 's/(1 + std::abs(v))/(1 + v)/' smooth_sign/ops/smooth_sign/smooth_sign_cpu.cpp
    "$cmake" --build smooth_sign/build > fault.log
    if "$prefix/bin/orrery-validate" "$plugins/smooth_sign.so" --cases-root smooth_sign > fault.log; then echo "a wrong kernel was validated"; exit 1; fi
    # Another owner's name.
    new other --prefix acme
    grep -q '"acme.other/1"' other/ops/other/other.cpp
    # The cases are what the script writes.
    if python=$(python_with_numpy); then
        cp smooth_sign/ops/smooth_sign/smooth_sign.cases shipped
        "$python" smooth_sign/ops/smooth_sign/make_cases.py
        same "$(tail -n +2 smooth_sign/ops/smooth_sign/smooth_sign.cases)" "$(tail -n +2 shipped)"
    else
        lacking "no Python with NumPy: the rest of the test is left out"
    fi
else
    python=$(python_with_numpy) || lacking "no Python with NumPy: the model's golden values cannot be made"
    script=smooth_sign/models/smooth_sign/make_golden.py
    "$python" "$script" golden
    "$orrery" eval golden --plugins "$plugins" --inputs golden/inputs.safetensors --outputs golden/got.safetensors > eval.log
    "$python" "$script" golden --compare
    "$orrery" inspect golden graph --plugins "$plugins" > graph.log
    for path in embed.output layers.1.mixer.output layers.1.ffn.output layers.1.output norm.output; do
        grep -qF "$path" graph.log || { echo "the graph has no value $path"; exit 1; }
    done
    "$orrery" eval golden --plugins "$plugins" --inputs golden/inputs.safetensors --outputs golden/tapped.safetensors --tap 'layers.*.mixer.probabilities=read' > eval.log
    grep -qaF layers.1.mixer.probabilities golden/tapped.safetensors || { echo "no probabilities of attention"; exit 1; }
    # What is not the model is refused by name.
    refuses() { # SED TEXT
        mkdir -p wrong
        cp golden/*.safetensors wrong/
        sed "$1" golden/config.json > wrong/config.json
        must_fail 1 "$2" "$orrery" eval wrong --plugins "$plugins" --inputs golden/inputs.safetensors --outputs wrong/got.safetensors
    }
    refuses 's/"gelu"/"swish"/' 'hidden_act is "swish"'
    refuses 's/"hidden_size": 12/"hidden_size": 13/' 'hidden_size 13 is not a multiple'
    refuses 's/"vocab_size": 19/"vocab_size": 20/' 'embed_tokens.weight'
    refuses '/"intermediate_size"/d' 'intermediate_size is missing'
    # A comparison that cannot fail would be none.
    cp golden/inputs.safetensors golden/got.safetensors
    if "$python" "$script" golden --compare 2> /dev/null; then echo "other tensors were accepted"; exit 1; fi
fi
