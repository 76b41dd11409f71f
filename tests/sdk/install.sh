#!/bin/bash
# install.sh BUILD PREFIX CMAKE: installs BUILD for the tests beside this file.
set -euo pipefail
build=$1 prefix=$2 cmake=$3
rm -rf "$prefix"
"$cmake" --install "$build" --prefix "$prefix" > "$prefix.log"
for file in include/orrery/orrery.h include/orrery/plugin.h lib/liborrery.so lib/orrery/core.orrery.json bin/orrery bin/orrery-manifest bin/orrery-validate \
    lib/cmake/orrery/orreryConfig.cmake lib/cmake/orrery/OrreryPlugin.cmake lib/pkgconfig/orrery.pc share/orrery/templates/op/CMakeLists.txt \
    share/orrery/templates/model/CMakeLists.txt share/orrery/shaders/common/params.h; do
    [ -e "$prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done
# The command in the build folder finds the templates too.
rm -rf "$prefix.new"
"$build/bin/orrery" new op from_the_build --folder "$prefix.new" > /dev/null
[ -f "$prefix.new/ops/from_the_build/from_the_build.cpp" ] || { echo "$build/bin/orrery found no template"; exit 1; }
