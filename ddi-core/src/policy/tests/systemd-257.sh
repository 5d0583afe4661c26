#!/bin/bash
# Writes what systemd-analyze makes of each policy (a line of standard input), one line each:
#   policy TAB short form TAB long form TAB designator:mode:read-only:growfs …
# or
#   policy TAB message
#
#   ./systemd-257.sh <policies >systemd-257.tsv
while IFS= read -r policy; do
    if out=$(systemd-analyze image-policy "$policy" 2>&1); then
        awk -v policy="$policy" '
            /^Analyzing policy: / { short = $3; long = $3 }
            /^ *Long form: / { long = $3 }
            NF == 4 && $1 != "PARTITION" { rows = rows (rows ? " " : "") $1 ":" $2 ":" $3 ":" $4 }
            END { print policy "\t" short "\t" long "\t" rows }' <<<"$out"
    else
        printf '%s\t%s\n' "$policy" "${out##*: }"
    fi
done
