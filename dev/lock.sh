#!/bin/sh
# Resolves the three lock files together, so that what is tested is what the images hold. Hashes, no index addresses.
set -eu
cd "$(dirname "$0")/.."
home="${KVRING_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/kvring}"
uv="$(ls "$home"/tools/uv-*/bin/uv 2>/dev/null | tail -n 1)"
[ -n "$uv" ] || { echo "lock: run make venv first" >&2; exit 1; }

compile() {
    UV_CACHE_DIR="$home/uv" "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-emit-package kvring-contract \
        --custom-compile-command "make lock" "$@"
}
compile operator/pyproject.toml node/pyproject.toml dev/requirements.in -o dev/requirements.lock
compile -c dev/requirements.lock operator/pyproject.toml -o operator/requirements.lock
compile -c dev/requirements.lock node/pyproject.toml -o node/requirements.lock
