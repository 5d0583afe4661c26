#!/bin/bash
# libddi as C has it: built, its symbols compared, and tests/capi.c run as C11 and C++17 by gcc and clang, under valgrind and with
# AddressSanitizer; then the examples. With an argument, that library is tested: a folder with include/ and lib/.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD/../..
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
say() { printf -- '-- %s\n' "$*"; }
# a test that is left out for want of a tool is one that CI does not leave out
has() {
    command -v "$1" >/dev/null && return
    [ -z "${DDI_REQUIRE_TOOLS:-}" ] || { echo "$1 is missing" >&2; exit 1; }
    say "skipped: no $1"
    return 1
}

installed=${1:-}
if [ -z "$installed" ]; then
    say library
    installed=$folder/usr
    ./install.sh --debug --prefix "$installed" 2>"$folder/log" || { cat "$folder/log" >&2; exit 1; }
fi
export PKG_CONFIG_PATH=$installed/lib/pkgconfig LD_LIBRARY_PATH=$installed/lib

say symbols
nm -D --defined-only "$installed/lib/libddi.so" | awk '{ print $3 }' | LC_ALL=C sort | diff libddi.symbols -
readelf -d "$installed/lib/libddi.so" | grep -q 'SONAME.*\[libddi.so.0\]'

say scratch
sample=$root/tests/data/sample.raw certificate=$root/tests/data/sample.crt
scratch=$folder/scratch
prepare() {
    rm -rf "$scratch"
    mkdir "$scratch"
    cp "$sample" "$scratch/damaged.raw"
    # in the file `numbers`, block 4
    printf '\377\377' | dd of="$scratch/damaged.raw" bs=1 seek=50000 conv=notrunc status=none
    head -c 100000 "$sample" >"$scratch/cut.raw"
    gzip -c "$sample" >"$scratch/sample.raw.gz"
    head -c 20000 /dev/urandom >"$scratch/garbage"
    : >"$scratch/empty"
    mkfifo "$scratch/fifo"
    printf 'ID=host\nVERSION_ID=1\n' >"$scratch/os-release"
    seq 1800000 >"$scratch/data"
    truncate -s 12M "$scratch/data"
    (cat "$scratch/data"; head -c 4096 /dev/zero) >"$scratch/data.longer"
    cp "$scratch/data" "$scratch/both"
}
run() { prepare; "$@" "$sample" "$certificate" "$scratch"; }
flags=(-Wall -Wextra -Werror -pedantic -g $(pkg-config --cflags ddi))
libs=($(pkg-config --libs ddi) -pthread)

for compiler in gcc clang; do
    has $compiler || continue
    say "$compiler, C11 and C++17"
    $compiler -std=c11 -D_GNU_SOURCE "${flags[@]}" tests/capi.c -o "$folder/c" "${libs[@]}"
    run "$folder/c"
    $compiler -x c++ -std=c++17 -D_GNU_SOURCE "${flags[@]}" tests/capi.c -o "$folder/c++" "${libs[@]}"
    run "$folder/c++"
done

if has valgrind; then
    say valgrind
    gcc -std=c11 -D_GNU_SOURCE "${flags[@]}" tests/capi.c -o "$folder/c" "${libs[@]}"
    run valgrind --error-exitcode=9 --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all \
        --suppressions=tests/valgrind.supp --log-file="$folder/valgrind" "$folder/c" || { cat "$folder/valgrind" >&2; exit 1; }
    # it says so if it found anything; this is what it found nothing in
    grep -E 'SUMMARY|total heap' "$folder/valgrind" || true
fi

say AddressSanitizer
gcc -std=c11 -D_GNU_SOURCE -fsanitize=address,undefined -fno-sanitize-recover=all "${flags[@]}" tests/capi.c -o "$folder/asan" "${libs[@]}"
run "$folder/asan"

ddi=${CARGO_TARGET_DIR:-$root/target}/debug/ddi
if [ -x "$ddi" ] && has jq; then
    say "documents of the command"
    for image in "$sample" "$scratch/damaged.raw"; do
        for policy in root=signed root=absent; do
            arguments=("$image" --certificate "$certificate" --image-policy $policy --json)
            diff <("$folder/c" --report "$image" "$certificate" $policy | jq -S .) <("$ddi" inspect "${arguments[@]}" | jq -S .)
            diff <("$folder/c" --verify "$image" "$certificate" $policy | jq -S .) <("$ddi" verify "${arguments[@]}" | jq -S .)
        done
    done
fi

say "static library"
gcc -std=c11 -D_GNU_SOURCE "${flags[@]}" tests/capi.c -o "$folder/static" -Wl,-Bstatic -lddi -Wl,-Bdynamic \
    $(pkg-config --static --libs ddi) -pthread -L"$installed/lib"
! ldd "$folder/static" | grep -q libddi
run "$folder/static"

say "example gate-update.c"
gcc -std=c11 "${flags[@]}" examples/gate-update.c -o "$folder/gate" "${libs[@]}"
[ "$("$folder/gate" "$sample" "$certificate" root=signed)" = "VERSION_ID=1.0" ]
! "$folder/gate" "$sample" "$certificate" root=absent 2>/dev/null || exit 1
! "$folder/gate" "$scratch/damaged.raw" "$certificate" root=signed 2>"$folder/told" || exit 1
grep -q 'not' "$folder/told"

if has go; then
    say "example in Go"
    (cd examples/go && CGO_CFLAGS="$(pkg-config --cflags ddi)" CGO_LDFLAGS="$(pkg-config --libs ddi)" \
        GOFLAGS=-mod=mod GOCACHE="$folder/go" GOPROXY=off go build -o "$folder/gate-go" .)
    [ "$("$folder/gate-go" "$sample" "$certificate" root=signed)" = "VERSION_ID=1.0" ]
    ! "$folder/gate-go" "$scratch/damaged.raw" "$certificate" root=signed 2>/dev/null || exit 1
fi
say done
