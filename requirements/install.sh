#!/bin/sh
# Make a virtual environment with the pinned CPU set and this package in it.
# usage: [TORCH_CPU_INDEX=https://…] install.sh PYTHON FOLDER [FILE]
#   FILE  lines that replace those of cpu.txt
set -eu
python=$1 venv=$2
here=$(dirname "$0")

quiet_pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps "$@"
}

echo "making $venv with $("$python" --version): 4 GiB, a few minutes, most of them downloads"
"$python" -m venv --clear "$venv"
list=$venv/requirements.txt
awk -F== '/^#/ { next } !($1 in seen) { seen[$1]; print }' ${3:+"$3"} "$here/cpu.txt" > "$list"
echo "[1/3] torch, its CPU build"
sh "$here/install_torch.sh" "$venv/bin/python" "$list"
echo "[2/3] $(grep -c == "$list") pinned packages"
quiet_pip -r "$list"
echo "[3/3] sgrpo-verl"
quiet_pip --no-build-isolation -e .
