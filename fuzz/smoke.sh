#!/bin/bash
# Builds every fuzz target and runs each for a while, from its seeds; prints a row of the table in README.md for each. Skips,
# aloud, where there is no cargo-fuzz. With DDI_FUZZ_CORPUS, a folder, what is found worth keeping stays there, and the next
# run goes on from it: a long campaign is this script, run with more seconds.
# Usage: fuzz/smoke.sh [SECONDS [TARGET...]]
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-10}
shift $(($# > 0 ? 1 : 0))

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "skipped: no cargo-fuzz"
    [ "${DDI_REQUIRE_TOOLS:-}" != 1 ]
    exit
fi
# on stable too
export RUSTC_BOOTSTRAP=1
cargo fuzz build
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
corpora=${DDI_FUZZ_CORPUS:-$(mktemp -d)}
log=$(mktemp)
for target in "${targets[@]}"; do
    corpus=$corpora/$target
    mkdir -p "$corpus"
    # small inputs are fast ones, and headers are small; unpacking takes the window that a stream asks for
    limit=64
    case $target in
        superblock) len=513 ;;
        words | escape | kernels | verity_verify | verified_reader | parity) len=200 ;;
        policy | env_file | format | boot_record | nbd_session) len=512 ;;
        gpt_header | signature_json | certificate) len=2048 ;;
        compressed) len=4096 limit=300 ;;
        *) len=6000 ;;
    esac
    if ! cargo fuzz run "$target" "$corpus" "fuzz/seeds/$target" -- -max_total_time="$seconds" -max_len=$len -timeout=5 \
        -malloc_limit_mb=$limit -rss_limit_mb=1024 -print_final_stats=1 >"$log" 2>&1; then
        tail -40 "$log"
        echo "$target: found something" >&2
        exit 1
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
    echo "| \`$target\` | $seconds | $executions | $coverage | $(find "$corpus" -type f | wc -l) |"
done
rm "$log"
[ -n "${DDI_FUZZ_CORPUS:-}" ] || rm -rf "$corpora"
