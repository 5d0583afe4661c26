#!/bin/bash
# Everything that CI runs, runnable by hand: installs the tools that the tests compare with (Debian 12, apt), then
# formatting, lints, documentation, builds without features, all tests, threads in every order, the search for panics in
# the machine code, and each fuzz target for a few seconds.
#
#   ./ci.sh               everything
#   ./ci.sh --no-install  the same, with the tools that are there; what is missing fails a test by name
set -euo pipefail
cd "$(dirname "$0")"

packages=(cryptsetup-bin gdisk fdisk util-linux systemd-container erofs-utils squashfs-tools e2fsprogs dosfstools mtools openssl attr
    btrfs-progs xfsprogs f2fs-tools strace jq binutils gpgv time 7zip libarchive-tools libnbd-bin
    gcc g++ clang valgrind pkg-config golang-go qemu-utils android-sdk-libsparse-utils chromium python3-jsonschema
    mandoc zsh fish)
here=../shared/corpus/make-corpus.sh
[ ! -x $here ] || packages+=(mmdebstrap)

step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }

missing=()
for p in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
if [ "${1:-}" != --no-install ] && [ ${#missing[@]} -gt 0 ]; then
    step "install ${missing[*]}"
    root=
    [ "$(id -u)" = 0 ] || root=sudo
    $root apt-get update -qq
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
# mkfs and veritysetup live there, and an ordinary user's PATH leaves it out
export PATH="$PATH:/usr/sbin:/sbin"
export DDI_REQUIRE_TOOLS=1

step formatting
cargo fmt --all --check

step lints
cargo clippy --workspace --all-targets --locked -- -D warnings

step "without features"
cargo clippy -p ddi-gpt -p ddi-verity -p ddi-io --no-default-features --locked -- -D warnings

step "each feature alone"
tests/features.sh

step documentation
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet

# The corpus of images by current tools, where its maker is there. Without it the tests make images of their own.
if [ -x $here ] && [ "$(id -u)" = 0 ]; then
    step corpus
    export DDI_CORPUS=${DDI_CORPUS:-${TMPDIR:-/tmp}/ddi-corpus}
    # a complete corpus is left as it is; one that could not be made (no network) is made up for by our own images
    $here "$DDI_CORPUS" >"${TMPDIR:-/tmp}/ddi-corpus.log" 2>&1 || {
        tail -n 20 "${TMPDIR:-/tmp}/ddi-corpus.log"
        echo "the corpus could not be made; going on without it"
        # a corpus that is named has to be there
        unset DDI_CORPUS
    }
fi

# what a page must be for everybody who reads it, by axe-core, where it can be had
if [ "${1:-}" != --no-install ] && command -v npm >/dev/null && [ ! -f target/tools/axe/package/axe.min.js ]; then
    mkdir -p target/tools/axe
    (cd target/tools/axe && npm pack --silent axe-core@4.14.1 >/dev/null && tar xzf axe-core-4.14.1.tgz) || echo "no axe-core"
fi
[ ! -f target/tools/axe/package/axe.min.js ] || export DDI_AXE="$PWD/target/tools/axe/package/axe.min.js"

# A tree of a real system, packed by each tool and compared file by file: programs, and links to them.
export DDI_TREE=${DDI_TREE:-/usr/sbin}

step tests
cargo test --workspace --locked

step examples
tests/examples.sh

step "C library"
crates/ddi-capi/tests/capi.sh

step "interleavings of threads"
RUSTFLAGS='--cfg shuttle' cargo test -p ddi-verity --no-default-features --lib --locked --target-dir target/shuttle p3_
RUSTFLAGS='--cfg shuttle' cargo test -p ddi-io --lib --locked --target-dir target/shuttle p3_

step "panics in the machine code"
tests/panics.sh

step "kernels in the machine code"
tests/kernels.sh

step dependencies
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --locked check bans licenses sources
else
    echo "skipped: no cargo-deny"
fi

step fuzzing
export PATH="$PATH:$PWD/target/tools/bin"
if [ "${1:-}" != --no-install ] && ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install --quiet --locked --root target/tools cargo-fuzz
fi
fuzz/smoke.sh 5

step done
