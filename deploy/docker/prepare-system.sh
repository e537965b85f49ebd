#!/usr/bin/env bash
# What the image $1 (cpu or gpu) needs beside Python: a user without rights or a shell, its folder,
# and a library of Debian's that vLLM's CPU build links to.
set -euo pipefail

image="$1"
root="${ROOT:-}"

if [ "$image" = cpu ] && [ -z "$root" ]; then
    apt-get update
    apt-get install -y --no-install-recommends libnuma1
    rm -rf /var/lib/apt/lists/*
fi
# By number: Kubernetes checks runAsNonRoot by it, and the line gives the number a name.
grep -q '^mentalllama:' "$root/etc/passwd" ||
    echo 'mentalllama:x:10001:10001::/cache:/usr/sbin/nologin' >>"$root/etc/passwd"
grep -q '^mentalllama:' "$root/etc/group" || echo 'mentalllama:x:10001:' >>"$root/etc/group"
install -d -m 700 "$root/cache"
# Of another folder than an image's the owner stays: only root may give one away.
[ -n "$root" ] || chown 10001:10001 /cache
