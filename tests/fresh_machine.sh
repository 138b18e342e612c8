#!/bin/bash
# The README's first commands on a machine that has nothing but what the README asks for: a minimal Debian 12 (Python
# 3.11) and a minimal Ubuntu 24.04 (Python 3.12), each in a folder of its own (debootstrap, as root), or in a container
# where Docker is and debootstrap is not. About five minutes each. The bare systems are kept in outputs/fresh-machine.
# usage: tests/fresh_machine.sh [--setup-only] [debian] [ubuntu]
#   --setup-only   the pinned sets and sgrpo doctor alone: about three minutes each
#   FRESH_FOLDERS  further folders of this machine to show in it, such as one with wheels that PIP_FIND_LINKS names
#   TORCH_CPU_INDEX, TORCH_PLAIN and pip's own settings are passed on
set -euo pipefail
cd "$(dirname "$0")/.."
setup_only=no
[ "${1:-}" = --setup-only ] && { setup_only=yes; shift; }
for system in "$@"; do
    case $system in debian | ubuntu) ;; *) sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2 ;; esac
done
bases=$PWD/outputs/fresh-machine
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/inside.sh" <<'INSIDE'
set -eu
. /etc/os-release
printf '\n== on %s\n' "$PRETTY_NAME"
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
apt-get update -q > /tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }
apt-get install -y -q --no-install-recommends python3-venv libnuma1 > /tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }
! command -v cc gcc g++ clang || fail "there is a compiler"
time make setup
du -sh .venv
! ls -d .venv/lib/python3*/site-packages/pytest || fail "the demo's set-up has brought the tests' tools"

step "what the tests, the linter and the site add"
time make setup-tools
.venv/bin/python -m pytest -q tests/unit/test_pins.py

step "sgrpo doctor"
.venv/bin/sgrpo doctor
[ "$SETUP_ONLY" = no ] || exit 0

step "sgrpo doctor --engine"
.venv/bin/sgrpo doctor --engine 2> /tmp/doctor.log || { cat /tmp/doctor.log; exit 1; }

step "sgrpo eval of a reasoner taught for 20 steps, on 16 problems"
.venv/bin/python -m sgrpo_verl.toy.teach /tmp/reasoner --steps 20
.venv/bin/python -c "
from pathlib import Path
from sgrpo_verl.workbench.data import write_data
from sgrpo_verl.workbench.tasks import TASKS
write_data(Path('/tmp/data'), TASKS['sums'], test=16)"
.venv/bin/sgrpo eval --model /tmp/reasoner --data /tmp/data --benchmarks test --out /tmp/run --max-tokens 64 \
    --answer-tokens 16 --dtype float32
[ "$(wc -l < /tmp/run/completions.jsonl)" = 16 ] || fail "not 16 completions"
INSIDE

settings="SETUP_ONLY=$setup_only COLUMNS=120 $(env | grep -E '^(PIP|TORCH)_' || true)"
[ -z "${TORCH_PLAIN:-}" ] || settings+=" VERL_PLATFORM=cpu" # to verl, plain torch means a GPU

bare() { # the bare system's archive, made unless it is there
    [ -e "$bases/$1.tar" ] && return
    printf '== a minimal %s with python3 and make, into %s\n' "$1" "$bases"
    with=(--variant=minbase --include=python3,make,ca-certificates)
    case $1 in
    debian) from=(bookworm "$work/bare") ;;
    ubuntu) # python3-venv is in universe; older debootstraps do not know noble, which is made like every Ubuntu since gutsy
        with+=(--components=main,universe)
        from=(noble "$work/bare" http://archive.ubuntu.com/ubuntu /usr/share/debootstrap/scripts/gutsy) ;;
    esac
    debootstrap "${with[@]}" "${from[@]}" > "$work/debootstrap.log" 2>&1 \
        || { tail -n 20 "$work/debootstrap.log"; exit 1; }
    mkdir -p "$bases"
    tar -cf "$work/bare.tar" -C "$work/bare" .
    mv "$work/bare.tar" "$bases/$1.tar"
    rm -rf "$work/bare"
}

copy() { # the checkout as git has it, into $1
    mkdir -p "$1"
    git archive HEAD | tar -x -C "$1"
}

in_folder() {
    bare "$1"
    root=$work/$1
    mkdir "$root"
    tar -xf "$bases/$1.tar" -C "$root"
    copy "$root/srv/sgrpo-verl"
    cp "$work/inside.sh" "$root/srv/inside.sh"
    # A private mount namespace: what is mounted in it is gone with its last process.
    SETTINGS=$settings unshare --mount --fork bash -euc '
        root=$1
        shift
        for folder in /dev /proc /sys /etc/ssl "$@"; do
            mkdir -p "$root$folder"
            mount --rbind "$folder" "$root$folder"
        done
        cp /etc/resolv.conf "$root/etc/resolv.conf"
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/srv LANG=C.UTF-8 $SETTINGS chroot "$root" bash /srv/inside.sh
    ' bash "$root" ${FRESH_FOLDERS:-}
    rm -rf "$root"
}

in_container() {
    case $1 in debian) image=debian:12-slim ;; ubuntu) image=ubuntu:24.04 ;; esac
    copy "$work/sgrpo-verl"
    folders=()
    for folder in ${FRESH_FOLDERS:-}; do folders+=(--volume "$folder:$folder:ro"); done
    docker run --rm --shm-size=1g $(printf -- '--env %s ' $settings) "${folders[@]}" --volume "$work:/mnt:ro" $image sh -euc '
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -q && apt-get install -y -q --no-install-recommends python3 make ca-certificates
        cp -r /mnt/sgrpo-verl /srv/sgrpo-verl
        bash /mnt/inside.sh'
}

if command -v debootstrap > /dev/null && [ "$(id -u)" = 0 ]; then
    way=in_folder
elif command -v docker > /dev/null; then
    way=in_container
else
    echo "needs debootstrap (as root) or Docker"
    exit 1
fi
[ $# -gt 0 ] || set -- debian ubuntu
for system in "$@"; do
    SECONDS=0
    $way "$system"
    printf '\n== %s: passed after %d s\n' "$system" $SECONDS
done
