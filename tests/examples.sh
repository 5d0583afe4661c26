#!/bin/bash
# Runs each example of the libraries as its first lines say.
set -euo pipefail
cd "$(dirname "$0")/.."

image=$PWD/tests/data/sample.raw
certificate=$PWD/tests/data/sample.crt
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# all at once, as the tests build them
cargo build --quiet --locked --workspace --examples

run() {
    local example=$1
    shift
    echo "== $example" >&2
    "target/debug/examples/$example" "$@"
}
# what was printed has this in it
says() { grep -qF -- "$1" <(cat) || { echo "not said: $1" >&2; exit 1; }; }

run prove | says true
run gate_update "$image" "$certificate" root=signed | says VERSION_ID=
! run gate_update "$image" "$certificate" root=absent || exit 1

run table "$image" | says root-x86-64-verity
run make_table "$folder/table"
run table "$folder/table" | says root-x86-64-verity

head -c 3000000 /dev/zero | tr '\0' 'x' >"$folder/plain"
truncate -s 2998272 "$folder/plain" # whole blocks
made=$(run tree format "$folder/plain" "$folder/hash")
run tree verify "$folder/plain" "$folder/hash" "$made"
run tokio_reader "$folder/plain" "$folder/hash" "$made" | says "each proven"
# own_reader's storage is inverted: what it reads has to be turned round to match the tree
perl -e 'binmode STDIN; binmode STDOUT; local $/ = \65536; print ~$_ while <STDIN>' <"$folder/plain" >"$folder/inverted"
run own_reader "$folder/inverted" "$folder/hash" "$made" | cmp - "$folder/plain"
printf y | dd of="$folder/plain" bs=1 seek=5000 conv=notrunc status=none
! run tree verify "$folder/plain" "$folder/hash" "$made" || exit 1
! run tokio_reader "$folder/plain" "$folder/hash" "$made" || exit 1
