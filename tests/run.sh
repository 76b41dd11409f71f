#!/bin/bash
# The one test command: installs what is missing, builds, runs.
#   tests/run.sh [release|address|thread|fuzz|all]      release when none is named; all is what CI runs
# release   everything, optimised
# address   address and undefined sanitizers, without the command and the samples; operators at one instruction set
# thread    thread sanitizer on the engine's own tests, which use the host's executor (Debian's oneTBB is not instrumented)
# fuzz      each libFuzzer target for some seconds, starting from its seeds
# The last line says how many tests passed and failed; the exit status is 0 when none failed.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
source samples/lib/debian.sh
modes=(release address fuzz thread)
case ${1:-release} in
    all) ;;
    release | address | thread | fuzz) modes=("${1:-release}") ;;
    *)
        echo "usage: tests/run.sh [release|address|thread|fuzz|all]" >&2
        exit 2
        ;;
esac
need_packages "${build_packages[@]}" ccache clang libclang-rt-14-dev make git cargo rustc python3 python3-numpy python3-pip abigail-tools mesa-vulkan-drivers vulkan-validationlayers spirv-tools || exit 1

glslang=$(bash samples/lib/newer_glslang.sh)  # "": shaders that need it are left out
jobs=$(nproc)
passed=0
failed=0
failures=()
isa=generic
grep -q -w avx2 /proc/cpuinfo && isa=avx2

count() { # NAME STATUS
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        failures+=("$1")
    fi
}

build() { # PRESET TARGET…
    local preset=$1
    shift
    echo "== $preset: building" >&2
    { [ -f "build/$preset/build.ninja" ] || cmake --preset "$preset" -DORRERY_GLSLANG="$glslang"; } > "build-$preset.log" 2>&1 &&
        cmake --build --preset "$preset" -j "$jobs" ${1:+--target "$@"} >> "build-$preset.log" 2>&1
    local status=$?
    if [ $status -ne 0 ]; then
        tail -40 "build-$preset.log"
        count "$preset: build" 1
    fi
    rm -f "build-$preset.log"
    return $status
}

# The executables whose name holds WORD.
executables() { # PRESET WORD
    ninja -C "build/$1" -t targets all | sed -n 's/^bin\/\([^:/]*\): CXX_EXECUTABLE_LINKER.*/\1/p' | grep "$2"
}

run_ctest() { # PRESET ARGUMENT…
    local preset=$1 report=build/$1/report.xml
    shift
    rm -f "$report"
    ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$jobs" --output-junit "$root/$report" "$@" | grep -v 'Passed \|^ *Start '
    if [ ! -f "$report" ]; then
        count "$preset: ctest" 1
        return
    fi
    local name status
    while IFS=$'\t' read -r status name; do
        [ "$status" = skipped ] && continue
        count "$preset: $name" "$([ "$status" = passed ] && echo 0 || echo 1)"
    done < <(python3 - "$report" << 'PYTHON'
import sys, xml.etree.ElementTree as tree
for case in tree.parse(sys.argv[1]).getroot().iter("testcase"):
    kind = {"run": "passed", "notrun": "failed", "disabled": "skipped"}.get(case.get("status"), "failed")
    if case.find("skipped") is not None:
        message = case.find("skipped").get("message", "")
        kind = "failed" if "Unable" in message or "not found" in message else "skipped"
    if case.find("failure") is not None:
        kind = "failed"
    print(kind, case.get("name"), sep="\t")
PYTHON
    )
}

test_release() {
    build release || return
    # Tests with real weights skip themselves where these cannot be had.
    ORRERY_GEMMA=$(bash samples/lib/gemma.sh) || ORRERY_GEMMA=
    export ORRERY_GEMMA
    run_ctest release
}

test_address() {
    build address || return
    export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
    unset ORRERY_GEMMA
    run_ctest address -LE '^conformance$'
    local plugin
    for plugin in build/address/lib/orrery/*.so; do
        [ -d "plugins/$(basename "$plugin" .so)/ops" ] || continue
        echo "== address: $plugin at $isa" >&2
        build/address/bin/orrery-validate "$plugin" --cases-root plugins --isa $isa > build/address/validate.log 2>&1
        local status=$?
        [ $status -eq 0 ] || tail -40 build/address/validate.log
        count "address: $plugin at $isa" $status
    done
    unset ASAN_OPTIONS UBSAN_OPTIONS
}

test_thread() {
    [ -f build/thread/build.ninja ] || cmake --preset thread -DORRERY_GLSLANG="$glslang" > /dev/null
    local targets
    mapfile -t targets < <(executables thread '^engine_.*test')
    [ ${#targets[@]} -gt 0 ] || { count "thread: configure" 1; return; }
    build thread "${targets[@]}" || return
    TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 run_ctest thread -L '^engine$'
}

test_fuzz() {
    [ -f build/fuzz/build.ninja ] || cmake --preset fuzz -DORRERY_GLSLANG="$glslang" > /dev/null
    local targets
    mapfile -t targets < <(executables fuzz fuzz)
    [ ${#targets[@]} -gt 0 ] || { count "fuzz: configure" 1; return; }
    build fuzz "${targets[@]}" || return
    run_ctest fuzz -R fuzz
}

for mode in "${modes[@]}"; do
    "test_$mode"
done
for name in "${failures[@]}"; do echo "failed: $name"; done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
