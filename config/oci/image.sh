#!/bin/sh
# Usage: image.sh PACKAGE.deb IMAGE.tar
# Writes an OCI image (github.com/opencontainers/image-spec) with one layer: Debian's essential packages without
# documentation, the libraries that Quern's package needs, and of that package the program and its configuration. As root,
# with mmdebstrap. The same package and archive give the same image, byte for byte, if SOURCE_DATE_EPOCH is set.
set -eu
package=$1 image=$2
user=10001 # in no range that Debian gives users from
: "${SOURCE_DATE_EPOCH:=$(dpkg-parsechangelog -l "$(dirname "$0")/../debian/changelog" -S Timestamp)}"
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
version=$(dpkg-deb -f "$package" Version)
architecture=$(dpkg-deb -f "$package" Architecture)
libraries=$(dpkg-deb -f "$package" Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ ]*\).*/\1/p' | paste -sd,)

dpkg-deb --fsys-tarfile "$package" >"$work/package.tar"
"$(dirname "$0")/../debian_root.sh" "$work/layer.tar" --mode=root --variant=essential --format=tar --skip=output/dev \
    --include="$libraries" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
    --customize-hook="tar -C \"\$1\" -xf '$work/package.tar' ./usr/bin/quern ./etc/quern ./usr/share/doc/quern/copyright" \
    --customize-hook="echo quern:x:$user:$user::/nonexistent:/usr/sbin/nologin >>\"\$1/etc/passwd\"" \
    --customize-hook="echo quern:x:$user: >>\"\$1/etc/group\"" \
    --customize-hook="install -d -o $user -g $user -m 0700 \"\$1/var/cache/quern\"" \
    --customize-hook='install -d "$1/models"'

digest() {
    sha256sum "$1" | cut -d' ' -f1
}

# keep FILE MEDIA_TYPE: moves it among the blobs, and prints what a manifest says of it.
keep() {
    name=$(digest "$1")
    size=$(stat -c %s "$1")
    mv "$1" "$work/image/blobs/sha256/$name"
    printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%s' "$2" "$name" "$size"
}

mkdir -p "$work/image/blobs/sha256"
unpacked=$(digest "$work/layer.tar")
gzip -n "$work/layer.tar"
layer="$(keep "$work/layer.tar.gz" layer.v1.tar+gzip)}"

# A daemon that others reach wants API keys, or to be told that none are meant: the image says neither.
cat >"$work/config" <<JSON
{
  "created": "$created", "architecture": "$architecture", "os": "linux",
  "config": {
    "User": "$user:$user",
    "ExposedPorts": {"8080/tcp": {}},
    "Env": ["PATH=/usr/bin:/bin", "QUERN_LISTEN=0.0.0.0:8080", "CACHE_DIRECTORY=/var/cache/quern"],
    "Entrypoint": ["/usr/bin/quern", "serve"],
    "Volumes": {"/models": {}, "/var/cache/quern": {}},
    "WorkingDir": "/",
    "StopSignal": "SIGTERM",
    "Healthcheck": {
      "Test": ["CMD", "/usr/bin/quern", "health"],
      "Interval": 30000000000, "Timeout": 10000000000, "Retries": 3
    },
    "Labels": {"org.opencontainers.image.title": "Quern", "org.opencontainers.image.version": "$version"}
  },
  "rootfs": {"type": "layers", "diff_ids": ["sha256:$unpacked"]},
  "history": [{"created": "$created", "comment": "Debian 12, Quern $version"}]
}
JSON
config="$(keep "$work/config" config.v1+json)}"
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
    "$config" "$layer" >"$work/manifest"
manifest="$(keep "$work/manifest" manifest.v1+json),\"annotations\":{\"org.opencontainers.image.ref.name\":\"$version\"}}"
printf '{"schemaVersion":2,"manifests":[%s]}' "$manifest" >"$work/image/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/image/oci-layout"
tar -C "$work/image" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar \
    -cf "$image" oci-layout index.json blobs
