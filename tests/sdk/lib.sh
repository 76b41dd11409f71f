# Sourced by the tests of this folder.

# Leaves the test out for want of a tool, but not in continuous integration (.ci/run sets ORRERY_CI), where it fails.
lacking() {
    echo "skipped: $*"
    [ -z "${ORRERY_CI:-}" ] || exit 1
    exit 77
}

# Prints a Python that has NumPy.
python_with_numpy() {
    local python
    for python in "${ORRERY_PYTHON:-}" python3 /usr/bin/python3; do
        [ -n "$python" ] && "$python" -c 'import numpy' 2> /dev/null && { echo "$python"; return; }
    done
    return 1
}

# build_project SOURCE PREFIX CMAKE: configures and builds SOURCE into SOURCE/build as a stranger would; a warning is a failure.
build_project() {
    local generator=()
    command -v make > /dev/null || generator=(-G Ninja)  # Makefiles are what cmake takes when nothing is said
    "$3" -S "$1" -B "$1/build" "${generator[@]}" -DCMAKE_PREFIX_PATH="$2" > "$1/configure.log" 2>&1 || { cat "$1/configure.log"; exit 1; }
    "$3" --build "$1/build" --parallel 2 > "$1/build.log" 2>&1 || { cat "$1/build.log"; exit 1; }
    if grep -q 'warning:' "$1/build.log"; then cat "$1/build.log"; exit 1; fi
    # Its own tests: orrery-validate, on each device.
    (cd "$1/build" && ctest --output-on-failure > "$1/validate.log" 2>&1) || { cat "$1/validate.log"; exit 1; }
}

# must_fail STATUS TEXT COMMAND…: the command ends with STATUS and says TEXT on stderr.
must_fail() {
    local want=$1 text=$2 status=0
    shift 2
    "$@" > /dev/null 2> "$work/stderr" || status=$?
    if [ $status -ne "$want" ] || ! grep -qF -- "$text" "$work/stderr"; then
        echo "exit status $status, wanted $want and \"$text\": $*"
        cat "$work/stderr"
        exit 1
    fi
}

# same GOT WANT
same() { [ "$1" = "$2" ] || { echo "got    $1"; echo "wanted $2"; exit 1; }; }
