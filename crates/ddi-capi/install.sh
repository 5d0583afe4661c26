#!/bin/sh
# Builds libddi and installs library, header and pkg-config file, with nothing but cargo and sed:
#
#   ./install.sh [--destdir DIR] [--prefix DIR] [--libdir DIR] [--includedir DIR] [--target TRIPLE] [--debug]
#
# For packagers: cargo's own variables (CARGO_HOME, CARGO_TARGET_DIR, CARGO_NET_OFFLINE, RUSTFLAGS) count as ever.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
destdir= prefix=/usr/local libdir= includedir= target= profile=release
while [ $# -gt 0 ]; do
    case $1 in
    --debug) profile=dev; shift; continue ;;
    --destdir | --prefix | --libdir | --includedir | --target) ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    [ $# -ge 2 ] || { echo "$1 needs a value" >&2; exit 2; }
    case $1 in
    --destdir) destdir=$2 ;;
    --prefix) prefix=$2 ;;
    --libdir) libdir=$2 ;;
    --includedir) includedir=$2 ;;
    --target) target=$2 ;;
    esac
    shift 2
done
libdir=${libdir:-$prefix/lib} includedir=${includedir:-$prefix/include}

cd "$here"
version=$(cargo pkgid --offline -p ddi-capi | sed 's/.*[#@]//')
# before 1.0 each minor release has a soname of its own only if the ABI breaks: docs/release.md
soname=libddi.so.0
# nodelete: threads of a call may be ending while dlclose() is called
set -- -p ddi-capi --lib --profile $profile --locked ${target:+--target "$target"} --crate-type cdylib,staticlib -- \
    -C "link-arg=-Wl,-soname,$soname" -C link-arg=-Wl,-z,nodelete --print native-static-libs
cargo rustc "$@"
# nothing is left to build, and cargo says again what it said
libs=$(cargo rustc "$@" 2>&1 >/dev/null | sed -n 's/^note: native-static-libs: //p' | tail -n 1)
built=$(cargo metadata --no-deps --offline --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
built=$built/${target:+$target/}$([ $profile = dev ] && echo debug || echo release)

install -d "$destdir$libdir/pkgconfig" "$destdir$includedir"
install -m 644 "$built/libddi.so" "$destdir$libdir/libddi.so.$version"
ln -sf "libddi.so.$version" "$destdir$libdir/$soname"
ln -sf "$soname" "$destdir$libdir/libddi.so"
install -m 644 "$built/libddi.a" "$destdir$libdir/libddi.a"
install -m 644 include/ddi.h "$destdir$includedir/ddi.h"
sed -e "s|@prefix@|$prefix|" -e "s|@libdir@|$libdir|" -e "s|@includedir@|$includedir|" -e "s|@version@|$version|" \
    -e "s|@libs@|${libs:--lgcc_s -lutil -lrt -lpthread -lm -ldl -lc}|" include/ddi.pc.in >"$destdir$libdir/pkgconfig/ddi.pc"
