#!/usr/bin/env bash
# Builds the image, makes keys and passwords where there are none, and starts everything:
#
#   ./up.sh cpu|gpu
#
# The keys for people are printed once, when they are made. DOCKER: another engine's command.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

profile="${1:-}"
if [ "$profile" != cpu ] && [ "$profile" != gpu ]; then
    echo "usage: ./up.sh cpu|gpu" >&2
    exit 2
fi
read -r -a docker <<<"${DOCKER:-docker}"
export PROFILE="$profile" USER_ID="${USER_ID:-$(id -u)}" GROUP_ID="${GROUP_ID:-$(id -g)}"

"${docker[@]}" compose --profile "$profile" build

# The folder keeps others out; in it, the containers' users must be able to read.
mkdir -p secrets/keys
chmod 711 secrets secrets/keys
key() { "${docker[@]}" compose run --rm keys create "$@" --file /run/keys/keys.json; }

if [ ! -s secrets/metrics-key ]; then
    # Kept only if it was made: an empty file would be taken for a key.
    made="$(key prometheus --scope metrics)"
    printf '%s' "$made" >secrets/metrics-key
fi
if [ ! -e secrets/first-key-made ]; then
    echo "The first caller's key, for Authorization: Bearer …, shown this once:"
    key first --scope analyze --scope openai
    touch secrets/first-key-made
fi
if [ ! -s secrets/grafana-password ]; then
    head -c 24 /dev/urandom | base64 >secrets/grafana-password
    echo "Grafana's password for admin is in $PWD/secrets/grafana-password."
fi
chmod 644 secrets/keys/keys.json secrets/metrics-key secrets/grafana-password

"${docker[@]}" compose --profile "$profile" up --detach --wait
echo "http://localhost:${PORT:-8000}/docs (the service), http://localhost:3000 (Grafana)"
