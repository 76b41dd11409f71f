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
