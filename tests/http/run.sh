#!/bin/sh
# Runs the end-to-end tests: run.sh BUILD_DIR QUERN_BINARY [pytest arguments]
# Skips (status 77) only where the virtual environment cannot be made: no package registry in reach.
set -eu
build=$1
QUERN_BINARY=$2
export QUERN_BINARY
shift 2
cd "$(dirname "$0")"

environment=$build/http-venv
if ! cmp -s requirements.txt "$environment/installed"; then
    rm -rf "$environment"
    if ! python3 -m venv "$environment" || ! "$environment/bin/pip" install -q -r requirements.txt; then
        echo "SKIPPED: the clients and pytest cannot be installed here" >&2
        rm -rf "$environment"
        exit 77
    fi
    cp requirements.txt "$environment/installed"
fi
exec "$environment/bin/python" -m pytest -q -p no:cacheprovider "$@"
