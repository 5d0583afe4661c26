#!/bin/bash
# File systems that mean ill, made with the ordinary tools, and what `ddi ls -R`, `extract` and `inspect` make of them: exit
# status, time and memory of each, as a table. Needs mke2fs, mkfs.erofs, mksquashfs, GNU time; root for the devices.
#
#   tests/hostile-files.sh [DDI]
set -euo pipefail
ddi=$(realpath "${1:-target/release/ddi}")
work=$(mktemp -d "${TMPDIR:-/tmp}/ddi-hostile-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

row() { # NAME IMAGE
    for command in "ls -R" extract inspect; do
        args=("${command% *}" "$2" --max-size 4294967296)
        [ "$command" = extract ] && args+=(/ out)
        [ "$command" = "ls -R" ] && args+=(-R)
        set +e
        /usr/bin/time -f '%e s, %M KiB' -o time "$ddi" "${args[@]}" >stdout 2>stderr
        code=$?
        set -e
        left=$(find . -maxdepth 1 -name '.ddi-extract-*' | wc -l)
        said=$({ grep -v warning stderr || true; } | head -1 | sed "s/^ddi: error: [^:]*: //; s/|/ /g" | cut -c1-90)
        warned=$(grep -c warning stderr || true)
        [ "$warned" = 0 ] || said="${said:+$said; }$warned left out"
        echo "| $1 | \`$command\` | $code | $(tail -1 time) | $(wc -l <stdout) | ${said:--} | $left |"
        chmod -R u+rwX out 2>/dev/null || true
        rm -rf out
    done
}
fresh() { chmod -R u+rwX tree 2>/dev/null || true; rm -rf tree image.raw; mkdir tree; }
pack_erofs() { mkfs.erofs -T0 "$@" image.raw tree >/dev/null 2>&1; }

echo "| image | command | exit | time, memory | lines | says | left behind |"
echo "| --- | --- | --- | --- | --- | --- | --- |"

fresh
ln -s loop tree/loop; ln -s b tree/a; ln -s a tree/b; mkdir tree/etc
ln -s ../../../../../../../../etc/passwd tree/etc/os-release; ln -s /etc/hostname tree/etc/hostname
ln -s /proc/self/root/etc/machine-id tree/etc/machine-id; ln -s / tree/root; ln -s .. tree/etc/up
pack_erofs; row "links: loops, ../../.., absolute" image.raw

fresh
mkfifo tree/fifo; mknod tree/null c 1 3; mknod tree/disk b 8 0; mkdir tree/etc
mkfifo tree/etc/os-release; mknod tree/etc/hostname c 1 5; ln -s ../null tree/etc/machine-id
pack_erofs; row "FIFOs and devices, also as os-release" image.raw

fresh
python3 - <<'END'
import os
os.chdir("tree")
for i in range(1500):
    os.mkdir("d"); os.chdir("d")
open("bottom", "w").close()
END
pack_erofs; row "1,500 directories inside each other, erofs" image.raw

fresh
truncate -s 2G tree/zeros; mkdir tree/etc; truncate -s 2G tree/etc/os-release
mksquashfs tree image.raw -noappend -quiet -no-progress -comp zstd >/dev/null
row "2 GiB of zeros twice in $(stat -c %s image.raw) bytes, squashfs" image.raw
rm image.raw; truncate -s 8T tree/zeros
mke2fs -q -F -t ext4 -d tree image.raw 64M >/dev/null; row "8 TiB of a hole in 64 MiB, ext4" image.raw

fresh
head -c 30000000 /dev/zero | tr '\0' 'a' >tree/letters
for i in $(seq 60); do ln tree/letters tree/letters-"$i"; done; cp tree/letters tree/copy
mksquashfs tree image.raw -noappend -quiet -no-progress -comp xz >/dev/null
row "30 MB of one letter in $(stat -c %s image.raw) bytes, 62 names, squashfs xz" image.raw

fresh
(cd tree && seq -f 'name-%07g' 1000000 | xargs touch)
# mkfs.erofs takes many minutes for that
mksquashfs tree image.raw -noappend -quiet -no-progress >/dev/null; row "1,000,000 names in one directory, squashfs" image.raw

fresh
# no tool makes it: files that say they have two names; with the way to it a name is 50,000 bytes long
python3 - <<'PYTHON'
import struct
DEPTH, FILES, BLOCK = 195, 5_000, 4096
inodes = DEPTH + FILES + 2
data_start = 1 + -(-inodes * 32 // BLOCK)
data = b""

def directory(entries):
    """Appends its blocks, and says where they begin and how many bytes it has."""
    global data
    start, size = data_start + len(data) // BLOCK, 0
    while entries:
        taken, used = 0, 0
        while taken < len(entries) and used + 12 + len(entries[taken][0]) <= BLOCK:
            used += 12 + len(entries[taken][0])
            taken += 1
        block, name_at = b"", 12 * taken
        for name, inode, kind in entries[:taken]:
            block += struct.pack("<QHBB", inode, name_at, kind, 0)
            name_at += len(name)
        block += b"".join(name for name, _, _ in entries[:taken])
        size = len(data) // BLOCK * BLOCK - (start - data_start) * BLOCK + used
        data += block.ljust(BLOCK, b"\0")
        entries = entries[taken:]
    return size, start

def inode(mode, size, start):
    return struct.pack("<HHHHIIIIHHI", 0, 0, mode, 2, size, 0, start, 1, 0, 0, 0)

meta = bytes(32)
for number in range(1, DEPTH + 1):
    entries = [(b".", number, 2), (b"..", max(1, number - 1), 2)]
    if number < DEPTH:
        entries.append((b"x" * 255, number + 1, 2))
    else:
        entries += [(b"f%05d" % i, DEPTH + 1 + i, 1) for i in range(FILES)]
    meta += inode(0o40755, *directory(entries))
meta = (meta + inode(0o100644, 0, 0) * FILES).ljust((data_start - 1) * BLOCK, b"\0")
blocks = data_start + len(data) // BLOCK
superblock = struct.pack("<IIIBBHQQIIII", 0xE0F5E1E2, 0, 0, 12, 0, 1, inodes, 0, 0, blocks, 1, 0)
with open("image.raw", "wb") as image:
    image.write((bytes(1024) + superblock).ljust(BLOCK, b"\0") + meta + data)
PYTHON
row "5,000 files that say they have two names, 195 directories deep, erofs" image.raw
