#!/bin/sh
# Runs the end-to-end tests: run.sh BUILD_DIR QUERN_BINARY [pytest arguments]
# Skips (status 77) only where the virtual environment cannot be made: no package registry in reach. The tests of clients
# that cannot be installed are skipped one by one.
set -eu
build=$1
QUERN_BINARY=$2
export QUERN_BINARY
shift 2
cd "$(dirname "$0")"

# make_environment FOLDER REQUIREMENTS: false if that is not possible here.
make_environment() {
    cmp -s "$2" "$1/installed" && return
    rm -rf "$1"
    if python3 -m venv "$1" && "$1/bin/pip" install -q -r "$2"; then
        cp "$2" "$1/installed"
    else
        rm -rf "$1"
        return 1
    fi
}

# make_node_clients FOLDER: false if that is not possible here.
make_node_clients() {
    command -v npm >/dev/null || return
    mkdir -p "$1"
    cp node/client.mjs "$1"
    cmp -s node/package-lock.json "$1/installed" && return
    rm -f "$1/installed"
    cp node/package.json node/package-lock.json "$1"
    (cd "$1" && npm ci --silent --no-audit --no-fund) && cp node/package-lock.json "$1/installed"
}

if ! make_environment "$build/http-venv" requirements.txt; then
    echo "SKIPPED: the openai client and pytest cannot be installed here" >&2
    exit 77
fi
if make_environment "$build/schemathesis-venv" requirements-schemathesis.txt; then
    export QUERN_SCHEMATHESIS="$build/schemathesis-venv/bin/st"
fi
if make_node_clients "$build/node-clients"; then
    export QUERN_NODE_CLIENTS="$build/node-clients"
fi
exec "$build/http-venv/bin/python" -m pytest -q -rs -p no:cacheprovider "$@"
