#!/bin/sh
# pip install, without dependencies, and with one sentence where it fails; all that pip said is then in pip.log, in the
# folder of the virtual environment.
# usage: pip_install.sh PYTHON ARGUMENT…
#   PYTHON  of a virtual environment
set -eu
python=$1
shift
if said=$("$python" -m pip --disable-pip-version-check install --quiet --no-deps "$@" 2>&1); then
    exit 0
fi
log=$(dirname "$(dirname "$python")")/pip.log
printf '%s\n' "$said" >> "$log"
printf '%s\n' "$said" | "$python" "$(dirname "$0")/pip_failure.py" >&2
echo "All that pip said: $log" >&2
exit 1
