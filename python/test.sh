#!/bin/sh
# Builds the Python package into a virtual environment under target/ and runs its tests.
# Prints why when this machine cannot.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../target}
environment=$target/python
if ! command -v python3 >/dev/null; then
    echo "python: not run: there is no python3 here"
    exit 0
fi
if [ ! -x "$environment/bin/pip" ]; then
    if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        if [ "$(id -u)" != 0 ] || ! apt-get install -y python3-venv >/dev/null; then
            echo "python: not run: python3-venv is missing, and installing it takes root"
            exit 0
        fi
    fi
    python3 -m venv "$environment"
fi
"$environment/bin/pip" install --quiet maturin numpy pytest
cd "$here"
CARGO_TARGET_DIR=$target/python-build VIRTUAL_ENV=$environment \
    "$environment/bin/maturin" develop --quiet
"$environment/bin/python" -m pytest --quiet tests
