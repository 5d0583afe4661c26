#!/bin/bash
# What other tools do with the hostile images: makes docs/hostile-images.md.
#
#   DDI_HOSTILE_OUT=DIR cargo test --test it images_are_written     writes the images to DIR, which must be empty
#   tests/hostile-peers.sh run DIR [TOOL…]                          runs tools on them: results in DIR/TOOL.tsv
#   CLASS=C9 tests/hostile-peers.sh run DIR [TOOL…]                 on those of one class, in place of its results so far
#   tests/hostile-peers.sh results PAGE DIR                         results from a page that was made so: DIR/TOOL.tsv
#   tests/hostile-peers.sh table DIR > docs/hostile-images.md
#
# Each tool gets ten seconds an image. systemd-dissect asks for a loop device and mounts what it finds, as root: run it in
# a machine that may crash. `dissect-257` is whatever systemd-dissect is in the tree that DISSECT_257 names a command for
# (`DISSECT_257="systemd-nspawn … --"`): by default it is not run.
set -uo pipefail
export LC_ALL=C.UTF-8 PATH=$PATH:/usr/sbin:/sbin SYSTEMD_LOG_LEVEL=err SYSTEMD_COLORS=0 SYSTEMD_PAGER=

# One word for what a tool did: its exit status, and the files with its stdout and stderr.
judge() {
    local status=$1 out=$2 err=$3
    if [ "$status" = 124 ] || [ "$status" = 137 ]; then echo hung
    elif [ "$status" -gt 128 ]; then echo "crashed ($((status - 128)))"
    elif [ "$status" != 0 ]; then
        LC_ALL=C grep -qP '[\x00-\x06\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' "$out" "$err" && echo "refused, raw" || echo refused
    elif LC_ALL=C grep -qP '[\x00-\x06\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xaf]' "$out" "$err"; then
        echo "accepted, raw"
    elif [ -s "$err" ] || LC_ALL=C grep -qiE 'warning|caution|invalid|problem|corrupt' "$out"; then echo "accepted, warns"
    else echo accepted
    fi
}

tool() { # name, folder, path, question
    local name=$1 folder=$2 path=$3 ask=$4
    case $name in
    sfdisk) sfdisk --dump "$path" ;;
    sgdisk) sgdisk --print "$path" ;;
    partx) partx --show "$path" ;;
    blkid) blkid --probe "$path" ;;
    dump) veritysetup dump "$folder/hash" ;;
    verify) veritysetup verify "$folder/data" "$folder/hash" "${ask##* }" ;;
    dissect-252) systemd-dissect "$path" ;;
    dissect-257) ${DISSECT_257:?} systemd-dissect "$path" ;;
    esac
}
export -f tool

run() {
    local dir=$1 out err status
    shift
    [ $# -gt 0 ] || set -- sfdisk sgdisk partx blkid dump verify dissect-252
    out=$(mktemp) err=$(mktemp)
    for name in "$@"; do
        # without those that are run now
        { grep -v "^${CLASS:+$CLASS-}" "$dir/$name.tsv" 2>/dev/null; } > "$out"
        cp "$out" "$dir/$name.tsv"
        while IFS=$'\t' read -r id path ask _; do
            case $id in ${CLASS:-*}-*) ;; *) continue ;; esac
            case $name:$id in dump:C1-* | verify:C1-*) ;; dump:* | verify:*) continue ;; esac
            # terminals and endless devices of this machine are not for everyone
            case $path in /dev/tty | /dev/ptmx) continue ;; esac
            timeout --kill-after=1 10 bash -c 'tool "$@"' - "$name" "$dir/$id" "$path" "$ask" \
                > "$out" 2> "$err" < /dev/null
            status=$?
            printf '%s\t%s\t%s\n' "$id" "$(judge "$status" "$out" "$err")" "$(head -c 200 "$err" | tr -c ' -~' ' ')" \
                >> "$dir/$name.tsv"
        done < "$dir/index.tsv"
    done
    rm -f "$out" "$err"
}

# The results of a page, without what the tools said.
results() {
    local page=$1 dir=$2
    rm -f "$dir"/{sfdisk,sgdisk,partx,blkid,dissect-252,dissect-257,dump,verify}.tsv
    awk -F ' [|] ' -v dir="$dir" -f - "$page" <<'AWK'
/^[|] [|] what is wrong/ { for (i = 3; i < NF; i++) { name[i] = $i; sub(/^(systemd-|veritysetup )/, "", name[i]); gsub(" ", "-", name[i]) } }
/^[|] (G|C[0-9]+)-/ { for (i = 3; i < NF; i++) if ($i != "–") print substr($1, 3) "\t" $i "\t" > (dir "/" name[i] ".tsv") }
AWK
}

table() {
    local dir=$1
    awk -F '\t' -v dir="$dir" -v versions="$(cat "$dir/versions" 2>/dev/null)" -v date="$(date -I)" -f - "$dir/index.tsv" <<'AWK'
function load(name,   line, part) {
    while ((getline line < (dir "/" name ".tsv")) > 0) { split(line, part, "\t"); said[name, part[1]] = part[2]; ran[name]++ }
}
BEGIN {
    count = split("sfdisk sgdisk partx blkid dissect-252 dissect-257 dump verify", tools, " ")
    for (i = 1; i <= count; i++) load(tools[i])
    split("accepted|accepted, warns|accepted, raw|refused|refused, raw|hung", words, "|")
    title["G"] = "G: the partition table"
    title["C1"] = "C1: what the root hash does not bind"
    title["C2"] = "C2: several candidates"
    title["C3"] = "C3: block sizes, MBR and GPT"
    title["C4"] = "C4: two file systems in one place"
    title["C5"] = "C5: the JSON of a signature partition"
    title["C6"] = "C6: PKCS#7"
    title["C7"] = "C7: files beside the image"
    title["C8"] = "C8: what is behind the path"
    title["C9"] = "C9: files within"
    title["C10"] = "C10: compressed images"
}
{
    id[NR] = $1; ask[NR] = $3; status[NR] = $4; answer[NR] = $5; what[NR] = $6
    gsub(/\|/, "\\|", what[NR])
    total++
    # of files inside: what was asked for is there, or it is a fact that it is not
    if ($4 == 0 && ($3 !~ /^(inspect|verify)/ || $5 ~ /=|^no /)) ddi["good"]++
    else if ($4 == 0 && $5 != "trusted-and-proven") ddi["warns"]++
    else if ($4 == 0) { ddi["good"]++; ddi["controls"]++ }
    else ddi["refused"]++
}
END {
    for (i = 1; i <= count; i++) for (n = 1; n <= NR; n++) {
        word = said[tools[i], id[n]]
        if (word ~ /^crashed/) word = "crashed"
        sum[tools[i], word]++
    }
    print "# Hostile images, and what the tools do with them\n"
    printf "%d images, made by `tests/support/hostile/` and held to their one answer by `tests/it/hostile/`. Made by\n", total
    printf "`tests/hostile-peers.sh` on %s. ", date
    print "Versions: " versions ".\n"
    print "*accepted*: exit status 0; *warns*: and said something on stderr, or a warning; *raw*: control or direction-changing"
    print "characters of the image reached the terminal; *refused*: another exit status; *hung*: killed after ten seconds;"
    print "*crashed*: by which signal. That a tool accepts an image is no fault where the image is not for it to judge: none of"
    print "the partition tools knows of verity or of files beside the image, and systemd-dissect shows, as it says, what an"
    print "image claims. `ddi` has, for each image, the exit status and the code that the test demands; 3 means that every block"
    print "matches and that nobody vouches for it; of files within (C9), 0 with what was asked for counts as accepted, 0 with a"
    print "code as a warning. A dash: not run, for it has no meaning.\n"
    printf "| | images | accepted | accepted, warns | accepted, raw | refused | refused, raw | hung | crashed |\n|---|---|---|---|---|---|---|---|---|\n"
    for (i = 1; i <= count; i++) if (ran[tools[i]]) {
        t = tools[i]
        printf "| %s | %d | %d | %d | %d | %d | %d | %d | %d |\n", label(t), ran[t], sum[t, "accepted"], sum[t, "accepted, warns"], sum[t, "accepted, raw"], sum[t, "refused"], sum[t, "refused, raw"], sum[t, "hung"], sum[t, "crashed"]
    }
    printf "| ddi | %d | %d (%d controls) | %d | 0 | %d | 0 | 0 | 0 |\n", total, ddi["good"], ddi["controls"], ddi["warns"], ddi["refused"]
    last = ""
    for (n = 1; n <= NR; n++) {
        split(id[n], part, "-")
        if (part[1] != last) {
            last = part[1]
            printf "\n## %s\n\n| | what is wrong with it |", title[last]
            line = "|---|---|"
            for (i = 1; i <= count; i++) if (shown(tools[i], last)) { printf " %s |", label(tools[i]); line = line "---|" }
            printf " ddi |\n%s---|\n", line
        }
        printf "| %s | %s |", id[n], what[n]
        for (i = 1; i <= count; i++) if (shown(tools[i], last)) {
            word = said[tools[i], id[n]]
            printf " %s |", word == "" ? "–" : word
        }
        split(ask[n], words_of, " ")
        printf " %s: %s, %s |\n", words_of[1], status[n], answer[n]
    }
}
function label(t) {
    if (t == "dissect-252") return "systemd-dissect 252"
    if (t == "dissect-257") return "systemd-dissect 257"
    if (t == "dump" || t == "verify") return "veritysetup " t
    return t
}
function shown(t, class) {
    if (!ran[t]) return 0
    return (t != "dump" && t != "verify") || class == "C1"
}
AWK
}

"$@"
