#!/bin/bash
# What the compiler made of the kernels, where their speed hangs on it and no test of their digests can tell.
#
# The four lanes of SHA extensions run at half their speed on Zen 4, and at a two hundredth of it on Sapphire Rapids, if
# anything in their loop leaves the upper parts of a vector register in use. So it may name no register of 256 or 512 bits.
#
#   tests/kernels.sh FOLDER  looks into a target folder that tests/panics.sh filled (target/panics)
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(uname -m)" = x86_64 ] || { echo "skipped: kernels of x86-64 only"; exit 0; }
newest=$(ls -t "${1:-target/panics}"/release/deps/libddi_verity-*.rlib | head -n 1)
code=$(objdump -d --no-show-raw-insn "$newest" 2>/dev/null | awk '/^[0-9a-f]+ <.*>:$/ { on = /rounds_x4/ } on')
[ "$(grep -c sha256rnds2 <<<"$code")" -ge 128 ] || { echo "rounds_x4: not found, or not a loop of four lanes"; exit 1; }
if grep -E '%[yz]mm' <<<"$code"; then
    echo "rounds_x4: wide registers beside SHA instructions"
    exit 1
fi
echo "rounds_x4: no register of more than 128 bits"
