#!/usr/bin/env bash
# What making images costs, beside systemd-repart: a signed erofs root of a Debian tree, and blocks that are copied under a hash tree.
#
#   benches/build.sh TREE [RUNS] [GIB]      after cargo build --release; 3 and 2
#
# TREE is a Debian tree with systemd-repart, erofs-utils and openssl in it. It is what is packed, and where both programs run, so that
# both use its mkfs.erofs; the runs take turns. Needs root, for chroot alone. Times of mkfs.erofs are told apart: it is the
# same for both, though systemd-repart gives it a folder and we a tar stream. "written" is what the kernel counts as written to the
# disk by the program and all it starts (write_bytes). "disk" is the most that is in use in a run of its own in memory.
set -euo pipefail
[ "${1:-}" = --inside ] || {
    [ $# -ge 1 ] || { sed -n '2,/^set -euo/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 2; }
    scratch=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
    trap 'rm -rf "$scratch"' EXIT
    unshare --mount bash "$0" --inside "$scratch" "${DDI:-$(dirname "$0")/../target/release/ddi}" "$@"
    exit
}
shift
scratch=$1 ddi=$2 tree=$3 runs=${4:-3} gib=${5:-2}
export LC_ALL=C

cp "$ddi" "$scratch/ddi"
cp -a "$tree" "$scratch/tree"
mkdir -p "$scratch"/{bin,root,blocks,out,small}
# mkfs.erofs, with what it costs
cat >"$scratch/bin/mkfs.erofs" <<'X'
#!/bin/bash
TIMEFORMAT='%U %S'
case $* in -V) exec /usr/bin/mkfs.erofs -V ;; esac
{ time /usr/bin/mkfs.erofs "$@" 2>&3; } 3>&2 2>>/mnt/mkfs
X
chmod +x "$scratch/bin/mkfs.erofs"
define() { printf '[Partition]\n%s\n' "$2" >"$scratch/$1"; }
define root/10-root.conf $'Type=root\nFormat=erofs\nCopyFiles=/:/\nMinimize=best\nVerity=data\nVerityMatchKey=root'
define root/20-hash.conf $'Type=root-verity\nVerity=hash\nVerityMatchKey=root\nMinimize=best'
define root/30-sig.conf $'Type=root-verity-sig\nVerity=signature\nVerityMatchKey=root'
define blocks/10-usr.conf $'Type=usr\nCopyBlocks=/blocks.raw\nVerity=data\nVerityMatchKey=usr'
define blocks/20-hash.conf $'Type=usr-verity\nVerity=hash\nVerityMatchKey=usr\nMinimize=best'
openssl req -x509 -nodes -newkey rsa:2048 -days 3650 -subj /CN=bench -keyout "$scratch/key" -out "$scratch/crt" 2>/dev/null
[ "$gib" = 0 ] || head -c "${gib}G" /dev/urandom >"$scratch/blocks.raw"
mount --bind "$scratch" "$tree/mnt"
mount -t proc proc "$tree/proc"
mount -t devtmpfs dev "$tree/dev" 2>/dev/null || mount --bind /dev "$tree/dev"

inside() {
    chroot "$tree" /usr/bin/env -i PATH=/mnt/bin:/usr/sbin:/usr/bin TMPDIR="$place" SOURCE_DATE_EPOCH=1700000000 "$@"
}
# user + system s, of mkfs alone, wall s, MiB written, most memory of the program itself in KiB
cost() {
    rm -f "$scratch"/out/* "$scratch/mkfs"
    : >"$scratch/mkfs"
    local start; start=$(date +%s.%N)
    inside bash -c '
        "$@" >/mnt/log 2>&1 & work=$!
        most=0 now=0
        # without a process of its own, which would be counted too
        while [ -n "$now" ]; do
            now=
            while read -r key value _; do
                [ "$key" != VmHWM: ] || now=$value
            done 2>/dev/null </proc/$work/status
            [ "${now:-0}" -le "$most" ] || most=$now
            read -rt 0.02 _ <>/mnt/pause
        done
        wait $work || { cat /mnt/log; exit 1; }
        times >/mnt/times
        while read -r key value; do
            [ "$key" != write_bytes: ] || echo "$value" >/mnt/written
        done </proc/$$/io
        echo "$most" >/mnt/most' _ "$@" >&2
    local wall; wall=$(echo "$(date +%s.%N) $start" | awk '{ print $1 - $2 }')
    awk -v wall="$wall" -v mkfs="$(awk '{ t += $1 + $2 } END { print t + 0 }' "$scratch/mkfs")" \
        -v written="$(cat "$scratch/written")" -v most="$(cat "$scratch/most")" \
        -F '[ms ]+' 'NR == 2 { printf "%.2f %.2f %.2f %.1f %d\n", $1 * 60 + $2 + $3 * 60 + $4, mkfs, wall, written / 1048576, most }' "$scratch/times"
}
mkfifo "$scratch/pause"
seed=11111111-2222-4333-8444-555555555555
ours() {
    inside_ours=(/mnt/ddi build --definitions "/mnt/$1" --root "$2" --seed $seed)
    [ "$1" = blocks ] || inside_ours+=(--private-key /mnt/key --certificate /mnt/crt)
    cost "${inside_ours[@]}" "$place/out/image.raw"
}
theirs() {
    local more=()
    [ "$1" = blocks ] || more=(--private-key=/mnt/key --certificate=/mnt/crt)
    cost systemd-repart --definitions="/mnt/$1" --root="$2" --copy-source="$2" --seed=$seed --empty=create --size=auto \
        --dry-run=no --offline=yes "${more[@]}" "$place/out/image.raw"
}
median() { sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
column() { awk -v n="$1" '{ print $n }' "$2"; }
place=/mnt

echo "$(find "$scratch/tree" -xdev -type f | wc -l) files, $(du -sm "$scratch/tree" | cut -f1) MiB; $(nproc) CPUs, load $(cut -d' ' -f1 /proc/loadavg), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2-)"
compare() { # NAME, DEFINITIONS, ROOT
    for i in $(seq "$runs"); do
        ours "$2" "$3" >>"$scratch/ours.$2"
        size=$(stat -c %s "$scratch/out/image.raw")
        theirs "$2" "$3" >>"$scratch/theirs.$2"
    done
    echo "$1: image of $((size >> 20)) MiB; user + system, of it mkfs.erofs, wall, MiB written, KiB of memory"
    sed 's/^/  ddi             /' "$scratch/ours.$2"
    sed 's/^/  systemd-repart  /' "$scratch/theirs.$2"
    for who in ours theirs; do
        awk '{ print $1 - $2 }' "$scratch/$who.$2" | median >"$scratch/$who.own"
        column 3 "$scratch/$who.$2" | median >"$scratch/$who.wall"
        column 4 "$scratch/$who.$2" | median >"$scratch/$who.written"
        column 5 "$scratch/$who.$2" | sort -n | tail -1 >"$scratch/$who.most"
    done
    paste "$scratch"/{ours,theirs}.{own,wall,written,most} | awk -v size="$size" '{
        printf "  medians: all but mkfs %.2f s and %.2f s (%.2f), wall %.2f s and %.2f s (%.2f), written %.2f and %.2f times the image, memory %.1f and %.1f MiB\n",
            $1, $5, $1 / $5, $2, $6, $2 / $6, $3 * 1048576 / size, $7 * 1048576 / size, $4 / 1024, $8 / 1024 }'
}
# the most that is in use on a file system of its own
disk() {
    local small=$tree/mnt/small
    mount -t tmpfs -o size=6G tmpfs "$small"
    mkdir "$small/out"
    place=/mnt/small
    touch "$scratch/run"
    (
        most=0
        while [ -e "$scratch/run" ]; do
            now=$(df -k --output=used "$small" | tail -1)
            [ "$now" -le "$most" ] || most=$now
            echo "$most" >"$scratch/disk"
            sleep 0.02
        done
    ) &
    "$@" >/dev/null
    rm "$scratch/run"
    wait $!
    place=/mnt
    umount "$small"
    echo "$(($(cat "$scratch/disk") >> 10)) MiB"
}
compare "signed erofs root" root /mnt/tree
echo "  most disk: ddi $(disk ours root /mnt/tree), systemd-repart $(disk theirs root /mnt/tree)"
[ "$gib" = 0 ] || compare "$gib GiB of CopyBlocks under a hash tree" blocks /mnt
