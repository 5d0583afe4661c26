#!/bin/bash
# N2: which functions of the libraries can panic, by their machine code.
#
# Builds the libraries as they are released (overflow checks on), without link-time optimisation, so that every function
# is there under its own name, and looks in each for relocations to what panics: core::panicking, slice and str index
# failures, unwrap and expect failures, capacity overflow. A function of a module that reads images must have none, or be
# on the list of exceptions with a reason: tests/panics.allow. For the other modules the numbers are reported.
#
#   tests/panics.sh          builds into target/panics, and checks
#   tests/panics.sh FOLDER   checks what is built in a target folder already
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in objdump ar; do
    command -v $tool >/dev/null || { echo "no $tool (binutils)"; exit 1; }
done

target=${1:-target/panics}
if [ $# = 0 ]; then
    RUSTFLAGS="-C symbol-mangling-version=v0" cargo build --quiet --release --locked -p ddi-core -p ddi-os --all-features \
        --config 'profile.release.lto=false' --config 'profile.release.debug=false' --target-dir "$target"
fi

# modules that read images; the rest of ddi-core, which is under the same lints, is reported
readers='ddi_gpt::|ddi_verity::(superblock|params|layout|geometry|reader)::|ddi_signature::'
readers+='|ddi_core::(verity_set|mount|dissect|policy::evaluation|prove|trust)::'
panics='core9panicking|core5slice5index|core3str16slice_error_fail|core6option13unwrap_failed|core6option13expect_failed'
panics+='|core6result13unwrap_failed|core4cell22panic|alloc7raw_vec17capacity_overflow|len_mismatch_fail'
panics+='|slice_(start|end)_index|slice_index_order|str5slice_error_fail|3std9panicking'
# who is called only while a panic is under way, or asks if one is
harmless='panic_in_cleanup|panicking11panic_count'

for library in gpt io verity signature fs core os; do
    newest=$(ls -t "$target"/release/deps/libddi_$library-*.rlib | head -n 1)
    objdump -dr --no-show-raw-insn "$newest" 2>/dev/null
done | awk -v panics="$panics" -v harmless="$harmless" '
    /^[0-9a-f]+ <.*>:$/ { name = substr($2, 2, length($2) - 3); if (!(name in count)) count[name] = 0; next }
    / R_X86_64_| R_AARCH64_/ { if ($3 ~ panics && $3 !~ harmless) { count[name]++; what[name] = what[name] " " $3 } }
    END { for (name in count) print count[name] "\t" name "\t" what[name] }
' | c++filt | sort -k 2 >"$target/panics.txt"

awk -F '\t' -v readers="$readers" -v allow=tests/panics.allow '
    BEGIN {
        while ((getline line < allow) > 0) {
            if (line ~ /^(#|$)/) continue
            split(line, part, "  #")
            if (part[2] == "") { print "no reason: " line; failed = 1 }
            allowed[part[1]] = 0
        }
    }
    {
        count = $1; inside = $2
        match(inside, /ddi_(gpt|io|verity|signature|fs|core|os)(\[[0-9a-f]+\])?::[a-z_0-9]+/)
        module = RSTART ? substr(inside, RSTART, RLENGTH) : "instances of generic functions of others"
        gsub(/\[[0-9a-f]+\]/, "", module)
        gsub(/\[[0-9a-f]+\]/, "", inside)
        functions[module]++
        if (count > 0) { panicking[module]++; sites[module] += count }
        if (count == 0 || inside !~ readers || inside !~ /^<?&?(mut )?ddi_/) next
        for (prefix in allowed) if (index(inside, prefix)) { allowed[prefix]++; next }
        print count " in " inside ":" $3
        failed = 1
    }
    END {
        print "\nfunctions  with panics  sites  module"
        for (module in functions)
            printf "%9d  %11d  %5d  %s\n", functions[module], panicking[module], sites[module], module | "sort -k 4"
        close("sort -k 4")
        for (prefix in allowed) if (!allowed[prefix]) { print "not needed in tests/panics.allow: " prefix; failed = 1 }
        exit failed
    }
' "$target/panics.txt"
