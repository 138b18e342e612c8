#!/bin/sh
# Is everything here that .venv cannot bring? Prints the Python to use, or every missing thing at once and exits with 1.
# Takes a second, downloads nothing, and needs no Python: that may be what is missing.
# usage: [PYTHON=python3.12] check_machine.sh
set -u
PATH=$PATH:/usr/sbin:/sbin # where ldconfig is, for an ordinary user
DISK_GIB=${DISK_GIB:-8}    # .venv takes 4.2 GiB, pip's downloads and a demo's results the rest
MEMORY_GIB=${MEMORY_GIB:-7} # make demo takes 7.2 GiB at its peak
LIBRARIES="libnuma.so.1"   # that a wheel of cpu.txt loads and none brings; tests/integration/test_libraries.py
missing=""

note() {
    missing="$missing  - $1
"
}

# A fitting Python, with the modules that make a virtual environment: Debian ships them apart.
python=""
without_venv=""
for candidate in ${PYTHON:-python3.12 python3.11 python3}; do
    version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case $version in
    3.11 | 3.12) ;;
    *) continue ;;
    esac
    if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
        python=$candidate
        break
    fi
    without_venv="${without_venv:-$version}"
done
if [ -z "$python" ] && [ -n "$without_venv" ]; then
    note "Python $without_venv cannot make a virtual environment. Debian and Ubuntu: apt-get install python$without_venv-venv. Fedora: dnf install python$without_venv."
elif [ -z "$python" ]; then
    note "Python 3.11 or 3.12 is not here${PYTHON:+ as $PYTHON} (verl 0.9.1 takes no newer one). Debian 12: apt-get install python3.11-venv. Ubuntu 24.04: apt-get install python3.12-venv. Fedora: dnf install python3.12. Elsewhere, such as on Debian 13: uv python install 3.12, then make PYTHON=\$(uv python find 3.12)."
fi

if [ "$(uname -s)" = Linux ]; then
    for library in $LIBRARIES; do
        found=no
        for folder in $(printf %s "${LD_LIBRARY_PATH:-}" | tr : ' '); do
            [ -e "$folder/$library" ] && found=yes
        done
        ldconfig -p 2>/dev/null | grep -q "[[:space:]]$library " && found=yes
        [ $found = yes ] || note "$library is not here, which vLLM loads. Debian and Ubuntu: apt-get install libnuma1. Fedora: dnf install numactl-libs."
    done
    # What is free, or left under the limit of a container.
    memory=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
    if [ -r /sys/fs/cgroup/memory.max ] && [ "$(cat /sys/fs/cgroup/memory.max)" != max ]; then
        limit=$(awk '{ print int($1 / 1073741824) }' /sys/fs/cgroup/memory.max)
        [ "$limit" -lt "$memory" ] && memory=$limit
    fi
    [ "$memory" -ge "$MEMORY_GIB" ] || note "$memory GiB of memory are available and $MEMORY_GIB GiB are needed. End other programs, raise the container's limit, or take a larger machine."
fi
disk=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
[ -e .venv/.ready ] || [ "$disk" -ge "$DISK_GIB" ] || note "$disk GiB of disk are free in this folder and $DISK_GIB GiB are needed. Remove something, or move the checkout to a larger disk."

if [ -n "$missing" ]; then
    printf 'make cannot set up yet. Missing on this machine:\n%s' "$missing" >&2
    exit 1
fi
printf '%s\n' "$python"
