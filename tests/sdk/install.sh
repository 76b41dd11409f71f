#!/bin/bash
# install.sh BUILD PREFIX CMAKE: installs BUILD for the tests beside this file.
set -euo pipefail
build=$1 prefix=$2 cmake=$3
rm -rf "$prefix"
"$cmake" --install "$build" --prefix "$prefix" > "$prefix.log"
for file in include/orrery/orrery.h include/orrery/plugin.h lib/liborrery.so lib/orrery/core.orrery.json bin/orrery bin/orrery-manifest bin/orrery-validate \
    lib/cmake/orrery/orreryConfig.cmake lib/cmake/orrery/OrreryPlugin.cmake lib/pkgconfig/orrery.pc share/orrery/templates/op/CMakeLists.txt \
    share/orrery/templates/model/CMakeLists.txt share/orrery/shaders/common/params.h share/orrery/abi/offsets.txt share/orrery/examples/README.md \
    share/orrery/examples/c/CMakeLists.txt share/orrery/examples/cpp/shaders share/orrery/examples/rust/Cargo.toml \
    share/orrery/examples/rust/tests/offsets.txt share/doc/orrery/add_operator.md share/doc/orrery/conformance.md; do
    [ -e "$prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done
# All of them that the source has, and no build folder of one.
here=$(cd "$(dirname "$0")" && pwd)
diff -r -x target -x .gitignore -x offsets.txt "$here/../../sdk/examples" "$prefix/share/orrery/examples" || { echo "the installed examples are not the source's"; exit 1; }
# The command in the build folder finds the templates too.
rm -rf "$prefix.new"
"$build/bin/orrery" new op from_the_build --folder "$prefix.new" > /dev/null
[ -f "$prefix.new/ops/from_the_build/from_the_build.cpp" ] || { echo "$build/bin/orrery found no template"; exit 1; }
