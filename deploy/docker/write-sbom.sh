#!/usr/bin/env bash
# Writes $1/sbom.cdx.json: every Python package of the environment $1, in CycloneDX.
# CYCLONEDX: the program that writes it, by default one of the locked version that is installed for
# this alone and does not stay.
set -euo pipefail

source="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
prefix="$1"

program="${CYCLONEDX:-}"
if [ -z "$program" ]; then
    tools="$(mktemp -d)"
    trap 'rm -rf "$tools"' EXIT
    "${PYTHON:-python3}" -m venv "$tools"
    grep -oE '^[^ #]+==[^ ]+' "$source/requirements/cpu-all.txt" >"$tools/constraints.txt"
    "$tools/bin/python" -m pip install --only-binary=:all: \
        --constraint "$tools/constraints.txt" cyclonedx-bom
    program="$tools/bin/cyclonedx-py"
fi
"$program" environment --output-reproducible --output-format JSON \
    --output-file "$prefix/sbom.cdx.json" "$prefix/bin/python"
