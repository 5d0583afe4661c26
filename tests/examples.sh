#!/bin/bash
# Runs each example of the libraries as its first lines say.
set -euo pipefail
cd "$(dirname "$0")/.."

image=$PWD/tests/data/sample.raw
certificate=$PWD/tests/data/sample.crt
root_hash=262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

run() {
    local package=$1 example=$2
    shift 2
    echo "== $example" >&2
    cargo run --quiet --locked -p "$package" --example "$example" -- "$@"
}
# what was printed has this in it
says() { grep -qF -- "$1" <(cat) || { echo "not said: $1" >&2; exit 1; }; }

run ddi-core prove | says true
run ddi-core gate_update "$image" "$certificate" root=signed | says VERSION_ID=
! run ddi-core gate_update "$image" "$certificate" root=absent || exit 1

run ddi-gpt table "$image" | says root-x86-64-verity
run ddi-gpt make_table "$folder/table"
run ddi-gpt table "$folder/table" | says root-x86-64-verity

head -c 3000000 /dev/zero | tr '\0' 'x' >"$folder/plain"
truncate -s 2998272 "$folder/plain" # whole blocks
made=$(run ddi-verity tree format "$folder/plain" "$folder/hash")
run ddi-verity tree verify "$folder/plain" "$folder/hash" "$made"
run ddi-verity tokio_reader "$folder/plain" "$folder/hash" "$made" | says "each proven"
# own_reader's storage is inverted: what it reads has to be turned round to match the tree
perl -e 'binmode STDIN; binmode STDOUT; local $/ = \65536; print ~$_ while <STDIN>' <"$folder/plain" >"$folder/inverted"
run ddi-verity own_reader "$folder/inverted" "$folder/hash" "$made" | cmp - "$folder/plain"
printf y | dd of="$folder/plain" bs=1 seek=5000 conv=notrunc status=none
! run ddi-verity tree verify "$folder/plain" "$folder/hash" "$made" || exit 1
! run ddi-verity tokio_reader "$folder/plain" "$folder/hash" "$made" || exit 1
