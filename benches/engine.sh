#!/usr/bin/env bash
# The engine as whole processes: what a check costs beside veritysetup, with holes, with zeros, small and large.
#
#   benches/engine.sh [MIB] [ROUNDS]      2048 and 9 unless told
#   DDI=FILE benches/engine.sh            that program, rather than one that is built first
#
# Every round runs each command once, one after the other; ratios are taken round by round and given as median (lowest,
# highest). CPU is user+sys of the whole process. Prints Markdown. Needs cryptsetup-bin, GNU time, and 3 × MIB + 8 GiB in
# SCRATCH (/var/tmp). benches/peers.sh has the loops over the sha2 and ring crates, and a cold cache.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8
cd "$(dirname "$0")/.."
mib=${1:-2048} rounds=${2:-9}
t=$(mktemp -d "${SCRATCH:-/var/tmp}/ddi-engine.XXXXXX")
trap 'rm -rf "$t"' EXIT
salt=030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dc
[ -n "${DDI:-}" ] || cargo build --release --quiet
ddi=$(realpath "${DDI:-${CARGO_TARGET_DIR:-target}/release/ddi}")

# run LABEL COMMAND…: one run; "user+sys wall KiB" goes to the label's list
run() {
    local label=$1; shift
    /usr/bin/time -a -o "$t/$label.times" -f '%U %S %e %M' "$@" >/dev/null 2>"$t/messages" || {
        cat "$t/messages" >&2; echo "this ended badly: $*" >&2; exit 1; }
}

# many LABEL TIMES COMMAND…: as run, but so many of them, for those that take less than the clock tells
many() {
    local label=$1 times=$2; shift 2
    # shellcheck disable=SC2016 # for the inner shell
    run "$label" bash -c 'for ((i = 0; i < $0; i++)); do "$@" >/dev/null; done' "$times" "$@"
}

# table TITLE BASE LABEL…: each label's figures, and BASE's over them
table() {
    local title=$1 base=$2 label; shift 2
    printf '\n### %s\n\n| run | CPU s | wall s | peak RSS | CPU: %s / this | wall: %s / this |\n| --- | ---: | ---: | ---: | ---: | ---: |\n' \
        "$title" "$base" "$base"
    for label in "$@"; do
        paste -d' ' "$t/$base.times" "$t/$label.times" | awk -v label="$label" '
            function sorted(a, n,   i, j, x) {
                for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j-1] > a[j]; j--) { x = a[j]; a[j] = a[j-1]; a[j-1] = x }
                return n % 2 ? a[(n+1)/2] : (a[n/2] + a[n/2+1]) / 2 }
            { n++; cpu[n] = $5 + $6; wall[n] = $7; rss[n] = $8
              c[n] = cpu[n] > 0 ? ($1 + $2) / cpu[n] : 0; w[n] = wall[n] > 0 ? $3 / wall[n] : 0 }
            END { mc = sorted(c, n); mw = sorted(w, n)
                printf "| %s | %.3f | %.3f | %.1f MiB | %.2f (%.2f–%.2f) | %.2f (%.2f–%.2f) |\n", label, sorted(cpu, n), sorted(wall, n),
                    sorted(rss, n) / 1024, mc, c[1], c[n], mw, w[1], w[n] }'
    done
    rm "$t"/*.times
}

root_of() { sed -n 's/^Root hash:[[:space:]]*//p'; }
format() { veritysetup format --salt=$salt "$1" "$1.hash" | root_of; }

printf '## %s, %s MiB, %s rounds\n\n' "$(date +%F)" "$mib" "$rounds"
lscpu | sed -n 's/^\(Model name\|CPU(s)\|L2 cache\|L3 cache\): */- \1: /p'
printf -- '- Linux %s, huge pages: %s, %s; load %s\n' "$(uname -r)" "$(cat /sys/kernel/mm/transparent_hugepage/enabled)" \
    "$(veritysetup --version)" "$(cut -d' ' -f1-3 /proc/loadavg)"

head -c $((mib << 20)) /dev/urandom >"$t/data"
root=$(format "$t/data")
for _ in $(seq "$rounds"); do
    run veritysetup veritysetup verify "$t/data" "$t/data.hash" "$root"
    run ddi "$ddi" verity verify "$t/data" "$t/data.hash" "$root"
    run ddi-1-thread "$ddi" verity verify --threads 1 "$t/data" "$t/data.hash" "$root"
done
table "verify, page cache" veritysetup veritysetup ddi ddi-1-thread

for _ in $(seq "$rounds"); do
    run veritysetup veritysetup format --salt=$salt "$t/data" "$t/hash2"
    run ddi "$ddi" verity format --salt=$salt "$t/data" "$t/hash3"
done
table "format, page cache" veritysetup veritysetup ddi
rm "$t"/hash[23]

# a quarter of the data, the rest holes, or zeros that are written out; and that quarter alone
truncate -s "$((mib << 20))" "$t/holes"
for at in $(seq 0 4 $((mib - 1))); do
    dd if="$t/data" of="$t/holes" bs=1M count=1 skip="$at" seek="$at" conv=notrunc status=none
done
cp --sparse=never "$t/holes" "$t/zeros"
# by writes of the same size: they decide on the folios of the page cache, and these on what reading costs
dd if="$t/data" of="$t/quarter" bs=1M count="$((mib / 4))" status=none
holes=$(format "$t/holes") quarter=$(format "$t/quarter")
cp "$t/holes.hash" "$t/zeros.hash"
for _ in $(seq "$rounds"); do
    run veritysetup veritysetup verify "$t/holes" "$t/holes.hash" "$holes"
    run ddi-holes "$ddi" verity verify "$t/holes" "$t/holes.hash" "$holes"
    run ddi-zeros "$ddi" verity verify "$t/zeros" "$t/zeros.hash" "$holes"
    run ddi-quarter "$ddi" verity verify "$t/quarter" "$t/quarter.hash" "$quarter"
done
table "verify, 1 MiB of data in every 4, and that quarter alone" veritysetup veritysetup ddi-holes ddi-zeros ddi-quarter
rm "$t"/{holes,zeros,quarter}*

for size in 1 4; do
    head -c $((size << 20)) "$t/data" >"$t/small"
    small=$(format "$t/small")
    for _ in $(seq "$rounds"); do
        many veritysetup 50 veritysetup verify "$t/small" "$t/small.hash" "$small"
        many ddi 50 "$ddi" verity verify "$t/small" "$t/small.hash" "$small"
    done
    table "verify, $size MiB, 50 times" veritysetup veritysetup ddi
done

printf '\n### growth of verify\n\nMedians of %s; figures of a GiB, and what they are of those of 2 GiB.\n' "$rounds"
printf '\n| MiB | CPU s a GiB | of 2 GiB | peak RSS |\n| ---: | ---: | ---: | ---: |\n'
rm "$t/data" "$t/data.hash"
head -c $((64 << 20)) /dev/urandom >"$t/piece"
sizes=(64 512 2048 8192)
for size in "${sizes[@]}"; do
    for _ in $(seq $((size / 64))); do cat "$t/piece"; done >"$t/$size"
    "$ddi" verity format --salt=$salt "$t/$size" "$t/$size.hash" | root_of >"$t/$size.root"
done
for _ in $(seq "$rounds"); do
    for size in "${sizes[@]}"; do
        # as much work for each of them, but the last
        times=$((size < 2048 ? 2048 / size : 1))
        many "$size" "$times" "$ddi" verity verify "$t/$size" "$t/$size.hash" "$(cat "$t/$size.root")"
    done
done
for size in 2048 64 512 8192; do
    awk '{ print $1 + $2, $4 }' "$t/$size.times" | sort -n | sed -n "$(((rounds + 1) / 2))p" |
        awk -v size="$size" -v file="$t/base" '{ done = size < 2048 ? 2 : size / 1024; a = $1 / done
            if (size == 2048) print a >file; else getline base <file; if (size == 2048) base = a
            printf "| %d | %.3f | %.2f | %.1f MiB |\n", size, a, a / base, $2 / 1024 }'
done
