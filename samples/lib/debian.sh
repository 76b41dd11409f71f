# Sourced: need_packages NAME… installs the Debian packages that are missing, with sudo when not root.
need_packages() {
    local package missing=()
    if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
        echo "not a Debian system; this needs what Debian calls: $*" >&2
        return 0
    fi
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo > /dev/null || { echo "missing packages, and neither root nor sudo to install them: ${missing[*]}" >&2; return 1; }
        as_root=(sudo)
    fi
    echo "installing ${missing[*]}" >&2
    "${as_root[@]}" apt-get update -qq >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# What building takes.
build_packages=(g++ cmake ninja-build pkg-config libtbb-dev libhwy-dev libboost-dev libboost-filesystem-dev nlohmann-json3-dev libpcre2-dev
    libutf8proc-dev libcli11-dev libedit-dev libpng-dev libgtest-dev libvulkan-dev glslang-tools)
