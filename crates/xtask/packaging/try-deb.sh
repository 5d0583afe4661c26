#!/bin/bash
# Installs the packages of deb.sh in a clean Debian tree, and uses them there: crates/xtask/packaging/try-deb.sh FOLDER SUITE…
# Needs root and mmdebstrap.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../../.." && pwd)
debs=$(cd "$1" && pwd)
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

for suite in "$@"; do
    tree=$folder/$suite
    echo "== $suite"
    mmdebstrap --quiet --mode=root --variant=apt --include=gcc,libc6-dev,pkg-config "$suite" "$tree"
    cp "$debs"/ddi_*.deb "$debs"/libddi0_*.deb "$debs"/libddi-dev_*.deb "$tree/tmp/"
    cp "$root"/tests/data/sample.* "$tree/tmp/"
    mount --bind /dev "$tree/dev"
    # shellcheck disable=SC2016
    chroot "$tree" /bin/sh -euc '
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -y -qq -o Dpkg::Use-Pty=0 /tmp/*.deb >/dev/null
        dpkg -l ddi libddi0 libddi-dev | tail -n 3
        cd /tmp
        ddi --version
        # the tree of a container leaves manual pages out
        dpkg -L ddi | grep -q "man1/ddi-verify.1.gz$"
        test -e /usr/share/bash-completion/completions/ddi
        ddi inspect sample.raw --certificate sample.crt | head -n 3
        ddi verify sample.raw --certificate sample.crt | head -n 1
        cc -Wall -Werror /usr/share/doc/libddi-dev/examples/gate-update.c $(pkg-config --cflags --libs ddi) -o gate-update
        ./gate-update sample.raw sample.crt root=signed
        cc /usr/share/doc/libddi-dev/examples/gate-update.c $(pkg-config --variable=libdir ddi)/libddi.a \
            $(pkg-config --static --libs-only-l ddi | sed "s/-lddi//") -o gate-static
        apt-get remove -y -qq -o Dpkg::Use-Pty=0 ddi libddi0 >/dev/null
        test ! -e /usr/bin/ddi && test ! -e /usr/include/ddi.h || { echo "something is left" >&2; exit 1; }
        ./gate-static sample.raw sample.crt root=signed
    ' || { umount "$tree/dev"; exit 1; }
    umount "$tree/dev"
done
