#!/bin/sh
# Usage: sysroot.sh FOLDER PACKAGE...
# Unpacks Debian's arm64 packages, and those that they need, into FOLDER: headers and libraries to link with, and to run
# with under an emulator. apt fetches them with lists and a state of its own, so that this system's packages stay as they
# are; nothing is installed, and root is not needed.
set -eu
folder=$1
shift
case $folder in /*) ;; *) folder=$PWD/$folder ;; esac
if [ "$(cat "$folder/packages" 2>/dev/null)" = "$*" ]; then
    exit 0
fi

apt=$folder/apt
rm -rf "$folder"
mkdir -p "$apt/lists/partial" "$apt/archives/partial"
: >"$apt/status"
cat >"$apt/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "$(id -un)";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Debug::NoLocking "true";
END
export APT_CONFIG="$apt/apt.conf"
apt-get update -q </dev/null
apt-get install -q -y --no-install-recommends --download-only "$@" </dev/null
for package in "$apt"/archives/*.deb; do
    dpkg-deb --extract "$package" "$folder"
done

# Links to / mean the root of the packages, not of this system.
find "$folder" -type l -lname '/*' | while read -r link; do
    ln -sfnr "$folder$(readlink "$link")" "$link"
done
rm -rf "$apt"
echo "$*" >"$folder/packages"
