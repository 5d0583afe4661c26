#!/bin/bash
# Builds each crate without features, and with each of its features alone. What one feature leaves unused is no fault here:
# the lints run over everything together.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo metadata --locked --no-deps --format-version 1 |
    jq -r '.packages[] | select(.publish == null) | .name as $name | ("", (.features | keys[] | select(. != "default"))) | "\($name) \(.)"' |
    while read -r crate feature; do
        echo "$crate ${feature:-(none)}"
        cargo check --quiet --locked -p "$crate" --no-default-features ${feature:+--features "$feature"}
    done

# whatever brought std in below ddi-gpt would bring a second panic handler, which the compiler refuses
echo "ddi-gpt without std"
cargo build --quiet --locked --manifest-path tests/no-std/Cargo.toml --target-dir target/no-std
