#!/bin/sh
# Install the CPU build of the torch that cpu.txt pins, from wherever pip is configured to look, or else from PyTorch's
# own CPU index, where nothing but torch is looked for. On the ordinary package index, plain torch is the CUDA build.
# usage: [TORCH_CPU_INDEX=https://…] [TORCH_PLAIN=1] install_torch.sh PYTHON [FILE]
#   FILE         that pins torch; cpu.txt beside this script by default
#   TORCH_PLAIN  where neither has the CPU build, take plain torch with what it needs: 5 GB, and it runs on a CPU too
set -eu
python=$1
index=${TORCH_CPU_INDEX:-https://download.pytorch.org/whl/cpu}
version=$(sed -n 's/^torch==//p' "${2:-$(dirname "$0")/cpu.txt}")
[ "$(uname -s)" = Darwin ] || version="$version+cpu" # for macOS there is one build, and it has no CUDA

pip_torch() {
    "$python" -m pip --disable-pip-version-check install --quiet --no-deps "torch==$version" "$@"
}

if configured=$(pip_torch 2>&1); then
    exit 0
fi
if own=$(pip_torch --index-url "$index" 2>&1); then
    exit 0
fi
if [ -n "${TORCH_PLAIN:-}" ]; then
    exec "$python" -m pip --disable-pip-version-check install --quiet "torch==${version%+cpu}"
fi
cat >&2 <<END
torch==$version could not be installed. From the package index that pip is configured with:
$(printf '%s\n' "$configured" | grep -v '^WARNING' | tail -n 3)
From $index (another address, such as a mirror's: TORCH_CPU_INDEX=https://…):
$(printf '%s\n' "$own" | grep -v '^WARNING' | tail -n 3)
END
exit 1
