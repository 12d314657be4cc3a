#!/bin/sh
# Makes .venv and installs requirements.txt into it; does nothing where both are as they should be.
set -eu
umask 022 # the embedded servers may run as another user than we do, and must be able to read their programs
venv=.venv
installed=$venv/requirements.installed

tell() {
    echo "$1" >&2
    exit 1
}

newer() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

mkdir -p "$venv"
if command -v flock >/dev/null; then # two of us may be started at once
    exec 9>"$venv/.lock"
    flock 9
fi

# a venv that was only half made, or whose Python is gone, is made anew
if ! { [ -f "$installed" ] && "$venv/bin/python" -c pass; } >/dev/null 2>&1 &&
    ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if newer "$python"; then
            found=$python
            break
        fi
    done
    [ -n "${found:-}" ] || tell "Python 3.11 or later with its venv module is needed (on Debian: apt install python3-venv). Name one with: make run PYTHON=/path/to/python3"
    rm -f "$installed"
    "$found" -m venv --clear "$venv" || tell "$found can't make a virtual environment in $venv."
fi

if ! cmp -s requirements.txt "$installed"; then
    echo "Installing what requirements.txt names into $venv …"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r requirements.txt ||
        tell "requirements.txt could not be installed; what is above says why."
    cp requirements.txt "$installed"
fi
