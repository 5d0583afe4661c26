#!/bin/bash
# Building and checking a hash tree, in turns: ddi, veritysetup, and the loop of peers.rs over sha2 and ring.
#
#   benches/peers.sh [MIB] [ROUNDS] [DDI]       1024 MiB, 5 rounds, target/release/ddi unless told
#
# Prints the median and the range in GB/s of data, for one thread and for all. The data are in the page cache.
# Needs veritysetup; build with `cargo build --release` and `cargo bench --bench peers --no-run` first.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C
mib=${1:-1024} rounds=${2:-5} ddi=$(realpath "${3:-target/release/ddi}")
here=$(cd "$(dirname "$0")/.." && pwd)
t=$(mktemp -d "${TMPDIR:-/var/tmp}/ddi-peers.XXXXXX")
trap 'rm -rf "$t"' EXIT
salt=$(printf '5a%.0s' {1..32})

openssl enc -aes-128-ctr -nosalt -K 00000000000000000000000000000000 -iv 00000000000000000000000000000000 \
    -in /dev/zero 2>/dev/null | head -c "${mib}M" >"$t/data" || true
root=$("$ddi" verity format "$t/data" "$t/hash" --salt="$salt" | sed -n 's/^Root hash: *\t//p')
cat "$t/data" "$t/hash" >/dev/null

loop=$(find "${CARGO_TARGET_DIR:-$here/target}/release/deps" -maxdepth 1 -name 'peers-*' -executable -type f -printf '%T@ %p\n' 2>/dev/null |
    sort -rn | sed -n '1s/^[^ ]* //p')
threads=$(nproc)
declare -A command
command[ddi-verify-1]="$ddi verity verify $t/data $t/hash $root --threads 1"
command[ddi-verify-$threads]="$ddi verity verify $t/data $t/hash $root --threads $threads"
command[ddi-format-1]="$ddi verity format $t/data $t/out --salt=$salt --threads 1"
command[ddi-format-$threads]="$ddi verity format $t/data $t/out --salt=$salt --threads $threads"
command[veritysetup-verify]="veritysetup verify $t/data $t/hash $root"
command[veritysetup-format]="veritysetup format $t/data $t/out --salt=$salt"
if [ -n "$loop" ]; then
    for library in sha2 ring; do
        for n in 1 "$threads"; do command[loop-$library-$n]="$loop $library $n $t/data $salt"; done
    done
fi

for _ in $(seq "$rounds"); do
    for name in "${!command[@]}"; do
        rm -f "$t/out"
        begin=${EPOCHREALTIME/./}
        ${command[$name]} >/dev/null
        echo "$name $((${EPOCHREALTIME/./} - begin))"
    done
done | sort -k1,1 -k2,2n | awk -v mib="$mib" '
    function show() { if (n) printf "%-22s %6.2f   %6.2f to %6.2f\n", name, gb / t[int((n + 1) / 2)], gb / t[n], gb / t[1] }
    BEGIN { gb = mib * 1048576 / 1000; printf "%-22s %6s   %s\n", "GB/s", "median", "range" }
    $1 != name { show(); name = $1; n = 0 }
    { t[++n] = $2 }
    END { show() }'
