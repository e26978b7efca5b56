#!/bin/sh
# Usage: debian_root.sh TARGET [OPTION...]
# Makes a Debian system in the folder TARGET, or in TARGET.tar, with mmdebstrap and its options, from where this system
# gets its packages. As root.
set -eu
target=$1
shift
acquire=$(mktemp)
trap 'rm -f "$acquire"' EXIT
apt-config dump Acquire >"$acquire"
sources=
for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    [ ! -s "$file" ] || sources="$sources $file"
done
# shellcheck disable=SC2086 # words
mmdebstrap --quiet --aptopt="$acquire" "$@" bookworm "$target" $sources
