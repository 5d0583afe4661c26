#!/bin/bash
# Builds every fuzz target and runs each for a few seconds, from its seeds. Skips, aloud, where there is no cargo-fuzz.
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
for target in "${@:-$(cargo fuzz list)}"; do
    for name in $target; do
        echo "== $name"
        corpus=$(mktemp -d)
        # unpacking takes the window that a stream asks for, 128 MiB at most
        limit=$([ "$name" = compressed ] && echo 300 || echo 64)
        cargo fuzz run "$name" "$corpus" "fuzz/seeds/$name" -- -max_total_time="$seconds" -max_len=8192 -timeout=5 \
            -malloc_limit_mb="$limit" -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1
        rm -rf "$corpus"
    done
done
