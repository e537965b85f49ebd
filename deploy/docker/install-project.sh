#!/usr/bin/env bash
# Installs the project's wheel from the folder $2 into the environment $1, and what the container
# runs beside it.
set -euo pipefail

source="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
prefix="$1"
wheels="$2"

"${PYTHON:-python3}" -m pip --python "$prefix/bin/python" install --no-deps --no-index \
    "$wheels"/mentalllama-*.whl
install -m 644 "$source/deploy/docker/healthcheck.py" "$prefix/healthcheck.py"
# The start fails here, at build time, rather than in front of users.
"$prefix/bin/mentalllama" serve --help >/dev/null
