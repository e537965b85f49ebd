#!/usr/bin/env bash
# Makes an environment in the empty folder $1 on top of an installation of vLLM, without changing one
# of its versions: what it lacks of the project's needs comes at the version of requirements/gpu.txt.
# PYTHON: the interpreter that has vLLM, by default the one that is found first. LOCK: that of its
# build, from the project's folder.
set -euo pipefail

source="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
prefix="$1"
base="$(command -v "${PYTHON:-python3}")"

"$base" -m venv --without-pip "$prefix"
# Also where the base is an environment itself, which --system-site-packages would look past.
"$base" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
    >"$(echo "$prefix"/lib/python3*/site-packages)/base.pth"

missing="$(mktemp)"
trap 'rm -f "$missing"' EXIT
(cd "$source" && "$prefix/bin/python" deploy/docker/missing.py "${LOCK:-requirements/gpu.txt}") >"$missing"
if [ -s "$missing" ]; then
    "$base" -m pip --python "$prefix/bin/python" install --no-deps \
        --only-binary=:all: --requirement "$missing"
fi
