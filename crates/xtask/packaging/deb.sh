#!/bin/bash
# Builds the Debian packages (ddi, libddi0, libddi-dev) of what is committed, with the cargo that is there: crates/xtask/packaging/deb.sh FOLDER
#
# Debian's own rust may be older than what Cargo.toml asks for, so that build dependencies are not checked. Needs dpkg-dev and
# debhelper; lintian, if it is there, must find no error.
set -euo pipefail
cd "$(dirname "$0")/../../.."
[ $# = 1 ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
grep -q "^ddi ($version-" crates/xtask/packaging/debian/changelog || { echo "debian/changelog is not about $version" >&2; exit 1; }

# always the same place, so that cargo builds anew only what has changed
folder=$PWD/target/deb
tree=$folder/ddi-$version
rm -rf "$tree" "$folder"/*.{deb,changes,buildinfo}
mkdir -p "$tree"
git archive HEAD | tar -x -C "$tree"
cp -a crates/xtask/packaging/debian "$tree/debian"

# debhelper gives a home of its own, in which there is no toolchain
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$folder/target}
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
# paths of this machine are not for users
export RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$tree=/usr/src/ddi --remap-path-prefix=$CARGO_HOME=/usr/src/cargo"
(cd "$tree" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps)
cp "$folder"/*.deb "$folder"/*.changes "$folder"/*.buildinfo "$out/"
if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error --suppress-tags bad-distribution-in-changes-file "$out"/*.changes
fi
ls -l "$out"
