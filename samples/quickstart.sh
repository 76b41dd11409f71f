#!/bin/bash
# From a fresh Debian 12 to a language model that answers: installs packages, builds, brings a small model, asks it.
#   samples/quickstart.sh ["question"]
# May be run again, and after having been killed: what is done is not done twice.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source "$root/samples/lib/debian.sh"
need_packages "${build_packages[@]}" python3 python3-pip

cd "$root"
[ -f build/release/build.ninja ] || cmake --preset release -DORRERY_GLSLANG="$(bash samples/lib/newer_glslang.sh)" > /dev/null
echo "building" >&2
cmake --build --preset release --target orrery-command
model=$(bash samples/lib/gemma.sh)
echo "model: $model (Gemma Terms of Use: ${model%/*}/GEMMA_TERMS.html)" >&2

question=${1:-What is the capital of France?}
printf '\n%s' "$question"
build/release/bin/orrery run "$model" --prompt "Question: $question
Answer:" --max-tokens 64 --temperature 0 --stop "
"
printf '\nOnce upon a time'
build/release/bin/orrery run "$model" --prompt "Once upon a time" --max-tokens 64 --seed 7 --stats
