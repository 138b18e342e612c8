#!/bin/sh
# Make a virtual environment with the pinned CPU set and this package in it.
# usage: [TORCH_CPU_INDEX=https://…] install.sh PYTHON FOLDER
set -eu
python=$1 venv=$2
here=$(dirname "$0")

say() {
    printf '%s\n' "$*"
}

quiet_pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps "$@"
}

say "making $venv with $("$python" --version): 4 GiB, a few minutes, most of them downloads"
"$python" -m venv --clear "$venv"
say "[1/3] torch, its CPU build"
sh "$here/install_torch.sh" "$venv/bin/python"
say "[2/3] $(grep -c == "$here/cpu.txt") pinned packages"
quiet_pip -r "$here/cpu.txt"
say "[3/3] sgrpo-verl"
quiet_pip --no-build-isolation -e .
