#!/bin/bash
# Looks at a 10 GiB sparse image with ddi inspect, sfdisk --json and (as root) systemd-dissect, in turns:
#
#   benches/inspect.sh [DDI]        prints median and range of the wall time in ms, and the largest RSS in KiB
#
# Needs sfdisk, systemd-container, mkfs.erofs, python3, and GNU time (small, so that what is measured is not what
# measures). DDI defaults to target/release/ddi.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8
ddi=$(realpath "${1:-target/release/ddi}")
t=$(mktemp -d "${TMPDIR:-/var/tmp}/ddi-inspect.XXXXXX")
trap 'rm -rf "$t"' EXIT

mkdir -p "$t/tree/usr/lib" && echo ID=bench >"$t/tree/usr/lib/os-release"
truncate -s 10G "$t/image.raw"
sfdisk -q "$t/image.raw" <<'END'
label: gpt
size=512M, type=uefi, name=esp
size=8G, type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709, name=root_1, attrs=GUID:60
type=linux, name=data
END
mkfs.erofs --quiet "$t/fs" "$t/tree" >/dev/null
dd if="$t/fs" of="$t/image.raw" bs=1M seek=513 conv=notrunc status=none

python3 - "$ddi" "$t/image.raw" <<'END'
import os, statistics, subprocess, sys, time

ddi, image = sys.argv[1:]
peers = {
    'ddi inspect': [ddi, 'inspect', image],
    'ddi inspect --json': [ddi, 'inspect', '--json', image],
    'sfdisk --json': ['sfdisk', '--json', image],
}
if os.geteuid() == 0:
    peers['systemd-dissect --json'] = ['systemd-dissect', '--json=short', image]
times, rss = {name: [] for name in peers}, dict.fromkeys(peers, 0)
for _ in range(30):
    for name, argv in peers.items():
        begin = time.perf_counter()
        subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times[name].append((time.perf_counter() - begin) * 1000)
for name, argv in peers.items():
    ended = subprocess.run(['/usr/bin/time', '-f', '%M', *argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    rss[name] = int(ended.stderr.split()[-1])
print(f"{'':24}{'median ms':>10}{'min':>8}{'max':>8}{'RSS KiB':>10}")
for name in peers:
    t = times[name]
    print(f'{name:24}{statistics.median(t):10.1f}{min(t):8.1f}{max(t):8.1f}{rss[name]:10}')
END
