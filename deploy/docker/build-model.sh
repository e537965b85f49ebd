#!/usr/bin/env bash
# Builds the embedded model into $1/model and seals it: every start compares its checksums.
set -euo pipefail

prefix="$1"

"$prefix/bin/mentalllama" model build --output "$prefix/model"
(cd "$prefix/model" && find . -maxdepth 1 -type f -printf '%f\0' | sort -z | xargs -0 sha256sum) \
    >"$prefix/checksums.sha256"
mv "$prefix/checksums.sha256" "$prefix/model/checksums.sha256"
chmod -R a+rX "$prefix/model"
