#!/usr/bin/env bash
# What parity costs, beside veritysetup and beside a tree without it: user plus system time of runs that take turns, so that a
# busy machine does not change the ratios much.
#
#   benches/fec.sh [MiB] [RUNS]      after cargo build --release; 512 and 5
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
mib=${1:-512} runs=${2:-5}
ddi=$(dirname "$0")/../target/release/ddi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
head -c $((mib << 20)) /dev/urandom >"$scratch/data"

# user + system seconds, most memory in KiB
cost() {
    rm -f "$scratch/hash" "$scratch/fec"
    /usr/bin/time -f '%U %S %M' -o "$scratch/time" "$@" >/dev/null
    awk '{ print $1 + $2, $3 }' "$scratch/time"
}
median() { sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

for i in $(seq "$runs"); do
    cost "$ddi" verity format "$scratch/data" "$scratch/hash" >>"$scratch/plain"
    for roots in 2 24; do
        fec=(--fec-device="$scratch/fec" --fec-roots=$roots)
        cost "$ddi" verity format "$scratch/data" "$scratch/hash" "${fec[@]}" >>"$scratch/ours$roots"
        # the peer is slow: twice will do
        [ "$i" -gt 2 ] || cost veritysetup format "$scratch/data" "$scratch/hash" "${fec[@]}" >>"$scratch/peer$roots"
    done
done
plain=$(median <"$scratch/plain")
echo "$mib MiB, user + system, median of $runs (peer: 2), $(nproc) CPUs, $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2-)"
echo "tree alone: $plain s"
for roots in 2 24; do
    ours=$(median <"$scratch/ours$roots") peer=$(median <"$scratch/peer$roots")
    most=$(awk '{ if ($2 > m) m = $2 } END { print m }' "$scratch/ours$roots")
    awk -v r="$roots" -v o="$ours" -v p="$peer" -v t="$plain" -v m="$most" 'BEGIN {
        printf "roots %d: %.2f s, %.2f times the tree alone; veritysetup %.2f s, %.1f times ours; memory %d KiB\n", r, o, o / t, p, p / o, m }'
done
