#!/bin/sh
# Usage: check.sh PACKAGE.deb NEWER.deb
# Installs a package in a fresh Debian system in a folder, serves from it, upgrades to a newer version without losing what
# was configured, and purges it without a trace. Needs root and mmdebstrap; no service manager runs in there.
set -eu
package=$1 newer=$2
work=$(mktemp -d)
root=$work/root
server=

end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT

fail() {
    echo "check.sh: $*" >&2
    exit 1
}

inside() {
    chroot "$root" /usr/bin/env DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# Says what it did only if it fails.
quietly() {
    "$@" >"$work/last" 2>&1 || { cat "$work/last" >&2; fail "failed: $*"; }
}

"$(dirname "$0")/../../config/debian_root.sh" "$root" --variant=minbase

# What is there before, with the packages that are needed, which stay.
cp "$package" "$root/tmp/quern.deb"
cp "$newer" "$root/tmp/newer.deb"
depends=$(dpkg-deb -f "$package" Depends | tr ',' '\n' | sed 's/^ *//; s/ .*//')
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
# shellcheck disable=SC2086
quietly inside apt-get update -q
quietly inside apt-get install -q -y --no-install-recommends $depends
list() {
    (cd "$root" && find etc usr lib var/lib/systemd var/cache -xdev ! -path 'var/cache/apt*' ! -path 'var/cache/ldconfig*' \
        ! -path 'var/cache/debconf*' 2>/dev/null | LC_ALL=C sort)
}
list >"$work/before"

quietly inside apt-get install -q -y --no-install-recommends /tmp/quern.deb
inside quern --version
inside quern config check /etc/quern/quern.conf
[ -e "$root/lib/systemd/system/quern.service" ] || fail "there is no unit"
[ -L "$root/etc/systemd/system/multi-user.target.wants/quern.service" ] || fail "the unit is not enabled"

chroot "$root" /usr/bin/quern serve --config /etc/quern/quern.conf --no-cache --listen unix:/tmp/quern.sock >"$work/log" 2>&1 &
server=$!
tries=0
until curl -sf --unix-socket "$root/tmp/quern.sock" http://localhost/health >/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { cat "$work/log" >&2; fail "it does not serve"; }
    sleep 0.1
done
curl -sf --unix-socket "$root/tmp/quern.sock" http://localhost/v1/completions \
    -d '{"prompt": "Once", "max_tokens": 4}' | grep -q '"finish_reason":"length"' || fail "no completion"
kill "$server"
wait "$server" || fail "ended with $?"
server=

sed -i 's/^#max-body.*/max-body = 123456/' "$root/etc/quern/quern.conf"
grep -q '^max-body = 123456' "$root/etc/quern/quern.conf" || fail "no setting to change"
quietly inside apt-get install -q -y --no-install-recommends /tmp/newer.deb
grep -q '^max-body = 123456' "$root/etc/quern/quern.conf" || fail "an upgrade lost a setting"
[ "$(inside dpkg-query -W -f '${Version}' quern)" = "$(dpkg-deb -f "$newer" Version)" ] || fail "no upgrade"

quietly inside apt-get purge -q -y quern
rm -f "$root/tmp/quern.deb" "$root/tmp/newer.deb"
list >"$work/after"
diff "$work/before" "$work/after" >&2 || fail "a purge left something"
echo "installed, served, upgraded, purged"
