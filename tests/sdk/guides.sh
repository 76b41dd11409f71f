#!/bin/bash
# guides.sh ROOT PREFIX WORK CMAKE PYTHON: the operator, the format, the task and the tap of the guides as one plugin: what they say does not only compile.
set -euo pipefail
root=$1 prefix=$2 work=$3 cmake=$4 python=$5
source "$(dirname "$0")/lib.sh"
rm -rf "$work"
mkdir -p "$work/project"
cd "$work/project"
# The first C++ block of each guide, where the build looks for it.
"$python" - "$root/sdk/docs" << 'PYTHON'
import pathlib, re, sys
for guide, place in (("add_operator", "ops/scaled_sum/scaled_sum"), ("add_format", "formats/raw/raw"), ("add_task", "tasks/count/count"), ("taps_and_controls", "taps/negate")):
    text = (pathlib.Path(sys.argv[1]) / f"{guide}.md").read_text(encoding="utf-8")
    file = pathlib.Path(place + ".cpp")
    file.parent.mkdir(parents=True)
    file.write_text(re.search(r"^```cpp compile\n(.*?)^```", text, re.S | re.M).group(1), encoding="utf-8")
PYTHON
cat > ops/scaled_sum/scaled_sum.cases << 'END'
# By hand: 1 + 2 * 3 and so on.
{"attrs": {"scale": 2}, "inputs": [{"shape": [1, 3], "data": [1, 0, -1]}, {"shape": [1, 3], "data": [3, 4, 0.5]}], "outputs": [{"shape": [1, 3], "data": [7, 8, 0]}], "sizes": [{"dims": [[0, 1], [1, 1]]}]}
{"inputs": [{"shape": [2], "data": [1, 2]}, {"shape": [3], "data": [1, 2, 3]}], "error": "axis 0 of a against b: 2 against 3"}
END
cat > CMakeLists.txt << 'END'
cmake_minimum_required(VERSION 3.25)
project(guides VERSION 1.0.0 LANGUAGES C CXX)
find_package(orrery REQUIRED)
orrery_add_plugin(guides ${CMAKE_CURRENT_SOURCE_DIR})
enable_testing()
add_test(NAME validate COMMAND ${ORRERY_VALIDATE} $<TARGET_FILE:orrery_plugin_guides> --cases-root ${CMAKE_CURRENT_SOURCE_DIR})
END
build_project "$work/project" "$prefix" "$cmake"
plugins=$work/project/build/orrery
for what in 'operators "example.scaled_sum/1"' 'formats "raw"' 'tasks "count"' 'taps "negate"'; do
    "$prefix/bin/orrery" plugins ${what% *} --plugins "$plugins" --json | grep -qF -- "${what#* }" || { echo "no ${what#* } among ${what% *}"; exit 1; }
done
# The format is chosen by the file's ending, reads the file, and refuses what is none.
printf 'four four ' > bad.f32
must_fail 1 "raw: 10 bytes are no multiple of 4" "$prefix/bin/orrery" inspect bad.f32 config --plugins "$plugins"
printf 'four' > good.f32
must_fail 1 "RawVector" "$prefix/bin/orrery" inspect good.f32 config --plugins "$plugins"
# The tap does what its formula says.
model=$root/tests/models/golden/llama
for tap in negate scale:-1; do
    "$prefix/bin/orrery" eval "$model" --inputs "$model/inputs.safetensors" --outputs "${tap%:*}.safetensors" --plugins "$plugins" --tap "layers.0.output=$tap" > /dev/null
done
cmp negate.safetensors scale.safetensors
