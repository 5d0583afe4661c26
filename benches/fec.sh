#!/usr/bin/env bash
# What parity costs, beside veritysetup and beside a tree without it: user plus system time of runs that take turns, so that a
# busy machine does not change the ratios much.
#
#   benches/fec.sh [MiB] [RUNS] [GIB]      after cargo build --release; 512, 5 and 8
#
# veritysetup is slow: twice with two roots, once with 24, each right beside one of ours. Memory is that of GIB GiB, a sparse file,
# all of which is read and encoded, with 24 roots; 0 leaves that out. Takes three minutes where nothing else runs.
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
mib=${1:-512} runs=${2:-5} gib=${3:-8}
ddi=${DDI:-$(dirname "$0")/../target/release/ddi}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
head -c $((mib << 20)) /dev/urandom >"$scratch/data"

# user + system seconds, most memory in KiB
cost() {
    rm -f "$scratch"/hash "$scratch"/fec "$scratch"/fec.*
    /usr/bin/time -f '%U %S %M' -o "$scratch/time" "$@" >/dev/null
    awk '{ print $1 + $2, $3 }' "$scratch/time"
}
median() { sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
list() { awk '{ printf "%s%s", (NR > 1 ? ", " : ""), $1 }' "$1"; }

for i in $(seq "$runs"); do
    cost "$ddi" verity format "$scratch/data" "$scratch/hash" >>"$scratch/plain"
    for roots in 2 24; do
        fec=(--fec-device="$scratch/fec" --fec-roots=$roots)
        cost "$ddi" verity format "$scratch/data" "$scratch/hash" "${fec[@]}" >>"$scratch/ours$roots"
        if [ "$i" -le $((roots == 2 ? 2 : 1)) ]; then
            cost veritysetup format "$scratch/data" "$scratch/hash" "${fec[@]}" >>"$scratch/peer$roots"
        fi
    done
done
plain=$(median <"$scratch/plain")
echo "$mib MiB, user + system in s, $(nproc) CPUs, load $(cut -d' ' -f1 /proc/loadavg), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2-)"
echo "tree alone: $(list "$scratch/plain")"
for roots in 2 24; do
    ours=$(median <"$scratch/ours$roots") peer=$(median <"$scratch/peer$roots")
    most=$(awk '{ if ($2 > m) m = $2 } END { print m }' "$scratch/ours$roots")
    echo "roots $roots: $(list "$scratch/ours$roots"); veritysetup $(list "$scratch/peer$roots")"
    awk -v r="$roots" -v o="$ours" -v p="$peer" -v t="$plain" -v m="$most" 'BEGIN {
        printf "roots %d, medians: %.2f times the tree alone; veritysetup %.1f times ours; memory %d KiB\n", r, o / t, p / o, m }'
done
if [ "$gib" != 0 ]; then
    truncate -s "${gib}G" "$scratch/large"
    # hashing passes over holes, encoding does not
    cost "$ddi" verity format "$scratch/large" "$scratch/hash" --fec-device="$scratch/fec" --fec-roots=24 |
        awk -v g="$gib" '{ printf "%d GiB, 24 roots: %.1f s, memory %d KiB\n", g, $1, $2 }'
fi
