#!/usr/bin/env bash
# Builds the project's wheel into the folder $1. WHEEL_OPTIONS: further options of pip.
set -euo pipefail

source="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
wheels="$1"

# Building writes beside the sources, and those are mounted read-only.
copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT
cp -r "$source"/{LICENSE,NOTICE,README.md,pyproject.toml,imhi,models,service,training} "$copy"

mkdir -p "$wheels"
read -r -a options <<<"${WHEEL_OPTIONS:-}"
"${PYTHON:-python3}" -m pip wheel --no-deps "${options[@]}" --wheel-dir "$wheels" "$copy"
