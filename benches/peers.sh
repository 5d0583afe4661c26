#!/usr/bin/env bash
# Whole processes beside each other: ddi, veritysetup, and the plain loops over the sha2 and ring crates (peers.rs).
#
#   benches/peers.sh [MIB] [ROUNDS]      2048 and 7 unless told
#
# Every round runs each command once, one after the other, so that a slow minute of the machine hits all of them; the
# ratios are taken round by round. Prints a table in Markdown: medians of user+sys and of wall seconds, and the ratio
# of the peer's figure to ours (median, lowest, highest; more is better for us). Needs cryptsetup-bin and GNU time,
# 3 × MIB and 8 GiB of disk in SCRATCH (/var/tmp); cold-cache rows need root and are left out otherwise.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8
cd "$(dirname "$0")/.."
mib=${1:-2048} rounds=${2:-7}
t=$(mktemp -d "${SCRATCH:-/var/tmp}/ddi-peers.XXXXXX")
trap 'rm -rf "$t"' EXIT
salt=030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dc
die() { printf '%s\n' "$*" >&2; exit 1; }

cargo build --release --quiet
ddi=${CARGO_TARGET_DIR:-target}/release/ddi
plain=$(cargo bench --bench peers --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"name":"peers".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)

# run LABEL COMMAND…: one run; "user+sys wall" goes to the label's list
run() {
    local label=$1 figures; shift
    local TIMEFORMAT='%U %S %R'
    figures=$( { time "$@" >/dev/null 2>"$t/messages"; } 2>&1 ) || { cat "$t/messages" >&2; die "this ended badly: $*"; }
    awk '{ printf "%.3f %.3f\n", $1 + $2, $3 }' <<<"$figures" >>"$t/$label.times"
}

median='function median(a, n,   i, j, x) {
    for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j-1] > a[j]; j--) { x = a[j]; a[j] = a[j-1]; a[j-1] = x }
    return n % 2 ? a[(n+1)/2] : (a[n/2] + a[n/2+1]) / 2 }'

# table TITLE BASE LABEL…: each label's figures, and BASE's over them
table() {
    local title=$1 base=$2 label; shift 2
    printf '\n### %s\n\n| run | CPU s | wall s | CPU: %s / this | wall: %s / this |\n| --- | ---: | ---: | ---: | ---: |\n' "$title" "$base" "$base"
    for label in "$@"; do
        paste -d' ' "$t/$base.times" "$t/$label.times" | awk -v label="$label" "$median"'
            { n++; cpu[n] = $3; wall[n] = $4; c[n] = $3 > 0 ? $1 / $3 : 0; w[n] = $4 > 0 ? $2 / $4 : 0 }
            END { mc = median(c, n); mw = median(w, n)
                printf "| %s | %.3f | %.3f | %.2f (%.2f–%.2f) | %.2f (%.2f–%.2f) |\n", label, median(cpu, n), median(wall, n), mc, c[1], c[n], mw, w[1], w[n] }'
    done
}

root_of() { sed -n 's/^Root hash:[[:space:]]*//p'; }

printf '## %s, %s MiB, %s rounds\n\n' "$(date +%F)" "$mib" "$rounds"
lscpu | sed -n 's/^\(Model name\|CPU(s)\|L2 cache\|L3 cache\): */- \1: /p'
printf -- '- Linux %s, %s, %s; load %s\n' "$(uname -r)" "$(rustc --version)" "$(veritysetup --version)" "$(cut -d' ' -f1-3 /proc/loadavg)"

head -c $((mib << 20)) /dev/urandom >"$t/data"
root=$(veritysetup format --salt=$salt "$t/data" "$t/hash" | root_of)
for library in sha2 ring; do
    [ "$("$plain" $library 2 "$t/data" $salt)" = "$root" ] || die "the loop over $library disagrees with veritysetup"
done
cat "$t/data" >/dev/null

threads=$(nproc)
for _ in $(seq "$rounds"); do
    run veritysetup veritysetup verify "$t/data" "$t/hash" "$root"
    run ddi "$ddi" verity verify "$t/data" "$t/hash" "$root"
    run ddi-1-thread "$ddi" verity verify --threads 1 "$t/data" "$t/hash" "$root"
    run sha2-rayon "$plain" sha2 "$threads" "$t/data" $salt
    run ring-rayon "$plain" ring "$threads" "$t/data" $salt
done
table "verify, page cache" veritysetup veritysetup ddi ddi-1-thread sha2-rayon ring-rayon
table "the same, beside the loop over sha2" sha2-rayon ddi
table "the same, beside one thread" ddi-1-thread ddi
rm "$t"/*.times

for _ in $(seq "$rounds"); do
    run veritysetup veritysetup format --salt=$salt "$t/data" "$t/hash2"
    run ddi "$ddi" verity format --salt=$salt "$t/data" "$t/hash3"
done
table "format, page cache" veritysetup veritysetup ddi
rm "$t"/*.times "$t"/hash[23]

truncate -s "$((mib << 20))" "$t/sparse"
for at in $(seq 0 4 $((mib - 1))); do
    dd if="$t/data" of="$t/sparse" bs=1M count=1 skip="$at" seek="$at" conv=notrunc status=none
done
sparse_root=$(veritysetup format --salt=$salt "$t/sparse" "$t/sparse.hash" | root_of)
for _ in $(seq "$rounds"); do
    run veritysetup veritysetup verify "$t/sparse" "$t/sparse.hash" "$sparse_root"
    run ddi "$ddi" verity verify "$t/sparse" "$t/sparse.hash" "$sparse_root"
done
table "verify, 1 MiB of data in every 4, the rest holes" veritysetup veritysetup ddi
rm "$t"/*.times "$t"/sparse*

if [ -w /proc/sys/vm/drop_caches ]; then
    sync
    cold() { echo 3 >/proc/sys/vm/drop_caches; run "$@"; }
    for _ in $(seq "$rounds"); do
        cold dd dd if="$t/data" of=/dev/null bs=1M
        cold veritysetup veritysetup verify "$t/data" "$t/hash" "$root"
        cold ddi "$ddi" verity verify "$t/data" "$t/hash" "$root"
    done
    table "verify, cold cache" dd dd veritysetup ddi
    rm "$t"/*.times
fi

printf '\n### growth and peak memory of verify\n\n| MiB | ddi CPU s | per GiB | peak RSS | veritysetup: peak RSS |\n| ---: | ---: | ---: | ---: | ---: |\n'
rss() { /usr/bin/time -f %M "$@" 2>&1 >/dev/null | tail -n 1; }
piece=$((mib < 64 ? mib : 64))
head -c $((piece << 20)) "$t/data" >"$t/piece"
rm "$t/data" "$t/hash"
for size in 64 512 2048 8192; do
    for _ in $(seq $((size / piece))); do cat "$t/piece"; done >"$t/grown"
    grown_root=$("$ddi" verity format --salt=$salt "$t/grown" "$t/grown.hash" | root_of)
    for _ in 1 2 3 4 5; do run grown "$ddi" verity verify "$t/grown" "$t/grown.hash" "$grown_root"; done
    cpu=$(cut -d' ' -f1 "$t/grown.times" | sort -n | sed -n 3p)
    awk -v size=$size -v cpu="$cpu" -v ours="$(rss "$ddi" verity verify "$t/grown" "$t/grown.hash" "$grown_root")" \
        -v theirs="$(rss veritysetup verify "$t/grown" "$t/grown.hash" "$grown_root")" \
        'BEGIN { printf "| %d | %.3f | %.3f | %.1f MiB | %.1f MiB |\n", size, cpu, cpu * 1024 / size, ours / 1024, theirs / 1024 }'
    rm "$t"/grown*
done
