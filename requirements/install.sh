#!/bin/sh
# Make a virtual environment with pinned packages and this package in it.
# usage: [TORCH_CPU_INDEX=https://…] install.sh PYTHON FOLDER FILE…
#   FILE  of pins, such as cpu.txt; where two of them pin the same package, the first counts
set -eu
python=$1 venv=$2
shift 2
here=$(dirname "$0")

echo "making $venv with $("$python" --version): 4 GiB, a few minutes, most of them downloads"
"$python" -m venv --clear "$venv"
list=$venv/requirements.txt
awk -F== '/^#/ { next } !($1 in seen) { seen[$1]; print }' "$@" > "$list"
sh "$here/pip_install.sh" "$venv/bin/python" "$(grep '^pip==' "$list")" # older ones take twice as long over the rest
echo "[1/3] torch, its CPU build"
sh "$here/install_torch.sh" "$venv/bin/python" "$list"
echo "[2/3] $(grep -c == "$list") pinned packages"
sh "$here/pip_install.sh" "$venv/bin/python" -r "$list"
echo "[3/3] sgrpo-verl"
sh "$here/pip_install.sh" "$venv/bin/python" --no-build-isolation -e .
