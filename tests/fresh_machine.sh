#!/bin/bash
# The README's first commands on a machine that has nothing but what the README asks for: a minimal Debian 12 in a
# folder of its own (debootstrap, as root), or in a container where Docker is and debootstrap is not. About five minutes.
# usage: tests/fresh_machine.sh
#   FRESH_FOLDERS  further folders of this machine to show in it, such as one with wheels that PIP_FIND_LINKS names
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/inside.sh" <<'INSIDE'
set -eu
cd /srv/sgrpo-verl
step() { printf '\n== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*"; exit 1; }

step "with Python and make alone, make setup stops in its first second and names what is missing, all of it"
started=$(date +%s%N)
make setup > /tmp/first.log 2>&1 && fail "make setup passed without libnuma"
taken=$((($(date +%s%N) - started) / 1000000))
cat /tmp/first.log
grep -q "libnuma.so.1 is not here" /tmp/first.log || fail "libnuma is not named"
grep -q "cannot make a virtual environment" /tmp/first.log || fail "venv is not named"
echo "after $taken ms"
[ "$taken" -lt 1000 ] || fail "that took longer than a second"

step "with what it named: make setup, with no compiler here"
apt-get install -y -q --no-install-recommends python3-venv libnuma1 > /tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }
! command -v cc gcc g++ clang || fail "there is a compiler"
time make setup

step "sgrpo doctor --engine"
.venv/bin/sgrpo doctor --engine 2> /tmp/doctor.log || { cat /tmp/doctor.log; exit 1; }

step "sgrpo eval of a reasoner taught for 20 steps, on 16 problems"
.venv/bin/python -m sgrpo_verl.toy.teach /tmp/reasoner --steps 20
.venv/bin/python -c "
from pathlib import Path
from sgrpo_verl.toy.data import write_data
from sgrpo_verl.toy.tasks import TASKS
write_data(Path('/tmp/data'), TASKS['sums'], test=16)"
.venv/bin/sgrpo eval --model /tmp/reasoner --data /tmp/data --benchmarks test --out /tmp/run --max-tokens 64 \
    --answer-tokens 16 --dtype float32
[ "$(wc -l < /tmp/run/completions.jsonl)" = 16 ] || fail "not 16 completions"

step "passed"
INSIDE

copy() { # the checkout as git has it, into $1
    mkdir -p "$1"
    git archive HEAD | tar -x -C "$1"
}

pip_settings=$(env | grep '^PIP_' || true)
if command -v debootstrap > /dev/null && [ "$(id -u)" = 0 ]; then
    root=$work/debian
    echo "== a minimal Debian 12 with python3 and make in $root"
    debootstrap --variant=minbase --include=python3,make,ca-certificates bookworm "$root" > "$work/debootstrap.log" 2>&1 \
        || { tail -n 20 "$work/debootstrap.log"; exit 1; }
    copy "$root/srv/sgrpo-verl"
    cp "$work/inside.sh" "$root/srv/inside.sh"
    # A private mount namespace: what is mounted in it is gone with its last process.
    PIP_SETTINGS=$pip_settings unshare --mount --fork bash -euc '
        root=$1
        shift
        for folder in /dev /proc /sys /etc/ssl "$@"; do
            mkdir -p "$root$folder"
            mount --rbind "$folder" "$root$folder"
        done
        cp /etc/resolv.conf "$root/etc/resolv.conf"
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/srv LANG=C.UTF-8 COLUMNS=120 $PIP_SETTINGS \
            chroot "$root" bash /srv/inside.sh
    ' bash "$root" ${FRESH_FOLDERS:-}
elif command -v docker > /dev/null; then
    copy "$work/sgrpo-verl"
    folders=()
    for folder in ${FRESH_FOLDERS:-}; do folders+=(--volume "$folder:$folder:ro"); done
    docker run --rm --shm-size=1g --env COLUMNS=120 $(printf -- '--env %s ' $pip_settings) "${folders[@]}" \
        --volume "$work:/mnt:ro" debian:12-slim sh -euc '
            apt-get update -q && apt-get install -y -q --no-install-recommends python3 make ca-certificates
            cp -r /mnt/sgrpo-verl /srv/sgrpo-verl
            bash /mnt/inside.sh'
else
    echo "needs debootstrap (as root) or Docker"
    exit 1
fi
