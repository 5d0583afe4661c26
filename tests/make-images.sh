#!/bin/bash
# Makes small images with the real tools of Debian 12, for the tests and for trying things out:
#
#   tests/make-images.sh FOLDER
#
# fs-*.raw are bare file systems, ddi-*.raw have a GPT; NAME.roothash or NAME.usrhash is the root
# hash that a person would be told.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8
mkdir -p "$1"
cd "$1"
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT

tree=$t/tree
mkdir -p "$tree"/{etc,usr/lib,usr/bin,usr/share/doc,proc,sys,dev,run,tmp,var}
printf '%s\n' ID=images 'PRETTY_NAME="Images"' VERSION_ID=1 >"$tree/usr/lib/os-release"
ln -s ../usr/lib/os-release "$tree/etc/os-release"
seq 200000 >"$tree/usr/share/doc/numbers"

u=5f3a2b10-1d2c-4e3f-8a9b-0c1d2e3f4a5b

mkfs.erofs --quiet -U $u fs-erofs.raw "$tree" >/dev/null
mkfs.erofs --quiet -zlz4hc -U $u fs-erofs-lz4.raw "$tree" >/dev/null
mksquashfs "$tree" fs-squashfs.raw -quiet -no-progress -noappend
mke2fs -q -t ext4 -U $u -L 'a label' -d "$tree" fs-ext4.raw 16M
mke2fs -q -t ext3 -U $u -d "$tree" fs-ext3.raw 16M
mke2fs -q -t ext2 -b 1024 -U $u -d "$tree" fs-ext2.raw 8M
truncate -s 128M fs-btrfs.raw && mkfs.btrfs -q -U $u -L demo fs-btrfs.raw
truncate -s 320M fs-xfs.raw && mkfs.xfs -q -m uuid=$u -L demo fs-xfs.raw
truncate -s 64M fs-f2fs.raw && mkfs.f2fs -q -l demo fs-f2fs.raw >/dev/null
truncate -s 40M fs-vfat.raw && mkfs.vfat -F 32 -n DEMO -i 12345678 fs-vfat.raw >/dev/null
truncate -s 1440K fs-vfat12.raw && mkfs.vfat -F 12 fs-vfat12.raw >/dev/null
truncate -s 8M fs-swap.raw && mkswap -q -U $u -L demo fs-swap.raw
truncate -s 20M fs-luks2.raw && printf secret | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 fs-luks2.raw -

openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=images -days 36500 -keyout "$t/key.pem" -out images.crt 2>/dev/null

# dashed GUID from 32 hex digits
guid() { sed -E 's/(.{8})(.{4})(.{4})(.{4})(.{12})/\1-\2-\3-\4-\5/' <<<"$1"; }

# ddi NAME DATA ROLE [VERITYSETUP-OPTION…]: ESP, data, hash tree and signature of ROLE (root or usr) for x86-64
ddi() {
    local name=$1 data=$2 role=$3 hash=$t/hash sig=$t/sig root type_data type_hash type_sig
    shift 3
    case $role in
        root) type_data=4f68bce3-e8cd-4db1-96e7-fbcaf984b709 type_hash=2c7357ed-ebd2-46d9-aec1-23d437ec2bf5 type_sig=41092b05-9fc8-4523-994f-2def0408b176 ;;
        usr) type_data=8484680c-9521-48c6-9c11-b0720656f69e type_hash=77ff5f63-e7b6-4633-acf4-1565b864c0e6 type_sig=e7bb33fb-06cf-4e81-8273-e543b413e2e2 ;;
    esac
    rm -f "$hash"
    veritysetup format "$data" "$hash" --root-hash-file="$name.${role}hash" "$@" >/dev/null
    root=$(cat "$name.${role}hash")
    printf %s "$root" | openssl smime -sign -nocerts -noattr -binary -outform der -inkey "$t/key.pem" -signer images.crt -out "$t/p7"
    printf '{"rootHash":"%s","signature":"%s"}' "$root" "$(base64 -w0 "$t/p7")" >"$sig"
    truncate -s 16K "$sig"
    local d h
    d=$((($(stat -c %s "$data") + 4095) / 4096 * 8)) h=$((($(stat -c %s "$hash") + 4095) / 4096 * 8))
    rm -f "$name.raw"
    truncate -s $(((2048 + 8192 + d + h + 32 + 2048) * 512)) "$name.raw"
    sfdisk -q "$name.raw" <<END
label: gpt
start=2048, size=8192, type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b, name=esp
start=10240, size=$d, type=$type_data, uuid=$(guid "${root:0:32}"), name=demo_1, attrs=GUID:60
start=$((10240 + d)), size=$h, type=$type_hash, uuid=$(guid "${root: -32}"), name=demo_1, attrs=GUID:60
start=$((10240 + d + h)), size=32, type=$type_sig, name=demo_1
END
    truncate -s 4M "$t/esp" && mkfs.vfat "$t/esp" >/dev/null
    local place=1048576 part
    for part in "$t/esp" "$data" "$hash" "$sig"; do
        dd if="$part" of="$name.raw" bs=512 seek=$((place / 512)) conv=notrunc status=none
        place=$((place + ($(stat -c %s "$part") + 4095) / 4096 * 4096))
    done
}
ddi ddi-erofs-root fs-erofs.raw root
ddi ddi-squashfs-usr fs-squashfs.raw usr
ddi ddi-ext4-blocks fs-ext4.raw root --data-block-size=1024 --hash-block-size=512 --salt=abcd
