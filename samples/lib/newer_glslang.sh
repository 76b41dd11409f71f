#!/bin/bash
# Prints the path of a glslangValidator that knows cooperative matrices (15 or later); Vulkan headers of 1.4 lie in include/ beside it.
# The system's where that is new enough; else Debian trixie's packages, unpacked with the C library that they need into the user's cache. Nothing is installed.
# Fails, with a line on stderr, where neither can be had: the build then leaves those shaders out.
set -uo pipefail
folder=${XDG_CACHE_HOME:-$HOME/.cache}/orrery/glslang
compiler=$folder/glslangValidator
major() { "$1" --version 2> /dev/null | sed -n 's/^Glslang Version: [0-9]*:\([0-9]*\)\..*/\1/p'; }

system=$(command -v glslangValidator || true)
if [ -n "$system" ] && [ "$(major "$system")" -ge 15 ] 2> /dev/null; then
    echo "$system"
    exit 0
fi
if [ -x "$compiler" ] && [ "$(major "$compiler")" -ge 15 ] 2> /dev/null; then
    echo "$compiler"
    exit 0
fi

give_up() {
    echo "no newer glslang: $1; shaders with cooperative matrices are left out" >&2
    exit 1
}
[ "$(uname -m)" = x86_64 ] || give_up "the packages are for x86-64"
command -v apt-get > /dev/null && command -v dpkg-deb > /dev/null || give_up "this is no Debian system"
# The mirror that the machine already uses.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null | sed -nE 's/^(URIs:|deb( \[[^]]*\])?) +([^ ]+\/debian\/?)( .*)?$/\3/p' | head -n 1)
[ -n "$mirror" ] || give_up "no Debian mirror among the package sources"
work=$(mktemp -d) || give_up "no temporary folder"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/packages" "$work/root"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > "$work/sources.list"
options=(-o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/lists" -o "Dir::Cache::pkgcache=$work/packages.bin" -o "Dir::Cache::srcpkgcache=$work/sources.bin")
apt-get "${options[@]}" -qq update >&2 || give_up "the package lists cannot be read"
(cd "$work/packages" && apt-get "${options[@]}" -qq download {glslang-tools,spirv-tools,libc6,libstdc++6,libgcc-s1,libvulkan-dev}/trixie 2> /dev/null) || give_up "the packages cannot be read"
for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/root" || give_up "$package cannot be unpacked"; done

rm -rf "$folder.partial"
mkdir -p "$folder.partial/lib" "$folder.partial/include"
cp -rL "$work"/root/usr/include/{vulkan,vk_video} "$folder.partial/include/"
cp -L "$work"/root/usr/lib/x86_64-linux-gnu/*.so* "$folder.partial/lib/" 2> /dev/null
cp -L "$(find "$work/root" -name glslang -path '*/bin/*' -o -name glslangValidator -path '*/bin/*' | head -n 1)" "$folder.partial/compiler"
cat > "$folder.partial/glslangValidator" << 'WRAPPER'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here/lib/ld-linux-x86-64.so.2" --library-path "$here/lib" "$here/compiler" "$@"
WRAPPER
chmod +x "$folder.partial/glslangValidator"
[ "$(major "$folder.partial/glslangValidator")" -ge 15 ] 2> /dev/null || give_up "the unpacked one does not start"
rm -rf "$folder"
mv "$folder.partial" "$folder" || give_up "$folder cannot be written"
echo "$compiler"
