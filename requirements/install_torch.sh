#!/bin/sh
# Install the CPU build of the torch that cpu.txt pins, from wherever pip is configured to look, or else from PyTorch's
# own CPU index, where nothing but torch is looked for. On the ordinary package index, plain torch is the CUDA build.
# usage: [TORCH_CPU_INDEX=https://…] install_torch.sh PYTHON
set -eu
python=$1
index=${TORCH_CPU_INDEX:-https://download.pytorch.org/whl/cpu}
version=$(sed -n 's/^torch==//p' "$(dirname "$0")/cpu.txt")
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
cat >&2 <<END
torch==$version could not be installed. From the package index that pip is configured with:
$(printf '%s\n' "$configured" | grep -v '^WARNING' | tail -n 3)
From $index (another address, such as a mirror's: TORCH_CPU_INDEX=https://…):
$(printf '%s\n' "$own" | grep -v '^WARNING' | tail -n 3)
END
exit 1
