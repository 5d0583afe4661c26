#!/bin/bash
# The kernel as judge of parity: a virtual machine without acceleration, in which dm-verity opens what we made and healed.
#
#   intact         opens, is read whole, and nothing is corrected
#   data, tree     damage within the code's limit: the kernel heals it by our parity
#   healed         `ddi verity repair` healed the same damage: opens without parity, is read whole
#   lost           damage beyond the limit: reads fail, and repair wrote nothing
#
# Needs qemu-system-x86_64, a static busybox, veritysetup, and a kernel with dm-verity, FEC and loop devices; skips, aloud,
# where one is missing. The kernel is that of the folder DDI_KERNEL, into which a package was unpacked, else the one in /boot:
#
#   apt-get install qemu-system-x86 busybox-static cryptsetup-bin
#   apt-get download linux-image-6.1.0-57-cloud-amd64 && dpkg-deb -x linux-image-*.deb kernel
#   DDI_KERNEL=kernel tests/kernel-fec.sh
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
cd "$(dirname "$0")/.."
ddi=${DDI:-target/debug/ddi}
skip() {
    echo "skipped: $1"
    [ "${DDI_REQUIRE_TOOLS:-}" != 1 ]
    exit
}
for tool in qemu-system-x86_64 busybox veritysetup; do
    command -v $tool >/dev/null || skip "no $tool"
done
! ldd "$(command -v busybox)" >/dev/null 2>&1 || skip "busybox is not static"
[ -x "$ddi" ] || { echo "no $ddi: cargo build first" >&2; exit 2; }
root=${DDI_KERNEL:-/}
for kernel in "$root"/boot/vmlinuz-*; do
    version=${kernel##*/vmlinuz-}
    modules=$root/lib/modules/$version/kernel
    [ -d "$modules" ] && grep -qs CONFIG_DM_VERITY_FEC=y "$root/boot/config-$version" && break
    modules=
done
[ -n "${modules:-}" ] || skip "no kernel with DM_VERITY_FEC in $root/boot"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
guest=$scratch/guest
mkdir -p "$guest"/{bin,dev,proc,sys,run,tmp,modules,cases,lib64}
cp "$(command -v busybox)" "$guest/bin/busybox"
cp "$(command -v veritysetup)" "$guest/bin/"
ldd "$(command -v veritysetup)" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$guest${library%/*}"
    cp -L "$library" "$guest$library"
done
# a module after those that it needs
add() {
    local file need to
    file=$(find "$modules" -name "$1.ko*" -o -name "${1//_/-}.ko*" | head -1)
    # built in
    [ -n "$file" ] || return 0
    to=$(basename "$file")
    to=${to%.[xz]*}
    grep -qsx "$to" "$guest/modules/order" && return
    case $file in
    *.xz) xz -dc "$file" ;;
    *.zst) zstd -qdc "$file" ;;
    *) cat "$file" ;;
    esac >"$guest/modules/$to"
    for need in $(tr '\0' '\n' <"$guest/modules/$to" | sed -n 's/^depends=//p' | tr , ' '); do
        add "$need"
    done
    echo "$to" >>"$guest/modules/order"
}
for module in loop dm_mod dm_verity; do
    add $module
done

# A case: its folder, what is expected (ok, healed or lost), and the files in it.
blocks=600 size=4096
make() {
    local name=$1 roots=$2
    case_dir=$guest/cases/$name
    mkdir -p "$case_dir"
    head -c $((blocks * size)) /dev/urandom >"$case_dir/data"
    "$ddi" verity format "$case_dir/data" "$case_dir/hash" --fec-device "$case_dir/fec" --fec-roots "$roots" \
        --root-hash-file "$case_dir/root" >/dev/null
    echo "$roots" >"$case_dir/roots"
    sha256sum <"$case_dir/data" | cut -d' ' -f1 >"$case_dir/sum"
}
# NAME of a file in the case, first block, number of blocks
spoil() {
    dd if=/dev/zero of="$case_dir/$1" bs=$size seek="$2" count="$3" conv=notrunc status=none
}
for roots in 2 4 8 16 24; do
    make "intact-$roots" $roots
    echo ok >"$case_dir/expect"
    # a run: as many blocks of each of the three rows as there are roots
    make "data-$roots" $roots
    spoil data 100 $((3 * roots))
    echo healed >"$case_dir/expect"
    make "tree-$roots" $roots
    # of the tree, and of the data of which it tells: in the same row that takes an erasure and an error
    spoil hash 2 1
    spoil data $([ $roots = 2 ] && echo 8 || echo 7) 1
    echo healed >"$case_dir/expect"
    make "healed-$roots" $roots
    spoil data 200 $((3 * roots))
    "$ddi" verity repair "$case_dir/data" "$case_dir/hash" "$(cat "$case_dir/root")" --fec-device "$case_dir/fec" --in-place >/dev/null
    rm "$case_dir/fec"
    echo ok >"$case_dir/expect"
done
make lost-2 2
spoil data 100 7
before=$(sha256sum <"$case_dir/data")
! "$ddi" verity repair "$case_dir/data" "$case_dir/hash" "$(cat "$case_dir/root")" --fec-device "$case_dir/fec" --in-place >/dev/null
[ "$(sha256sum <"$case_dir/data")" = "$before" ]
echo lost >"$case_dir/expect"
rm -f "$guest"/cases/*/*.json

cat >"$guest/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mkdir -p /bin /sbin
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t sysfs none /sys
export DM_DISABLE_UDEV=1 PATH=/bin
echo 4 >/proc/sys/kernel/printk
while read -r module; do insmod "/modules/$module" || echo "no $module"; done </modules/order
uname -r
for case in /cases/*; do
    name=${case##*/} expect=$(cat "$case/expect")
    dmesg -c >/dev/null
    fec=
    [ -f "$case/fec" ] && fec="--fec-device=$case/fec --fec-roots=$(cat "$case/roots")"
    veritysetup open "$case/data" v "$case/hash" "$(cat "$case/root")" $fec || echo "$name: did not open"
    found=lost
    sum=$(dd if=/dev/mapper/v bs=4096 2>/dev/null | sha256sum | cut -d' ' -f1)
    if [ "$sum" = "$(cat "$case/sum")" ]; then
        found=ok
        dmesg | grep -q 'FEC.*corrected' && found=healed
    fi
    veritysetup close v
    echo "RESULT $name expected $expect found $found corrected $(dmesg | grep -c 'FEC.*corrected')"
done
echo RESULT end
poweroff -f
INIT
chmod +x "$guest/init"
mkdir -p "$guest/sbin"
(cd "$guest" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$scratch/initrd"

timeout "${DDI_KERNEL_TIMEOUT:-600}" qemu-system-x86_64 -accel tcg -cpu max -m 1024 -nographic -no-reboot -nodefaults -serial stdio \
    -kernel "$kernel" -initrd "$scratch/initrd" -append "console=ttyS0 quiet panic=-1 rdinit=/init" </dev/null |
    tr -d '\r' >"$scratch/log" || true
grep '^RESULT\|^[0-9]' "$scratch/log" || true
grep -q '^RESULT end' "$scratch/log" || { tail -30 "$scratch/log"; echo "the machine did not come to its end" >&2; exit 1; }
[ "$(grep -c '^RESULT .* expected' "$scratch/log")" = "$(find "$guest/cases" -mindepth 1 -maxdepth 1 | wc -l)" ]
if awk '/^RESULT .* expected/ && $4 != $6 { bad = 1 } END { exit !bad }' "$scratch/log"; then
    echo "the kernel sees it otherwise" >&2
    exit 1
fi
