#!/bin/sh
# Makes .venv: the three packages (editable) and the test tools, from dev/requirements.lock with hashes.
# Wheels are unpacked once into KVRING_HOME/uv and hard-linked from there, so another clone's .venv takes seconds.
set -eu
cd "$(dirname "$0")/.."
home="${KVRING_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/kvring}"
uv_version=0.13.9
mkdir -p "$home"

say() { printf '%s\n' "$*" >&2; }

find_python() { # the first interpreter of 3.11 or newer that can make a virtual environment
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3 /usr/bin/python3; do
        if "$candidate" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

if ! find_python >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "venv: installing python3 and python3-venv from Debian"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv; } >&2 ||
        say "venv: they could not be installed"
fi
if ! python=$(find_python); then
    say "venv: Python 3.11 or newer with venv is needed. Install it, or name one: make venv PYTHON=/path/to/python3.12"
    exit 1
fi

uv="$home/tools/uv-$uv_version/bin/uv"
if [ ! -x "$uv" ]; then
    say "venv: fetching uv $uv_version"
    "$python" -m venv --clear "$home/tools/uv-$uv_version"
    "$home/tools/uv-$uv_version/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
fi

export UV_CACHE_DIR="$home/uv" VIRTUAL_ENV="$PWD/.venv"
say "venv: installing what dev/requirements.lock names (a few minutes the first time, seconds after)"
[ -t 2 ] && quiet= || quiet=--quiet # its progress bars are for people
[ -x .venv/bin/python ] || "$uv" venv --quiet --python "$python" .venv
"$uv" pip sync $quiet --require-hashes dev/requirements.lock
"$uv" pip install --quiet --no-deps --no-build-isolation -e contract -e operator -e node

kernels=node/src/kvring_node/model/native/build.py
if ! command -v g++ >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "venv: installing g++ from Debian, for the node's kernels"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++; } >&2 ||
        say "venv: g++ could not be installed"
fi
.venv/bin/python "$kernels" >&2 || say "venv: without them everything works, more slowly"
touch .venv/ready
say "venv: .venv is ready"
