#!/bin/bash
# What it costs to use every core where there was one thread: pipes, trees that are computed or brought up to date, small reads
# (`benches/paths.rs`); and whole commands: packed images beside `zstd -dc`, sums of files beside the tools that extract them.
#
#   benches/paths.sh [ROUNDS [MIB [DDI]]]
#
# All candidates take turns in each round. Wall and user+sys time in ms: median (lowest), then the ratio to the sum of those that are
# named. The load is told before and after: with one, only user+sys and ratios say something.
# Needs zstd, mkfs.erofs, mksquashfs, unsquashfs, fsck.erofs, veritysetup, sfdisk, python3, and room in TMPDIR and /dev/shm.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8
rounds=${1:-9} mib=${2:-256}
here=$(dirname "$(realpath "$0")")
ddi=$(realpath "${3:-$here/../target/release/ddi}")
t=$(mktemp -d "${TMPDIR:-/var/tmp}/ddi-paths.XXXXXX")
shm=$(mktemp -d /dev/shm/ddi-paths.XXXXXX)
trap 'rm -rf "$t" "$shm"' EXIT

grep -m1 'model name' /proc/cpuinfo || true
echo "$(nproc) processors, load $(cut -d ' ' -f 1-3 /proc/loadavg)"
(cd "$here/.." && cargo bench --quiet --bench paths -- "$mib" "$rounds")

# A tree of 10,000 files of 0 to 128 KiB that compress as programs do, and an image of its own for each file system.
mkdir "$t/tree"
python3 - "$t/tree" <<'END1'
import os, random, sys
random.seed(5)
words = [bytes(random.choices(b'abcdefghijklmnopqrstuvwxyz_(){};=*', k=random.randint(2, 12))) for _ in range(4000)]
for number in range(10_000):
    folder = f'{sys.argv[1]}/{number // 100:03}'
    os.makedirs(folder, exist_ok=True)
    size = min(int(random.expovariate(1 / 16_000)), 131_072)
    text = b' '.join(random.choices(words, k=size // 8 + 1)) + random.randbytes(size // 8)
    with open(f'{folder}/{number:05}', 'wb') as file:
        file.write(text[:size])
END1
du -s --apparent-size --block-size=1M "$t/tree" | cut -f 1 | sed 's/$/ MiB in 10,000 files/'
mksquashfs "$t/tree" "$t/squashfs" -comp zstd -noappend -quiet -no-progress >/dev/null
mkfs.erofs -zlz4hc,12 "$t/erofs" "$t/tree" >/dev/null 2>&1

# A disk image with the tree and random bytes in an erofs of its own, its hash tree beside it, as it is and packed.
mkdir "$t/disk"
cp -r "$t/tree" "$t/disk/tree"
have=$(du -s --apparent-size --block-size=1M "$t/disk" | cut -f 1)
[ "$have" -ge "$mib" ] || head -c $(((mib - have) << 20)) /dev/urandom >"$t/disk/filler"
mkfs.erofs --quiet "$t/data" "$t/disk" >/dev/null
rm -rf "$t/disk"
"$ddi" verity format "$t/data" "$t/hash" --root-hash-file "$t/root" >/dev/null
root=$(cat "$t/root")
uuid() { sed 's/\(.\{8\}\)\(.\{4\}\)\(.\{4\}\)\(.\{4\}\)/\1-\2-\3-\4-/' <<<"$1"; }
data=$(stat -c %s "$t/data") hash=$((($(stat -c %s "$t/hash") + 1048575) >> 20))
truncate -s $((data + ((hash + 4) << 20))) "$t/image.raw"
sfdisk -q "$t/image.raw" <<END3
label: gpt
start=2048, size=$((data / 512)), type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709, uuid=$(uuid "${root:0:32}"), name=root_1
size=${hash}M, type=2c7357ed-ebd2-46d9-aec1-23d437ec2bf5, uuid=$(uuid "${root:32}"), name=root_1
END3
start() { sfdisk --json "$t/image.raw" | python3 -c "import json, sys; print(json.load(sys.stdin)['partitiontable']['partitions'][$1]['start'] * 512)"; }
for part in 0:data 1:hash; do
    dd if="$t/${part#*:}" of="$t/image.raw" bs=1M seek="$(start "${part%:*}")" oflag=seek_bytes conv=notrunc status=none
done
zstd -q -T0 "$t/image.raw" -o "$t/image.raw.zst"
"$ddi" verify "$t/image.raw.zst" --root-hash "$root" >/dev/null

python3 - "$ddi" "$t" "$shm" "$rounds" <<'END2'
import os, resource, statistics, subprocess, sys, time

ddi, t, shm, rounds = *sys.argv[1:4], int(sys.argv[4])
root = open(f'{t}/root').read().strip()
sums = 'find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -P2 -n 512 sha256sum'
candidates = {
    'verity verify < pipe, 1 thread': f'cat {t}/data | {ddi} verity verify - {t}/hash {root} --threads 1',
    'verity verify < pipe, 2 threads': f'cat {t}/data | {ddi} verity verify - {t}/hash {root} --threads 2',
    'zstd -dc': f'zstd -qdc {t}/image.raw.zst',
    'ddi verify image.raw': f'{ddi} verify {t}/image.raw --root-hash {root}',
    'ddi verify image.raw.zst': f'{ddi} verify {t}/image.raw.zst --root-hash {root}',
    'ddi inspect image.raw.zst': f'{ddi} inspect {t}/image.raw.zst',
    'squashfs-zstd: unsquashfs': f'unsquashfs -q -n -d {shm}/x {t}/squashfs',
    'squashfs-zstd: sha256sum': f'cd {shm}/x && {sums}',
    'squashfs-zstd: ddi mtree': f'{ddi} mtree {t}/squashfs',
    'squashfs-zstd: ddi mtree, 1 thread': f'{ddi} mtree {t}/squashfs --threads 1',
    'erofs-lz4hc: fsck.erofs': f'fsck.erofs --extract={shm}/y {t}/erofs',
    'erofs-lz4hc: sha256sum': f'cd {shm}/y && {sums}',
    'erofs-lz4hc: ddi mtree': f'{ddi} mtree {t}/erofs',
    'erofs-lz4hc: ddi mtree, 1 thread': f'{ddi} mtree {t}/erofs --threads 1',
}
times = {name: [] for name in candidates}
for _ in range(rounds):
    for name, command in candidates.items():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        subprocess.run(['bash', '-o', 'pipefail', '-c', command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        times[name].append((wall * 1e3, cpu * 1e3))
    subprocess.run(['rm', '-rf', f'{shm}/x', f'{shm}/y'], check=True)

print(f'{"":36} {"wall ms":>18} {"user+sys ms":>18}')
for name, found in times.items():
    wall, cpu = zip(*found)
    text = [f'{statistics.median(of):.0f} ({min(of):.0f})' for of in (wall, cpu)]
    print(f'{name:36} {text[0]:>18} {text[1]:>18}')

def ratio(what, name, *bases):
    for kind, label in ((0, 'wall'), (1, 'user+sys')):
        found = [times[name][i][kind] / sum(times[base][i][kind] for base in bases) for i in range(rounds)]
        print(f'{what}, {label}: {statistics.median(found):.2f} ({min(found):.2f}-{max(found):.2f})')

ratio('pipe, 1 thread / 2', 'verity verify < pipe, 1 thread', 'verity verify < pipe, 2 threads')
ratio('verify of .raw.zst / zstd -dc + verify of .raw', 'ddi verify image.raw.zst', 'zstd -dc', 'ddi verify image.raw')
ratio('unpacking into a temporary file / zstd -dc', 'ddi inspect image.raw.zst', 'zstd -dc')
ratio('mtree of squashfs-zstd / unsquashfs + sha256sum -P2', 'squashfs-zstd: ddi mtree', 'squashfs-zstd: unsquashfs', 'squashfs-zstd: sha256sum')
ratio('mtree of erofs-lz4hc / fsck.erofs --extract + sha256sum -P2', 'erofs-lz4hc: ddi mtree', 'erofs-lz4hc: fsck.erofs', 'erofs-lz4hc: sha256sum')
ratio('mtree of squashfs-zstd, 1 thread / all', 'squashfs-zstd: ddi mtree, 1 thread', 'squashfs-zstd: ddi mtree')
ratio('mtree of erofs-lz4hc, 1 thread / all', 'erofs-lz4hc: ddi mtree, 1 thread', 'erofs-lz4hc: ddi mtree')
END2
echo "load $(cut -d ' ' -f 1-3 /proc/loadavg)"
