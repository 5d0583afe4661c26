#!/usr/bin/env bash
# Sets of definitions by chance, made by systemd-repart 257 and by `ddi build --compatible 257`: the images and their split files
# must be equal byte for byte, or both must refuse. What differs is shown with its definitions, and is a failure.
#
#   tests/repart-peer.sh TREE [N] [SEED]      after cargo build; 200 sets from seed 1
#
# TREE is a Debian 13 tree with systemd-repart in it, where both run. Needs root, for chroot alone. 200 sets take some minutes. CI
# has no such tree; run it by hand when plans or writing change.
set -euo pipefail
[ "${1:-}" = --inside ] || {
    [ $# -ge 1 ] || { sed -n '2,/^set -euo/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 2; }
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    unshare --mount bash "$0" --inside "$scratch" "${DDI:-$(dirname "$0")/../target/debug/ddi}" "$@"
    exit
}
scratch=$2 ddi=$3 tree=$4 count=${5:-200} seed=${6:-1}
export LC_ALL=C
cp "$ddi" "$scratch/ddi"
mount --bind "$scratch" "$tree/mnt"
mount -t proc proc "$tree/proc"
mount --bind /dev "$tree/dev"
for name in a b; do
    head -c "$([ $name = a ] && echo 1M || echo 3M)" </dev/zero | openssl enc -aes-128-ctr -nosalt -pass "pass:$name" -pbkdf2 2>/dev/null >"$scratch/$name"
done
head -c 20992 "$scratch/a" >"$scratch/tail"

# not RANDOM, which starts anew in every subshell
state=$seed
chance() { state=$(((state * 6364136223846793005 + 1442695040888963407) & 0x7fffffffffffffff)) REPLY=$(((state >> 33) % $1)); }
one_in() { chance "$1"; [ "$REPLY" = 0 ]; }
pick() { chance $#; shift "$REPLY"; REPLY=$1; }
# a key with one of these values, in so many of all cases
maybe() {
    one_in "$1" || return 0
    local key=$2
    shift 2
    pick "$@"
    echo "$key=$REPLY"
}
sizes=(1M 2M 3M 5M 8M 13M 5K 4097K 100K)

definitions() {
    local number=10 kind count
    chance 5
    for ((count = REPLY + 1; count > 0; count--)); do
        {
            echo "[Partition]"
            pick esp xbootldr home srv var tmp swap linux-generic root usr
            kind=$REPLY
            echo "Type=$kind"
            maybe 2 SizeMinBytes "${sizes[@]}"
            maybe 4 SizeMaxBytes 16M 20M 40M 14337K
            maybe 4 Weight 0 1 333 1000 5000
            maybe 6 PaddingMinBytes "${sizes[@]}"
            maybe 8 PaddingWeight 1 500
            maybe 3 Priority -1 0 1 5 10
            maybe 5 Label x data-%% 'a b' _empty
            maybe 6 Flags 0x8000000000000000 0x1000000000000000 0x4
            maybe 6 ReadOnly yes no
            maybe 6 NoAuto yes no
            maybe 6 GrowFileSystem yes no
            maybe 8 UUID null "6e64fb48-f224-476b-8c7d-efd05f0379$number"
            maybe 5 SplitName - %t-%U "x$number"
            # swap without CopyBlocks would be mkswap's
            if [ "$kind" = swap ] || one_in 3; then maybe 1 CopyBlocks /mnt/a /mnt/b; fi
        } >"$scratch/definitions/$number-x.conf"
        number=$((number + 10))
    done
    one_in 2 || return 0
    {
        printf '[Partition]\nType=root\nVerity=data\nVerityMatchKey=k\n'
        maybe 1 CopyBlocks /mnt/a /mnt/b /mnt/tail
        maybe 2 SizeMaxBytes 8M
    } >"$scratch/definitions/80-data.conf"
    {
        printf '[Partition]\nType=root-verity\nVerity=hash\nVerityMatchKey=k\n'
        maybe 2 Minimize best
    } >"$scratch/definitions/90-hash.conf"
}

inside() { chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin SOURCE_DATE_EPOCH=1700000000 "$@" >"$scratch/log.$who" 2>&1; }
sums() { (cd "$1" && find . -type f | sort | xargs -r sha256sum); }
uuid=11111111-2222-4333-8444-555555555555
equal=0 refused=0 differ=0
for number in $(seq "$count"); do
    rm -rf "$scratch"/{definitions,ours,theirs}
    mkdir "$scratch"/{definitions,ours,theirs}
    definitions
    pick auto auto auto 24M 64M 100M 1234567
    size=$REPLY
    pick 512 512 4096
    sector=$REPLY
    options=("--size=$size" "--seed=$uuid" "--definitions=/mnt/definitions" "--sector-size=$sector")
    who=theirs status=0
    inside systemd-repart "${options[@]}" --empty=create --dry-run=no --offline=yes --split=yes /mnt/theirs/image.raw || status=$?
    who=ours ours=0
    inside /mnt/ddi build "${options[@]}" --compatible 257 --split /mnt/ours/image.raw || ours=$?
    if [ $status != 0 ] && [ $ours = 1 ]; then
        refused=$((refused + 1))
    elif [ $status = 0 ] && [ $ours = 0 ] && [ "$(sums "$scratch/ours")" = "$(sums "$scratch/theirs")" ]; then
        equal=$((equal + 1))
    else
        differ=$((differ + 1))
        echo "set $number: ${options[*]}: systemd-repart ends with $status, ddi with $ours"
        tail -n +1 "$scratch"/definitions/*
        tail -n 3 "$scratch"/log.*
        diff <(sums "$scratch/ours") <(sums "$scratch/theirs") || true
    fi
done
echo "$count sets from seed $seed: $equal equal, $refused refused by both, $differ different"
[ $differ = 0 ]
