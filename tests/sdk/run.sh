#!/bin/bash
# run.sh PREFIX WORK CMAKE: builds this folder against the Orrery installed in PREFIX, runs the model of its plugin.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
prefix=$1 work=$2 cmake=$3
rm -rf "$work"
mkdir -p "$work/project"
# Nothing of the source tree is reachable: the project is a copy.
cp -r "$here/CMakeLists.txt" "$here/plugin" "$here/host.c" "$work/project/"
"$cmake" -S "$work/project" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release > "$work/configure.log"
"$cmake" --build "$work/build" > "$work/build.log" || { cat "$work/build.log"; exit 1; }
[ -f "$work/build/lib/orrery/tripler.orrery.json" ] || { echo "no manifest beside the plugin"; exit 1; }
# A checkpoint: w = 1, 2, 3, 4
mkdir "$work/model"
echo '{"architectures": ["TriplerModel"]}' > "$work/model/config.json"
header='{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}    '
{
    printf '\x3c\0\0\0\0\0\0\0'
    printf '%-60s' "$header"
    printf '\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40'
} > "$work/model/model.safetensors"
got=$("$work/build/host" "$work/model" "$work/build/lib/orrery")
[ "$got" = "3 6 9 12 6 12 18 24" ] || { echo "the model gave: $got"; exit 1; }
# Without the folder the architecture is unknown, and the message says so.
if "$work/build/host" "$work/model" 2> "$work/refusal"; then echo "it ran without its plugin"; exit 1; fi
grep -q TriplerModel "$work/refusal" || { cat "$work/refusal"; exit 1; }
# A project that names no folder for its libraries gets the plugin into its own build folder.
mkdir "$work/bare"
cp -r "$here/plugin" "$work/bare/"
cat > "$work/bare/CMakeLists.txt" << 'END'
cmake_minimum_required(VERSION 3.22)
project(bare VERSION 0.3.0 LANGUAGES CXX)
find_package(orrery REQUIRED)
orrery_add_plugin(bare ${CMAKE_CURRENT_SOURCE_DIR}/plugin)
END
"$cmake" -S "$work/bare" -B "$work/bare/build" -DCMAKE_PREFIX_PATH="$prefix" > "$work/configure.log"
"$cmake" --build "$work/bare/build" > "$work/build.log" || { cat "$work/build.log"; exit 1; }
[ -f "$work/bare/build/orrery/bare.so" ] && [ -f "$work/bare/build/orrery/bare.orrery.json" ] || { echo "no plugin in the build folder"; exit 1; }
# The installed kit looks for cases where it is called, not in the tree that it was built from; the operator has none.
if (cd "$work/bare/plugin" && "$prefix/bin/orrery-validate" "$work/bare/build/orrery/bare.so") > "$work/validate.log"; then echo "validated without cases"; exit 1; fi
grep -q "ops/triple/triple.cases is not below $work/bare/plugin" "$work/validate.log" || { cat "$work/validate.log"; exit 1; }
if grep -q ': : ' "$work/validate.log"; then cat "$work/validate.log"; exit 1; fi
# Linked statically it needs no folder.
linked=$("$work/build/host_static" "$work/model")
[ "$linked" = "$got" ] || { echo "linked statically the model gave: $linked"; exit 1; }
# The installed command finds its library and its plugins.
"$prefix/bin/orrery" plugins --json | grep -q '"orr.core"'
# pkg-config, where it is installed
if command -v pkg-config > /dev/null; then
    flags=$(PKG_CONFIG_PATH="$prefix/lib/pkgconfig" pkg-config --cflags --libs orrery)
    cc -std=c99 "$here/host.c" $flags -Wl,-rpath,"$prefix/lib" -o "$work/host_by_pkg_config"
    [ "$("$work/host_by_pkg_config" "$work/model" "$work/build/lib/orrery")" = "$got" ]
fi
echo "an operator from outside the tree: $got"
