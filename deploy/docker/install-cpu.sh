#!/usr/bin/env bash
# Makes an environment in the empty folder $1 and installs what serving on CPUs needs, at the locked
# versions and from wheels alone: nothing is compiled and no package's own code runs.
# INSTALL_OPTIONS: further options of pip, for instance --dry-run.
set -euo pipefail

source="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
prefix="$1"
requirements="$source/requirements/cpu.txt"

"${PYTHON:-python3}" -m venv "$prefix"
read -r -a options <<<"${INSTALL_OPTIONS:-}"
pip=("$prefix/bin/python" -m pip install --no-deps --only-binary=:all: "${options[@]}")

# Only where the registry lacks torch's CPU build is it taken from where its makers publish it.
read -r torch index < <(cd "$source" && "$prefix/bin/python" -c \
    'from scripts.install import ROOT, TORCH_INDEX, cpu_torch; print(cpu_torch(ROOT), TORCH_INDEX)')
"${pip[@]}" "torch==$torch" || "${pip[@]}" --index-url "$index" "torch==$torch"
"${pip[@]}" --requirement "$requirements"
