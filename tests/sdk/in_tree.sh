#!/bin/bash
# in_tree.sh SOURCE PREFIX WORK CMAKE PYTHON GLSLANG: adds an operator to a copy of the tree, builds its plugin alone, validates it, sees that nothing
# but new files came of it, and takes it away again. Then a model, as a family of its own.
set -euo pipefail
source=$1 prefix=$2 work=$3 cmake=$4 python=$5 glslang=$6
source "$(dirname "$0")/lib.sh"
command -v git > /dev/null || lacking "git is not installed"
git -C "$source" rev-parse --git-dir > /dev/null 2>&1 || lacking "$source is no git checkout"
family=ssm # a small one
name=zz_scratch
rm -rf "$work"
tree=$work/tree
mkdir -p "$tree"
# The tests' values are not needed to build a plugin.
git -C "$source" ls-files -co --exclude-standard -z | grep -zv '^tests/models/golden/' > "$work/files"
(cd "$source" && xargs -0 sh -c 'for f; do [ -f "$f" ] && printf "%s\0" "$f"; done' sh < "$work/files" | tar --null -T - -cf -) | tar -xf - -C "$tree"
git -C "$tree" init -q
git -C "$tree" add -A
git -C "$tree" -c user.name=test -c user.email=test@localhost commit -qm "tree: as it is"

orrery=$prefix/bin/orrery
"$orrery" new op "$name" --tree "$tree" --family "$family" > "$work/written"
must_fail 2 "exists already" "$orrery" new op "$name" --tree "$tree" --family "$family"
build_plugin() { # FAMILY
    "$cmake" --build "$tree/build" --target "orrery_plugin_$1" > "$work/build.log" 2>&1 || { tail -40 "$work/build.log"; exit 1; }
}
"$cmake" -S "$tree" -B "$tree/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DORRERY_BUILD_TESTS=OFF -DORRERY_BUILD_SAMPLES=OFF -DORRERY_GLSLANG="$glslang" \
    > "$work/configure.log" 2>&1 || { tail -40 "$work/configure.log"; exit 1; }
build_plugin $family
plugin=$tree/build/lib/orrery/$family
grep -q "\"orr.$name/1\"" "$plugin.orrery.json"
for device in cpu vulkan; do
    status=0
    "$prefix/bin/orrery-validate" "$plugin.so" --op "orr.$name/1" --cases-root "$tree/plugins" --device $device > "$work/validate.log" 2>&1 || status=$?
    [ $status -eq 0 ] || grep -q "Vulkan: this machine has no" "$work/validate.log" || { cat "$work/validate.log"; exit 1; }
done
"$python" "$tree/tests/layout/layout_test.py" "$tree"

# Nothing that was there has changed; what is new lies in the operator's two folders.
same "$(git -C "$tree" status --porcelain --untracked-files=normal)" "?? plugins/$family/ops/$name/
?? shaders/$family/$name/"

rm -r "$tree/plugins/$family/ops/$name" "$tree/shaders/$family/$name"
same "$(git -C "$tree" status --porcelain)" ""
build_plugin $family
if grep -q "$name" "$plugin.orrery.json"; then echo "the operator is gone, its manifest still names it"; exit 1; fi

# A model, as a new family.
"$orrery" new model "$name" --tree "$tree" --family zz_family >> "$work/written"
same "$(git -C "$tree" status --porcelain)" "?? plugins/zz_family/"
build_plugin zz_family
grep -q "\"ZzScratchModel\"" "$tree/build/lib/orrery/zz_family.orrery.json"
"$python" "$tree/tests/layout/layout_test.py" "$tree"
