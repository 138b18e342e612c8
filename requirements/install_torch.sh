#!/bin/sh
# Install the CPU build of the torch that cpu.txt pins, from wherever pip is configured to look, or else from PyTorch's
# own CPU index, where nothing but torch is looked for. On the ordinary package index, plain torch is the CUDA build.
# usage: [TORCH_CPU_INDEX=https://…] [TORCH_PLAIN=1] install_torch.sh PYTHON [FILE]
#   PYTHON       of a virtual environment
#   FILE         that pins torch; cpu.txt beside this script by default
#   TORCH_PLAIN  where neither has the CPU build, take plain torch with what it needs: 5 GB. On a CPU it
#                needs VERL_PLATFORM=cpu, which make demo and the recipes set
set -eu
python=$1
here=$(dirname "$0")
index=${TORCH_CPU_INDEX:-https://download.pytorch.org/whl/cpu}
version=$(sed -n 's/^torch==//p' "${2:-$here/cpu.txt}")
[ "$(uname -s)" = Darwin ] || version="$version+cpu" # for macOS there is one build, and it has no CUDA

if configured=$(sh "$here/pip_install.sh" "$python" "torch==$version" 2>&1); then
    exit 0
fi
if own=$(sh "$here/pip_install.sh" "$python" "torch==$version" --index-url "$index" 2>&1); then
    exit 0
fi
if [ -n "${TORCH_PLAIN:-}" ]; then
    exec "$python" -m pip --disable-pip-version-check install --quiet "torch==${version%+cpu}"
fi
cat >&2 <<END
torch==$version could not be installed. From the package index that pip is configured with:
$configured
From $index (another address, such as a mirror's: TORCH_CPU_INDEX=https://…):
$own
END
exit 1
